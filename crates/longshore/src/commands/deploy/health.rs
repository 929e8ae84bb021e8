//! How many tasks of each deployment are healthy, at a bounded cost.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use serde_json::{Value, json};
use terms::{Clock, Timestamp};
use wire::client::Client;

use super::follow::Healthy;
use super::tasks;
use crate::api::{ecs, text};
use crate::clock::SystemClock;

/// Services with more running tasks are not counted task by task: RUNNING is taken for healthy.
const TASKS_MAX: u64 = 500;
/// Tasks are described no oftener than this, in milliseconds.
const COUNT_EVERY_MS: u128 = 1_000;

/// What is known of health.
#[derive(Debug, Default)]
pub struct Health {
    /// By definition, whether an essential container has a health check.
    checked: HashMap<String, bool>,
    counted: Healthy,
    counted_at: Option<Timestamp>,
}

impl Health {
    /// By deployment, how many tasks pass their checks; deployments without checks are left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn of(
        &mut self,
        client: &Client,
        cluster: &str,
        service: &Value,
    ) -> Result<&Healthy> {
        let deployments = service["deployments"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut with_checks = Vec::new();
        for one in deployments {
            if self.has_check(client, text(one, "taskDefinition")).await? {
                with_checks.push(text(one, "id").to_owned());
            }
        }
        let running = service["runningCount"].as_u64().unwrap_or_default();
        if with_checks.is_empty() || running > TASKS_MAX {
            self.counted.clear();
            return Ok(&self.counted);
        }
        let now = SystemClock.now();
        let is_old = |at: Timestamp| now.since(at).as_millis() >= COUNT_EVERY_MS;
        if self.counted_at.is_none_or(is_old) {
            let name = text(service, "serviceName");
            let tasks = tasks::described(client, cluster, name, "RUNNING").await?;
            self.counted = healthy(&tasks, &with_checks);
            self.counted_at = Some(now);
        }
        Ok(&self.counted)
    }

    async fn has_check(&mut self, client: &Client, definition: &str) -> Result<bool> {
        if let Some(known) = self.checked.get(definition) {
            return Ok(*known);
        }
        let input = json!({"taskDefinition": definition});
        let answer = ecs(client, "DescribeTaskDefinition", &input).await?;
        let containers = answer["taskDefinition"]["containerDefinitions"].as_array();
        let is_checked = |container: &Value| {
            container["essential"] != json!(false) && container["healthCheck"].is_object()
        };
        let known = containers.is_some_and(|all| all.iter().any(is_checked));
        self.checked.insert(definition.to_owned(), known);
        Ok(known)
    }
}

/// Counts the healthy tasks of the deployments that have checks.
fn healthy(tasks: &[Value], with_checks: &[String]) -> Healthy {
    let mut counted: Healthy =
        with_checks.iter().map(|id| (id.clone(), 0)).collect::<BTreeMap<_, _>>();
    for task in tasks {
        let is_healthy =
            text(task, "lastStatus") == "RUNNING" && text(task, "healthStatus") == "HEALTHY";
        if let Some(count) = counted.get_mut(text(task, "startedBy")).filter(|_| is_healthy) {
            *count += 1;
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn healthy_tasks_are_counted_by_deployment() {
        let task = |by: &str, last: &str, health: &str| json!({"startedBy": by, "lastStatus": last, "healthStatus": health});
        let tasks = [
            task("ecs-svc/1", "RUNNING", "HEALTHY"),
            task("ecs-svc/1", "RUNNING", "UNHEALTHY"),
            task("ecs-svc/1", "STOPPING", "HEALTHY"),
            task("ecs-svc/2", "RUNNING", "UNKNOWN"),
            task("ecs-svc/3", "RUNNING", "HEALTHY"),
        ];
        let with_checks = ["ecs-svc/1".to_owned(), "ecs-svc/2".to_owned()];
        let expected = [("ecs-svc/1".to_owned(), 1), ("ecs-svc/2".to_owned(), 0)];
        assert_eq!(healthy(&tasks, &with_checks), Healthy::from(expected));
    }
}
