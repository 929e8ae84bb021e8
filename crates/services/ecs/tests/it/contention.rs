//! Many RunTasks at once over-commit nothing, and what fits is placed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::EmbeddedStore;
use serde_json::{Value, json};

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

/// A server whose commits wait for a disk, so that many are on their way at once.
async fn slow_server() -> (Arc<Server>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Box::new(EmbeddedStore::open(folder.path()).unwrap());
    (Arc::new(Server::start_with(store).await), folder)
}

/// The memory that is left of each instance.
async fn left(server: &Server) -> Vec<i64> {
    let (_, listed) = server.call("admin", "ListContainerInstances", "{}").await;
    let body = json!({"containerInstances": listed["containerInstanceArns"]}).to_string();
    let (_, answer) = server.call("admin", "DescribeContainerInstances", &body).await;
    let memory = |instance: &Value| {
        let resources = instance["remainingResources"].as_array().unwrap();
        let found = resources.iter().find(|resource| resource["name"] == "MEMORY");
        found.unwrap()["integerValue"].as_i64().unwrap()
    };
    answer["containerInstances"].as_array().unwrap().iter().map(memory).collect()
}

/// The tasks that should run, as one snapshot has them, hold no more than their instances have.
async fn check_held(server: &Server, capacity: &BTreeMap<String, (i64, i64)>) {
    let (_, listed) = server.call("admin", "ListTasks", "{}").await;
    if listed["taskArns"] == json!([]) {
        return;
    }
    let body = json!({"tasks": listed["taskArns"]}).to_string();
    let (_, answer) = server.call("admin", "DescribeTasks", &body).await;
    let mut held: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let tasks = answer["tasks"].as_array().unwrap();
    for task in tasks.iter().filter(|task| task["lastStatus"] != "STOPPED") {
        let amount = |name: &str| task[name].as_str().unwrap().parse::<i64>().unwrap();
        let sum = held.entry(task["containerInstanceArn"].as_str().unwrap()).or_default();
        *sum = (sum.0 + amount("cpu"), sum.1 + amount("memory"));
    }
    for (instance, (cpu, memory)) in held {
        let (has_cpu, has_memory) = capacity[instance];
        assert!(cpu <= has_cpu && memory <= has_memory, "{instance}: {cpu} {memory}");
    }
}

/// Stops these tasks, and says that they have stopped.
async fn stop(server: &Server, tasks: &[String]) {
    for task in tasks {
        let body = json!({"task": task}).to_string();
        assert_eq!(server.call("admin", "StopTask", &body).await.0, 200);
        let body = json!({"task": task, "status": "STOPPED"}).to_string();
        assert_eq!(server.call("admin", "SubmitTaskStateChange", &body).await.0, 200);
    }
}

/// Sixty-four requests for `count` tasks each, at once. Gives the tasks that were started; each
/// request must have got all its tasks or the reasons why not.
async fn wave(server: &Arc<Server>, count: usize, strategy: &Value) -> Vec<String> {
    let body =
        json!({"taskDefinition": "web", "count": count, "placementStrategy": strategy}).to_string();
    let calls = (0..CLIENTS).map(|_| {
        let (server, body) = (server.clone(), body.clone());
        tokio::spawn(async move { server.call("admin", "RunTask", &body).await })
    });
    let mut started = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let (status, answer) = call.await.unwrap();
        assert_eq!(status, 200, "{answer}");
        let tasks = answer["tasks"].as_array().unwrap();
        let failures = answer["failures"].as_array().unwrap();
        assert_eq!(tasks.len() < count, !failures.is_empty(), "{answer}");
        let arn = |task: &Value| task["taskArn"].as_str().unwrap().to_owned();
        started.extend(tasks.iter().map(arn));
    }
    started
}

