//! A task as a payload carries it (agent-protocol §2.6, §2.7).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use terms::{ContainerArn, TaskArn};

use crate::DecodeError;
use crate::docker::{ContainerConfig, HostConfig};
use crate::nullable;

/// One element of [`crate::acs::Payload::tasks`]: a bad task spoils neither its neighbours nor
/// the message; the agent reports it STOPPED and keeps back the message's ack.
#[derive(Debug, Clone, PartialEq)]
pub enum PayloadTask {
    /// A well-formed task.
    Valid(Box<Task>),
    /// A task that could not be read.
    Invalid(InvalidTask),
}

/// A task that could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidTask {
    /// The task's ARN, if that much was readable.
    pub arn: Option<TaskArn>,
    /// The member at fault and what is wrong with it.
    pub error: String,
    /// What came.
    pub value: Value,
}

impl From<Task> for PayloadTask {
    fn from(task: Task) -> Self {
        Self::Valid(Box::new(task))
    }
}

impl Serialize for PayloadTask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Valid(task) => task.serialize(serializer),
            Self::Invalid(invalid) => invalid.value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for PayloadTask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let invalid = |value: Value, error: String| {
            let arn = value.get("arn").and_then(Value::as_str).and_then(|arn| arn.parse().ok());
            Self::Invalid(InvalidTask { arn, error, value })
        };
        Ok(match serde_path_to_error::deserialize::<_, Task>(&value) {
            Ok(task) => match task.check() {
                Ok(()) => Self::Valid(Box::new(task)),
                Err(error) => invalid(value, error),
            },
            Err(error) => {
                let text = format!("member '{}': {}", error.path(), error.inner());
                invalid(value, text)
            }
        })
    }
}

/// What a task should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DesiredStatus {
    /// Running.
    Running,
    /// Stopped; final.
    Stopped,
}

/// A task to start or stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The task's ARN: its key on the instance. Required.
    pub arn: TaskArn,
    /// The cluster's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub task_cluster_arn: String,
    /// Family of its definition; for metadata only.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub family: String,
    /// Revision of its definition, as text; for metadata only.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub version: String,
    /// `RUNNING` or `STOPPED`. Required.
    pub desired_status: DesiredStatus,
    /// Always `"{}"`: the server has merged overrides already.
    #[serde(default = "empty_object", deserialize_with = "overrides")]
    pub overrides: String,
    /// The service that started it; for metadata only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// The task's group; for metadata only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `EC2`, `FARGATE` or `EXTERNAL`; for metadata only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<String>,
    /// The zone's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Who owns the task definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_definition_account_id: Option<String>,
    /// The task's limit in **vCPU** (task definition `"512"` is 0.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// The task's limit in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// `bridge` (also when empty), `host`, `awsvpc` or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    /// `host` or `task`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<String>,
    /// `host`, `task` or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<String>,
    /// Credentials of the task role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_credentials: Option<Credentials>,
    /// Credentials of the execution role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_role_credentials: Option<Credentials>,
    /// The containers, in the definition's order.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub containers: Vec<Container>,
    /// The volumes that mount points name.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub volumes: Vec<Volume>,
    /// Interfaces of an awsvpc task.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub elastic_network_interfaces: Vec<NetworkInterface>,
    /// Volumes and Service Connect.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub attachments: Vec<Attachment>,
    /// GPUs and other devices, kept as they came.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub associations: Vec<Value>,
    /// App Mesh proxy, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_configuration: Option<Value>,
    /// Whether faults may be injected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_fault_injection: Option<bool>,
}

impl Task {
    /// A task with nothing but its key and desired status.
    pub fn new(arn: TaskArn, desired_status: DesiredStatus) -> Self {
        Self {
            arn,
            task_cluster_arn: String::new(),
            family: String::new(),
            version: String::new(),
            desired_status,
            overrides: empty_object(),
            service_name: None,
            group: None,
            launch_type: None,
            zone: None,
            task_definition_account_id: None,
            cpu: None,
            memory: None,
            network_mode: None,
            pid_mode: None,
            ipc_mode: None,
            role_credentials: None,
            execution_role_credentials: None,
            containers: Vec::new(),
            volumes: Vec::new(),
            elastic_network_interfaces: Vec::new(),
            attachments: Vec::new(),
            associations: Vec::new(),
            proxy_configuration: None,
            enable_fault_injection: None,
        }
    }

