//! `longshore status`: clusters, services, instances and tasks at one look.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use wire::client::{Client, ClientError};

use crate::api::{ADDRESS_ATTRIBUTE, addresses, attribute, ecs, instance_of, list, short, text};
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// What one Describe… call takes.
const DESCRIBE_MAX: usize = 100;
/// What one DescribeServices call takes.
const DESCRIBE_SERVICES_MAX: usize = 10;

/// How the server says that a container's image is being pulled.
const PULLING: &str = ", pulling: ";

/// Flags of `longshore status`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  longshore status\n  longshore status --output json")]
pub struct Status {
    /// Show this cluster alone [default: all]
    #[arg(long)]
    cluster: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Status {
    /// Prints what runs.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let names = match self.cluster {
            Some(name) => vec![Value::from(name)],
            None => list(&client, "ListClusters", json!({}), "clusterArns").await?,
        };
        let clusters = describe(&client, "DescribeClusters", json!({}), "clusters", names).await?;
        let (mut services, mut instances, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
        for cluster in &clusters {
            let input = json!({"cluster": text(cluster, "clusterArn")});
            services.extend(services_of(&client, input.clone()).await?);
            let arns =
                list(&client, "ListContainerInstances", input.clone(), "containerInstanceArns");
            let member = "containerInstances";
            let operation = "DescribeContainerInstances";
            instances
                .extend(describe(&client, operation, input.clone(), member, arns.await?).await?);
            let arns = list(&client, "ListTasks", input.clone(), "taskArns").await?;
            tasks.extend(describe(&client, "DescribeTasks", input, "tasks", arns).await?);
        }
        // A server of before this path was there has none; everything else is shown all the same.
        let placements = client.get("/_longshore/placements").await.unwrap_or_default();
        let network = client.get("/_longshore/network").await?;
        if format == Format::Json {
            let endpoint = client.endpoint();
            return Ok(output::json(&json!({
                "endpoint": endpoint,
                "network": network,
                "clusters": clusters,
                "services": services,
                "containerInstances": instances,
                "tasks": tasks,
                "placements": placements,
            }))?);
        }
        say!("server  {}", client.endpoint());
        say!("{}", placed(&placements));
        print(&clusters, &services, &instances, &tasks)?;
        print_pulls(&client, &tasks).await;
        print_network(&network)
    }
}

/// How far the images of tasks that wait for them have come; of so many tasks at the most.
async fn print_pulls(client: &Client, tasks: &[Value]) {
    const TASKS_MAX: usize = 10;
    let waiting = tasks.iter().filter(|task| text(task, "lastStatus") == "PENDING");
    let mut is_first = true;
    for task in waiting.take(TASKS_MAX) {
        let id = short(text(task, "taskArn"));
        // It may be gone meanwhile.
        let why = client.get(&format!("/_longshore/why/{id}")).await.unwrap_or_default();
        let lines = why["containers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for line in lines.filter(|line| line.contains(PULLING)) {
            if std::mem::take(&mut is_first) {
                say!();
            }
            say!("{id}  {line}");
        }
    }
}

/// What was placed since the server started; an empty line if nothing was.
fn placed(counts: &Value) -> String {
    let of = |name: &str| counts[name].as_u64().unwrap_or_default();
    let (placed, refused, again) = (of("placed"), of("refused"), of("placedAgain"));
    if placed + refused == 0 {
        return String::new();
    }
    format!(
        "placed  {placed} tasks since it started, {refused} found no place, {again} chosen again\n"
    )
}

/// A cluster's services; none of a server that was there before services were.
///
/// # Errors
/// If a call fails.
pub async fn services_of(client: &Client, input: Value) -> Result<Vec<Value>> {
    let arns = match list(client, "ListServices", input.clone(), "serviceArns").await {
        Ok(arns) => arns,
        Err(error) if is_unbuilt(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for page in arns.chunks(DESCRIBE_SERVICES_MAX) {
        let page = page.to_vec();
        all.extend(describe(client, "DescribeServices", input.clone(), "services", page).await?);
    }
    Ok(all)
}

fn is_unbuilt(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<ClientError>(), Some(ClientError::Service { status: 501, .. }))
}

/// Describes all of `arns`, as many calls as it takes.
///
/// # Errors
/// If a call fails.
pub async fn describe(
    client: &Client,
    operation: &str,
    input: Value,
    member: &str,
    arns: Vec<Value>,
) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for page in arns.chunks(DESCRIBE_MAX) {
        let mut input = input.clone();
        input[member] = page.into();
        let mut answer = ecs(client, operation, &input).await?;
        if let Some(items) = answer[member].as_array_mut() {
            all.append(items);
        }
    }
    Ok(all)
}

