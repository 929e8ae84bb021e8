//! Details against the members of ECS's documented samples.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::model::sample;

#[test]
fn a_task_is_told_as_in_the_documentation() {
    let now = Timestamp::from_millis(1_767_323_045_678);
    let row = Task { version: 5, network: Some(Box::new(sample::network())), ..sample::task(1) };
    let detail: Value = serde_json::from_str(&task(&row, now)).unwrap();
    let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("taskArn"), row.arn.to_string());
    assert_eq!(text("lastStatus"), row.status.as_str());
    assert_eq!(text("updatedAt"), "2026-01-02T03:04:05.678Z");
    assert!(text("createdAt").ends_with('Z'), "{}", text("createdAt"));
    assert_eq!(detail["version"], json!(5));
    assert_eq!(detail["attachments"][0]["type"], json!("eni"));
    for absent in ["healthStatus", "tags", "inferenceAccelerators"] {
        assert!(detail.get(absent).is_none(), "{absent}");
    }
    assert!(detail["containers"][0].get("healthStatus").is_none());
}

#[test]
fn a_failed_deployment_is_told_in_the_words_of_the_documented_event() {
    let shown = "ECS deployment circuit breaker: tasks failed to start.";
    assert_eq!(reason(shown), "ECS deployment circuit breaker: task failed to start.");
    assert_eq!(
        reason("ECS deployment ecs-svc/1 completed."),
        "ECS deployment ecs-svc/1 completed."
    );
}

/// The events that a line of a service's events is told by.
async fn told(kind: ServiceEventKind) -> Vec<Value> {
    let (ledger, tables) = crate::tables::sample::ledger();
    let source = EventSource { ledger: ledger.clone(), tables };
    let arn = "arn:aws:ecs:us-east-1:000000000000:service/default/web".parse().unwrap();
    let mut feed = ledger.subscribe();
    let put = ledger.transact("put", |tx| {
        let id = terms::Uuid::from_random([1; 16]);
        let (created_at, message) = (sample::MADE, "(service web) says something.".to_owned());
        let event = crate::model::ServiceEvent { id, created_at, message, kind: kind.clone() };
        tx.put(&tables.services.events, (crate::tables::service_key(&arn), 1), event);
        Ok::<_, crate::error::Error>(())
    });
    put.await.unwrap();
    let commit = feed.next().await.unwrap();
    let moments = source.of_commit(&commit);
    moments.iter().map(|one| serde_json::from_str(&(one.detail)()).unwrap()).collect()
}

#[tokio::test]
async fn a_shortage_names_instances_and_providers() {
    let detail = |more: Value| {
        let mut detail = json!({
            "eventType": "ERROR",
            "eventName": "SERVICE_TASK_PLACEMENT_FAILURE",
            "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
            "createdAt": "2026-01-01T00:00:00.000Z",
        });
        detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vec![detail]
    };
    let unplaced = |reason: &str, instances: &[&str], providers: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
        let (reason, instances) = (reason.to_owned(), owned(instances));
        ServiceEventKind::Unplaced { reason, instances, providers: owned(providers) }
    };
    assert_eq!(
        told(unplaced("RESOURCE:CPU", &["one", "two"], &[])).await,
        detail(json!({"reason": "RESOURCE:CPU", "containerInstanceArns": ["one", "two"]})),
    );
    assert_eq!(
        told(unplaced("EMPTY CAPACITY PROVIDER", &[], &["spot"])).await,
        detail(json!({"reason": "EMPTY CAPACITY PROVIDER", "capacityProviderArns": ["spot"]})),
    );
    // As rows of before have it.
    let old = ServiceEventKind::PlacementFailure("RESOURCE:MEMORY".to_owned());
    assert_eq!(told(old).await, detail(json!({"reason": "RESOURCE:MEMORY"})));
}