    /// What the members' types alone do not say: unique container names, known protocols,
    /// readable `dockerConfig` texts, overrides limited to `command`.
    fn check(&self) -> Result<(), String> {
        check_overrides(&self.overrides).map_err(|cause| format!("member 'overrides': {cause}"))?;
        for (index, container) in self.containers.iter().enumerate() {
            let repeated = self.containers[..index].iter().any(|c| c.name == container.name);
            if repeated {
                return Err(format!("two containers are named '{}'", container.name));
            }
            container.check().map_err(|cause| format!("member 'containers[{index}]{cause}"))?;
        }
        match self.cpu {
            Some(cpu) if !cpu.is_finite() || cpu < 0.0 => {
                Err(format!("member 'cpu': {cpu} is no number of vCPUs"))
            }
            _ => Ok(()),
        }
    }
}

fn empty_object() -> String {
    "{}".to_owned()
}

/// `overrides` come as a JSON text or as an object; kept as text.
fn overrides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => empty_object(),
        Value::String(text) if text.is_empty() => empty_object(),
        Value::String(text) => text,
        other => other.to_string(),
    })
}

fn check_overrides(text: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let Value::Object(members) = value else {
        return if value.is_null() { Ok(()) } else { Err("no JSON object".to_owned()) };
    };
    match members.keys().find(|key| *key != "command") {
        Some(key) => Err(format!("'{key}' cannot be overridden here; only 'command' can")),
        None => Ok(()),
    }
}

/// A container of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Unique in its task. Required.
    pub name: String,
    /// The container's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_arn: Option<ContainerArn>,
    /// The image's reference.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub image: String,
    /// Whether its end ends the task; absent counts as false.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub essential: bool,
    /// CPU shares: 1,024 are one vCPU; 0 means the least.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub cpu: u32,
    /// Hard memory limit in MiB; 0 means none.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub memory: u32,
    /// Replaces the image's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Replaces the image's entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// Environment variables.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub environment: BTreeMap<String, String>,
    /// A JSON text that may hold `command` only.
    #[serde(default = "empty_object", deserialize_with = "overrides")]
    pub overrides: String,
    /// `name:alias` of other containers (bridge mode).
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub links: Vec<String>,
    /// Ports to publish.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub port_mappings: Vec<PortMapping>,
    /// Volumes to mount.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub mount_points: Vec<MountPoint>,
    /// Containers whose mounts it gets too.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub volumes_from: Vec<VolumeFrom>,
    /// What must have happened before it starts.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub depends_on: Vec<Dependency>,
    /// Seconds in which it must reach what its dependants wait for; 0 or absent: the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<u32>,
    /// Seconds between the stop signal and SIGKILL; 0 or absent: the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u32>,
    /// Secrets to fetch with the execution role.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub secrets: Vec<Secret>,
    /// Files of variables, kept as they came.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub environment_files: Vec<Value>,
    /// How to authenticate to the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_authentication: Option<RegistryAuthentication>,
    /// `ExecutionRole` when the log driver uses the execution role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs_auth_strategy: Option<String>,
    /// `docker` when health is checked and reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_type: Option<String>,
    /// FireLens, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firelens_configuration: Option<Value>,
    /// Agents to run in it.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub managed_agents: Vec<ManagedAgent>,
    /// Which interfaces of an awsvpc task it uses.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub network_interface_names: Vec<String>,
    /// When to restart it in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// The rest of the definition, in Docker's form.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub docker_config: DockerConfig,
}