fn print(
    clusters: &[Value],
    services: &[Value],
    instances: &[Value],
    tasks: &[Value],
) -> Result<()> {
    let row = |c: &Value| {
        vec![
            text(c, "clusterName").to_owned(),
            text(c, "status").to_owned(),
            c["registeredContainerInstancesCount"].to_string(),
            c["runningTasksCount"].to_string(),
            c["pendingTasksCount"].to_string(),
        ]
    };
    let headings = ["cluster", "status", "instances", "running", "pending"];
    output::table(&headings, clusters.iter().map(row).collect())?;
    let headings = [
        "service",
        "cluster",
        "status",
        "definition",
        "desired",
        "running",
        "pending",
        "deployment",
    ];
    section(services, &headings, service_row)?;
    let headings = ["instance", "zone", "status", "agent", "address", "cpu free", "memory free"];
    section(instances, &headings, |instance| {
        let connected = instance["agentConnected"].as_bool() == Some(true);
        vec![
            short(text(instance, "containerInstanceArn")).to_owned(),
            attribute(instance, "ecs.availability-zone").to_owned(),
            text(instance, "status").to_owned(),
            if connected { "connected" } else { "away" }.to_owned(),
            attribute(instance, ADDRESS_ATTRIBUTE).to_owned(),
            share(instance, "CPU"),
            share(instance, "MEMORY"),
        ]
    })?;
    section(tasks, &["task", "definition", "status", "health", "address"], |task| {
        vec![
            short(text(task, "taskArn")).to_owned(),
            short(text(task, "taskDefinitionArn")).to_owned(),
            text(task, "lastStatus").to_owned(),
            text(task, "healthStatus").to_owned(),
            addresses(task, instance_of(task, instances)).join(" "),
        ]
    })
}

/// A service as a row: how many tasks it has, and how its deployment goes.
pub fn service_row(service: &Value) -> Vec<String> {
    let deployments = service["deployments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let primary = deployments.iter().find(|one| text(one, "status") == "PRIMARY");
    let rollout = primary.map_or("", |one| text(one, "rolloutState"));
    let rollout = match deployments.len() {
        0 | 1 => rollout.to_owned(),
        count => format!("{rollout} (1 of {count})"),
    };
    vec![
        text(service, "serviceName").to_owned(),
        short(text(service, "clusterArn")).to_owned(),
        text(service, "status").to_owned(),
        short(text(service, "taskDefinition")).to_owned(),
        service["desiredCount"].to_string(),
        service["runningCount"].to_string(),
        service["pendingCount"].to_string(),
        rollout,
    ]
}

/// What a run-task with network mode awsvpc has to name.
fn print_network(network: &Value) -> Result<()> {
    let (vpc, group) = (text(network, "vpcId"), text(network, "securityGroupId"));
    say!("\ndefault VPC {vpc}, default security group {group}");
    let subnets = network["subnets"].as_array().map(Vec::as_slice).unwrap_or_default();
    section(subnets, &["subnet", "zone", "addresses", "free"], |subnet| {
        vec![
            text(subnet, "subnetId").to_owned(),
            text(subnet, "availabilityZone").to_owned(),
            text(subnet, "cidrBlock").to_owned(),
            subnet["availableIpAddressCount"].to_string(),
        ]
    })
}

fn section(items: &[Value], headings: &[&str], row: impl Fn(&Value) -> Vec<String>) -> Result<()> {
    if !items.is_empty() {
        say!();
    }
    Ok(output::table(headings, items.iter().map(row).collect())?)
}

/// `remaining/registered` of one of an instance's resources.
pub fn share(instance: &Value, name: &str) -> String {
    let amount = |member: &str| {
        let mut resources = instance[member].as_array().into_iter().flatten();
        let found = resources.find(|resource| text(resource, "name") == name);
        found.and_then(|resource| resource["integerValue"].as_i64()).unwrap_or_default()
    };
    format!("{}/{}", amount("remainingResources"), amount("registeredResources"))
}
