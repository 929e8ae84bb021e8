//! What instances have and tasks take.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use terms::{CpuUnits, MemoryMib};

use super::is_default;

/// What a container instance registered (agent protocol §1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capacity {
    /// CPU units: 1,024 for each processor.
    pub(crate) cpu: CpuUnits,
    /// Memory that tasks may use, in MiB.
    pub(crate) memory: MemoryMib,
    /// TCP ports of the host that no task may publish.
    pub(crate) reserved_tcp: BTreeSet<u16>,
    /// UDP ports of the host that no task may publish.
    pub(crate) reserved_udp: BTreeSet<u16>,
    /// The ids of its GPUs.
    #[serde(default)]
    pub(crate) gpus: BTreeSet<String>,
}

/// What scheduling reserves for one task (ECS semantics §3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Demand {
    /// CPU units: the task's, or the sum over its containers.
    #[serde(rename = "c", alias = "cpu")]
    pub(crate) cpu: CpuUnits,
    /// MiB: the task's, or the sum over its containers of reservation or limit.
    #[serde(rename = "m", alias = "memory")]
    pub(crate) memory: MemoryMib,
    /// Static host ports, TCP.
    #[serde(rename = "t", alias = "tcp", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) tcp: BTreeSet<u16>,
    /// Static host ports, UDP.
    #[serde(rename = "u", alias = "udp", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) udp: BTreeSet<u16>,
    /// Whole GPUs.
    #[serde(rename = "g", alias = "gpus", default, skip_serializing_if = "is_default")]
    pub(crate) gpus: u32,
}
