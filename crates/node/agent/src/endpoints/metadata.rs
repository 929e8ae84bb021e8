//! Task metadata, versions 2, 3 and 4 (agent-protocol §6.3). Empty members are left out.

use agent_protocol::task::DesiredStatus;
use serde_json::{Map, Value, json};
use terms::Timestamp;

use crate::awsvpc;
use crate::engine::{ContainerState, Status, TaskState};
use crate::fargate;
use crate::house;
use crate::spec::{self, NetworkMode};

/// A version of the metadata's form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// `/v2/metadata`.
    V2,
    /// `/v3/<id>`.
    V3,
    /// `/v4/<id>`.
    V4,
}

impl Version {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V2 => "V2",
            Self::V3 => "V3",
            Self::V4 => "V4",
        }
    }
}

fn put(map: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let value = value.into();
    let empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if !empty {
        map.insert(name.to_owned(), value);
    }
}

fn time(at: Option<Timestamp>) -> Value {
    at.map(|at| Value::from(at.to_string())).unwrap_or_default()
}

fn desired(task: &TaskState) -> &'static str {
    match task.desired {
        DesiredStatus::Running => "RUNNING",
        DesiredStatus::Stopped => "STOPPED",
    }
}

/// One container.
pub(super) fn container(task: &TaskState, index: usize, version: Version, cluster: &str) -> Value {
    let state = &task.containers[index];
    let definition = &task.task.containers[index];
    let config = definition.docker_config.config().unwrap_or_default();
    let host = definition.docker_config.host_config().unwrap_or_default();
    let mut map = Map::new();
    put(&mut map, "DockerId", state.id.as_str());
    put(&mut map, "Name", state.name.as_str());
    put(&mut map, "DockerName", state.docker_name.as_str());
    put(&mut map, "Image", definition.image.as_str());
    put(&mut map, "ImageID", state.image.as_ref().map(|image| image.image_id.clone()));
    put(&mut map, "Ports", ports(state));
    put(&mut map, "Labels", json!(spec::labels(&task.task, definition, &config, cluster)));
    put(&mut map, "DesiredStatus", desired(task));
    put(&mut map, "KnownStatus", state.status().name());
    put(&mut map, "ExitCode", state.end.as_ref().and_then(|end| end.code));
    let limits = json!({ "CPU": definition.cpu.max(2), "Memory": definition.memory });
    put(&mut map, "Limits", limits);
    put(&mut map, "CreatedAt", time(state.created_at));
    put(&mut map, "StartedAt", time(state.started_at));
    put(&mut map, "FinishedAt", time(state.end.as_ref().map(|end| end.at)));
    put(&mut map, "Type", "NORMAL");
    put(&mut map, "Health", health(state));
    put(&mut map, "Networks", networks(task, index, version));
    put(&mut map, "Volumes", volumes(task, index));
    if version == Version::V4 {
        let arn = definition.container_arn.as_ref().map(ToString::to_string);
        put(&mut map, "ContainerARN", arn);
        let driver = host.log_config.as_ref().map_or("json-file", |log| log.kind.as_str());
        put(&mut map, "LogDriver", driver);
        put(&mut map, "LogOptions", json!(host.log_config.unwrap_or_default().config));
        put(&mut map, "Snapshotter", "overlayfs");
        put(&mut map, "RestartCount", restart_count(state, definition));
    }
    Value::Object(map)
}

/// Only containers with a restart policy show it.
fn restart_count(
    state: &ContainerState,
    definition: &agent_protocol::task::Container,
) -> Option<u32> {
    let policy = definition.restart_policy.as_ref().filter(|policy| policy.enabled);
    policy.map(|_| state.restarts.count)
}

fn ports(state: &ContainerState) -> Value {
    let bindings = state.network.iter().flat_map(|network| &network.bindings);
    let port = |binding: &runtime::PortBinding| {
        json!({
            "ContainerPort": binding.container_port,
            "Protocol": binding.protocol.to_string(),
            "HostPort": binding.host_port,
            "HostIp": binding.bind_ip.to_string(),
        })
    };
    bindings.map(port).collect()
}

/// What is mounted, and from where: a path of the host, or a volume's name.
fn volumes(task: &TaskState, index: usize) -> Value {
    let all = &task.task.volumes;
    let mount = |mount: &agent_protocol::task::MountPoint| {
        let volume = all.iter().find(|volume| volume.name == mount.source_volume);
        let path = volume.and_then(|volume| volume.host.as_ref()?.source_path.clone());
        let mut map = Map::new();
        put(&mut map, "DockerName", path.is_none().then(|| mount.source_volume.clone()));
        put(&mut map, "Source", path);
        put(&mut map, "Destination", mount.container_path.as_str());
        Value::Object(map)
    };
    task.task.containers[index].mount_points.iter().map(mount).collect()
}

/// Whether an association is one of this kind that the container has.
fn is_of(association: &Value, container: &str, kind: &str) -> bool {
    let names = association["containers"].as_array();
    association["type"] == kind
        && names.is_some_and(|names| names.iter().any(|name| name == container))
}

/// The names of a container's associations of one kind, as in `{"Associations":["GPU-…"]}`.
pub(super) fn associations(task: &TaskState, index: usize, kind: &str) -> Value {
    let container = &task.containers[index].name;
    let all = task.task.associations.iter().filter(|one| is_of(one, container, kind));
    json!({ "Associations": all.map(|one| one["name"].clone()).collect::<Vec<_>>() })
}

