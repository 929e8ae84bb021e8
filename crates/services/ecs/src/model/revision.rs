//! Service revisions: what a deployment brings.

use serde::{Deserialize, Serialize};
use shapes_ecs as shapes;
use terms::{TaskDefinitionArn, Timestamp};

use super::{Balanced, CapacityChoice, Document, Platform, RevisionId};

/// What tasks of a revision or of a task set are made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Workload {
    /// What they run.
    pub(crate) definition: TaskDefinitionArn,
    /// What they go to.
    pub(crate) capacity: CapacityChoice,
    /// Fargate's platform version, as given.
    #[serde(default)]
    pub(crate) platform_version: Option<String>,
    /// Subnets and security groups, as given.
    #[serde(default)]
    pub(crate) network: Option<Document<shapes::NetworkConfiguration>>,
    /// The EBS volume that each task gets, as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) volume: Option<Document<shapes::ServiceVolumeConfiguration>>,
    /// The target groups that forward to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) balanced: Vec<Balanced>,
}

impl Workload {
    /// Fargate's platform, if its tasks go there.
    pub(crate) fn platform(&self) -> Option<Platform> {
        let platform = Platform::read(self.platform_version.as_deref());
        platform.filter(|_| self.capacity.is_fargate())
    }
}

/// The image of one container, and what its tag was found to mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevisionImage {
    /// The container.
    pub(crate) container: String,
    /// The image as written.
    pub(crate) image: String,
    /// `sha256:…`, once it is known; later tasks run just that.
    #[serde(default)]
    pub(crate) digest: Option<String>,
    /// Whether its tag is fixed at all.
    #[serde(default)]
    pub(crate) consistency: Consistency,
}

/// What a container definition says of its image's tag (`versionConsistency`; ECS semantics §7.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Consistency {
    /// Nothing: it is fixed, unless too many tasks fail before one can tell what it means.
    #[default]
    Unsaid,
    /// It is fixed, however long that takes.
    Enabled,
    /// It is used as written, whatever it means by then.
    Disabled,
}

/// Whether the tags of a revision's images are fixed (ECS semantics §7.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Resolution {
    /// The first task has yet to tell.
    #[default]
    Open,
    /// They are.
    Fixed,
    /// Too many tasks failed before one could tell: tags are used as written.
    GivenUp,
}

/// One service revision. Immutable but for what its images were found to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Revision {
    /// Its number.
    pub(crate) id: RevisionId,
    /// What its tasks are made from.
    pub(crate) workload: Workload,
    /// The images of its containers, in the order of the task definition.
    #[serde(default)]
    pub(crate) images: Vec<RevisionImage>,
    /// Whether they are fixed.
    #[serde(default)]
    pub(crate) resolution: Resolution,
    /// When it was made.
    pub(crate) created_at: Timestamp,
}
