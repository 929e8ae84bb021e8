//! What the map is made of, asked with the calls that everybody has.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};
use wire::client::Client;

use crate::api::{list, text};
use crate::commands::status::{describe, services_of};

/// As the calls answer, each a list.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// DescribeLoadBalancers.
    pub load_balancers: Vec<Value>,
    /// DescribeListeners of each.
    pub listeners: Vec<Value>,
    /// DescribeRules of each listener, with the listener's ARN as `ListenerArn`.
    pub rules: Vec<Value>,
    /// DescribeTargetGroups.
    pub target_groups: Vec<Value>,
    /// DescribeTargetHealth of each group, with the group's ARN as `TargetGroupArn`.
    pub targets: Vec<Value>,
    /// DescribeServices.
    pub services: Vec<Value>,
    /// DescribeContainerInstances.
    pub container_instances: Vec<Value>,
    /// DescribeTasks.
    pub tasks: Vec<Value>,
}

/// Asks for all of it; of services, instances and tasks only those of one cluster if one is named.
///
/// # Errors
/// If a call fails.
pub async fn look(client: &Client, cluster: Option<&str>) -> Result<Found> {
    let load_balancers = pages(client, "DescribeLoadBalancers", &[], "LoadBalancers").await?;
    let mut found = Found { load_balancers, ..Found::default() };
    for balancer in &found.load_balancers {
        let of = of("LoadBalancerArn", text(balancer, "LoadBalancerArn"));
        found.listeners.extend(pages(client, "DescribeListeners", &of, "Listeners").await?);
    }
    for listener in &found.listeners {
        let arn = text(listener, "ListenerArn");
        let rules = pages(client, "DescribeRules", &of("ListenerArn", arn), "Rules").await?;
        found.rules.extend(rules.into_iter().map(|rule| with(rule, "ListenerArn", arn)));
    }
    found.target_groups = pages(client, "DescribeTargetGroups", &[], "TargetGroups").await?;
    for group in &found.target_groups {
        let arn = text(group, "TargetGroupArn");
        let of = of("TargetGroupArn", arn);
        let targets = pages(client, "DescribeTargetHealth", &of, "TargetHealthDescriptions");
        let targets = targets.await?.into_iter();
        found.targets.extend(targets.map(|target| with(target, "TargetGroupArn", arn)));
    }
    let clusters = match cluster {
        Some(name) => vec![Value::from(name)],
        None => list(client, "ListClusters", json!({}), "clusterArns").await?,
    };
    for cluster in clusters {
        of_cluster(client, json!({"cluster": cluster}), &mut found).await?;
    }
    Ok(found)
}

async fn of_cluster(client: &Client, input: Value, found: &mut Found) -> Result<()> {
    found.services.extend(services_of(client, input.clone()).await?);
    let (member, arns) = ("containerInstances", "containerInstanceArns");
    let arns = list(client, "ListContainerInstances", input.clone(), arns).await?;
    let operation = "DescribeContainerInstances";
    let instances = describe(client, operation, input.clone(), member, arns).await?;
    found.container_instances.extend(instances);
    let arns = list(client, "ListTasks", input.clone(), "taskArns").await?;
    found.tasks.extend(describe(client, "DescribeTasks", input, "tasks", arns).await?);
    Ok(())
}

fn of(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn with(mut item: Value, member: &str, value: &str) -> Value {
    if let Some(item) = item.as_object_mut() {
        item.insert(member.to_owned(), value.into());
    }
    item
}

/// All pages of an operation of Elastic Load Balancing.
async fn pages(
    client: &Client,
    operation: &str,
    parameters: &[(String, String)],
    member: &str,
) -> Result<Vec<Value>> {
    let (mut all, mut marker) = (Vec::new(), None::<String>);
    loop {
        let next = marker.map(|marker| ("Marker".to_owned(), marker));
        let parameters: Vec<_> = parameters.iter().cloned().chain(next).collect();
        let mut page = client.query(&shapes_elbv2::SERVICE, operation, &parameters).await?;
        if let Some(items) = page[member].as_array_mut() {
            all.append(items);
        }
        match page["NextMarker"].as_str() {
            Some(next) if !next.is_empty() => marker = Some(next.to_owned()),
            _ => return Ok(all),
        }
    }
}