/// What one association holds, as it came.
pub(super) fn association(
    task: &TaskState,
    index: usize,
    kind: &str,
    name: &str,
) -> Option<String> {
    let container = &task.containers[index].name;
    let mut all = task.task.associations.iter();
    let found = all.find(|one| is_of(one, container, kind) && one["name"] == name)?;
    Some(found["content"]["value"].as_str().unwrap_or_default().to_owned())
}

fn health(state: &ContainerState) -> Value {
    let Some(health) = &state.health else { return Value::Null };
    let mut map = Map::new();
    put(&mut map, "status", json!(health.status));
    put(&mut map, "statusSince", health.since.to_string());
    if let Some(last) = &health.last {
        put(&mut map, "exitCode", last.code);
        put(&mut map, "output", last.output.as_str());
    }
    Value::Object(map)
}

fn networks(task: &TaskState, index: usize, version: Version) -> Value {
    let mode = match spec::network_mode(&task.task, &task.task.containers[index]) {
        NetworkMode::Bridge => "bridge",
        NetworkMode::Host => "host",
        NetworkMode::None => "none",
        NetworkMode::Awsvpc => "awsvpc",
    };
    let address = task.containers[index].network.as_ref().map(|network| network.address);
    let addresses: Vec<_> = address.iter().map(ToString::to_string).collect();
    let mut map = Map::new();
    put(&mut map, "NetworkMode", mode);
    map.insert("IPv4Addresses".to_owned(), addresses.into());
    if let Some(shown) = awsvpc::shown(&task.task).filter(|_| mode == "awsvpc")
        && version == Version::V4
    {
        put(&mut map, "AttachmentIndex", shown.index);
        put(&mut map, "MACAddress", shown.mac);
        put(&mut map, "IPv4SubnetCIDRBlock", shown.subnet);
        put(&mut map, "DomainNameServers", shown.servers);
        put(&mut map, "DomainNameSearchList", shown.search);
        put(&mut map, "PrivateDNSName", shown.dns_name);
        put(&mut map, "SubnetGatewayIpv4Address", shown.gateway);
    }
    json!([map])
}

/// Where a task is.
pub(super) struct Place {
    /// The cluster as configured.
    pub(super) cluster: String,
    /// The availability zone.
    pub(super) zone: Option<String>,
    /// The VPC.
    pub(super) vpc: Option<String>,
    /// What it holds of the disk, in bytes.
    pub(super) held: u64,
}

/// A task with its containers.
pub(super) fn task(task: &TaskState, version: Version, place: &Place) -> Value {
    let Place { cluster, zone, vpc, held } = place;
    let spec = &task.task;
    let mut map = Map::new();
    map.insert("Cluster".to_owned(), fargate::cluster_of(&task.task, cluster).into());
    map.insert("TaskARN".to_owned(), spec.arn.to_string().into());
    map.insert("Family".to_owned(), spec.family.clone().into());
    map.insert("Revision".to_owned(), spec.version.clone().into());
    put(&mut map, "DesiredStatus", desired(task));
    map.insert("KnownStatus".to_owned(), task.status().name().into());
    put(&mut map, "Limits", limits(task));
    let pulls = || task.containers.iter().filter_map(|c| c.image.as_ref()?.pulled);
    put(&mut map, "PullStartedAt", time(pulls().map(|pull| pull.0).min()));
    put(&mut map, "PullStoppedAt", time(pulls().map(|pull| pull.1).max()));
    let over = task.status() == Status::Stopped;
    put(&mut map, "ExecutionStoppedAt", time(task.execution_stopped_at.filter(|_| over)));
    put(&mut map, "AvailabilityZone", zone.clone());
    if version == Version::V4 {
        put(&mut map, "LaunchType", spec.launch_type.clone().unwrap_or_else(|| "EC2".to_owned()));
        put(&mut map, "VPCID", vpc.clone());
        put(&mut map, "ServiceName", spec.service_name.clone());
        put(&mut map, "AvailabilityZoneID", spec.zone.clone());
        put(&mut map, "Group", spec.group.clone());
        let injects = spec.enable_fault_injection.unwrap_or(false);
        map.insert("FaultInjectionEnabled".to_owned(), injects.into());
        put(&mut map, "EphemeralStorageMetrics", storage(task, *held));
    }
    let created = |container: &&ContainerState| container.existed;
    let indexes = task.containers.iter().enumerate().filter(|(_, c)| created(c));
    let containers: Value =
        indexes.map(|(index, _)| container(task, index, version, cluster)).collect();
    put(&mut map, "Containers", containers);
    Value::Object(map)
}

/// What a task of a size holds of the disk, and what it may, in MiB (Developer Guide, "Task metadata
/// version 4 for Fargate").
fn storage(task: &TaskState, held: u64) -> Value {
    const MIB: u64 = 1 << 20;
    let limit = house::storage_of(&task.task);
    limit.map(|limit| json!({"Utilized": held / MIB, "Reserved": limit / MIB})).unwrap_or_default()
}

fn limits(task: &TaskState) -> Value {
    let mut map = Map::new();
    put(&mut map, "CPU", task.task.cpu);
    put(&mut map, "Memory", task.task.memory);
    Value::Object(map)
}
