//! Pure: a task as its agent gets it, from the task's row and its definition (agent-protocol §2.6).
//!
//! Overrides are merged here: Amazon's agent takes none but the command.

mod container;
mod docker;
mod environment;
mod interface;
mod volume;

#[cfg(test)]
mod tests;

use agent_protocol::acs::RoleType;
use agent_protocol::task::{Attachment, DesiredStatus as PayloadDesired, Task as PayloadTask};
use shapes_ecs as shapes;
use terms::ClusterArn;

use super::OwnRegistry;
use crate::model::{Container, DesiredStatus, NetworkMode, Task, TaskDefinition, TaskStatus};

/// CPU units of one vCPU.
const UNITS_PER_VCPU: f64 = 1024.0;

/// What the containers of an instance are told of the API's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TaskEndpoint {
    /// `AWS_ENDPOINT_URL` and the region are added.
    Url(String),
    /// Nothing is added.
    None,
}

/// What a payload says that neither the task nor its definition does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where the API is.
    pub(crate) endpoint: TaskEndpoint,
    /// The delivery mode of logs whose configuration names none: the account setting
    /// `defaultLogDriverMode`.
    pub(crate) log_mode: Option<String>,
    /// Where CloudWatch Logs are, for drivers that look for AWS's own by themselves: Docker's.
    pub(crate) logs_endpoint: Option<String>,
    /// Where agents get the right to pull from ECR's registries, if not from AWS.
    pub(crate) ecr_endpoint: Option<String>,
    /// The registry beside us.
    pub(crate) registry: Option<OwnRegistry>,
}

/// What an agent is told to do with a task: it goes on while load balancers have something under way
/// to it.
pub(crate) fn desired(task: &Task) -> DesiredStatus {
    match task.status == TaskStatus::Deactivating {
        true => DesiredStatus::Running,
        false => task.desired,
    }
}

/// The task as a payload carries it, without credentials.
pub(crate) fn task(task: &Task, definition: &TaskDefinition, settings: &Settings) -> PayloadTask {
    let document = &*definition.document;
    let desired = match desired(task) {
        DesiredStatus::Running => PayloadDesired::Running,
        DesiredStatus::Stopped => PayloadDesired::Stopped,
    };
    let cluster = ClusterArn {
        region: task.arn.region.clone(),
        account: task.arn.account.clone(),
        name: task.arn.cluster.clone(),
    };
    let context = Context { task, definition, settings };
    let definitions = document.container_definitions.iter().flatten();
    PayloadTask {
        task_cluster_arn: cluster.to_string(),
        family: definition.arn.family.to_string(),
        version: definition.arn.revision.to_string(),
        service_name: task.group.strip_prefix("service:").map(str::to_owned),
        group: Some(task.group.to_string()),
        launch_type: Some(if task.fargate.is_some() { "FARGATE" } else { "EC2" }.to_owned()),
        // Its id, as in `use1-az1`; the agent knows the name.
        zone: task.zone.as_deref().and_then(|zone| vpc::zone_id(&task.arn.region, zone)),
        task_definition_account_id: Some(definition.arn.account.to_string()),
        cpu: task.cpu.map(|units| f64::from(units) / UNITS_PER_VCPU),
        memory: task.memory,
        network_mode: Some(definition.network_mode.as_str().to_owned()),
        pid_mode: document.pid_mode.as_ref().map(|mode| mode.as_str().to_owned()),
        ipc_mode: document.ipc_mode.as_ref().map(|mode| mode.as_str().to_owned()),
        containers: definitions
            .map(|container| container::container(&context, container))
            .collect(),
        volumes: document.volumes.iter().flatten().map(volume::volume).collect(),
        elastic_network_interfaces: task
            .network
            .iter()
            .map(|network| interface::interface(&task.arn, network))
            .collect(),
        attachments: attachments(task),
        associations: task.containers.iter().flat_map(gpus).collect(),
        proxy_configuration: document.proxy_configuration.as_ref().map(proxy),
        enable_fault_injection: document.enable_fault_injection.filter(|enabled| *enabled),
        ..PayloadTask::new(task.arn.clone(), desired)
    }
}

/// A disk of EBS; and how much of its node's disk a task on Fargate may take, which only agents of
/// ours are told, for no other has such tasks.
fn attachments(task: &Task) -> Vec<Attachment> {
    let disks = task.disk.iter().map(|disk| volume::disk(&task.arn, disk));
    let storage = task.fargate.iter().map(|fargate| volume::storage(fargate.storage_gib));
    disks.chain(storage).collect()
}

/// The roles whose credentials the agent gets for a task: the overrides', else the definition's.
pub(crate) fn roles(task: &Task, definition: &TaskDefinition) -> Vec<(RoleType, String)> {
    let (overrides, document) = (&*task.overrides, &*definition.document);
    let application = overrides.task_role_arn.as_ref().or(document.task_role_arn.as_ref());
    let execution = overrides.execution_role_arn.as_ref().or(document.execution_role_arn.as_ref());
    let roles = [(RoleType::TaskApplication, application), (RoleType::TaskExecution, execution)];
    roles.into_iter().filter_map(|(kind, arn)| Some((kind, arn.cloned()?))).collect()
}

/// What the parts of a payload are made from.
struct Context<'a> {
    task: &'a Task,
    definition: &'a TaskDefinition,
    settings: &'a Settings,
}

impl Context<'_> {
    fn network_mode(&self) -> NetworkMode {
        self.definition.network_mode
    }

    /// The run-time overrides of one container.
    fn overrides(&self, container: &str) -> Option<&shapes::ContainerOverride> {
        let overrides = self.task.overrides.container_overrides.iter().flatten();
        let mut matching = overrides.filter(|o| o.name.as_deref() == Some(container));
        matching.next()
    }

    fn has_execution_role(&self) -> bool {
        self.task.overrides.execution_role_arn.is_some()
            || self.definition.document.execution_role_arn.is_some()
    }
}

/// The GPUs that a container has to itself: the agent gives it those with these ids.
fn gpus(container: &Container) -> impl Iterator<Item = serde_json::Value> {
    container.gpu_ids.iter().map(|id| {
        serde_json::json!({
            "containers": [container.name.as_str()],
            "content": {"encoding": "base64", "value": ""},
            "name": id,
            "type": "gpu",
        })
    })
}

/// `{"type", "containerName", "properties": map}`; the agent crashes without the type.
fn proxy(proxy: &shapes::ProxyConfiguration) -> serde_json::Value {
    let properties: serde_json::Map<_, _> = (proxy.properties.iter().flatten())
        .filter_map(|pair| Some((pair.name.clone()?, pair.value.clone()?.into())))
        .collect();
    serde_json::json!({
        "type": proxy.type_.as_ref().map_or("APPMESH", |kind| kind.as_str()),
        "containerName": proxy.container_name,
        "properties": properties,
    })
}
