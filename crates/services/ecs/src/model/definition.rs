//! Task definitions: the document as registered, and what the control plane reads from it.

use serde::{Deserialize, Serialize};
use shapes_ecs as shapes;
use terms::{CpuUnits, Family, MemoryMib, TaskDefinitionArn, Timestamp};

use super::container::Protocol;
use super::{Demand, Document, Tag};

/// Where a revision is in its life (ECS semantics §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum DefinitionStatus {
    /// May be run.
    Active,
    /// Deregistered: what runs goes on, nothing new starts.
    Inactive,
    /// Deleted, and kept until nothing refers to it.
    DeleteInProgress,
}

impl DefinitionStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
        }
    }
}

/// How the containers of a task reach the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NetworkMode {
    /// Docker's bridge: the default on Linux.
    Bridge,
    /// The instance's own network.
    Host,
    /// An interface of its own for the task.
    Awsvpc,
    /// No network.
    None,
}

impl NetworkMode {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Awsvpc => "awsvpc",
            Self::None => "none",
        }
    }
}

/// A published port of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortSpec {
    /// The port inside the container.
    pub(crate) container: u16,
    /// The port of the host; none means that the agent chooses one.
    pub(crate) host: Option<u16>,
    /// TCP or UDP.
    pub(crate) protocol: Protocol,
}

/// What the control plane itself reads from a container definition.
///
/// Everything else is read from the document when the payload for the agent is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerSpec {
    /// The container's name, unique in the task.
    pub(crate) name: String,
    /// The image as written.
    pub(crate) image: String,
    /// Whether its end is the task's end; ECS's default is true.
    pub(crate) essential: bool,
    /// CPU units, 0 if not given.
    pub(crate) cpu: CpuUnits,
    /// Hard limit.
    pub(crate) memory: Option<MemoryMib>,
    /// Soft limit; what scheduling counts if given.
    pub(crate) memory_reservation: Option<MemoryMib>,
    /// Published ports, single ones.
    pub(crate) ports: Vec<PortSpec>,
    /// Whether it has a health check of its own.
    pub(crate) health_check: bool,
}

/// One revision of a family. Never changed but for `status` and its times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskDefinition {
    /// Its name: region, account, family, revision.
    pub(crate) arn: TaskDefinitionArn,
    /// Where it is in its life.
    pub(crate) status: DefinitionStatus,
    /// When it was registered.
    pub(crate) registered_at: Timestamp,
    /// Who registered it (an ARN).
    pub(crate) registered_by: String,
    /// When it was deregistered.
    pub(crate) deregistered_at: Option<Timestamp>,
    /// When it was asked to be deleted.
    pub(crate) delete_requested_at: Option<Timestamp>,
    /// The whole definition as ECS returns it at registration, defaults filled in.
    pub(crate) document: Document<shapes::TaskDefinition>,
    /// How its containers reach the network.
    pub(crate) network_mode: NetworkMode,
    /// Task-level CPU limit.
    pub(crate) cpu: Option<CpuUnits>,
    /// Task-level memory limit.
    pub(crate) memory: Option<MemoryMib>,
    /// Its containers, in the order of the document.
    pub(crate) containers: Vec<ContainerSpec>,
    /// Attributes that an instance must have: a name and, for some, a value.
    pub(crate) requires: Vec<(String, Option<String>)>,
    /// Tags.
    pub(crate) tags: Vec<Tag>,
}

impl TaskDefinition {
    /// The family.
    pub(crate) fn family(&self) -> &Family {
        &self.arn.family
    }
}

impl Demand {
    /// What a task with these limits and containers reserves: its own CPU and memory if given,
    /// else the sums over its containers (ECS semantics §3.2).
    pub(crate) fn of(
        cpu: Option<CpuUnits>,
        memory: Option<MemoryMib>,
        containers: &[ContainerSpec],
    ) -> Self {
        let add_cpu = |sum: CpuUnits, c: &ContainerSpec| sum.saturating_add(c.cpu);
        let add_memory = |sum: MemoryMib, c: &ContainerSpec| {
            sum.saturating_add(c.memory_reservation.or(c.memory).unwrap_or_default())
        };
        let mut demand = Self {
            cpu: cpu.unwrap_or_else(|| containers.iter().fold(CpuUnits::ZERO, add_cpu)),
            memory: memory.unwrap_or_else(|| containers.iter().fold(MemoryMib::ZERO, add_memory)),
            ..Self::default()
        };
        let host_ports = containers.iter().flat_map(|c| &c.ports);
        for (port, protocol) in host_ports.filter_map(|p| Some((p.host?, p.protocol))) {
            match protocol {
                Protocol::Tcp => demand.tcp.insert(port),
                Protocol::Udp => demand.udp.insert(port),
            };
        }
        demand
    }
}

/// What outlives every revision of a family: its counter (ECS semantics §3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FamilyCounter {
    /// The highest revision ever given out; never given out again.
    pub(crate) last_revision: u32,
    /// The newest revision that is ACTIVE, if any.
    pub(crate) latest_active: Option<u32>,
    /// How many revisions are ACTIVE.
    pub(crate) active: u32,
    /// How many revisions are INACTIVE.
    pub(crate) inactive: u32,
    /// How many revisions are DELETE_IN_PROGRESS.
    #[serde(default)]
    pub(crate) deleting: u32,
}

/// The lists that a family can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FamilyListing {
    /// Families with a revision that is not forgotten.
    All,
    /// Families with an ACTIVE revision.
    Active,
    /// The others of `All`.
    Inactive,
}

impl FamilyCounter {
    /// The lists that the family is in: none once all its revisions are forgotten.
    pub(crate) fn listings(&self) -> Vec<FamilyListing> {
        if self.active > 0 {
            return vec![FamilyListing::All, FamilyListing::Active];
        }
        if self.inactive + self.deleting > 0 {
            return vec![FamilyListing::All, FamilyListing::Inactive];
        }
        Vec::new()
    }
}
