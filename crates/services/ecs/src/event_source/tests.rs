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
