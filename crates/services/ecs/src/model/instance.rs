//! Container instances.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use agent_protocol::{ADDRESS_ATTRIBUTE, CAPACITY_PROVIDER_ATTRIBUTE};
use serde::{Deserialize, Serialize};
use shapes_ecs as shapes;
use terms::{CapacityProviderName, ContainerInstanceArn, Timestamp};

use super::{AgentUpdate, Capacity, Document, Tag};

/// Where an instance is in its life (API reference, `ContainerInstance.status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum InstanceStatus {
    /// Takes tasks while its agent is connected.
    Active,
    /// Keeps its tasks and takes no new ones.
    Draining,
    /// Deregistered; still described for a while.
    Inactive,
}

impl InstanceStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// What is known of the agent. Written by the agent's session, on change only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentInfo {
    /// Whether its ACS session is open.
    pub(crate) connected: bool,
    /// Its version, as in `1.105.1`; known from the first session on.
    pub(crate) version: Option<String>,
    /// The commit it was built from.
    pub(crate) hash: Option<String>,
    /// The container runtime's version, as in `DockerVersion: 20.10.24`.
    pub(crate) docker_version: Option<String>,
    /// Since when it is away; none while it is connected.
    #[serde(default)]
    pub(crate) away_since: Option<Timestamp>,
    /// Why it takes no new tasks, if its disk is full.
    #[serde(default)]
    pub(crate) disk_full: Option<String>,
    /// Its replacement, under way or the last one.
    #[serde(default)]
    pub(crate) update: Option<AgentUpdate>,
}

/// One container instance. Its free resources are never stored: they follow from its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContainerInstance {
    /// Region, account, cluster and id.
    pub(crate) arn: ContainerInstanceArn,
    /// Where it is in its life.
    pub(crate) status: InstanceStatus,
    /// The machine that it runs on; from the identity document, or made up for it.
    pub(crate) ec2_instance_id: Option<String>,
    /// Attributes by name: what the agent sent, what the user put, what the server added.
    pub(crate) attributes: BTreeMap<String, Option<String>>,
    /// What the agent registered, as scheduling reads it.
    pub(crate) capacity: Capacity,
    /// `totalResources` as sent, to be returned as sent.
    pub(crate) registered: Vec<Document<shapes::Resource>>,
    /// The agent.
    pub(crate) agent: AgentInfo,
    /// The instance name that the registering key is bound to; none for an operator's key.
    pub(crate) node: Option<String>,
    /// When it registered first.
    pub(crate) registered_at: Timestamp,
    /// The last change of `status`; deregistered instances are forgotten some time after it.
    pub(crate) changed_at: Timestamp,
    /// Tags.
    pub(crate) tags: Vec<Tag>,
    /// Grows by one with each change of this record, for servers that read it as the API's version.
    /// What is shown now counts tasks that come and go too (decision 0060).
    pub(crate) version: u64,
}

impl ContainerInstance {
    /// The address at which its published ports are reached: what its agent registered, or, if that
    /// says nothing, this machine.
    pub(crate) fn published_at(&self) -> IpAddr {
        let told = self.attributes.get(ADDRESS_ATTRIBUTE).and_then(Option::as_deref);
        let told = told.and_then(|text| text.parse().ok());
        told.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// The capacity provider that it belongs to, if its agent named one.
    pub(crate) fn provider(&self) -> Option<CapacityProviderName> {
        self.attributes.get(CAPACITY_PROVIDER_ATTRIBUTE)?.as_deref()?.parse().ok()
    }
}
