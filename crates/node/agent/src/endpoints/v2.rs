//! Task metadata version 2 (agent-protocol §6.3): an awsvpc task is told by the address that it
//! asks from.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::metadata::{self, Version};
use super::{Answer, Directory, Sources, routes, tags};
use crate::engine::TaskState;

/// Answers `/v2/<what>/<rest…>` for the task at `peer`.
pub(super) async fn answer(
    directory: &Directory,
    peer: IpAddr,
    what: &str,
    rest: &[&str],
) -> Answer {
    if !matches!(what, "metadata" | "metadataWithTags" | "stats") || rest.len() > 1 {
        return routes::text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let Some((agent, task)) = of(directory, peer).await else {
        let cause = format!("unable to associate '{peer}' with a task");
        return refused(format!("Unable to get task arn from request: {cause}"));
    };
    let index = |id: &str| {
        task.containers
            .iter()
            .position(|container| container.existed && container.id.as_str() == id)
    };
    let told = match (what, rest) {
        ("stats", []) => routes::of_task(&agent, &task).await,
        ("stats", [id]) => match index(id) {
            Some(index) => routes::of_container(&agent, &task, index).await,
            None => return refused(format!("Unable to get container stats for: {id}")),
        },
        (_, [id]) => match index(id) {
            Some(index) => metadata::container(&task, index, Version::V2, &agent.cluster),
            None => return refused(format!("Unable to generate metadata for container '{id}'")),
        },
        (what, _) => {
            let mut told = metadata::task(&task, Version::V2, &agent.place(&task));
            if what == "metadataWithTags" {
                tags::add(&agent, &task, Version::V2, &mut told).await;
            }
            told
        }
    };
    routes::document(StatusCode::OK, &told)
}

fn refused(message: String) -> Answer {
    routes::document(StatusCode::BAD_REQUEST, &Value::from(message))
}

/// The awsvpc task that has this address on an instance's bridge.
pub(super) async fn of(
    directory: &Directory,
    peer: IpAddr,
) -> Option<(Arc<Sources>, Arc<TaskState>)> {
    for agent in directory.all() {
        let networks = agent.networks.task_networks().await;
        let Some(network) = networks.into_iter().find(|network| peer == network.local) else {
            continue;
        };
        let mut tasks = agent.view.tasks().into_iter();
        if let Some(task) = tasks.find(|task| task.task.arn.id.to_string() == network.task) {
            return Some((agent, task));
        }
    }
    None
}
