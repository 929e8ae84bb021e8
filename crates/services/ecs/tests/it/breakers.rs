//! When deployments fail, and when they are a success before they are whole, through the API
//! (ECS semantics §8.1, §8.3).

use serde_json::{Value, json};

use super::rollout::{Manner, World, is_stable, messages};

/// A service of so many tasks that is steady, and then is deployed with what never starts; gives
/// after how many failures it was given up.
async fn failures(desired: u64, threshold: Value) -> u64 {
    let world = World::new(1, &[("web", Manner::Run), ("bad", Manner::FailToStart)]).await;
    let breaker = json!({"enable": true, "rollback": false, "thresholdConfiguration": threshold});
    // One at a time, so that the failure that was enough is the last.
    let body = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": desired,
        "deploymentConfiguration": {"deploymentCircuitBreaker": breaker,
            "minimumHealthyPercent": 100, "maximumPercent": 100 + 100 / desired}});
    world.ok("CreateService", body).await;
    world.until("stable", |one| is_stable(one, desired)).await;
    world.ok("UpdateService", json!({"service": "web", "taskDefinition": "bad"})).await;
    let failed =
        world.until("failed", |one| one["deployments"][0]["rolloutState"] == "FAILED").await;
    let said = messages(&failed);
    let text = "deployment failed: tasks failed to start.";
    assert!(said.iter().any(|line| line.ends_with(text)), "{said:?}");
    let listed = world.ok("ListServiceDeployments", json!({"service": "web"})).await;
    let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
    let body = json!({"serviceDeploymentArns": [arn]});
    let told = world.ok("DescribeServiceDeployments", body).await;
    let breaker = &told["serviceDeployments"][0]["deploymentCircuitBreaker"];
    assert_eq!(
        (&breaker["status"], &breaker["failureCount"]),
        (&json!("TRIGGERED"), &failed["deployments"][0]["failedTasks"]),
        "{told:#}"
    );
    assert_eq!(breaker["threshold"], breaker["failureCount"]);
    failed["deployments"][0]["failedTasks"].as_u64().unwrap()
}

fn threshold(kind: &str, value: u32) -> Value {
    json!({"type": kind, "value": value})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_threshold_is_kept() {
    // Half of four is two, and three is the least where percentages are bounded.
    assert_eq!(failures(4, threshold("BOUNDED_PERCENT", 50)).await, 3);
    assert_eq!(failures(4, threshold("UNBOUNDED_PERCENT", 50)).await, 2);
    assert_eq!(failures(4, threshold("UNBOUNDED_PERCENT", 25)).await, 1);
    assert_eq!(failures(4, threshold("COUNT", 5)).await, 5);
}

/// A service of four whose every step is said to be enough early, and that is deployed anew while its
/// tasks are protected.
async fn early(cleanup: &str) -> (World, Value) {
    let world = World::new(1, &[("web", Manner::Run), ("next", Manner::Run)]).await;
    let criteria = json!({"enable": true, "healthyPercent": 100,
        "sourceServiceRevisionCleanup": cleanup});
    let body = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 4,
        "deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 200,
            "earlySuccessCriteria": criteria}});
    world.ok("CreateService", body).await;
    world.until("stable", |one| is_stable(one, 4)).await;
    let arns: Vec<Value> =
        world.tasks("RUNNING").await.iter().map(|one| one["taskArn"].clone()).collect();
    let body = json!({"cluster": "default", "tasks": arns, "protectionEnabled": true});
    world.ok("UpdateTaskProtection", body).await;
    let updated = world.ok("UpdateService", json!({"service": "web", "taskDefinition": "next"}));
    let id = updated.await["service"]["deployments"][0]["id"].clone();
    (world, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deferred_is_done_before_what_was_before_is_gone() {
    let (world, id) = early("DEFERRED").await;
    let done = world
        .until("early", |one| {
            let deployments = one["deployments"].as_array().unwrap();
            let newest = &deployments[0];
            newest["id"] == id && newest["rolloutState"] == "COMPLETED" && deployments.len() == 2
        })
        .await;
    assert_eq!(done["runningCount"], 8, "{done:#}");
    let listed = world.ok("ListServiceDeployments", json!({"service": "web"})).await;
    assert_eq!(listed["serviceDeployments"][0]["status"], "SUCCESSFUL");
    // Protection ends after two hours; then they go.
    world.server.advance(2 * 3600 + 1);
    world.until("alone", |one| is_stable(one, 4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_waits_until_what_was_before_is_gone() {
    let (world, id) = early("BLOCKING").await;
    let all = world.until("all run", |one| one["runningCount"] == 8).await;
    assert_eq!(all["deployments"][0]["id"], id);
    assert_eq!(all["deployments"][0]["rolloutState"], "IN_PROGRESS");
    world.server.advance(2 * 3600 + 1);
    let done = world.until("alone", |one| is_stable(one, 4)).await;
    assert_eq!(done["deployments"][0]["id"], id);
}
