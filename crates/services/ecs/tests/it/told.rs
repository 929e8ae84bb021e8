//! What EventBridge is told of container instances: each change, and each task that takes of an
//! instance or gives back, in versions that grow and that DescribeContainerInstances agrees with.

use std::sync::Arc;

use events::Source;
use ledger::Feed;
use serde_json::{Value, json};

use super::server::{Server, committed};

struct World {
    server: Server,
    source: Arc<dyn Source>,
    feed: Feed,
    instance: String,
}

impl World {
    async fn new() -> Self {
        let server = Server::start_at_rest().await;
        server.call("admin", "CreateCluster", "{}").await;
        let definition = json!({"family": "web", "containerDefinitions": [
            {"name": "web", "image": "web", "cpu": 100, "memory": 300}]});
        server.call("admin", "RegisterTaskDefinition", &definition.to_string()).await;
        let (source, feed) = (server.ecs.event_source(), server.ledger.subscribe());
        let instance = server.instance("default", 1000, 1000).await;
        Self { server, source, feed, instance }
    }

    async fn ok(&self, operation: &str, body: Value) -> Value {
        let (status, answer) = self.server.call("admin", operation, &body.to_string()).await;
        assert_eq!(status, 200, "{operation}: {answer}");
        answer
    }

    /// What was told of instances since the last time.
    async fn told(&mut self) -> Vec<Value> {
        let mut told = Vec::new();
        for commit in committed(&mut self.feed, &self.server.ledger).await {
            let moments = self.source.of_commit(&commit);
            let of_instances = moments
                .into_iter()
                .filter(|moment| moment.detail_type == "ECS Container Instance State Change");
            for moment in of_instances {
                let detail: Value = serde_json::from_str(&(moment.detail)()).unwrap();
                assert_eq!(moment.resources[0], detail["containerInstanceArn"]);
                told.push(detail);
            }
        }
        told
    }

    async fn shown_version(&self) -> u64 {
        let body = json!({"containerInstances": [self.instance]});
        let answer = self.ok("DescribeContainerInstances", body).await;
        version(&answer["containerInstances"][0])
    }
}

fn version(of: &Value) -> u64 {
    of["version"].as_u64().unwrap()
}

fn free_memory(detail: &Value) -> i64 {
    let resources = detail["remainingResources"].as_array().unwrap();
    let memory = resources.iter().find(|one| one["name"] == "MEMORY").unwrap();
    memory["integerValue"].as_i64().unwrap()
}

#[tokio::test]
async fn tasks_that_come_and_go_are_told_with_growing_versions() {
    let mut world = World::new().await;
    let told = world.told().await;
    let agents: Vec<_> = told.iter().map(|one| one["agentConnected"].clone()).collect();
    assert_eq!(agents, [json!(false), json!(true)], "it registered, and its agent connected");
    let mut last = version(&told[1]);
    assert!(version(&told[0]) < last);
    assert_eq!(world.shown_version().await, last);

    let run = json!({"taskDefinition": "web", "count": 2});
    let tasks = world.ok("RunTask", run).await["tasks"].take();
    let told = world.told().await;
    assert_eq!(told.len(), 1, "both came in one commit");
    assert_eq!(free_memory(&told[0]), 400);
    assert!(version(&told[0]) > last);
    last = version(&told[0]);
    assert_eq!(world.shown_version().await, last);

    // What a task does while it holds what it holds is no news of the instance.
    let task = &tasks[0]["taskArn"];
    world.ok("SubmitTaskStateChange", json!({"task": task, "status": "RUNNING"})).await;
    world.ok("StopTask", json!({"task": task})).await;
    assert!(world.told().await.is_empty());
    world.ok("SubmitTaskStateChange", json!({"task": task, "status": "STOPPED"})).await;
    let told = world.told().await;
    assert_eq!((told.len(), free_memory(&told[0])), (1, 700));
    assert!(version(&told[0]) > last);
    last = version(&told[0]);
    assert_eq!(world.shown_version().await, last);

    let drain = json!({"containerInstances": [world.instance], "status": "DRAINING"});
    let shown = world.ok("UpdateContainerInstancesState", drain).await;
    let told = world.told().await;
    assert_eq!((told.len(), &told[0]["status"]), (1, &json!("DRAINING")));
    assert!(version(&told[0]) > last);
    assert_eq!(version(&shown["containerInstances"][0]), version(&told[0]));
    assert_eq!(world.shown_version().await, version(&told[0]));
}

#[tokio::test]
async fn after_a_crash_an_instance_is_told_of_once_as_it_is() {
    let mut world = World::new().await;
    let known = world.server.ledger.snapshot().revision();
    world.ok("RunTask", json!({"taskDefinition": "web", "count": 3})).await;
    let newest = version(&world.told().await.pop().unwrap());
    let snapshot = world.server.ledger.snapshot();
    let found = world.source.found_after(&snapshot, known);
    let of_instances: Vec<_> =
        found.iter().filter(|(_, moment)| moment.detail_type.contains("Instance")).collect();
    let [(revision, moment)] = &of_instances[..] else { panic!("{found:?}") };
    let detail: Value = serde_json::from_str(&(moment.detail)()).unwrap();
    assert_eq!((*revision, version(&detail), free_memory(&detail)), (newest, newest, 100));
    assert!(world.source.found_after(&snapshot, newest).is_empty());
}

#[tokio::test]
async fn what_was_not_followed_of_a_service_is_in_its_history() {
    let world = World::new().await;
    let known = world.server.ledger.snapshot().revision();
    let create = json!({"serviceName": "shop", "taskDefinition": "web", "desiredCount": 2});
    let made = world.ok("CreateService", create).await["service"].take();
    let snapshot = world.server.ledger.snapshot();
    let found = world.server.ecs.witness().found_after(&snapshot, known);
    let told: Vec<_> = found
        .iter()
        .filter(|one| one.arn == made["serviceArn"].as_str().unwrap())
        .map(|one| one.text.as_str())
        .collect();
    let id = made["deployments"][0]["id"].as_str().unwrap();
    assert_eq!(told[0], "found ACTIVE, 2 wanted");
    assert!(told[1].starts_with(&format!("deployment {id} was found IN_PROGRESS (PENDING): ")));
    let newest = snapshot.revision();
    assert!(world.server.ecs.witness().found_after(&snapshot, newest).is_empty());
}
