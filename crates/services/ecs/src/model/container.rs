//! The containers of a task.

use serde::{Deserialize, Serialize};
use terms::{Text, Uuid};

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
    pub(crate) bind_ip: Text,
    /// The port inside, if it is a single one.
    pub(crate) container_port: Option<u16>,
    /// The port of the host, if it is a single one.
    pub(crate) host_port: Option<u16>,
    /// `first-last` inside, if it is a range.
    pub(crate) container_port_range: Option<String>,
    /// `first-last` of the host, if it is a range.
    pub(crate) host_port_range: Option<String>,
    /// TCP or UDP.
    pub(crate) protocol: Protocol,
}

/// One container of a task: what was asked of it, and what the agent reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Container {
    /// Its own id, the last part of its ARN.
    pub(crate) id: Uuid,
    /// The name in the task definition.
    pub(crate) name: Text,
    /// The image as written in the task definition.
    pub(crate) image: Text,
    /// Whether its end is the task's end.
    pub(crate) essential: bool,
    /// Whether it has a health check.
    pub(crate) health_check: bool,
    /// CPU units after overrides.
    pub(crate) cpu: u32,
    /// MiB after overrides, hard limit.
    pub(crate) memory: Option<u32>,
    /// MiB after overrides, soft limit.
    pub(crate) memory_reservation: Option<u32>,
    /// Where it is.
    pub(crate) status: ContainerStatus,
    /// `sha256:…` of the image that it runs.
    pub(crate) image_digest: Option<Text>,
    /// The runtime's id: 64 hexadecimal digits.
    pub(crate) runtime_id: Option<String>,
    /// How it ended.
    pub(crate) exit_code: Option<i32>,
    /// What went wrong, as in `CannotPullContainerError: …`.
    pub(crate) reason: Option<String>,
    /// Published ports.
    pub(crate) bindings: Vec<Binding>,
    /// What its health check says.
    pub(crate) health: Health,
    /// The ids of the instance's GPUs that it has to itself.
    #[serde(default)]
    pub(crate) gpu_ids: Vec<String>,
}
