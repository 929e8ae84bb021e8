//! Deployments: one record for an entry of `deployments[]` and for the service deployment behind
//! it (ECS semantics §8, §9).

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use super::machine::machine;
use super::{
    DeploymentConfiguration, DeploymentId, HookRuns, RevisionId, ServiceDeploymentId, Staged,
};

/// Where a deployment stands among those of its service (`Deployment.status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum DeploymentStatus {
    /// The current one.
    Primary,
    /// It still has tasks, and another one takes its place.
    Active,
    /// It has none; it is no longer shown among `deployments`.
    Inactive,
}

/// What can happen to a deployment's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeploymentChange {
    /// Another one took its place.
    Replaced,
    /// Its last task is gone, and what took its place is complete.
    Drained,
    /// What took its place failed, and the service goes back to it.
    Restored,
    /// Its service has ended.
    ServiceEnded,
}

machine! {
    DeploymentStatus by DeploymentChange {
        Primary { Replaced => Active, Restored => Primary, ServiceEnded => Inactive }
        Active { Replaced => Active, Drained => Inactive, Restored => Primary, ServiceEnded => Inactive }
        Inactive { Replaced => Inactive, Drained => Inactive, Restored => Primary, ServiceEnded => Inactive }
    }
}

impl DeploymentStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// How far a deployment has come (`Deployment.rolloutState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum RolloutState {
    /// Tasks are being replaced.
    InProgress,
    /// All are, and healthy; nothing is left of those before it.
    Completed,
    /// It was given up.
    Failed,
}

/// What can happen to a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RolloutChange {
    /// All tasks are replaced and healthy, and it has baked.
    Finished,
    /// The circuit breaker, an alarm or a person ended it.
    GivenUp,
    /// The service goes back to it.
    Restored,
}

machine! {
    RolloutState by RolloutChange {
        InProgress { Finished => Completed, GivenUp => Failed, Restored => InProgress }
        Completed { Finished => Completed, Restored => InProgress }
        Failed { GivenUp => Failed, Restored => InProgress }
    }
}

impl RolloutState {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// Where a service deployment is in its life (`ServiceDeployment.status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(clippy::enum_variant_names, reason = "these are the API's own names of the states")]
pub(crate) enum Progress {
    /// The scheduler has yet to look at it.
    Pending,
    /// Tasks are being replaced.
    InProgress,
    /// All are.
    Successful,
    /// It is to end: a newer one began, or it failed and nothing is rolled back.
    StopRequested,
    /// It ended before it was done.
    Stopped,
    /// Somebody wants it taken back.
    RollbackRequested,
    /// It is being taken back.
    RollbackInProgress,
    /// It was taken back.
    RollbackSuccessful,
    /// It could not be taken back.
    RollbackFailed,
}

/// What can happen to a service deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressChange {
    /// The scheduler took it up.
    Started,
    /// All tasks are replaced.
    Succeeded,
    /// It is to end.
    StopRequested,
    /// It has ended.
    Stopped,
    /// Somebody wants it taken back.
    RollbackRequested,
    /// The service goes back to an earlier one.
    RollbackStarted,
    /// The service has gone back.
    RolledBack,
    /// There is nothing to go back to, or going back was itself replaced.
    RollbackFailed,
}

machine! {
    Progress by ProgressChange {
        Pending {
            Started => InProgress, StopRequested => StopRequested, Stopped => Stopped,
            RollbackRequested => RollbackRequested, RollbackStarted => RollbackInProgress,
        }
        InProgress {
            Started => InProgress, Succeeded => Successful, StopRequested => StopRequested,
            Stopped => Stopped, RollbackRequested => RollbackRequested,
            RollbackStarted => RollbackInProgress,
        }
        Successful {}
        StopRequested {
            StopRequested => StopRequested, Stopped => Stopped,
            RollbackRequested => RollbackRequested,
        }
        Stopped {}
        RollbackRequested {
            RollbackRequested => RollbackRequested, RollbackStarted => RollbackInProgress,
            RollbackFailed => RollbackFailed, StopRequested => StopRequested, Stopped => Stopped,
        }
        RollbackInProgress { RolledBack => RollbackSuccessful, RollbackFailed => RollbackFailed }
        RollbackSuccessful {}
        RollbackFailed {}
    }
}

