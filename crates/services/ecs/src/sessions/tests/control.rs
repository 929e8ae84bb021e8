//! Control sessions from connect to the time after.

use std::time::Duration;

use agent_protocol::acs::{Ack, HeartbeatAck, ServerMessage};
use agent_protocol::task::{DesiredStatus as PayloadDesired, PayloadTask, Task as Sent};
use ledger::MemoryStore;

use super::super::hub::Hello;
use super::super::presence::AGENT_AWAY_AFTER;
use super::super::testing::{instance_arn, task_arn};
use super::world::{Agent, World, instance, task};
use crate::model::{DesiredStatus, InstanceStatus, TaskStatus};

fn hello() -> Hello {
    Hello::from_query(|name| {
        let value = match name {
            "agentVersion" => "1.105.1",
            "agentHash" => "a8b3e7d3",
            "dockerVersion" => "DockerVersion: 20.10.24",
            _ => return None,
        };
        Some(value.to_owned())
    })
}

/// Hears heartbeat and manifest, and acks both; the manifest's number.
async fn greet(agent: &mut Agent) -> i64 {
    let first = agent.hear().await;
    assert!(matches!(first, ServerMessage::Heartbeat(_)), "{first:?}");
    agent.say(HeartbeatAck::default().into()).await;
    let second = agent.hear().await;
    let ServerMessage::TaskManifest(manifest) = second else { panic!("{second:?}") };
    ack(agent, &manifest.message_id).await;
    manifest.timeline
}

async fn ack(agent: &Agent, message_id: &str) {
    agent.say(Ack { message_id: message_id.to_owned(), ..Ack::default() }.into()).await;
}

/// The only task of the next payload, with the payload's number; acked.
async fn hear_task(agent: &mut Agent) -> (Sent, i64) {
    let message = agent.hear().await;
    let ServerMessage::Payload(payload) = message else { panic!("{message:?}") };
    ack(agent, &payload.message_id).await;
    let [PayloadTask::Valid(task)] = &payload.tasks[..] else { panic!("{payload:?}") };
    ((**task).clone(), payload.seq_num.expect("a number"))
}

fn pending(number: u32) -> crate::model::Task {
    task(number, TaskStatus::Pending, DesiredStatus::Running)
}

#[tokio::test(start_paused = true)]
async fn a_connection_shows_on_the_instance_and_a_lasting_absence_too() {
    let world = World::start().await;
    let mut agent = world.connect(hello());
    greet(&mut agent).await;
    world.until(|world| world.instance().agent.connected).await;
    let row = world.instance();
    assert_eq!(row.agent.version.as_deref(), Some("1.105.1"));
    assert_eq!(row.agent.docker_version.as_deref(), Some("DockerVersion: 20.10.24"));
    assert_eq!(row.version, 2);

    agent.hang_up();
    tokio::time::sleep(AGENT_AWAY_AFTER - Duration::from_millis(100)).await;
    assert!(world.instance().agent.connected, "it may be back at once");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!world.instance().agent.connected);
    assert_eq!(world.instance().agent.version.as_deref(), Some("1.105.1"), "still known");
}

#[tokio::test(start_paused = true)]
async fn coming_back_at_once_writes_nothing() {
    let world = World::start().await;
    let mut agent = world.connect(hello());
    let first = greet(&mut agent).await;
    world.until(|world| world.instance().agent.connected).await;
    let revision = world.ledger.snapshot().revision();
    agent.hang_up();
    world.until(|world| world.sessions.connected() == 0).await;
    let mut agent = world.connect(hello());
    assert!(greet(&mut agent).await > first);
    for _ in 0..20 {
        let beat = agent.hear().await;
        assert!(matches!(beat, ServerMessage::Heartbeat(_)), "{beat:?}");
        agent.say(HeartbeatAck::default().into()).await;
    }
    assert_eq!(world.ledger.snapshot().revision(), revision);
}

