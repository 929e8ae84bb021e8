//! What agents tell of images on their way, and what people are told of it.

use agent_protocol::node::{
    AgentMessage, ChannelHeartbeatAck, PullUnderWay, PullsUnderWay, ServerMessage,
};

use super::super::testing::{instance_arn, task_arn, wire};
use super::world::{World, task};
use crate::decide::why;
use crate::model::{DesiredStatus, TaskStatus};

fn pull(container: &str, bytes: u64) -> PullUnderWay {
    PullUnderWay {
        task_arn: task_arn(1),
        container: container.to_owned(),
        image: "registry.test/app".to_owned(),
        bytes,
        total_bytes: 300 << 20,
        layers_ready: 3,
        layers: 8,
        trouble: None,
    }
}

fn told(pulls: Vec<PullUnderWay>) -> AgentMessage {
    PullsUnderWay { pulls }.into()
}

#[tokio::test(start_paused = true)]
async fn pulls_are_known_as_long_as_their_agent_tells_of_them() {
    let world = World::start().await;
    world.put_task(task(1, TaskStatus::Pending, DesiredStatus::Running)).await;
    let (transport, mut agent) = wire::<AgentMessage, ServerMessage>();
    let sessions = world.sessions.clone();
    let serving = tokio::spawn(async move { sessions.serve_node(transport, instance_arn()).await });
    assert!(matches!(agent.hear().await, ServerMessage::Heartbeat(_)));
    agent.say(ChannelHeartbeatAck {}.into()).await;
    let known = || world.sessions.pulls(&instance_arn(), &task_arn(1));
    for (said, expected) in [
        (vec![pull("main", 1 << 20), pull("side", 0)], 2),
        (vec![pull("main", 157_286_400)], 1),
        (vec![PullUnderWay { task_arn: task_arn(2), ..pull("main", 1) }], 0),
        (vec![pull("main", 157_286_400)], 1),
    ] {
        agent.say(told(said)).await;
        while known().len() != expected {
            tokio::task::yield_now().await;
        }
    }
    let row = world.task(1);
    let why = why::explain(&row, None, &known(), row.created_at);
    let line = &why.containers[0];
    assert!(line.ends_with(", pulling: 150.0 of 300.0 MiB, 3 of 8 layers ready"), "{line}");
    let trouble = Some("attempt 2: connection reset".to_owned());
    let slow = [PullUnderWay { trouble, ..pull("main", 0) }];
    let why = why::explain(&row, None, &slow, row.created_at);
    let line = &why.containers[0];
    assert!(line.ends_with("3 of 8 layers ready (attempt 2: connection reset)"), "{line}");
    drop(agent);
    serving.await.expect("the channel ends with its agent");
    assert!(known().is_empty());
}
