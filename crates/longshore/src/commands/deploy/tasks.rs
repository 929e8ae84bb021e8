//! The tasks of a service.

use anyhow::Result;
use serde_json::{Value, json};
use wire::client::Client;

use crate::api::{self, ecs, list, text};

/// What one DescribeTasks call takes.
const DESCRIBE_MAX: usize = 100;
/// Different causes that are told of a deployment.
const CAUSES_TOLD: usize = 3;

/// The tasks of a service that are wanted RUNNING or STOPPED.
///
/// # Errors
/// If a call fails.
pub async fn described(
    client: &Client,
    cluster: &str,
    service: &str,
    desired: &str,
) -> Result<Vec<Value>> {
    let input = json!({"cluster": cluster, "serviceName": service, "desiredStatus": desired});
    let arns = list(client, "ListTasks", input, "taskArns").await?;
    let mut all = Vec::new();
    for page in arns.chunks(DESCRIBE_MAX) {
        let input = json!({"cluster": cluster, "tasks": page});
        let mut answer = ecs(client, "DescribeTasks", &input).await?;
        all.extend(answer["tasks"].as_array_mut().map(std::mem::take).unwrap_or_default());
    }
    Ok(all)
}

/// Why tasks of a deployment stopped: the newest different causes.
///
/// # Errors
/// If a call fails.
pub async fn why_stopped(
    client: &Client,
    cluster: &str,
    service: &str,
    deployment: &str,
) -> Result<Vec<String>> {
    let mut tasks = described(client, cluster, service, "STOPPED").await?;
    tasks.retain(|task| text(task, "startedBy") == deployment && !is_by_scheduler(task));
    Ok(causes(&tasks))
}

/// Whether the scheduler stopped a task because it wanted others: that tells nothing of the cause.
fn is_by_scheduler(task: &Value) -> bool {
    text(task, "stopCode") == "ServiceSchedulerInitiated"
        && text(task, "stoppedReason").starts_with("Scaling activity")
}

fn causes(tasks: &[Value]) -> Vec<String> {
    let stopped_at = |task: &Value| task["stoppedAt"].as_f64().unwrap_or_default();
    let mut newest: Vec<&Value> = tasks.iter().collect();
    newest.sort_by(|a, b| stopped_at(b).total_cmp(&stopped_at(a)));
    let mut told = Vec::new();
    for cause in newest.into_iter().map(api::why_stopped) {
        if told.len() < CAUSES_TOLD && !told.contains(&cause) {
            told.push(cause);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_different_causes_are_told() {
        let task = |at: u64, reason: &str| json!({"stoppedAt": at, "stoppedReason": reason});
        let tasks =
            [task(1, "one"), task(4, "four"), task(3, "four"), task(2, "two"), task(0, "no")];
        assert_eq!(causes(&tasks), ["four", "two", "one"]);
        let scaled = json!({"stopCode": "ServiceSchedulerInitiated",
            "stoppedReason": "Scaling activity initiated by (deployment ecs-svc/1)"});
        assert!(is_by_scheduler(&scaled) && !is_by_scheduler(&tasks[0]));
    }
}
