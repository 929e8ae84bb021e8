//! What services and tasks have to do with load balancers.

use serde::{Deserialize, Serialize};
use terms::{Text, Timestamp};

use super::is_default;

/// A port of a service's tasks that a target group forwards to (API reference, `LoadBalancer`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Balanced {
    /// The group's ARN.
    pub(crate) group: String,
    /// The container.
    pub(crate) container: String,
    /// Its port.
    pub(crate) port: u16,
    /// What deployments with two revisions side by side need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) advanced: Option<Advanced>,
}

/// The other group, and the rules that share traffic out (API reference, `AdvancedConfiguration`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Advanced {
    /// The ARN of the group that takes turns with the first.
    pub(crate) alternate: String,
    /// The ARN of the listener rule of production traffic.
    pub(crate) production: String,
    /// That of test traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) test: Option<String>,
    /// The role that load balancers are spoken to with, as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
}

impl Balanced {
    /// The ARN of the group that tasks are registered with: the first, or its alternate.
    pub(crate) fn side(&self, is_alternate: bool) -> &str {
        let alternate = self.advanced.as_ref().filter(|_| is_alternate);
        alternate.map_or(&self.group, |advanced| &advanced.alternate)
    }
}

/// A target that a task is to be, or is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskTarget {
    /// The group's ARN.
    #[serde(rename = "g")]
    pub(crate) group: Text,
    /// The container.
    #[serde(rename = "n")]
    pub(crate) container: Text,
    /// Its port.
    #[serde(rename = "p")]
    pub(crate) port: u16,
    /// How it is registered; none before it is, and if it could not be.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Registration>,
}

/// A target's registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registration {
    /// The instance's id, or the task's address.
    #[serde(rename = "i")]
    pub(crate) id: Text,
    /// The port there.
    #[serde(rename = "p")]
    pub(crate) port: u16,
    /// When; tells it from others of the same id and port.
    #[serde(rename = "t")]
    pub(crate) since: Timestamp,
    /// Whether it was deregistered.
    #[serde(rename = "d", default, skip_serializing_if = "is_default")]
    pub(crate) is_over: bool,
}

impl TaskTarget {
    /// The registration that stands.
    pub(crate) fn standing(&self) -> Option<&Registration> {
        self.at.as_ref().filter(|at| !at.is_over)
    }
}