impl Progress {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::StopRequested => "STOP_REQUESTED",
            Self::Stopped => "STOPPED",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }

    /// Whether nothing happens to it any more.
    pub(crate) const fn is_over(self) -> bool {
        match self {
            Self::Successful | Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed => {
                true
            }
            Self::Pending
            | Self::InProgress
            | Self::StopRequested
            | Self::RollbackRequested
            | Self::RollbackInProgress => false,
        }
    }
}

/// What the circuit breaker or the alarms of a deployment do
/// (`ServiceDeploymentRollbackMonitorsStatus`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MonitorStatus {
    /// Nothing: they are off.
    #[default]
    Disabled,
    /// They watch.
    Monitoring,
    /// They found fault.
    Triggered,
    /// They watched, and found none.
    Complete,
}

impl MonitorStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::Monitoring => "MONITORING",
            Self::Triggered => "TRIGGERED",
            Self::Complete => "MONITORING_COMPLETE",
        }
    }
}

/// What holds the starts of a deployment's tasks back (ECS semantics §7.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Throttle {
    /// How many rounds of starts in a row ended in a task that never ran.
    pub(crate) failures: u32,
    /// How many rounds of starts in a row ended in a task that ran only briefly.
    #[serde(default)]
    pub(crate) brief: u32,
    /// When the last round of either kind was counted: tasks made before it do not count again.
    pub(crate) counted_at: Option<Timestamp>,
    /// Until when nothing is started.
    pub(crate) until: Option<Timestamp>,
}

/// What a service goes back to when a deployment fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rollback {
    /// The deployment.
    pub(crate) to: DeploymentId,
    /// Its revision.
    pub(crate) revision: RevisionId,
    /// Why.
    pub(crate) reason: String,
    /// Since when.
    pub(crate) started_at: Timestamp,
}

/// How many tasks of a revision there were when its deployment ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskCounts {
    /// How many there were to be.
    pub(crate) requested: u32,
    /// How many were RUNNING.
    pub(crate) running: u32,
    /// How many were on their way there.
    pub(crate) pending: u32,
}

