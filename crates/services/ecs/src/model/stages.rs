//! How deployments with two revisions side by side go (ECS semantics §10).

use serde::{Deserialize, Serialize};
use terms::Timestamp;

/// How a deployment takes the place of the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Strategy {
    /// Task by task.
    #[default]
    Rolling,
    /// All traffic goes over at once.
    BlueGreen,
    /// Traffic goes over in equal steps.
    Linear {
        /// A step, in thousandths.
        step: u32,
        /// Minutes between steps.
        bake_minutes: u32,
    },
    /// A little traffic goes over, then the rest.
    Canary {
        /// The first step, in thousandths.
        part: u32,
        /// Minutes between the two.
        bake_minutes: u32,
    },
}

impl Strategy {
    /// Whether all tasks of a deployment stand before traffic goes over to them.
    pub(crate) fn is_side_by_side(self) -> bool {
        self != Self::Rolling
    }

    /// Which part of the traffic, in thousandths, goes to the new revision after one step more.
    pub(crate) fn after(self, part: u32) -> u32 {
        match self {
            Self::Rolling | Self::BlueGreen => 1000,
            Self::Linear { step, .. } => part.saturating_add(step.max(1)).min(1000),
            Self::Canary { part: first, .. } if part == 0 => first.min(1000),
            Self::Canary { .. } => 1000,
        }
    }

    /// Minutes to wait after a step that was not the last.
    pub(crate) fn step_minutes(self) -> u32 {
        match self {
            Self::Rolling | Self::BlueGreen => 0,
            Self::Linear { bake_minutes, .. } | Self::Canary { bake_minutes, .. } => bake_minutes,
        }
    }
}

/// Where such a deployment is (API reference, `ServiceDeploymentLifecycleStage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// What is left of deployments that were given up goes.
    ReconcileService,
    /// Nothing is started yet.
    PreScaleUp,
    /// The new revision gets all its tasks.
    ScaleUp,
    /// It has them.
    PostScaleUp,
    /// Test traffic goes over.
    TestTrafficShift,
    /// It went.
    PostTestTrafficShift,
    /// A step of production traffic is to go over.
    PreProductionTrafficShift,
    /// Production traffic goes over, a step at a time.
    ProductionTrafficShift,
    /// It went.
    PostProductionTrafficShift,
    /// Both revisions stand.
    BakeTime,
    /// The tasks of the old one end.
    CleanUp,
}

impl Stage {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }

    /// The word by which a service deployment shows it: the model's list of stages lacks one that
    /// hooks have (ECS semantics §10.2), whose shift is what is under way.
    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::PreProductionTrafficShift => Self::ProductionTrafficShift.as_str(),
            other => other.as_str(),
        }
    }
}

/// How far such a deployment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staged {
    /// The stage.
    pub(crate) stage: Stage,
    /// Since when, or since when this step of it.
    pub(crate) since: Timestamp,
    /// The part of production traffic that goes to it, in thousandths.
    pub(crate) production: u32,
    /// The part of test traffic.
    pub(crate) test: u32,
}
