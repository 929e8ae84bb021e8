//! How one agent is set up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::images::RegistryAuth;
use runtime::{Containers, Images, Networks};
use terms::{AccountId, Clock, ClusterName, IdSource, Region};
use wire::tls::TlsClient;

use crate::engine::{Capacity, Settings};
use crate::folders::Folders;
use crate::gpus::Gpu;
use crate::house::House;
use crate::journal::Journal;
use crate::peers::Exchange;
use crate::transport::Transport;
use crate::update::Updates;
use crate::volumes::StandIns;

/// Everything about one agent that a person may choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// The control plane: `http://HOST:PORT` or `https://…`. Tasks' API calls are forwarded there.
    pub server: String,
    /// Whom to trust as the control plane, and what to show it, for forwarded calls. Without it an
    /// `https` server must be of an authority that this machine trusts.
    pub tls: Option<TlsClient>,
    /// The cluster to join.
    pub cluster: ClusterName,
    /// The container instance's name: unique among the agents of one data directory.
    pub name: String,
    /// The availability zone that it says it is in.
    pub zone: Option<String>,
    /// The instance type that it says it is.
    pub instance_type: Option<String>,
    /// Custom attributes.
    pub attributes: BTreeMap<String, String>,
    /// Where its published ports are reached, as the attribute `longshore.address`.
    pub address: Option<IpAddr>,
    /// The agent's own folder (`DATA/node/<name>`): volumes lie below.
    pub folder: PathBuf,
    /// The account that its tasks belong to.
    pub account: AccountId,
    /// The region that it signs for.
    pub region: Region,
    /// What the instance has, and the ports that are reserved on it.
    pub capacity: Capacity,
    /// The task engine's times.
    pub settings: Settings,
    /// What stands in for storage of AWS's.
    pub stand_ins: StandIns,
    /// The GPUs that the instance has.
    pub gpus: Vec<Gpu>,
    /// Credentials for registries that want some, by the registry's host (and port).
    pub registries: BTreeMap<String, RegistryAuth>,
    /// Whether tasks may call the API through the link-local forwarder (`--task-endpoint none`
    /// turns it off).
    pub forwards_api: bool,
    /// What happens to the tasks when the agent is asked to end.
    pub at_end: AtEnd,
    /// How it keeps its machine in order.
    pub house: House,
    /// With [`AtEnd::StopAll`]: the longest time from a stop signal to SIGKILL; usually
    /// [`STOP_TIMEOUT_AT_END`].
    pub stop_timeout_at_end: Duration,
}

/// How long containers have at a clean end, as with `docker compose down`.
pub const STOP_TIMEOUT_AT_END: Duration = Duration::from_secs(10);

/// What happens to the tasks when the agent is asked to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtEnd {
    /// They go on; the next start takes them up again.
    #[default]
    LeaveRunning,
    /// They are stopped, reported and removed.
    StopAll,
}

/// What an agent works with. A simulation gives its own.
pub struct Parts {
    /// Images.
    pub images: Arc<dyn Images>,
    /// Containers.
    pub containers: Arc<dyn Containers>,
    /// Networks.
    pub networks: Arc<dyn Networks>,
    /// Folders of volumes; usually [`crate::HostFolders`].
    pub folders: Arc<dyn Folders>,
    /// The control plane.
    pub transport: Arc<dyn Transport>,
    /// What must survive.
    pub journal: Box<dyn Journal>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub ids: Arc<dyn IdSource>,
    /// What replaces this agent's program; none refuses.
    pub updates: Option<Arc<dyn Updates>>,
    /// Where it hands layers to other nodes, and asks for theirs; its images are to ask there too. None
    /// takes no part.
    pub peers: Option<Exchange>,
}

/// What an instance's remains are taken away by; see [`crate::leave`].
pub struct Remains {
    /// Images.
    pub images: Arc<dyn Images>,
    /// Containers.
    pub containers: Arc<dyn Containers>,
    /// Networks.
    pub networks: Arc<dyn Networks>,
    /// Folders of volumes.
    pub folders: Arc<dyn Folders>,
    /// What stands in for storage of AWS's.
    pub stand_ins: StandIns,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Why an agent ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    /// The control plane will never take this instance.
    #[error("cluster '{cluster}' does not take this container instance: {reason}")]
    Refused {
        /// The cluster.
        cluster: ClusterName,
        /// What the control plane said.
        reason: String,
    },
    /// The instance that the journal is of was deregistered. Without the journal the agent joins as
    /// a new one.
    #[error("cluster '{cluster}' does not take this container instance back: {reason}")]
    Deregistered {
        /// The cluster.
        cluster: ClusterName,
        /// What the control plane said.
        reason: String,
    },
    /// Something of a deregistered instance is still on the machine.
    #[error("cannot take away all that the deregistered instance left: {what}")]
    Remains {
        /// What, and why.
        what: String,
    },
    /// The journal belongs to another cluster.
    #[error(
        "instance '{name}' is registered in cluster '{saved}', not in '{wanted}'; use another \
         --name or --data-dir, or the old cluster"
    )]
    OtherCluster {
        /// The instance's name.
        name: String,
        /// The cluster in the journal.
        saved: String,
        /// The configured one.
        wanted: String,
    },
}

/// TCP ports that ECS reserves on every instance (ecs-semantics §4).
pub const RESERVED_TCP_PORTS: [u16; 5] = [22, 2375, 2376, 51678, 51679];

/// What this host has: 1,024 CPU units a processor, the memory of `/proc/meminfo`.
pub fn detect_capacity() -> std::io::Result<Capacity> {
    let cpus = std::thread::available_parallelism()?.get() as u64;
    let meminfo = std::fs::read_to_string("/proc/meminfo")?;
    let memory = mem_total_mib(&meminfo).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal")
    })?;
    Ok(Capacity {
        cpu: cpus * 1024,
        memory,
        tcp: RESERVED_TCP_PORTS.into_iter().collect(),
        udp: std::collections::BTreeSet::new(),
    })
}

fn mem_total_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_meminfo() {
        let text = "MemTotal:       24684032 kB\nMemFree:  1 kB\n";
        assert_eq!(mem_total_mib(text), Some(24105));
        assert_eq!(mem_total_mib("MemFree: 1 kB"), None);
    }
}