/// One deployment of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    /// As in `ecs-svc/1234567890123456789`; also who started its tasks.
    pub(crate) id: DeploymentId,
    /// The last part of the service deployment's ARN.
    pub(crate) service_deployment: ServiceDeploymentId,
    /// Where it stands among those of its service.
    pub(crate) status: DeploymentStatus,
    /// How far it has come.
    pub(crate) rollout: RolloutState,
    /// Why it is there, in words.
    pub(crate) rollout_reason: String,
    /// Where the service deployment is in its life.
    pub(crate) progress: Progress,
    /// Why it is there, in words; none if there is nothing to say.
    #[serde(default)]
    pub(crate) progress_reason: Option<String>,
    /// What it brings.
    pub(crate) revision: RevisionId,
    /// What there was before it.
    #[serde(default)]
    pub(crate) sources: Vec<RevisionId>,
    /// How it was to go when it began.
    pub(crate) configuration: DeploymentConfiguration,
    /// How many tasks it is to have: of the primary one the service's desired count, of those
    /// before it as many as it has yet to replace.
    pub(crate) desired: u32,
    /// The service's desired count that `desired` belongs to.
    pub(crate) of: u32,
    /// Tasks that failed, as the circuit breaker counts them.
    #[serde(default)]
    pub(crate) failed_tasks: u32,
    /// How many of its tasks were healthy at the last look while it was in progress.
    #[serde(default)]
    pub(crate) healthy: u32,
    /// The circuit breaker.
    #[serde(default)]
    pub(crate) breaker: MonitorStatus,
    /// The alarms.
    #[serde(default)]
    pub(crate) alarms: MonitorStatus,
    /// The alarms that ended it.
    #[serde(default)]
    pub(crate) triggered: Vec<String>,
    /// Whether its tasks are in the alternate target groups.
    #[serde(default)]
    pub(crate) is_alternate: bool,
    /// How far it has come, if two revisions stand side by side meanwhile.
    #[serde(default)]
    pub(crate) stage: Option<Staged>,
    /// Who was asked whether it may go on.
    #[serde(default)]
    pub(crate) hooks: HookRuns,
    /// Since when all its tasks are replaced and it bakes.
    #[serde(default)]
    pub(crate) baking_since: Option<Timestamp>,
    /// What holds its starts back.
    #[serde(default)]
    pub(crate) throttle: Throttle,
    /// What the service goes back to, since this failed.
    #[serde(default)]
    pub(crate) rollback: Option<Rollback>,
    /// How many tasks there were when it ended.
    #[serde(default)]
    pub(crate) counts: Option<TaskCounts>,
    /// How many tasks there were then of what was before it; those that are missing had none.
    #[serde(default)]
    pub(crate) source_counts: Vec<(RevisionId, TaskCounts)>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// The last change of `status`, `rollout` or `progress`.
    pub(crate) updated_at: Timestamp,
    /// When the scheduler took it up.
    #[serde(default)]
    pub(crate) started_at: Option<Timestamp>,
    /// When somebody asked for its end.
    #[serde(default)]
    pub(crate) stopped_at: Option<Timestamp>,
    /// When its service deployment was over.
    #[serde(default)]
    pub(crate) finished_at: Option<Timestamp>,
    /// When it was COMPLETED last.
    #[serde(default)]
    pub(crate) completed_at: Option<Timestamp>,
}

impl Deployment {
    /// A deployment that begins now, of a service that is to have `desired` tasks.
    pub(crate) fn new(
        id: DeploymentId,
        service_deployment: ServiceDeploymentId,
        revision: RevisionId,
        sources: Vec<RevisionId>,
        configuration: DeploymentConfiguration,
        desired: u32,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            service_deployment,
            status: DeploymentStatus::Primary,
            rollout: RolloutState::InProgress,
            rollout_reason: format!("ECS deployment {id} in progress."),
            progress: Progress::Pending,
            progress_reason: None,
            revision,
            sources,
            configuration,
            desired,
            of: desired,
            failed_tasks: 0,
            healthy: 0,
            breaker: MonitorStatus::Disabled,
            alarms: MonitorStatus::Disabled,
            triggered: Vec::new(),
            is_alternate: false,
            stage: None,
            hooks: HookRuns::default(),
            baking_since: None,
            throttle: Throttle::default(),
            rollback: None,
            counts: None,
            source_counts: Vec::new(),
            created_at: now,
            updated_at: now,
            started_at: None,
            stopped_at: None,
            finished_at: None,
            completed_at: None,
        }
    }

    /// When the first of its hooks is to be called, if it is still of interest what they say.
    pub(crate) fn next_call(&self) -> Option<Timestamp> {
        let is_asked = self.progress == Progress::InProgress || self.rollback.is_some();
        self.hooks.next_call().filter(|_| is_asked)
    }

    /// The deployment after a newer one took its place at `now`.
    pub(crate) fn replaced(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.status = next.status.next(DeploymentChange::Replaced).unwrap_or(next.status);
        next.updated_at = now;
        if let Ok(progress) = next.progress.next(ProgressChange::StopRequested) {
            next.progress = progress;
            next.progress_reason = Some("A newer deployment started.".to_owned());
            next.stopped_at.get_or_insert(now);
        }
        next
    }
}
