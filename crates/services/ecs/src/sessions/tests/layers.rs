//! What agents are told of layers: by their own word, for tasks that they have.

use agent_protocol::layers::{
    HeldLayer, LayerEnded, LayerFrom, LayerWanted, LayersHeld, PeerServing, PeersKnown,
};
use agent_protocol::node::{AgentMessage, ServerMessage};
use peering::TicketKey;
use terms::ContainerInstanceArn;

use super::super::testing::{Peer, instance_arn, task_arn, wire};
use super::world::{World, instance, task};
use crate::model::{DesiredStatus, InstanceStatus, TaskStatus};

type Agent = Peer<AgentMessage, ServerMessage>;

/// What tickets of node `number` are written with.
fn key(number: u8) -> TicketKey {
    TicketKey::new([number; 32])
}

fn arn(number: u8) -> ContainerInstanceArn {
    ContainerInstanceArn {
        id: terms::ContainerInstanceId::from_bytes([number; 16]),
        ..instance_arn()
    }
}

/// Connects the agent of instance `number`, which hands layers out.
async fn connect(world: &World, number: u8) -> Agent {
    let (transport, mut agent) = wire();
    let sessions = world.sessions.clone();
    tokio::spawn(async move { sessions.serve_node(transport, arn(number)).await });
    assert!(matches!(agent.hear().await, ServerMessage::Heartbeat(_)));
    let serving = PeerServing {
        url: format!("http://10.0.0.{number}:4567"),
        name: format!("node-{number}"),
        key: key(number).to_text(),
    };
    agent.say(serving.into()).await;
    assert_eq!(agent.hear().await, PeersKnown {}.into());
    agent
}

/// A world with instance `n` and task `n` on it, of each of these numbers.
async fn world(numbers: &[u8]) -> World {
    let world = World::start().await;
    for number in numbers {
        world
            .put_instance(crate::model::ContainerInstance {
                arn: arn(*number),
                ..instance(InstanceStatus::Active)
            })
            .await;
        let row = task(u32::from(*number), TaskStatus::Pending, DesiredStatus::Running);
        world.put_task(crate::model::Task { instance: arn(*number).id, ..row }).await;
    }
    world
}

fn layer() -> HeldLayer {
    let digest = format!("sha256:{}", "a".repeat(64));
    HeldLayer { repository: "docker.io/library/busybox".to_owned(), digest }
}

fn wanted(number: u8) -> LayerWanted {
    let (request_id, task_arn) = (u64::from(number), task_arn(u32::from(number)));
    LayerWanted { request_id, layer: layer(), task_arn, size_bytes: 1 << 20, avoid: Vec::new() }
}

async fn answer(agent: &mut Agent) -> LayerFrom {
    match agent.hear().await {
        ServerMessage::LayerFrom(from) => from,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn agents_are_sent_to_the_registry_or_to_each_other() {
    let world = world(&[1, 2, 3, 4, 5]).await;
    let mut agents = Vec::new();
    for number in 1..=5 {
        let agent = connect(&world, number).await;
        agent.say(wanted(number).into()).await;
        agents.push(agent);
    }
    for agent in &mut agents[..3] {
        assert_eq!(answer(agent).await.peer, None);
    }
    // The fourth and the fifth wait for one of them.
    let ended = LayerEnded { layer: layer(), is_here: true, trouble: None };
    agents[1].say(ended.into()).await;
    for (agent, number) in agents[3..].iter_mut().zip([4, 5]) {
        let from = answer(agent).await;
        let peer = from.peer.expect("a node that has it");
        assert_eq!((from.request_id, &*peer.url), (number, "http://10.0.0.2:4567"));
        assert_eq!((peer.id, &*peer.name), (arn(2).to_string(), "node-2"));
        let now = world.ledger.clock().now();
        let bearer = key(2).read(&peer.ticket, &layer().digest, now);
        assert_eq!(bearer, Ok(&*format!("node-{number}")));
        assert!(key(3).read(&peer.ticket, &layer().digest, now).is_err());
    }
    // A node that is away is not named any more; whoever waited for it goes elsewhere.
    drop(agents.remove(1));
    world.until(|world| !world.sessions.hub.nodes.is_connected(&arn(2))).await;
    agents[2].say(wanted(4).into()).await;
    assert_eq!(answer(&mut agents[2]).await.peer, None);
}

#[tokio::test(start_paused = true)]
async fn layers_are_named_to_those_whose_tasks_have_the_image() {
    let world = world(&[1, 2]).await;
    let (holder, mut agent) = (connect(&world, 1).await, connect(&world, 2).await);
    holder.say(LayersHeld { layers: vec![layer()] }.into()).await;
    let ask = async |agent: &mut Agent, wanted: LayerWanted| {
        agent.say(wanted.into()).await;
        answer(agent).await.peer.is_some()
    };
    // Heard in any order otherwise: the channels are two.
    while !ask(&mut agent, wanted(2)).await {
        agent.say(LayerEnded { layer: layer(), is_here: false, trouble: None }.into()).await;
    }
    let other = HeldLayer { repository: "docker.io/library/nginx".to_owned(), ..layer() };
    holder.say(LayersHeld { layers: vec![other.clone()] }.into()).await;
    for refused in [
        LayerWanted { layer: other, ..wanted(2) },
        LayerWanted { task_arn: task_arn(1), ..wanted(2) },
        LayerWanted { task_arn: task_arn(9), ..wanted(2) },
        LayerWanted { layer: HeldLayer { digest: "sha256:..".to_owned(), ..layer() }, ..wanted(2) },
    ] {
        assert!(!ask(&mut agent, refused).await);
    }
    let stopped = task(2, TaskStatus::Stopped, DesiredStatus::Stopped);
    world.put_task(crate::model::Task { instance: arn(2).id, ..stopped }).await;
    assert!(!ask(&mut agent, wanted(2)).await);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_not_taken_on() {
    let world = world(&[1]).await;
    let (transport, mut agent) = wire::<AgentMessage, ServerMessage>();
    let sessions = world.sessions.clone();
    tokio::spawn(async move { sessions.serve_node(transport, arn(1)).await });
    assert!(matches!(agent.hear().await, ServerMessage::Heartbeat(_)));
    let good = PeerServing {
        url: "http://10.0.0.1:1".to_owned(),
        name: "node-1".to_owned(),
        key: key(1).to_text(),
    };
    for bad in [
        PeerServing { url: "file:///etc".to_owned(), ..good.clone() },
        PeerServing { key: "short".to_owned(), ..good.clone() },
        PeerServing { name: "n".repeat(1000), ..good.clone() },
    ] {
        agent.say(bad.into()).await;
    }
    // Whoever takes no part asks the registry at once.
    agent.say(wanted(1).into()).await;
    assert_eq!(answer(&mut agent).await, LayerFrom { request_id: 1, peer: None });
    agent.say(good.into()).await;
    assert_eq!(agent.hear().await, PeersKnown {}.into());
}