/// Round after round on three instances that hold a hundred tasks together: with room for all,
/// with room for the last few, and with none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn round_after_round_everything_that_fits_is_placed() {
    let (server, _folder) = slow_server().await;
    server.call("admin", "CreateCluster", "{}").await;
    for memory in [2000, 3000, 5000] {
        server.instance("default", 100_000, memory).await;
    }
    definition(&server, 100, None).await;
    let strategies = [
        json!([]),
        json!([{"type": "spread", "field": "instanceId"}]),
        json!([{"type": "binpack", "field": "memory"}]),
    ];
    let mut running: Vec<String> = Vec::new();
    for round in 0..9 {
        let (strategy, count) = (&strategies[round % 3], 1 + round % 4);
        let room = 100 - running.len();
        let started = wave(&server, count, strategy).await;
        assert_eq!(started.len(), room.min(CLIENTS * count), "round {round}");
        running.extend(started);
        // An instance with more on it than it has would show no less than nothing left.
        let free: i64 = left(&server).await.iter().sum();
        assert_eq!(free, 10_000 - 100 * running.len() as i64, "round {round}");
        // Some leave: none, a few, or all.
        let leaving = [0, 7, running.len()][round % 3];
        let gone: Vec<String> = running.drain(..leaving.min(running.len())).collect();
        stop(&server, &gone).await;
    }
}

/// Tasks that differ, on instances that run short of one thing or the other, while others stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_over_committed_while_tasks_come_and_go() {
    let (server, _folder) = slow_server().await;
    server.call("admin", "CreateCluster", "{}").await;
    let mut capacity = BTreeMap::new();
    for (cpu, memory) in [(1000_u32, 4000_u32), (4000, 1000), (2000, 2000)] {
        let arn = server.instance("default", cpu, memory).await;
        capacity.insert(arn, (i64::from(cpu), i64::from(memory)));
    }
    definition(&server, 100, None).await;
    let capacity = Arc::new(capacity);
    let client = |number: usize| {
        let (server, capacity) = (server.clone(), capacity.clone());
        async move {
            for turn in 0..3 {
                let (cpu, memory) = (50 * (1 + (number + turn) % 7), 60 * (1 + number % 5));
                let over = json!({"containerOverrides": [
                    {"name": "web", "cpu": cpu, "memory": memory}]});
                let body = json!({"taskDefinition": "web", "count": 1 + number % 3,
                    "overrides": over});
                let (status, answer) = server.call("admin", "RunTask", &body.to_string()).await;
                assert_eq!(status, 200, "{answer}");
                let tasks = answer["tasks"].as_array().unwrap();
                let arns: Vec<String> = (tasks.iter())
                    .map(|task| task["taskArn"].as_str().unwrap().to_owned())
                    .collect();
                check_held(&server, &capacity).await;
                if !number.is_multiple_of(4) || turn < 2 {
                    stop(&server, &arns).await;
                }
            }
        }
    };
    let clients: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(client(number))).collect();
    for client in clients {
        client.await.unwrap();
    }
    check_held(&server, &capacity).await;
}

/// StartTask tells no fleet what it takes: plans meet it at the guard, and place again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn start_task_and_run_task_share_what_there_is() {
    let (server, _folder) = slow_server().await;
    server.call("admin", "CreateCluster", "{}").await;
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(server.instance("default", 100_000, 1000).await);
    }
    definition(&server, 100, None).await;
    let calls = (0..CLIENTS).map(|number| {
        let (server, instance) = (server.clone(), instances[number % 3].clone());
        tokio::spawn(async move {
            let (operation, body) = match number % 2 {
                0 => ("RunTask", json!({"taskDefinition": "web"})),
                _ => {
                    let body = json!({"taskDefinition": "web", "containerInstances": [instance]});
                    ("StartTask", body)
                }
            };
            (operation, server.call("admin", operation, &body.to_string()).await)
        })
    });
    let mut tasks = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for call in calls.collect::<Vec<_>>() {
        let (operation, (status, answer)) = call.await.unwrap();
        assert_eq!(status, 200, "{answer}");
        match answer["tasks"][0]["containerInstanceArn"].as_str() {
            Some(instance) => *tasks.entry(instance.to_owned()).or_insert(0) += 1,
            None => *refused.entry(operation).or_insert(0) += 1,
        }
    }
    assert!(tasks.values().all(|&count| count <= 10), "{tasks:?}");
    // RunTask is refused only when all is taken, by then or at the end.
    let placed: u32 = tasks.values().sum();
    assert!(placed == 30 || !refused.contains_key("RunTask"), "{tasks:?} {refused:?}");
}
