//! Services kept by their loop, with agents that the test plays: every task that is to run says
//! that it does, every task that is to stop says that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::server::Server;

/// How long a test waits for something to come true before it gives up.
const WITHIN: Duration = Duration::from_secs(240);

/// What the agents do with tasks of a family.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Run,
    FailToStart,
    /// Nothing is heard of them.
    Wait,
}

pub struct World {
    pub server: Arc<Server>,
    manners: BTreeMap<&'static str, Manner>,
}

impl World {
    pub async fn new(instances: u32, manners: &[(&'static str, Manner)]) -> Self {
        let server = Arc::new(Server::start().await);
        server.call("admin", "CreateCluster", "{}").await;
        for _ in 0..instances {
            server.instance("default", 100_000, 100_000).await;
        }
        for (family, _) in manners {
            let body = json!({"family": family, "containerDefinitions": [
                {"name": "web", "image": "web", "memory": 16}]});
            server.call("admin", "RegisterTaskDefinition", &body.to_string()).await;
        }
        Self { server, manners: manners.iter().copied().collect() }
    }

    pub async fn ok(&self, operation: &str, body: Value) -> Value {
        let (status, answer) = self.server.call("admin", operation, &body.to_string()).await;
        assert_eq!(status, 200, "{operation} {body}: {answer}");
        answer
    }

    pub async fn service(&self) -> Value {
        let answer = self.ok("DescribeServices", json!({"services": ["web"]})).await;
        answer["services"][0].clone()
    }

    pub async fn tasks(&self, desired: &str) -> Vec<Value> {
        let listed = self.ok("ListTasks", json!({"desiredStatus": desired})).await;
        let arns = listed["taskArns"].as_array().unwrap().clone();
        let mut tasks = Vec::new();
        for some in arns.chunks(100) {
            let answer = self.ok("DescribeTasks", json!({"tasks": some})).await;
            tasks.extend(answer["tasks"].as_array().unwrap().clone());
        }
        tasks
    }

    /// The agents say what is new.
    async fn act(&self) {
        for task in self.tasks("RUNNING").await {
            if task["lastStatus"] != "PENDING" {
                continue;
            }
            let definition = task["taskDefinitionArn"].as_str().unwrap();
            let family =
                self.manners.iter().find(|(family, _)| definition.contains(&format!("/{family}:")));
            let body = match family.map(|(_, manner)| *manner) {
                Some(Manner::Wait) => continue,
                Some(Manner::FailToStart) => json!({"task": task["taskArn"], "status": "STOPPED",
                    "containers": [{"containerName": "web", "status": "STOPPED",
                        "reason": "CannotPullContainerError: no such image"}]}),
                _ => json!({"task": task["taskArn"], "status": "RUNNING",
                    "containers": [{"containerName": "web", "status": "RUNNING"}]}),
            };
            self.ok("SubmitTaskStateChange", body).await;
        }
        for task in self.tasks("STOPPED").await {
            if task["lastStatus"] != "STOPPED" {
                self.ok(
                    "SubmitTaskStateChange",
                    json!({
                    "task": task["taskArn"], "status": "STOPPED"}),
                )
                .await;
            }
        }
    }

    /// Lets agents act and time pass until `is_so` of the service; `seen` looks at each state.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.until_watched(what, is_so, |_| ()).await
    }

    async fn until_watched(
        &self,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
        mut seen: impl FnMut(&Value),
    ) -> Value {
        let reached = async {
            loop {
                let service = self.service().await;
                seen(&service);
                if is_so(&service) {
                    return service;
                }
                self.step(1).await;
            }
        };
        match tokio::time::timeout(WITHIN, reached).await {
            Ok(service) => service,
            Err(_) => panic!("not {what}: {:#}", self.service().await),
        }
    }

    /// The agents act, and when the ledger has taken something, so many seconds pass.
    async fn step(&self, seconds: i64) {
        let mut feed = self.server.ledger.subscribe();
        self.act().await;
        // The sweep comes by in any case, so this ends.
        let _ = tokio::time::timeout(Duration::from_millis(50), feed.next()).await;
        self.server.advance(seconds);
    }
}

pub fn is_stable(service: &Value, count: u64) -> bool {
    let deployments = service["deployments"].as_array().unwrap();
    deployments.len() == 1
        && deployments[0]["rolloutState"] == "COMPLETED"
        && service["runningCount"] == count
        && service["pendingCount"] == 0
}

pub fn messages(service: &Value) -> Vec<String> {
    let events = service["events"].as_array().unwrap().iter();
    events.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_made_scaled_updated_and_deleted() {
    let world = World::new(3, &[("web", Manner::Run), ("next", Manner::Run)]).await;
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web",
        "desiredCount": 6}),
        )
        .await;
    let service = world.until("stable", |one| is_stable(one, 6)).await;
    let said = messages(&service);
    assert_eq!(said[0], "(service web) has reached a steady state.", "{said:?}");
    assert!(said.iter().any(|text| text.ends_with("deployment completed.")), "{said:?}");
    assert!(said.iter().any(|text| text.starts_with("(service web) has started 6 tasks: ")));
    let tasks = world.tasks("RUNNING").await;
    let on: BTreeSet<_> = tasks.iter().map(|one| one["containerInstanceArn"].to_string()).collect();
    assert_eq!(on.len(), 3);
    assert!(tasks.iter().all(|one| one["startedBy"] == service["deployments"][0]["id"]));

    world.ok("UpdateService", json!({"service": "web", "desiredCount": 9})).await;
    world.until("larger", |one| is_stable(one, 9)).await;
    world.ok("UpdateService", json!({"service": "web", "desiredCount": 4})).await;
    world.until("smaller", |one| is_stable(one, 4)).await;

    world.ok("UpdateService", json!({"service": "web", "taskDefinition": "next"})).await;
    let is_next = |one: &Value| {
        let definition = one["deployments"][0]["taskDefinition"].as_str().unwrap_or_default();
        is_stable(one, 4) && definition.contains("/next:")
    };
    world
        .until_watched("updated", is_next, |one| {
            let running = one["runningCount"].as_u64().unwrap();
            let pending = one["pendingCount"].as_u64().unwrap();
            assert!((4..=8).contains(&(running + pending)) && running >= 4, "{one:#}");
        })
        .await;
    let tasks = world.tasks("RUNNING").await;
    let is_new = |one: &Value| one["taskDefinitionArn"].as_str().unwrap().contains("/next:");
    assert!(tasks.len() == 4 && tasks.iter().all(is_new), "{tasks:#?}");

    world.ok("DeleteService", json!({"service": "web", "force": true})).await;
    world.until("gone", |one| one["status"] == "INACTIVE").await;
    world.act().await;
    assert!(world.tasks("RUNNING").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_release_is_rolled_back() {
    let world = World::new(2, &[("web", Manner::Run), ("bad", Manner::FailToStart)]).await;
    let breaker = json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}});
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web",
        "desiredCount": 3, "deploymentConfiguration": breaker}),
        )
        .await;
    let first = world.until("stable", |one| is_stable(one, 3)).await;
    world.ok("UpdateService", json!({"service": "web", "taskDefinition": "bad"})).await;
    let back = world
        .until_watched(
            "rolled back",
            |one| {
                is_stable(one, 3) && messages(one).iter().any(|text| text.contains("rolling back"))
            },
            |one| assert!(one["runningCount"].as_u64().unwrap() >= 3, "{one:#}"),
        )
        .await;
    assert_eq!(back["deployments"][0]["id"], first["deployments"][0]["id"]);
    let said = messages(&back);
    let failed = "deployment failed: tasks failed to start.";
    assert!(said.iter().any(|text| text.ends_with(failed)), "{said:?}");
    let listed = world.ok("ListServiceDeployments", json!({"service": "web"})).await;
    let newest = &listed["serviceDeployments"][0];
    assert_eq!(newest["status"], "ROLLBACK_SUCCESSFUL", "{listed:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_start_is_held_back_and_told() {
    let world = World::new(1, &[("bad", Manner::FailToStart)]).await;
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "bad",
        "desiredCount": 1}),
        )
        .await;
    let text = "(service web) is unable to consistently start tasks successfully.";
    world.until("impaired", |one| messages(one).iter().any(|said| said == text)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shortage_is_told_and_ends_when_there_is_room() {
    let world = World::new(0, &[("web", Manner::Run)]).await;
    world.server.instance("default", 1024, 40).await;
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web",
        "desiredCount": 4}),
        )
        .await;
    let short = "has insufficient memory available.";
    world
        .until("short", |one| {
            one["runningCount"] == 2 && messages(one).iter().any(|text| text.ends_with(short))
        })
        .await;
    world.server.instance("default", 1024, 40).await;
    world.until("stable", |one| is_stable(one, 4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_are_on_every_instance() {
    let world = World::new(3, &[("web", Manner::Run), ("next", Manner::Run)]).await;
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web",
        "schedulingStrategy": "DAEMON"}),
        )
        .await;
    world.until("on three", |one| is_stable(one, 3)).await;
    let fourth = world.server.instance("default", 1024, 1024).await;
    world.until("on four", |one| is_stable(one, 4)).await;
    let body = json!({"containerInstances": [fourth], "status": "DRAINING"});
    world.ok("UpdateContainerInstancesState", body).await;
    world.until("on three again", |one| is_stable(one, 3)).await;
    world.ok("UpdateService", json!({"service": "web", "taskDefinition": "next"})).await;
    world
        .until("updated", |one| {
            is_stable(one, 3) && one["taskDefinition"].as_str().unwrap().contains("/next:")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_gets_the_room_that_others_wait_for_too() {
    let world = World::new(0, &[("web", Manner::Run)]).await;
    world.server.instance("default", 1024, 40).await;
    let body = json!({"serviceName": "other", "taskDefinition": "web", "desiredCount": 2});
    world.ok("CreateService", body).await;
    let described = async |name: &str| {
        let answer = world.ok("DescribeServices", json!({"services": [name]})).await;
        answer["services"][0].clone()
    };
    let running = async |name: &str| described(name).await["runningCount"].as_u64().unwrap();
    let mut feed = world.server.ledger.subscribe();
    let mut until = async |name: &str, count: u64| {
        let reached = async {
            while running(name).await != count {
                world.act().await;
                let _ = tokio::time::timeout(Duration::from_millis(50), feed.next()).await;
            }
        };
        let reached = tokio::time::timeout(WITHIN, reached).await;
        assert!(reached.is_ok(), "{name} has not {count}: {:#}", described(name).await);
    };
    until("other", 2).await;
    let body = json!({"serviceName": "web", "taskDefinition": "web",
        "schedulingStrategy": "DAEMON"});
    world.ok("CreateService", body).await;
    world
        .until("short", |one| messages(one).iter().any(|text| text.contains("unable to place")))
        .await;
    // Each of its tasks that ends is wanted again, but the daemon comes first.
    let task = world.tasks("RUNNING").await[0]["taskArn"].clone();
    world.ok("StopTask", json!({"task": task})).await;
    until("web", 1).await;
    assert_eq!(running("other").await, 1);
    // A task of nobody's service finds no room either, until the daemon is gone.
    let (status, answer) =
        world.server.call("admin", "RunTask", &json!({"taskDefinition": "web"}).to_string()).await;
    assert_eq!((status, &answer["tasks"]), (200, &json!([])), "{answer}");
    world.ok("DeleteService", json!({"service": "web", "force": true})).await;
    until("other", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_instance_is_left() {
    let world = World::new(3, &[("web", Manner::Run)]).await;
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web",
        "desiredCount": 6}),
        )
        .await;
    world.until("stable", |one| is_stable(one, 6)).await;
    let leaving = world.tasks("RUNNING").await[0]["containerInstanceArn"].clone();
    let body = json!({"containerInstances": [leaving], "status": "DRAINING"});
    world.ok("UpdateContainerInstancesState", body).await;
    let is_empty = async || {
        let tasks = world.tasks("RUNNING").await;
        tasks.len() == 6 && tasks.iter().all(|one| one["containerInstanceArn"] != leaving)
    };
    let left = async {
        while !is_empty().await {
            let running = world.service().await["runningCount"].as_u64().unwrap();
            assert!(running >= 6, "{running}");
            world.step(5).await;
        }
    };
    let left = tokio::time::timeout(WITHIN, left).await;
    assert!(left.is_ok(), "the instance keeps its tasks: {:#}", world.service().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protection_that_would_block_a_deployment_is_refused() {
    let world = World::new(2, &[("web", Manner::Run), ("next", Manner::Run)]).await;
    let configuration = json!({"maximumPercent": 150, "minimumHealthyPercent": 100});
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 2,
                "deploymentConfiguration": configuration}),
        )
        .await;
    world.until("stable", |one| is_stable(one, 2)).await;
    let tasks = world.tasks("RUNNING").await;
    let protect = async |at: usize, enabled: bool| {
        let body = json!({"cluster": "default", "tasks": [tasks[at]["taskArn"]],
            "protectionEnabled": enabled});
        let answer = world.ok("UpdateTaskProtection", body).await;
        answer["failures"][0]["reason"].as_str().map(str::to_owned)
    };
    world.ok("UpdateService", json!({"service": "web", "taskDefinition": "next"})).await;
    // One may stay beside the new two.
    assert_eq!(protect(0, true).await, None);
    assert_eq!(protect(1, true).await.as_deref(), Some("DEPLOYMENT_BLOCKED"));
    // Its time may begin anew, and once it is over there is room for another.
    assert_eq!(protect(0, true).await, None);
    assert_eq!(protect(0, false).await, None);
    assert_eq!(protect(1, true).await, None);
    // The deployment goes as far as it can: one protected task is left beside the new ones.
    let is_waiting = |one: &Value| {
        let deployments = one["deployments"].as_array().unwrap();
        deployments.len() == 2
            && deployments[0]["runningCount"] == 2
            && deployments[1]["runningCount"] == 1
    };
    world.until("all but one", is_waiting).await;
    assert_eq!(protect(1, false).await, None);
    world.until("updated", |one| is_stable(one, 2)).await;
}
