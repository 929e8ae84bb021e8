//! The containers of a task.

use serde::{Deserialize, Serialize};
use terms::{Text, Timestamp, Uuid};

use super::is_default;

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Protocol {
    /// TCP: what ECS takes a port for if nothing else is said.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Where a container is. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum ContainerStatus {
    /// Not started.
    Pending,
    /// Started.
    Running,
    /// Ended, or never started.
    Stopped,
}

impl ContainerStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// What health checks say of a container or a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Health {
    /// No check, or none that has answered.
    #[default]
    Unknown,
    /// The last check passed.
    Healthy,
    /// Checks failed as often as allowed.
    Unhealthy,
}

impl Health {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}

/// A published port as the agent reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    /// The host's address that it is bound to.
    #[serde(rename = "a", alias = "bind_ip")]
    pub(crate) bind_ip: Text,
    /// The port inside, if it is a single one.
    #[serde(
        rename = "c",
        alias = "container_port",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) container_port: Option<u16>,
    /// The port of the host, if it is a single one.
    #[serde(rename = "h", alias = "host_port", default, skip_serializing_if = "Option::is_none")]
    pub(crate) host_port: Option<u16>,
    /// `first-last` inside, if it is a range.
    #[serde(
        rename = "r",
        alias = "container_port_range",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) container_port_range: Option<String>,
    /// `first-last` of the host, if it is a range.
    #[serde(
        rename = "s",
        alias = "host_port_range",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) host_port_range: Option<String>,
    /// TCP or UDP.
    #[serde(rename = "p", alias = "protocol")]
    pub(crate) protocol: Protocol,
}

/// One container of a task: what was asked of it, and what the agent reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Container {
    /// Its own id, the last part of its ARN.
    #[serde(rename = "i", alias = "id")]
    pub(crate) id: Uuid,
    /// The name in the task definition.
    #[serde(rename = "n", alias = "name")]
    pub(crate) name: Text,
    /// The image as written in the task definition.
    #[serde(rename = "m", alias = "image")]
    pub(crate) image: Text,
    /// Whether its end is the task's end.
    #[serde(rename = "e", alias = "essential", default, skip_serializing_if = "is_default")]
    pub(crate) essential: bool,
    /// Whether it has a health check.
    #[serde(rename = "k", alias = "health_check", default, skip_serializing_if = "is_default")]
    pub(crate) health_check: bool,
    /// CPU units after overrides.
    #[serde(rename = "c", alias = "cpu")]
    pub(crate) cpu: u32,
    /// MiB after overrides, hard limit.
    #[serde(rename = "y", alias = "memory", default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<u32>,
    /// MiB after overrides, soft limit.
    #[serde(
        rename = "z",
        alias = "memory_reservation",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) memory_reservation: Option<u32>,
    /// Where it is.
    #[serde(rename = "s", alias = "status")]
    pub(crate) status: ContainerStatus,
    /// `sha256:…` of the image that it runs.
    #[serde(
        rename = "d",
        alias = "image_digest",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) image_digest: Option<Text>,
    /// Whether it is to run just the image of `image_digest`: an earlier task of its service told
    /// what the tag means.
    #[serde(rename = "p", alias = "pinned", default, skip_serializing_if = "is_default")]
    pub(crate) pinned: bool,
    /// The runtime's id: 64 hexadecimal digits.
    #[serde(rename = "r", alias = "runtime_id", default, skip_serializing_if = "Option::is_none")]
    pub(crate) runtime_id: Option<String>,
    /// How it ended.
    #[serde(rename = "x", alias = "exit_code", default, skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    /// What went wrong, as in `CannotPullContainerError: …`.
    #[serde(rename = "o", alias = "reason", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Published ports.
    #[serde(rename = "b", alias = "bindings", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) bindings: Vec<Binding>,
    /// What its health check says.
    #[serde(rename = "h", alias = "health", default, skip_serializing_if = "is_default")]
    pub(crate) health: Health,
    /// The ids of the instance's GPUs that it has to itself.
    #[serde(rename = "g", alias = "gpu_ids", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gpu_ids: Vec<String>,
    /// What serves ECS Exec in it, if the task was run with that.
    #[serde(rename = "a", alias = "exec_agent", default, skip_serializing_if = "Option::is_none")]
    pub(crate) exec_agent: Option<ExecAgent>,
}

/// The managed agent `ExecuteCommandAgent` of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecAgent {
    /// Where it is.
    #[serde(rename = "s")]
    pub(crate) status: ContainerStatus,
    /// When it last ran.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    /// What went wrong.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl ExecAgent {
    /// One that was asked for.
    pub(crate) const fn wanted() -> Self {
        Self { status: ContainerStatus::Pending, started_at: None, reason: None }
    }
}
