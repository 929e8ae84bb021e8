//! Telemetry sessions.

use agent_protocol::tcs::{
    AgentMessage, ContainerHealth, HealthStatus, InstanceStatus, PublishHealth,
    PublishInstanceStatus, PublishMetrics, ServerMessage, TaskHealth, TaskMetric,
};

use super::super::routes::TcsFraming;
use super::super::testing::{Peer, instance_arn, task_arn, wire};
use super::super::websocket::Framing;
use super::world::{World, task};
use crate::model::{DesiredStatus, Health, TaskStatus};

type Agent = Peer<AgentMessage, ServerMessage>;

fn connect(world: &World) -> Agent {
    let (transport, peer) = wire();
    let sessions = world.sessions.clone();
    tokio::spawn(async move { sessions.serve_telemetry(transport, instance_arn()).await });
    peer
}

fn health(number: u32, status: HealthStatus) -> AgentMessage {
    let container = ContainerHealth {
        container_name: "main".to_owned(),
        health_status: status,
        status_since: 0.0,
    };
    let task = TaskHealth {
        task_arn: task_arn(number),
        task_definition_family: "hello".to_owned(),
        task_definition_version: "1".to_owned(),
        containers: vec![container],
    };
    PublishHealth { tasks: vec![task], ..PublishHealth::default() }.into()
}

async fn exchange(agent: &mut Agent, message: AgentMessage) -> ServerMessage {
    agent.say(message).await;
    agent.hear().await
}

#[tokio::test(start_paused = true)]
async fn health_is_written_when_it_changes() {
    let world = World::start().await;
    world.put_task(task(1, TaskStatus::Running, DesiredStatus::Running)).await;
    let mut agent = connect(&world);
    let ack = exchange(&mut agent, health(1, HealthStatus::Healthy)).await;
    assert!(matches!(ack, ServerMessage::AckHealth(_)), "{ack:?}");
    assert_eq!(world.task(1).containers[0].health, Health::Healthy);
    assert_eq!(world.task(1).health(), Health::Healthy);
    let revision = world.ledger.snapshot().revision();
    exchange(&mut agent, health(1, HealthStatus::Healthy)).await;
    exchange(&mut agent, health(7, HealthStatus::Healthy)).await;
    assert_eq!(world.ledger.snapshot().revision(), revision, "no news, or no such task");
    exchange(&mut agent, health(1, HealthStatus::Unhealthy)).await;
    assert_eq!(world.task(1).health(), Health::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn nobody_reports_for_tasks_of_other_instances() {
    let world = World::start().await;
    let other = terms::ContainerInstanceId::from_bytes([9; 16]);
    let running = task(1, TaskStatus::Running, DesiredStatus::Running);
    world.put_task(crate::model::Task { instance: other, ..running }).await;
    let mut agent = connect(&world);
    exchange(&mut agent, health(1, HealthStatus::Unhealthy)).await;
    assert_eq!(world.task(1).health(), Health::Unknown);
}

#[tokio::test(start_paused = true)]
async fn metrics_stay_in_memory_as_long_as_the_session() {
    let world = World::start().await;
    let revision = world.ledger.snapshot().revision();
    let mut agent = connect(&world);
    let metric = |number| TaskMetric {
        task_arn: task_arn(number),
        task_definition_family: "hello".to_owned(),
        task_definition_version: "1".to_owned(),
        container_metrics: Vec::new(),
    };
    let round = |id: &str, number| {
        let mut metrics =
            PublishMetrics { task_metrics: vec![metric(number)], ..PublishMetrics::default() };
        metrics.metadata.message_id = Some(id.to_owned());
        AgentMessage::from(metrics)
    };
    exchange(&mut agent, round("a", 1)).await;
    exchange(&mut agent, round("a", 2)).await;
    let known = || world.sessions.hub.telemetry.get(&instance_arn());
    assert_eq!(known().expect("metrics").tasks.len(), 2);
    let ack = exchange(&mut agent, round("b", 3)).await;
    assert!(matches!(ack, ServerMessage::AckMetric(_)), "{ack:?}");
    assert_eq!(known().expect("metrics").tasks.len(), 1, "a new round");
    let check = InstanceStatus {
        kind: "ContainerRuntime".to_owned(),
        status: "OK".to_owned(),
        ..InstanceStatus::default()
    };
    let statuses = vec![check];
    let status = PublishInstanceStatus { statuses, ..PublishInstanceStatus::default() };
    let ack = exchange(&mut agent, status.into()).await;
    assert!(matches!(ack, ServerMessage::AckInstanceStatus(_)), "{ack:?}");
    assert_eq!(known().expect("metrics").statuses["ContainerRuntime"].status, "OK");
    assert_eq!(world.ledger.snapshot().revision(), revision);
    agent.hang_up();
    world.until(|world| world.sessions.hub.telemetry.get(&instance_arn()).is_none()).await;
    // Agents tell of a check when it changes, so what they said outlives their sessions.
    assert_eq!(world.sessions.checks(&instance_arn())[0].status, "OK");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_session_hears_heartbeats_and_a_silent_one_ends() {
    let world = World::start().await;
    let mut agent = connect(&world);
    for _ in 0..5 {
        let beat = agent.hear().await;
        assert!(matches!(beat, ServerMessage::Heartbeat(_)), "{beat:?}");
    }
    assert!(agent.heard.recv().await.is_none(), "nothing was heard for three minutes");
}

#[test]
fn garbage_is_no_message() {
    let check = |text: &str| assert!(TcsFraming::decode(text).is_err(), "{text:?}");
    check("");
    check("\r\n\r\n");
    check("Authorization: x\r\nHost: y\r\n");
    check("Authorization: x\r\n\r\n{\"type\":\"PublishMetricsRequest\"");
    check("Host: y\r\n\r\n{\"type\":\"Other\",\"message\":{}}");
    check("Host: y\r\n\r\n[]");
    check("{\"type\":\"PublishHealthRequest\",\"message\":{\"tasks\":[{\"taskArn\":\"x\"}]}}");
    let good = "Host: y\r\n\r\n{\"type\":\"PublishMetricsRequest\",\"message\":{}}";
    assert!(TcsFraming::decode(good).is_ok());
}
