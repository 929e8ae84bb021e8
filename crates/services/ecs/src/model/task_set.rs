//! Task sets of services that somebody else deploys (ECS semantics §11).

use serde::{Deserialize, Serialize};
use shapes_ecs as shapes;
use terms::Timestamp;

use super::machine::machine;
use super::{DeploymentId, Document, Tag, Throttle, Workload};

/// Where a task set is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum TaskSetStatus {
    /// It serves production traffic.
    Primary,
    /// It runs besides.
    Active,
    /// It was deleted, and its tasks end.
    Draining,
}

/// What can happen to a task set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskSetChange {
    /// It was made the primary one.
    Promoted,
    /// Another one was.
    Demoted,
    /// It is deleted.
    Deleted,
}

machine! {
    TaskSetStatus by TaskSetChange {
        Primary { Promoted => Primary, Demoted => Active, Deleted => Draining }
        Active { Promoted => Primary, Demoted => Active, Deleted => Draining }
        Draining { Demoted => Draining, Deleted => Draining }
    }
}

impl TaskSetStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
        }
    }
}

/// Whether a task set is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stability {
    /// It has its computed desired count, all of it healthy and none on a DRAINING instance.
    SteadyState,
    /// It has not.
    Stabilizing,
}

impl Stability {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::SteadyState => "STEADY_STATE",
            Self::Stabilizing => "STABILIZING",
        }
    }
}

/// One task set. Its row is deleted when its last task has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskSet {
    /// Its id; also who started its tasks.
    pub(crate) id: DeploymentId,
    /// Where it is in its life.
    pub(crate) status: TaskSetStatus,
    /// What its tasks are made from.
    pub(crate) workload: Workload,
    /// The percentage of the service's desired count that it has, 0 to 100.
    pub(crate) scale_percent: f64,
    /// `scale_percent` of the service's desired count, rounded up; kept by the scheduler.
    pub(crate) computed_desired: u32,
    /// Whether it is as it should be; kept by the scheduler.
    pub(crate) stability: Stability,
    /// When `stability` was found so.
    pub(crate) stability_at: Timestamp,
    /// What holds its starts back.
    #[serde(default)]
    pub(crate) throttle: Throttle,
    /// What the caller calls it.
    #[serde(default)]
    pub(crate) external_id: Option<String>,
    /// Tags.
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    /// The token of the request that made it.
    #[serde(default)]
    pub(crate) client_token: Option<String>,
    /// That request, to tell a repetition from another one: without its token and its cluster.
    #[serde(default)]
    pub(crate) request: Option<Document<shapes::CreateTaskSetRequest>>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// The last change of it.
    pub(crate) updated_at: Timestamp,
}

impl TaskSet {
    /// How many tasks it has when the service has `desired` (ECS semantics §11).
    pub(crate) fn share_of(&self, desired: u32) -> u32 {
        let share = (f64::from(desired) * self.scale_percent / 100.0).ceil();
        // Never negative, and at most `desired` but for what rounding adds.
        share.clamp(0.0, f64::from(u32::MAX)) as u32
    }
}