impl Container {
    fn check(&self) -> Result<(), String> {
        check_overrides(&self.overrides).map_err(|cause| format!(".overrides': {cause}"))?;
        for (index, port) in self.port_mappings.iter().enumerate() {
            let known = matches!(port.protocol.as_deref(), None | Some("tcp" | "udp"));
            if !known {
                return Err(format!(".portMappings[{index}].protocol': neither 'tcp' nor 'udp'"));
            }
        }
        self.docker_config.config().map_err(|e| format!(".dockerConfig.config': {e}"))?;
        self.docker_config.host_config().map_err(|e| format!(".dockerConfig.hostConfig': {e}"))?;
        Ok(())
    }

    /// The command that `overrides` put in place of the definition's, if any.
    pub fn overridden_command(&self) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Overrides {
            command: Option<Vec<String>>,
        }
        serde_json::from_str::<Overrides>(&self.overrides).ok()?.command
    }
}

/// A port, or a range of ports, to publish.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    /// The port on the host; 0 or absent: the agent picks one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// `first-last` in place of `containerPort`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_port_range: Option<String>,
    /// `tcp` (also when absent) or `udp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// A volume to mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPoint {
    /// The volume's name.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub source_volume: String,
    /// Where it appears.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub container_path: String,
    /// Whether it may not be written.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub read_only: bool,
}

/// A container whose mounts another gets too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeFrom {
    /// The other container's name.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub source_container: String,
    /// Whether they may not be written.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub read_only: bool,
}

/// What a container waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The other container's name.
    pub container_name: String,
    /// What it must have reached.
    pub condition: DependencyCondition,
}

/// What a dependency must have reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DependencyCondition {
    /// Created; made from `volumesFrom` inside the agent.
    Create,
    /// Started.
    Start,
    /// Ended, with any exit code.
    Complete,
    /// Ended with exit code 0.
    Success,
    /// Found healthy by its check.
    Healthy,
}

/// A secret to fetch with the execution role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// The variable or log option that gets it.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub name: String,
    /// ARN or parameter name.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub value_from: String,
    /// Where it is kept.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub region: String,
    /// `ssm` or `asm`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub provider: String,
    /// `ENVIRONMENT_VARIABLE`, or `BOOTSTRAP` for a log driver.
    #[serde(default, rename = "type", deserialize_with = "nullable::or_default")]
    pub kind: String,
    /// `CONTAINER` or `LOG_DRIVER`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub target: String,
}

/// How to authenticate to a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryAuthentication {
    /// `ecr` or `asm`.
    #[serde(default, rename = "type", deserialize_with = "nullable::or_default")]
    pub kind: String,
    /// For `ecr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecr_auth_data: Option<EcrAuthData>,
    /// For `asm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asm_auth_data: Option<AsmAuthData>,
}

/// Where to ask for an ECR token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EcrAuthData {
    /// The registry's account.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub registry_id: String,
    /// The registry's region.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub region: String,
    /// A host in place of the region's ECR API.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub endpoint_override: String,
    /// Whether to ask with the execution role's credentials.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub use_execution_role: bool,
}

/// Which secret holds a registry's user name and password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AsmAuthData {
    /// The secret's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub credentials_parameter: String,
    /// Its region.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub region: String,
}

/// An agent to run in a container (`ExecuteCommandAgent`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedAgent {
    /// The agent's name.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub name: String,
    /// Its settings.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub properties: BTreeMap<String, String>,
}

/// When a container is restarted in place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartPolicy {
    /// Whether at all.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub enabled: bool,
    /// Exit codes after which it is not restarted.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub ignored_exit_codes: Vec<i32>,
    /// Seconds that it must have run; 300 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_attempt_period: Option<u32>,
}

/// Two JSON texts in the form of the Docker Engine API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerConfig {
    /// The API version that AWS wants for the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A [`ContainerConfig`] as text.
    #[serde(default = "empty_object", deserialize_with = "overrides")]
    pub config: String,
    /// A [`HostConfig`] as text.
    #[serde(default = "empty_object", deserialize_with = "overrides")]
    pub host_config: String,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self { version: None, config: empty_object(), host_config: empty_object() }
    }
}

