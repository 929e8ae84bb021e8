//! Many clients at once: what only one may have goes to one.

use std::sync::Arc;

use serde_json::{Value, json};

use super::server::Server;

/// How many clients call at once.
const CLIENTS: usize = 16;

/// Calls an operation from many clients at once, each with a request of its own; gives the answers
/// to those that succeeded.
async fn rush(
    server: &Arc<Server>,
    operation: &'static str,
    request: impl Fn(usize) -> Value,
) -> Vec<Value> {
    let calls = (0..CLIENTS).map(|number| {
        let (server, body) = (server.clone(), request(number).to_string());
        tokio::spawn(async move { server.call("admin", operation, &body).await })
    });
    let mut good = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let (status, answer) = call.await.unwrap();
        match status {
            200 => good.push(answer),
            _ => assert_eq!(status, 400, "{answer}"),
        }
    }
    good
}

fn provider(name: &str, group: &str) -> Value {
    json!({"name": name, "autoScalingGroupProvider": {"autoScalingGroupArn": group}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_provider_goes_to_one_cluster() {
    let server = Arc::new(Server::start().await);
    let made =
        server.call("admin", "CreateCapacityProvider", &provider("p", "g").to_string()).await;
    assert_eq!(made.0, 200);
    let request = |number| json!({"clusterName": format!("c{number}"), "capacityProviders": ["p"]});
    assert_eq!(rush(&server, "CreateCluster", request).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_goes_to_one_provider_and_a_name_too() {
    let server = Arc::new(Server::start().await);
    let request = |number| provider(&format!("p{number}"), "g");
    assert_eq!(rush(&server, "CreateCapacityProvider", request).await.len(), 1);
    let request = |number| provider("same", &format!("g{number}"));
    assert_eq!(rush(&server, "CreateCapacityProvider", request).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tags_that_are_added_at_once_are_all_there() {
    let server = Arc::new(Server::start().await);
    server.call("admin", "CreateCluster", "{}").await;
    let arn = "arn:aws:ecs:us-east-1:123456789012:cluster/default";
    let request = |number: usize| {
        let tags = [0, 1, 2].map(|n| json!({"key": format!("k{number}-{n}"), "value": "v"}));
        json!({"resourceArn": arn, "tags": tags})
    };
    assert_eq!(rush(&server, "TagResource", request).await.len(), CLIENTS);
    let body = json!({"resourceArn": arn}).to_string();
    let (_, answer) = server.call("admin", "ListTagsForResource", &body).await;
    assert_eq!(answer["tags"].as_array().unwrap().len(), 3 * CLIENTS);
}