#[tokio::test(start_paused = true)]
async fn a_placed_task_travels_and_so_does_its_stop() {
    let world = World::start().await;
    let mut agent = world.connect(hello());
    let timeline = greet(&mut agent).await;
    world.put_task(pending(1)).await;
    let (sent, number) = hear_task(&mut agent).await;
    assert!(number > timeline);
    assert_eq!((sent.arn.clone(), sent.desired_status), (task_arn(1), PayloadDesired::Running));
    assert_eq!(sent.containers[0].environment["AWS_ENDPOINT_URL"], "http://192.0.2.1:4566");

    world.put_task(task(1, TaskStatus::Running, DesiredStatus::Running)).await;
    world.put_task(task(1, TaskStatus::Stopping, DesiredStatus::Stopped)).await;
    let (stop, _) = hear_task(&mut agent).await;
    assert_eq!(stop.desired_status, PayloadDesired::Stopped);
    assert_eq!(stop.containers.len(), 1, "an agent that does not know it reports from this");
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_the_agent_was_away_reaches_it() {
    let world = World::start().await;
    world.put_task(task(1, TaskStatus::Running, DesiredStatus::Running)).await;
    let mut agent = world.connect(hello());
    greet(&mut agent).await;
    agent.hang_up();
    world.until(|world| world.sessions.connected() == 0).await;
    world.put_task(task(1, TaskStatus::Stopping, DesiredStatus::Stopped)).await;
    tokio::time::sleep(AGENT_AWAY_AFTER * 2).await;
    assert_eq!(world.task(1).status, TaskStatus::Stopping, "a lost agent keeps its tasks");
    let mut agent = world.connect(hello());
    greet(&mut agent).await;
    let (stop, _) = hear_task(&mut agent).await;
    assert_eq!(stop.desired_status, PayloadDesired::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_newer_connection_takes_over() {
    let world = World::start().await;
    let mut older = world.connect(hello());
    greet(&mut older).await;
    let mut newer = world.connect(hello());
    greet(&mut newer).await;
    assert_eq!(older.hear_close().await.code, 1000);
    world.put_task(pending(1)).await;
    hear_task(&mut newer).await;
    tokio::time::sleep(AGENT_AWAY_AFTER * 2).await;
    assert!(world.instance().agent.connected, "the end of the older is no end");
}

#[tokio::test(start_paused = true)]
async fn only_the_instance_concerned_hears_of_a_change() {
    let world = World::start().await;
    let mut agent = world.connect(hello());
    greet(&mut agent).await;
    let other = terms::ContainerInstanceId::from_bytes([9; 16]);
    world.put_task(crate::model::Task { instance: other, ..pending(1) }).await;
    world.put_task(pending(2)).await;
    let (sent, _) = hear_task(&mut agent).await;
    assert_eq!(sent.arn, task_arn(2));
}

#[tokio::test(start_paused = true)]
async fn deregistering_ends_the_session() {
    let world = World::start().await;
    let mut agent = world.connect(hello());
    greet(&mut agent).await;
    world.put_instance(instance(InstanceStatus::Inactive)).await;
    let close = agent.hear_close().await;
    assert_eq!(close.code, 1008);
    assert!(close.reason.contains("InactiveInstanceException"), "{close:?}");
    let mut agent = world.connect(hello());
    assert_eq!(agent.hear_close().await.code, 1008);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_goodbye_and_leaves_the_instance_connected() {
    let mut world = World::start().await;
    let mut agent = world.connect(hello());
    greet(&mut agent).await;
    world.until(|world| world.instance().agent.connected).await;
    world.shutdown.cancel();
    assert_eq!(agent.hear_close().await.code, 1001);
    (&mut world.running).await.expect("no panic").expect("no error");
    assert!(world.instance().agent.connected, "its agent will be back before long");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_server_numbers_on_and_notices_who_stays_away() {
    let store = MemoryStore::new();
    let first = World::over(store.clone());
    first.put_instance(instance(InstanceStatus::Active)).await;
    assert!(first.sessions.hub.is_ready().await);
    let mut agent = first.connect(hello());
    let timeline = greet(&mut agent).await;
    first.until(|world| world.instance().agent.connected).await;
    drop(first);
    let second = World::over(store);
    assert!(second.sessions.hub.is_ready().await);
    assert!(second.instance().agent.connected);
    tokio::time::sleep(AGENT_AWAY_AFTER * 2).await;
    assert!(!second.instance().agent.connected);
    let mut agent = second.connect(hello());
    assert!(greet(&mut agent).await > timeline);
    second.until(|world| world.instance().agent.connected).await;
    assert!(second.sessions.is_connected(&instance_arn()));
}