impl DockerConfig {
    /// Both texts from their structures, for API version `version`.
    pub fn new(version: &str, config: &ContainerConfig, host_config: &HostConfig) -> Self {
        let text = "plain JSON data";
        Self {
            version: Some(version.to_owned()),
            config: serde_json::to_string(config).expect(text),
            host_config: serde_json::to_string(host_config).expect(text),
        }
    }

    /// `config`, read.
    pub fn config(&self) -> Result<ContainerConfig, DecodeError> {
        crate::frame::read("dockerConfig.config", &self.config)
    }

    /// `hostConfig`, read.
    pub fn host_config(&self) -> Result<HostConfig, DecodeError> {
        crate::frame::read("dockerConfig.hostConfig", &self.host_config)
    }
}

/// A volume of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// What mount points call it. Required.
    pub name: String,
    /// `host` (also when absent), `docker` or `efs`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostVolume>,
    /// For `docker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_volume_configuration: Option<DockerVolume>,
    /// For `efs`, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub efs_volume_configuration: Option<Value>,
}

/// A path of the host, or (without one) an empty volume that lives as long as the task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostVolume {
    /// The path on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_path: Option<String>,
}

/// A Docker volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerVolume {
    /// `task` (goes with the task) or `shared` (stays).
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub scope: String,
    /// Whether a shared volume is made when it does not exist.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub autoprovision: bool,
    /// The driver; `local` by default.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub driver: String,
    /// The driver's options.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub labels: BTreeMap<String, String>,
}

/// Temporary keys of a role. The debug form hides the secrets.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The same for the life of task and role. Required.
    pub credentials_id: String,
    /// Access key id.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub access_key_id: String,
    /// Secret access key.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub secret_access_key: String,
    /// Session token.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub session_token: String,
    /// RFC 3339; passed on unchanged.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub expiration: String,
    /// The role.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub role_arn: String,
    /// Unused; empty.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub credential_scope: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("credentials_id", &self.credentials_id)
            .field("access_key_id", &self.access_key_id)
            .field("expiration", &self.expiration)
            .field("role_arn", &self.role_arn)
            .finish_non_exhaustive()
    }
}

/// A volume or Service Connect settings that come with a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The attachment's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub attachment_arn: String,
    /// `amazonebs`, `s3files`, `serviceconnectdetail`, …; Amazon's agent crashes without it.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub attachment_type: String,
    /// Its properties.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub attachment_properties: Vec<AttachmentProperty>,
}

/// One property of an [`Attachment`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentProperty {
    /// Name.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub name: String,
    /// Value.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub value: String,
}

/// A network interface of an awsvpc task or of an instance (agent-protocol §2.7).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkInterface {
    /// `eni-…`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub ec2_id: String,
    /// The attachment's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub attachment_arn: String,
    /// Its MAC address.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub mac_address: String,
    /// Position in the task.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub index: u32,
    /// The interface's name in the task.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub name: String,
    /// IPv4 addresses.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub ipv4_addresses: Vec<Ipv4Address>,
    /// IPv6 addresses.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub ipv6_addresses: Vec<Ipv6Address>,
    /// `ip/prefix` of the gateway.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub subnet_gateway_ipv4_address: String,
    /// `ip/prefix` of the gateway.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub subnet_gateway_ipv6_address: String,
    /// Its name in DNS.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub private_dns_name: String,
    /// Name servers of its subnet.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub domain_name_servers: Vec<String>,
    /// Search domains of its subnet.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub domain_name: Vec<String>,
    /// `default` (also when absent) or `vlan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_association_protocol: Option<String>,
    /// For `vlan`, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_vlan_properties: Option<Value>,
}

/// An IPv4 address of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ipv4Address {
    /// Whether it is the first.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub primary: bool,
    /// The address.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub private_address: String,
}

/// An IPv6 address of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ipv6Address {
    /// Whether it is the first.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub primary: bool,
    /// The address.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub address: String,
}
