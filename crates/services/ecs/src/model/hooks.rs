//! Lifecycle hooks: who is asked before a deployment goes on, and what came of it (ECS semantics
//! §10.3).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use super::{Stage, Staged};

/// The longest that a hook may hold a stage up if it does not say: a day (ECS semantics §10.2).
const USUAL_MINUTES: u32 = 24 * 60;

/// A hook of a service's deployments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hook {
    /// Who is asked.
    pub(crate) target: HookTarget,
    /// The role that it is asked with; only kept.
    pub(crate) role: Option<String>,
    /// At which stages.
    pub(crate) stages: Vec<Stage>,
    /// What it is told besides, as JSON.
    pub(crate) details: Option<String>,
    /// For how many minutes it may hold a stage up, if that was said.
    pub(crate) minutes: Option<u32>,
    /// What happens then, if that was said.
    pub(crate) action: Option<HookAction>,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HookTarget {
    /// A function's ARN, or a URL.
    Function(String),
    /// A person.
    Pause,
}

/// What happens when nobody answers in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HookAction {
    /// The service goes back.
    Rollback,
    /// The deployment goes on.
    Continue,
}

/// Where the asking is (API reference, `DeploymentLifecycleHookStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HookStatus {
    /// A person has to say.
    AwaitingAction,
    /// It is asked, perhaps again.
    InProgress,
    /// The deployment may go on.
    Succeeded,
    /// It may not.
    Failed,
    /// Nobody answered in time.
    TimedOut,
}

impl HookStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingAction => "AWAITING_ACTION",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
        }
    }

    /// Whether nothing happens to it any more.
    pub(crate) const fn is_over(self) -> bool {
        match self {
            Self::AwaitingAction | Self::InProgress => false,
            Self::Succeeded | Self::Failed | Self::TimedOut => true,
        }
    }
}

/// One asking: a hook at a stage, or at one step of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HookRun {
    /// The hook's place among those of the deployment.
    pub(crate) hook: u32,
    /// The stage.
    pub(crate) stage: Stage,
    /// The step: the part of production traffic, in thousandths, that the deployment has at it.
    pub(crate) production: u32,
    /// Whether traffic went back: then the answer changes nothing.
    pub(crate) goes_back: bool,
    /// Where it is.
    pub(crate) status: HookStatus,
    /// When it is asked next; never if none.
    pub(crate) call_at: Option<Timestamp>,
    /// How many times in a row it could not be asked.
    #[serde(default)]
    pub(crate) failures: u32,
    /// When it is too late.
    pub(crate) expires_at: Timestamp,
    /// Why it failed, in words.
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

impl HookRun {
    /// The asking of a hook that begins now.
    pub(crate) fn begin(
        (place, hook): (u32, &Hook),
        at: &Staged,
        goes_back: bool,
        now: Timestamp,
    ) -> Self {
        let (status, call_at) = match hook.target {
            HookTarget::Function(_) => (HookStatus::InProgress, Some(now)),
            HookTarget::Pause => (HookStatus::AwaitingAction, None),
        };
        let minutes = hook.minutes.unwrap_or(USUAL_MINUTES);
        Self {
            hook: place,
            stage: at.stage,
            production: at.production,
            goes_back,
            status,
            call_at,
            failures: 0,
            expires_at: now + Duration::from_secs(60 * u64::from(minutes)),
            reason: None,
        }
    }

    /// What it is known by within its service deployment, as in
    /// `0-PRODUCTION_TRAFFIC_SHIFT-500`. The same asking has the same name after a crash.
    pub(crate) fn id(&self) -> String {
        let back = if self.goes_back { "-rollback" } else { "" };
        format!("{}-{}-{}{back}", self.hook, self.stage.as_str(), self.production)
    }

    /// Whether it belongs to this stage and step.
    pub(crate) fn is_at(&self, at: &Staged) -> bool {
        !self.goes_back && self.stage == at.stage && self.production == at.production
    }

    /// Ends it.
    pub(crate) fn end(&mut self, status: HookStatus, reason: Option<String>) {
        (self.status, self.reason, self.call_at) = (status, reason, None);
    }
}

/// What came of a deployment's hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HookRuns {
    /// Those of the stage and step that the deployment is at.
    pub(crate) runs: Vec<HookRun>,
    /// What hooks want to be told next time, as JSON, by their places.
    #[serde(default)]
    pub(crate) details: BTreeMap<u32, String>,
}

impl HookRuns {
    /// The run of this name.
    pub(crate) fn find(&mut self, id: &str) -> Option<&mut HookRun> {
        self.runs.iter_mut().find(|run| run.id() == id)
    }

    /// When the first of them is to be called.
    pub(crate) fn next_call(&self) -> Option<Timestamp> {
        self.runs.iter().filter_map(|run| run.call_at).min()
    }
}
