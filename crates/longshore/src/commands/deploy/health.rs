//! How many tasks of each deployment are healthy, as the server's scheduler counts them.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;
use wire::client::{Client, ClientError};

use super::Named;
use crate::commands::history::percent;

/// The path that answers it.
const PATH: &str = "/_longshore/service-health";

/// By deployment, how many tasks are healthy; one without tasks is left out.
pub type Healthy = BTreeMap<String, u64>;

/// Asks how many tasks are healthy. None where the server does not tell, such as an older one, or
/// this caller: then RUNNING has to do.
///
/// # Errors
/// If the server cannot be reached.
pub async fn healthy(client: &Client, named: &Named) -> Result<Option<Healthy>> {
    let (cluster, service) = (percent(&named.cluster), percent(&named.service));
    match client.get(&format!("{PATH}?cluster={cluster}&service={service}")).await {
        Ok(answer) => Ok(Some(counted(&answer))),
        Err(error @ ClientError::Service { .. }) if !error.is_transient() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn counted(answer: &Value) -> Healthy {
    let deployments = answer["deployments"].as_object().into_iter().flatten();
    let count = |(id, counts): (&String, &Value)| Some((id.clone(), counts["healthy"].as_u64()?));
    deployments.filter_map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn healthy_tasks_are_taken_by_deployment() {
        let counts = |healthy: u64| json!({"healthy": healthy, "settling": 1, "unhealthy": 0});
        let answer = json!({"settleSeconds": 40.0, "deployments": {
            "ecs-svc/1": counts(2), "ecs-svc/2": counts(0)}});
        let expected = [("ecs-svc/1".to_owned(), 2), ("ecs-svc/2".to_owned(), 0)];
        assert_eq!(counted(&answer), Healthy::from(expected));
        assert_eq!(counted(&Value::Null), Healthy::new());
    }
}
