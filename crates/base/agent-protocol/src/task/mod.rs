//! A task as a payload carries it (agent-protocol §2.6, §2.7).

mod container;
mod resource;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use terms::TaskArn;

use crate::nullable;

pub use container::{
    AsmAuthData, Container, Dependency, DependencyCondition, DockerConfig, EcrAuthData,
    ManagedAgent, MountPoint, PortMapping, RegistryAuthentication, RestartPolicy, Secret,
    VolumeFrom,
};
pub use resource::{
    Attachment, AttachmentProperty, DockerVolume, HostVolume, Ipv4Address, Ipv6Address,
    NetworkInterface, Volume,
};

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

pub(crate) fn empty_object() -> String {
    "{}".to_owned()
}

/// `overrides` come as a JSON text or as an object; kept as text.
pub(crate) fn overrides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => empty_object(),
        Value::String(text) if text.is_empty() => empty_object(),
        Value::String(text) => text,
        other => other.to_string(),
    })
}

pub(crate) fn check_overrides(text: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let Value::Object(members) = value else {
        return if value.is_null() { Ok(()) } else { Err("no JSON object".to_owned()) };
    };
    match members.keys().find(|key| *key != "command") {
        Some(key) => Err(format!("'{key}' cannot be overridden here; only 'command' can")),
        None => Ok(()),
    }
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
