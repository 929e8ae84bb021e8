//! Clusters as targets of events.

use std::time::Duration;

use events::{Delivery, shapes};
use serde_json::json;
use terms::Timestamp;
use wire::document::Document;

use super::server::Server;

/// A delivery of one event that runs three tasks.
fn delivery(rule: &str) -> Delivery {
    let at = Timestamp::from_millis(0);
    let parameters = shapes::EcsParameters {
        task_definition_arn: "web".to_owned(),
        task_count: Some(3),
        ..Default::default()
    };
    let target = shapes::Target {
        id: "1".to_owned(),
        arn: "arn:aws:ecs:us-east-1:123456789012:cluster/default".to_owned(),
        ecs_parameters: Some(parameters),
        ..Default::default()
    };
    Delivery {
        event_id: "0a1b2c3d-0000-4000-8000-000000000001".to_owned(),
        payload: String::new(),
        target: Document::new(target),
        rule_arn: format!("arn:aws:events:us-east-1:123456789012:rule/{rule}"),
        rule_name: rule.to_owned(),
        time: at,
        created_at: at,
        next_at: at + Duration::from_secs(1),
        attempts: 0,
    }
}

async fn running(server: &Server) -> usize {
    let (_, answer) = server.call("admin", "ListTasks", "{}").await;
    answer["taskArns"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_found_no_place_runs_later_and_nothing_twice() {
    let server = Server::start().await;
    server.call("admin", "CreateCluster", "{}").await;
    let definition = json!({"family": "web", "containerDefinitions": [
        {"name": "main", "image": "app", "memory": 100, "cpu": 10}]});
    let (status, _) = server.call("admin", "RegisterTaskDefinition", &definition.to_string()).await;
    assert_eq!(status, 200);
    let target = server.ecs.event_target();
    // There is room for two.
    server.instance_of("default", None, 1024, 250).await;
    let outcome = target.deliver(&[delivery("hourly")]).await.remove(0);
    assert!(outcome.unwrap_err().is_passing, "it is tried again");
    assert_eq!(running(&server).await, 2);
    server.instance_of("default", None, 1024, 1000).await;
    for _ in 0..2 {
        target.deliver(&[delivery("hourly")]).await.remove(0).unwrap();
        assert_eq!(running(&server).await, 3);
    }
    // Another rule that the same event matches has tasks of its own, whatever its target is called.
    target.deliver(&[delivery("daily")]).await.remove(0).unwrap();
    assert_eq!(running(&server).await, 6);
    let (_, told) = server.call("admin", "ListTasks", r#"{"startedBy":"events-rule/daily"}"#).await;
    assert_eq!(told["taskArns"].as_array().map(Vec::len), Some(3), "{told}");
}