#[tokio::test]
async fn a_service_that_goes_by_providers_is_steady_with_them() {
    let names = |told: Vec<Value>| -> Vec<(Value, Value)> {
        let name = |one: Value| (one["eventName"].clone(), one["capacityProviderArns"].clone());
        told.into_iter().map(name).collect()
    };
    let steady = (json!("SERVICE_STEADY_STATE"), Value::Null);
    assert_eq!(names(told(ServiceEventKind::SteadyState).await), std::slice::from_ref(&steady));
    let of = ServiceEventKind::SteadyStateOf(vec!["own".to_owned()]);
    let provider = (json!("CAPACITY_PROVIDER_STEADY_STATE"), json!(["own"]));
    assert_eq!(names(told(of).await), [steady, provider]);
}

#[tokio::test]
async fn what_is_told_of_sets_counts_and_health_names_them() {
    let detail = |kind: &str, name: &str, more: Value| {
        let mut detail = json!({
            "eventType": kind,
            "eventName": name,
            "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
            "createdAt": "2026-01-01T00:00:00.000Z",
        });
        detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vec![detail]
    };
    let id = crate::model::DeploymentId::from_digits(1_234_567_890_123_456_789);
    let set = "arn:aws:ecs:us-east-1:000000000000:task-set/default/web/ecs-svc/1234567890123456789";
    let sets = json!({"taskSetArns": [set]});
    let steady = detail("INFO", "TASKSET_STEADY_STATE", sets);
    assert_eq!(told(ServiceEventKind::TaskSetSteady(id)).await, steady);
    // As rows of before have it.
    let steady = detail("INFO", "TASKSET_STEADY_STATE", json!({}));
    assert_eq!(told(ServiceEventKind::TaskSetSteadyState).await, steady);
    let count = detail("INFO", "SERVICE_DESIRED_COUNT_UPDATED", json!({"desiredCount": 3}));
    let kind = ServiceEventKind::DesiredCountUpdated { desired: 3, set: None };
    assert_eq!(told(kind).await, count);
    let more = json!({"desiredCount": 3, "taskSetArns": [set]});
    let kind = ServiceEventKind::DesiredCountUpdated { desired: 3, set: Some(id) };
    assert_eq!(told(kind).await, detail("INFO", "SERVICE_DESIRED_COUNT_UPDATED", more));
    let task = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{}", "01".repeat(16));
    let kind = ServiceEventKind::HealthUnknown(vec![terms::TaskId::from_bytes([1; 16])]);
    let unknown = detail("ERROR", "SERVICE_HEALTH_UNKNOWN", json!({"taskArns": [task]}));
    assert_eq!(told(kind).await, unknown);
}

#[tokio::test]
async fn the_other_actions_are_told_by_name() {
    use ServiceEventKind as Kind;
    let check = async |kind: Kind, expected: (&str, &str), reason: Option<&str>| {
        let mut detail = json!({
            "eventType": expected.0,
            "eventName": expected.1,
            "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
            "createdAt": "2026-01-01T00:00:00.000Z",
        });
        if let Some(reason) = reason {
            detail["reason"] = json!(reason);
        }
        assert_eq!(told(kind).await, [detail]);
    };
    check(Kind::TasksStopped, ("INFO", "TASKS_STOPPED"), None).await;
    check(Kind::RebalancingStarted, ("INFO", "SERVICE_REBALANCING_STARTED"), None).await;
    check(Kind::RebalancingCompleted, ("INFO", "SERVICE_REBALANCING_COMPLETED"), None).await;
    check(Kind::RebalancingStopped, ("INFO", "SERVICE_REBALANCING_STOPPED"), None).await;
    check(Kind::StartImpaired, ("WARN", "SERVICE_TASK_START_IMPAIRED"), None).await;
    let name = "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED";
    check(Kind::DaemonConstraintViolated, ("ERROR", name), None).await;
    let (why, name) = ("TaskDefinition not found", "SERVICE_TASK_CONFIGURATION_FAILURE");
    check(Kind::ConfigurationFailure(why.to_owned()), ("ERROR", name), Some(why)).await;
    assert!(told(Kind::TasksStarted).await.is_empty(), "ECS tells of no task that starts");
}
