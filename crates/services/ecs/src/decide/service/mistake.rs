//! Deliberate mistakes of the scheduler: a simulation that does not find them checks nothing
//! (docs/simulation.md). Each shows [`super::decide`] something that is not so, or spoils what it
//! answers. Nothing but `Ecs::err_on_purpose` makes one.

use std::time::Duration;

use terms::Timestamp;

use super::Rows;
use super::view::{Decision, Rules, View};
use crate::model::{Health, RolloutState, ServiceStatus};

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Healthy tasks are stopped whatever the minimum says.
    ForgetsMinimum,
    /// Tasks are started whatever the maximum says.
    ForgetsMaximum,
    /// A task counts as healthy as soon as it runs.
    TrustsAtOnce,
    /// What health checks say counts for good.
    TrustsChecks,
    /// One more is started than is wanted.
    StartsOneMore,
    /// What is left of earlier deployments is not seen.
    LosesSightOfOld,
    /// A deleted service is over while a task of it still runs.
    LeavesOneBehind,
    /// Protected tasks are stopped like any other.
    IgnoresProtection,
    /// The circuit breaker never trips.
    NeverGivesUp,
    /// The circuit breaker trips at the first failure.
    GivesUpAtOnce,
    /// What failed is not taken back.
    ForgetsRollback,
    /// What failed goes on being started.
    GoesOnAfterFailure,
    /// It goes back to the earliest that is known, and not to the last that was complete.
    GoesBackTooFar,
    /// A service says nothing of deployments.
    KeepsSilent,
    /// No alarm ends a deployment.
    IgnoresAlarms,
    /// Each task set has all of the service's tasks.
    TakesWholeShares,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::ForgetsMinimum,
        Self::ForgetsMaximum,
        Self::TrustsAtOnce,
        Self::TrustsChecks,
        Self::StartsOneMore,
        Self::LosesSightOfOld,
        Self::LeavesOneBehind,
        Self::IgnoresProtection,
        Self::NeverGivesUp,
        Self::GivesUpAtOnce,
        Self::ForgetsRollback,
        Self::GoesOnAfterFailure,
        Self::GoesBackTooFar,
        Self::KeepsSilent,
        Self::IgnoresAlarms,
        Self::TakesWholeShares,
    ];

    /// As [`super::decide`], with the mistake.
    pub(crate) fn decide(self, view: &View, rules: &Rules, now: Timestamp) -> (Rows, Decision) {
        let (mut wrong, mut wrong_rules) = (view.clone(), *rules);
        self.mislead(&mut wrong, &mut wrong_rules);
        let (mut rows, mut decision) = super::decide(&wrong, &wrong_rules, now);
        self.spoil(&mut decision);
        // The rows keep what was not to be changed.
        rows.service.configuration = view.service.configuration.clone();
        for row in &mut rows.deployments {
            let shown = wrong.deployments.iter().find(|one| one.id == row.id);
            let known = view.deployments.iter().find(|one| one.id == row.id);
            let (Some(shown), Some(known)) = (shown, known) else { continue };
            if row.completed_at == shown.completed_at {
                row.completed_at = known.completed_at;
            }
            if row.rollout == shown.rollout {
                row.rollout = known.rollout;
            }
        }
        for set in &mut rows.task_sets {
            let known = view.task_sets.iter().find(|one| one.id == set.id);
            set.scale_percent = known.map_or(set.scale_percent, |one| one.scale_percent);
        }
        (rows, decision)
    }

    fn mislead(self, view: &mut View, rules: &mut Rules) {
        let configuration = &mut view.service.configuration;
        match self {
            Self::ForgetsMinimum => configuration.minimum_healthy_percent = 0,
            Self::ForgetsMaximum => configuration.maximum_percent = 300,
            Self::TrustsAtOnce => rules.settle = Duration::ZERO,
            Self::TrustsChecks => {
                let checked = view.tasks.iter_mut().filter(|task| task.check.is_some());
                checked.for_each(|task| task.check = Some(Health::Healthy));
            }
            Self::LosesSightOfOld => {
                let primary = view.service.primary;
                view.tasks.retain(|task| Some(task.of) == primary);
            }
            Self::LeavesOneBehind if view.service.status == ServiceStatus::Draining => {
                view.tasks.pop();
            }
            Self::IgnoresProtection => {
                view.tasks.iter_mut().for_each(|task| task.protected_until = None);
            }
            Self::NeverGivesUp => configuration.breaker.enable = false,
            Self::GivesUpAtOnce => {
                configuration.breaker.threshold = crate::model::Threshold::Count(1);
            }
            Self::ForgetsRollback => configuration.breaker.rollback = false,
            Self::GoesOnAfterFailure => {
                let failed = view.deployments.iter_mut();
                for one in failed.filter(|one| one.rollout == RolloutState::Failed) {
                    one.rollout = RolloutState::InProgress;
                    configuration.breaker.enable = false;
                }
            }
            Self::GoesBackTooFar => {
                // Backwards: the last comes first.
                let complete = view.deployments.iter().filter_map(|one| one.completed_at);
                let (least, most) = (complete.clone().min(), complete.max());
                let (Some(least), Some(most)) = (least, most) else { return };
                for one in &mut view.deployments {
                    one.completed_at = one.completed_at.map(|at| least + most.since(at));
                }
            }
            Self::IgnoresAlarms => view.alarms.alarming.clear(),
            Self::TakesWholeShares => {
                view.task_sets.iter_mut().for_each(|set| set.scale_percent = 100.0);
            }
            Self::LeavesOneBehind | Self::StartsOneMore | Self::KeepsSilent => {}
        }
    }

    fn spoil(self, decision: &mut Decision) {
        match self {
            Self::StartsOneMore => {
                let planned = decision.starts.iter_mut().filter(|start| start.on.is_empty());
                planned.for_each(|start| start.count += 1);
            }
            Self::KeepsSilent => {
                use crate::model::ServiceEventKind as Kind;
                decision.events.retain(|(kind, _)| {
                    !matches!(
                        kind,
                        Kind::DeploymentCompleted(_)
                            | Kind::DeploymentFailed(_)
                            | Kind::DeploymentStopped(_)
                    )
                });
            }
            _ => {}
        }
    }
}
