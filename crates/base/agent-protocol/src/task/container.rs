//! A container of a task as a payload carries it (agent-protocol §2.6).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use terms::ContainerArn;

use super::{check_overrides, empty_object, overrides};
use crate::DecodeError;
use crate::docker::{ContainerConfig, HostConfig};
use crate::nullable;

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
    pub(super) fn check(&self) -> Result<(), String> {
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
    /// Longshore's own: the parameter was named by an ARN that does not say whether its name
    /// begins with a slash. Amazon's agent does not look at it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_begin_with_slash: bool,
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
