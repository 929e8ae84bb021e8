//! The parts of Docker's `Config` and `HostConfig` that ECS fills, as the texts in
//! `dockerConfig` hold them (agent-protocol §2.6, "Which field carries what").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::nullable;

/// `dockerConfig.config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// The container's host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `user`, `uid`, `user:group`, … in place of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory in place of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Labels.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// Whether it gets a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
    /// Whether its input stays open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_stdin: Option<bool>,
    /// Whether it has no network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_disabled: Option<bool>,
    /// How its health is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    /// The signal that asks it to end, in place of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// `NAME=value` list; wins over the typed `environment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// Wins over the typed `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Wins over the typed `entryPoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
}

/// `Healthcheck`: times in nanoseconds; 0 means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthCheck {
    /// `["CMD", program, …]` or `["CMD-SHELL", line]`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub interval: u64,
    /// Time after which one check has failed.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub timeout: u64,
    /// Failures in a row that make it unhealthy.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub retries: u32,
    /// Time after the start in which failures do not count.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub start_period: u64,
}

/// `dockerConfig.hostConfig`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostConfig {
    /// `bridge`, `host`, `none` or `awsvpc`; empty means `bridge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    /// Capabilities to add, without `CAP_`; `ALL` is all.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub cap_add: Vec<String>,
    /// Capabilities to drop first.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub cap_drop: Vec<String>,
    /// Hard memory limit in bytes; wins over the typed `memory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// Soft memory limit in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<i64>,
    /// Limit of memory and swap together in bytes; -1 is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<i64>,
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swappiness: Option<i64>,
    /// CPU shares; wins over the typed `cpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<i64>,
    /// Where output goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_config: Option<LogConfig>,
    /// Whether it gets all rights on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// Whether its root file system may not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readonly_rootfs: Option<bool>,
    /// `host:ip` lines for `/etc/hosts`.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub extra_hosts: Vec<String>,
    /// Name servers.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub dns: Vec<String>,
    /// Search domains.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub dns_search: Vec<String>,
    /// Resource limits.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub ulimits: Vec<Ulimit>,
    /// `label:…`, `apparmor:…`, `no-new-privileges`, ….
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub security_opt: Vec<String>,
    /// Kernel settings of the namespaces.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub sysctls: BTreeMap<String, String>,
    /// Devices of the host.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub devices: Vec<Device>,
    /// Size of `/dev/shm` in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<i64>,
    /// Memory file systems: path to mount options.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub tmpfs: BTreeMap<String, String>,
    /// Whether a small init process reaps children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// `host` or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<String>,
    /// `host`, `none` or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<String>,
}

/// Where a container's output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogConfig {
    /// The driver's name.
    #[serde(default, rename = "Type", deserialize_with = "nullable::or_default")]
    pub kind: String,
    /// Its options.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub config: BTreeMap<String, String>,
}

/// A resource limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ulimit {
    /// `nofile`, `core`, ….
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub name: String,
    /// Soft limit; -1 is none.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub soft: i64,
    /// Hard limit; -1 is none.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub hard: i64,
}

/// A device of the host in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Device {
    /// On the host.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub path_on_host: String,
    /// In the container.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub path_in_container: String,
    /// Any of `r`, `w` and `m`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub cgroup_permissions: String,
}
