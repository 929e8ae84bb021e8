//! Clusters.

use serde::{Deserialize, Serialize};
use shapes_ecs as shapes;
use terms::{CapacityProviderName, ClusterName, Timestamp};

use super::{Document, Tag};

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

/// One item of a capacity provider strategy (ECS semantics §12.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StrategyItem {
    /// The provider that it is about.
    pub(crate) provider: CapacityProviderName,
    /// Its share of the tasks beyond all bases, 0 to 1,000; 0 if not given.
    pub(crate) weight: u32,
    /// How many tasks go there before weights matter, 0 to 100,000; 0 if not given.
    pub(crate) base: u32,
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
    /// How ECS Exec is logged and storage is encrypted, as given; none until it is given.
    #[serde(default)]
    pub(crate) configuration: Option<Document<shapes::ClusterConfiguration>>,
    /// The capacity providers that strategies here may name, in the order given.
    #[serde(default)]
    pub(crate) capacity_providers: Vec<CapacityProviderName>,
    /// The strategy of tasks that name neither one nor a launch type; empty if there is none.
    #[serde(default)]
    pub(crate) default_strategy: Vec<StrategyItem>,
    /// Tags, in the order given.
    pub(crate) tags: Vec<Tag>,
    /// The last change of `status`; deleted clusters are forgotten some time after it.
    pub(crate) changed_at: Timestamp,
}

impl Cluster {
    /// An ACTIVE cluster with nothing in it and nothing set.
    pub(crate) fn new(name: ClusterName, now: Timestamp) -> Self {
        Self {
            name,
            status: ClusterStatus::Active,
            settings: Vec::new(),
            configuration: None,
            capacity_providers: Vec::new(),
            default_strategy: Vec::new(),
            tags: Vec::new(),
            changed_at: now,
        }
    }
}
