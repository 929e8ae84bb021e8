//! What `top` asks of the server: little, whatever the cluster holds.

use anyhow::Result;
use serde_json::{Value, json};
use wire::client::Client;

use super::frame::View;
use crate::api::{ecs, text};

/// Rows of a view that are asked for; of what there is more, only the number is told.
pub const ROWS_MAX: usize = 100;
/// Clusters that are looked at.
const CLUSTERS_MAX: usize = 100;
/// What one DescribeServices call takes: the ten calls for a full view are the most that a look
/// makes, besides two for the clusters, and two for each cluster until the view is full.
const SERVICES_A_CALL: usize = 10;
/// Clusters whose services, tasks or instances are listed in one look.
const CLUSTERS_LISTED: usize = 10;

/// What one look found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Clusters with their counts.
    pub clusters: Vec<Value>,
    /// What the view shows: services, tasks or instances.
    pub rows: Vec<Value>,
    /// How many there are of it altogether, as the clusters count them.
    pub total: u64,
}

impl Found {
    /// What the view shows.
    pub fn shown(&self, view: View) -> &[Value] {
        if view == View::Clusters { &self.clusters } else { &self.rows }
    }
}

/// Asks for what a view shows, of one cluster or of all.
///
/// # Errors
/// If a call fails.
pub async fn look(client: &Client, view: View, only: Option<&str>) -> Result<Found> {
    let names = match only {
        Some(name) => json!([name]),
        None => {
            let input = json!({"maxResults": CLUSTERS_MAX});
            ecs(client, "ListClusters", &input).await?["clusterArns"].take()
        }
    };
    let mut answer = ecs(client, "DescribeClusters", &json!({"clusters": names})).await?;
    let mut found = Found { clusters: items(&mut answer, "clusters"), ..Found::default() };
    found.total = found.clusters.iter().map(|cluster| view.count(cluster)).sum();
    let filled = found.clusters.clone();
    for cluster in filled.iter().filter(|one| view.count(one) > 0).take(CLUSTERS_LISTED) {
        let left = ROWS_MAX.saturating_sub(found.rows.len());
        if left == 0 {
            break;
        }
        found.rows.extend(rows(client, view, text(cluster, "clusterArn"), left).await?);
    }
    Ok(found)
}

async fn rows(client: &Client, view: View, cluster: &str, left: usize) -> Result<Vec<Value>> {
    let Some(Calls { list, arns, describe, member, at_once }) = calls(view) else {
        return Ok(Vec::new());
    };
    let input = json!({"cluster": cluster, "maxResults": left.min(ROWS_MAX)});
    let listed = items(&mut ecs(client, list, &input).await?, arns);
    let mut all = Vec::new();
    for page in listed.chunks(at_once) {
        let input = json!({"cluster": cluster, member: page});
        all.extend(items(&mut ecs(client, describe, &input).await?, member));
    }
    Ok(all)
}

/// How a view's things are listed and described.
struct Calls {
    list: &'static str,
    arns: &'static str,
    describe: &'static str,
    member: &'static str,
    at_once: usize,
}

fn calls(view: View) -> Option<Calls> {
    let calls =
        |list, arns, describe, member, at_once| Calls { list, arns, describe, member, at_once };
    match view {
        View::Clusters => None,
        View::Services => Some(calls(
            "ListServices",
            "serviceArns",
            "DescribeServices",
            "services",
            SERVICES_A_CALL,
        )),
        View::Tasks => Some(calls("ListTasks", "taskArns", "DescribeTasks", "tasks", ROWS_MAX)),
        View::Instances => Some(calls(
            "ListContainerInstances",
            "containerInstanceArns",
            "DescribeContainerInstances",
            "containerInstances",
            ROWS_MAX,
        )),
    }
}

fn items(answer: &mut Value, member: &str) -> Vec<Value> {
    answer[member].as_array_mut().map(std::mem::take).unwrap_or_default()
}
