//! What EventBridge is told of services that their loop keeps (ECS semantics §17).

use std::sync::Arc;

use events::Source;
use ledger::{Feed, Ledger};
use serde_json::{Value, json};

use super::rollout::{Manner, World, is_stable, messages};
use super::server::committed;

/// What is told from now on.
struct Ear {
    source: Arc<dyn Source>,
    ledger: Ledger,
    feed: Feed,
}

impl Ear {
    fn of(world: &World) -> Self {
        let ledger = world.server.ledger.clone();
        let feed = ledger.subscribe();
        Self { source: world.server.ecs.event_source(), ledger, feed }
    }

    /// The details of one type that were told since the last time.
    async fn told(&mut self, detail_type: &str) -> Vec<Value> {
        let mut told = Vec::new();
        for commit in committed(&mut self.feed, &self.ledger).await {
            let moments = self.source.of_commit(&commit).into_iter();
            let moments = moments.filter(|moment| moment.detail_type == detail_type);
            told.extend(moments.map(|moment| {
                serde_json::from_str::<Value>(&(moment.detail)()).expect("a detail is JSON")
            }));
        }
        told
    }

    async fn names(&mut self, detail_type: &str) -> Vec<String> {
        let told = self.told(detail_type).await;
        told.iter().map(|one| one["eventName"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

const DEPLOYMENT: &str = "ECS Deployment State Change";
const ACTION: &str = "ECS Service Action";

/// A service of two whose second deployment waits for agents that do not answer.
async fn deploying(world: &World) -> Value {
    let body = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 2});
    world.ok("CreateService", body).await;
    let first = world.until("stable", |one| is_stable(one, 2)).await;
    world.ok("UpdateService", json!({"service": "web", "taskDefinition": "next"})).await;
    first["deployments"][0]["id"].clone()
}

async fn stop(world: &World, how: &str) {
    let listed = world.ok("ListServiceDeployments", json!({"service": "web"})).await;
    let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
    let body = json!({"serviceDeploymentArn": arn, "stopType": how});
    world.ok("StopServiceDeployment", body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_a_person_asks_for_is_no_failure() {
    let world = World::new(1, &[("web", Manner::Run), ("next", Manner::Wait)]).await;
    let first = deploying(&world).await;
    let mut ear = Ear::of(&world);
    stop(&world, "ROLLBACK").await;
    let back =
        world.until("back", |one| is_stable(one, 2) && one["deployments"][0]["id"] == first).await;
    let said = messages(&back);
    assert!(said.iter().any(|text| text.ends_with(" was stopped by a user.")), "{said:?}");
    assert!(said.iter().any(|text| text.contains("rolling back to deployment")), "{said:?}");
    assert!(said.iter().all(|text| !text.contains("deployment failed")), "{said:?}");
    let told = ear.told(DEPLOYMENT).await;
    let shown: Vec<_> = told.iter().map(|one| (&one["eventName"], &one["deploymentId"])).collect();
    let name = |name: &str| json!(format!("SERVICE_DEPLOYMENT_{name}"));
    let (begun, done) = (name("IN_PROGRESS"), name("COMPLETED"));
    assert_eq!(shown, [(&begun, &first), (&done, &first)], "{told:#?}");
    let listed = world.ok("ListServiceDeployments", json!({"service": "web"})).await;
    assert_eq!(listed["serviceDeployments"][0]["status"], "ROLLBACK_SUCCESSFUL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_a_person_stops_is_no_failure() {
    let world = World::new(1, &[("web", Manner::Run), ("next", Manner::Wait)]).await;
    deploying(&world).await;
    let mut ear = Ear::of(&world);
    stop(&world, "ABORT").await;
    let text = " was stopped by a user.";
    let is_told = |one: &Value| messages(one).iter().any(|said| said.ends_with(text));
    let stopped = world.until("stopped", is_told).await;
    assert_eq!(stopped["deployments"][0]["rolloutState"], "FAILED");
    assert_eq!(ear.names(DEPLOYMENT).await, [""; 0]);
    // What is found of it after a crash is no failure either.
    let snapshot = world.server.ledger.snapshot();
    let found = world.server.ecs.event_source().found_after(&snapshot, 0);
    let details = found.iter().map(|(_, moment)| (moment.detail)());
    assert_eq!(details.filter(|one| one.contains("SERVICE_DEPLOYMENT_FAILED")).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_the_breaker_finds_is_told() {
    let world = World::new(1, &[("web", Manner::Run), ("next", Manner::FailToStart)]).await;
    let breaker = json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}});
    let body = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 2,
        "deploymentConfiguration": breaker});
    world.ok("CreateService", body).await;
    let first = world.until("stable", |one| is_stable(one, 2)).await["deployments"][0]["id"].take();
    let mut ear = Ear::of(&world);
    world.ok("UpdateService", json!({"service": "web", "taskDefinition": "next"})).await;
    let is_back = |one: &Value| {
        let said = messages(one);
        is_stable(one, 2) && said.iter().any(|text| text.contains("rolling back"))
    };
    world.until("back", is_back).await;
    let told = ear.told(DEPLOYMENT).await;
    let shown: Vec<_> = told.iter().map(|one| one["eventName"].as_str().unwrap()).collect();
    let name = ["IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED"];
    assert_eq!(shown, name.map(|one| format!("SERVICE_DEPLOYMENT_{one}")), "{told:#?}");
    assert_eq!(told[1]["reason"], "ECS deployment circuit breaker: task failed to start.");
    let back = format!(
        "ECS deployment circuit breaker: rolling back to deploymentId {}.",
        first.as_str().unwrap()
    );
    assert_eq!((&told[2]["deploymentId"], &told[2]["reason"]), (&first, &json!(back)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemons_count_is_told_and_a_persons_is_not() {
    let world = World::new(2, &[("web", Manner::Run)]).await;
    let mut ear = Ear::of(&world);
    let body =
        json!({"serviceName": "web", "taskDefinition": "web", "schedulingStrategy": "DAEMON"});
    world.ok("CreateService", body).await;
    world.until("on two", |one| is_stable(one, 2)).await;
    world.server.instance("default", 1024, 1024).await;
    let on_three = world.until("on three", |one| is_stable(one, 3)).await;
    let counts = |told: Vec<Value>| -> Vec<u64> {
        let is_it = |one: &&Value| one["eventName"] == "SERVICE_DESIRED_COUNT_UPDATED";
        told.iter().filter(is_it).map(|one| one["desiredCount"].as_u64().unwrap()).collect()
    };
    assert_eq!(counts(ear.told(ACTION).await), [2, 3]);
    let said = messages(&on_three);
    assert!(said.iter().all(|text| !text.contains("desired count")), "{said:?}");
    world.ok("DeleteService", json!({"service": "web", "force": true})).await;
    world.until("gone", |one| one["status"] == "INACTIVE").await;
    let body = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1});
    world.ok("CreateService", body).await;
    world.until("stable", |one| is_stable(one, 1)).await;
    world.ok("UpdateService", json!({"service": "web", "desiredCount": 2})).await;
    world.until("larger", |one| is_stable(one, 2)).await;
    assert_eq!(counts(ear.told(ACTION).await), [0; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_sets_count_is_told_when_its_scale_changes() {
    let world = World::new(1, &[("web", Manner::Run)]).await;
    let body = json!({"serviceName": "web", "desiredCount": 4,
        "deploymentController": {"type": "EXTERNAL"}});
    world.ok("CreateService", body).await;
    let body = json!({"cluster": "default", "service": "web", "taskDefinition": "web",
        "scale": {"value": 50, "unit": "PERCENT"}});
    let set = world.ok("CreateTaskSet", body).await["taskSet"]["taskSetArn"].take();
    let mut ear = Ear::of(&world);
    let is_steady = |count: u64| {
        move |one: &Value| {
            let set = &one["taskSets"][0];
            (&set["stabilityStatus"], &set["runningCount"])
                == (&json!("STEADY_STATE"), &json!(count))
        }
    };
    world.until("steady", is_steady(2)).await;
    let told = ear.told(ACTION).await;
    let steady = told.iter().find(|one| one["eventName"] == "TASKSET_STEADY_STATE").unwrap();
    assert_eq!(steady["taskSetArns"], json!([set]), "{told:#?}");
    let body = json!({"cluster": "default", "service": "web", "taskSet": set,
        "scale": {"value": 100, "unit": "PERCENT"}});
    world.ok("UpdateTaskSet", body).await;
    world.until("steady again", is_steady(4)).await;
    let told = ear.told(ACTION).await;
    let is_count = |one: &&Value| one["eventName"] == "SERVICE_DESIRED_COUNT_UPDATED";
    let counts: Vec<_> = told.iter().filter(is_count).collect();
    assert_eq!(counts.len(), 1, "{told:#?}");
    assert_eq!((&counts[0]["desiredCount"], &counts[0]["taskSetArns"]), (&json!(4), &json!([set])));
    // A person says how many the service is to have.
    world.ok("UpdateService", json!({"service": "web", "desiredCount": 2})).await;
    world.until("smaller", is_steady(2)).await;
    assert!(!ear.names(ACTION).await.contains(&"SERVICE_DESIRED_COUNT_UPDATED".to_owned()));
}
