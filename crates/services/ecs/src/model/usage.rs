//! What tasks used of Fargate, to be told by the second.

use serde::{Deserialize, Serialize};
use terms::{CapacityProviderName, ClusterName, Family, ServiceName, Text, Timestamp};

/// What somebody may want to tell use apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct UseOf {
    /// The cluster.
    #[serde(rename = "c")]
    pub(crate) cluster: ClusterName,
    /// The family of the task definition.
    #[serde(rename = "f")]
    pub(crate) family: Family,
    /// The service, if one started it.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<ServiceName>,
    /// `FARGATE_SPOT`, if it went there.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) spot: Option<CapacityProviderName>,
}

/// The size that a task is metered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    /// CPU units.
    #[serde(rename = "c")]
    pub(crate) cpu: u32,
    /// MiB.
    #[serde(rename = "m")]
    pub(crate) memory: u32,
    /// GiB of ephemeral storage beyond the 20 that every task has.
    #[serde(rename = "g")]
    pub(crate) storage_gib: u32,
}

/// What one task used, from its first pull to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Whose it is.
    #[serde(rename = "o")]
    pub(crate) of: UseOf,
    /// Who started it, as the caller said.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_by: Option<Text>,
    /// Its size.
    #[serde(rename = "z")]
    pub(crate) size: Size,
    /// When its use began.
    #[serde(rename = "f")]
    pub(crate) from: Timestamp,
    /// When it ended.
    #[serde(rename = "u")]
    pub(crate) until: Timestamp,
}

/// What was used: sums, each by the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Amount {
    /// Tasks whose use began.
    #[serde(rename = "t")]
    pub(crate) tasks: u64,
    /// Seconds of tasks.
    #[serde(rename = "s")]
    pub(crate) seconds: u64,
    /// CPU units times seconds: 1,024 are a vCPU for a second.
    #[serde(rename = "c")]
    pub(crate) cpu: u64,
    /// MiB times seconds.
    #[serde(rename = "m")]
    pub(crate) memory: u64,
    /// GiB of storage beyond 20, times seconds.
    #[serde(rename = "g")]
    pub(crate) storage: u64,
}

impl Amount {
    /// Adds another one; what would not fit stays at the most there can be.
    pub(crate) fn add(&mut self, other: Self) {
        let all = [
            (&mut self.tasks, other.tasks),
            (&mut self.seconds, other.seconds),
            (&mut self.cpu, other.cpu),
            (&mut self.memory, other.memory),
            (&mut self.storage, other.storage),
        ];
        all.into_iter().for_each(|(sum, more)| *sum = sum.saturating_add(more));
    }
}
