//! Many RunTasks at once over-commit nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::server::Server;

/// How many clients call at once.
const CLIENTS: usize = 64;

async fn definition(server: &Server, memory: u32, host_port: Option<u16>) {
    let mappings = host_port.map(|port| json!([{"containerPort": 80, "hostPort": port}]));
    let body = json!({
        "family": "web",
        "containerDefinitions": [
            {"name": "web", "image": "web", "memory": memory, "portMappings": mappings},
        ],
    });
    let (status, answer) = server.call("admin", "RegisterTaskDefinition", &body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
}

/// Calls RunTask from many clients at once; gives the tasks by instance, and the failures.
async fn rush(server: &Arc<Server>, request: serde_json::Value) -> (BTreeMap<String, u32>, u32) {
    let calls = (0..CLIENTS).map(|_| {
        let (server, body) = (server.clone(), request.to_string());
        tokio::spawn(async move { server.call("admin", "RunTask", &body).await })
    });
    let (mut tasks, mut refused) = (BTreeMap::new(), 0);
    for call in calls.collect::<Vec<_>>() {
        let (status, answer) = call.await.unwrap();
        assert_eq!(status, 200, "{answer}");
        let placed = answer["tasks"].as_array().unwrap();
        for task in placed {
            let instance = task["containerInstanceArn"].as_str().unwrap().to_owned();
            *tasks.entry(instance).or_insert(0) += 1;
        }
        refused += u32::from(placed.is_empty());
    }
    (tasks, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_is_never_given_out_twice() {
    let server = Arc::new(Server::start().await);
    server.call("admin", "CreateCluster", "{}").await;
    for _ in 0..3 {
        server.instance("default", 4096, 1000).await;
    }
    definition(&server, 100, None).await;
    let (tasks, refused) = rush(&server, json!({"taskDefinition": "web"})).await;
    // Thirty fit, ten on each instance, and all the others are told so.
    assert_eq!(tasks.values().copied().collect::<Vec<_>>(), [10, 10, 10]);
    assert_eq!(refused, CLIENTS as u32 - 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_port_is_never_given_out_twice() {
    let server = Arc::new(Server::start().await);
    server.call("admin", "CreateCluster", "{}").await;
    for _ in 0..3 {
        server.instance("default", 4096, 4096).await;
    }
    definition(&server, 16, Some(8080)).await;
    let (tasks, refused) = rush(&server, json!({"taskDefinition": "web"})).await;
    assert_eq!(tasks.values().copied().collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(refused, CLIENTS as u32 - 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_starts_tasks_once() {
    let server = Arc::new(Server::start().await);
    server.call("admin", "CreateCluster", "{}").await;
    server.instance("default", 4096, 4096).await;
    definition(&server, 16, None).await;
    let request = json!({"taskDefinition": "web", "count": 2, "clientToken": "once"});
    rush(&server, request).await;
    let (_, listed) = server.call("admin", "ListTasks", "{}").await;
    assert_eq!(listed["taskArns"].as_array().unwrap().len(), 2);
}
