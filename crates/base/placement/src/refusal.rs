//! Why an instance cannot take a task.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use terms::{ContainerInstanceId, CpuUnits, MemoryMib};

use crate::query::Expression;

/// The first thing that stands against an instance, in the order of [`crate::Instance::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not ACTIVE.
    Inactive,
    /// Its agent is not connected.
    Agent,
    /// Its disk is full.
    Disk,
    /// It lacks an attribute, or has it with another value.
    Attribute {
        /// The attribute.
        name: Arc<str>,
        /// The value wanted, if one is.
        wanted: Option<Arc<str>>,
    },
    /// It is in a zone that will not do, or in none.
    Location {
        /// Its zone, if it has one.
        zone: Option<Arc<str>>,
    },
    /// Too little CPU is free.
    Cpu {
        /// What the task takes.
        needed: CpuUnits,
        /// What there is.
        free: CpuUnits,
    },
    /// Too little memory is free.
    Memory {
        /// What the task takes.
        needed: MemoryMib,
        /// What there is.
        free: MemoryMib,
    },
    /// A TCP port that the task publishes is taken.
    TcpPort(u16),
    /// A UDP port that the task publishes is taken.
    UdpPort(u16),
    /// Too few GPUs are free.
    Gpu {
        /// What the task takes.
        needed: u32,
        /// What there is.
        free: u32,
    },
    /// Too few network interfaces can be attached.
    Eni {
        /// What the task takes.
        needed: u32,
        /// What there is.
        free: u32,
    },
    /// A task of the group is there already.
    DistinctInstance,
    /// The expression does not select it.
    MemberOf(Expression),
}

impl Reason {
    /// ECS's word for it, as in `failures[].reason` (Developer Guide, "API failures messages").
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Inactive => "INACTIVE",
            Self::Agent => "AGENT",
            // Ours: ECS has no word for it.
            Self::Disk => "RESOURCE:DISK",
            Self::Attribute { .. } => "ATTRIBUTE",
            Self::Location { .. } => "LOCATION",
            Self::Cpu { .. } => "RESOURCE:CPU",
            Self::Memory { .. } => "RESOURCE:MEMORY",
            Self::TcpPort(_) | Self::UdpPort(_) => "RESOURCE:PORTS",
            Self::Gpu { .. } => "RESOURCE:GPU",
            Self::Eni { .. } => "RESOURCE:ENI",
            Self::DistinctInstance => "DistinctInstance placement constraint unsatisfied.",
            Self::MemberOf(_) => "MemberOf placement constraint unsatisfied.",
        }
    }
}

/// In plain words, with figures.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inactive => f.write_str("it is not ACTIVE"),
            Self::Agent => f.write_str("its agent is not connected"),
            Self::Disk => f.write_str("its disk is full"),
            Self::Attribute { name, wanted: None } => write!(f, "it has no attribute {name}"),
            Self::Attribute { name, wanted: Some(value) } => {
                write!(f, "its attribute {name} is not {value}")
            }
            Self::Location { zone: None } => {
                f.write_str("it is in no zone, and the task's subnets are in some")
            }
            Self::Location { zone: Some(zone) } => {
                write!(f, "it is in zone {zone}, where the task has no subnet")
            }
            Self::Cpu { needed, free } => {
                write!(f, "the task needs {needed} CPU units, {free} are free")
            }
            Self::Memory { needed, free } => {
                write!(f, "the task needs {needed} MiB of memory, {free} are free")
            }
            Self::TcpPort(port) => write!(f, "TCP port {port} is taken or reserved"),
            Self::UdpPort(port) => write!(f, "UDP port {port} is taken or reserved"),
            Self::Gpu { needed: 1, free } => write!(f, "the task needs a GPU, {free} are free"),
            Self::Gpu { needed, free } => {
                write!(f, "the task needs {needed} GPUs, {free} are free")
            }
            Self::Eni { needed: 1, free } => {
                write!(f, "the task needs a network interface, {free} can be attached")
            }
            Self::Eni { needed, free } => {
                write!(f, "the task needs {needed} network interfaces, {free} can be attached")
            }
            Self::DistinctInstance => f.write_str("a task of the same group runs there already"),
            Self::MemberOf(expression) => write!(f, "it is not one where {expression}"),
        }
    }
}

/// One instance that cannot take a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The instance.
    pub instance: ContainerInstanceId,
    /// Why.
    pub reason: Reason,
}

/// How many of `refusals` there are for each [`Reason::code`].
pub fn count_reasons(refusals: &[Refusal]) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for refusal in refusals {
        *counts.entry(refusal.reason.code()).or_default() += 1;
    }
    counts
}
