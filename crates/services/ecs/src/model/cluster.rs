//! Clusters.

use serde::{Deserialize, Serialize};
use terms::{ClusterName, Timestamp};

use super::Tag;

/// Where a cluster is in its life (API reference, `Cluster.status`).
///
/// Without managed capacity providers a cluster is made and removed at once, so
/// `PROVISIONING`, `DEPROVISIONING` and `FAILED` do not occur yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum ClusterStatus {
    /// Takes tasks and instances.
    Active,
    /// Deleted; still described for a while.
    Inactive,
}

impl ClusterStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// One cluster. Its counts are never stored: they follow from instances and tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    /// The name, unique among the active clusters of an account and region.
    pub(crate) name: ClusterName,
    /// Whether it is in use or deleted.
    pub(crate) status: ClusterStatus,
    /// Settings as given, each a name and a value (`containerInsights` is the only name).
    pub(crate) settings: Vec<(String, String)>,
    /// Tags, in the order given.
    pub(crate) tags: Vec<Tag>,
    /// The last change of `status`; deleted clusters are forgotten some time after it.
    pub(crate) changed_at: Timestamp,
}
