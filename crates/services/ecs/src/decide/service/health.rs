//! When a task counts as healthy (ECS semantics §7.3, §7.5).

use std::time::Duration;

use terms::Timestamp;

use super::view::{Ended, Phase, Rules, Seen};
use crate::model::{Container, Deployment, Health, RolloutState, Service, StopCode, Task};

/// A task without health checks that ends by itself sooner than this after its start has failed
/// to start, however short the time is that the operator lets tasks settle.
const TRIAL: Duration = Duration::from_secs(5);

/// What a task counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It counts towards the minimum.
    Healthy,
    /// It may yet; if nothing is heard of it, at that time.
    Settling(Option<Timestamp>),
    /// Its checks failed.
    Unhealthy,
    /// Its instance is lost.
    Lost,
    /// It was asked to stop.
    Leaving,
}

/// The rules that the tasks of a deployment (or of a task set, if none) are judged by. While the
/// circuit breaker watches the deployment that is rolled out, its tasks are on trial first: where
/// tasks need not settle, one that ends right after its start would else have taken the place of
/// a good one before anybody could see that it fails (docs/decisions/0134).
pub(crate) fn rules_of(service: &Service, of: Option<&Deployment>, rules: &Rules) -> Rules {
    let is_watched = service.configuration.breaker.enable
        && of.is_some_and(|one| {
            one.rollout == RolloutState::InProgress && service.primary == Some(one.id)
        });
    let settle = if is_watched { rules.settle.max(TRIAL) } else { rules.settle };
    Rules { settle, ..*rules }
}

/// What a task of a service counts as at `now`; `grace` is the time after its start in which its
/// checks do not count.
pub(crate) fn verdict(task: &Seen, grace: Duration, rules: &Rules, now: Timestamp) -> Verdict {
    if task.phase == Phase::Stopping {
        return Verdict::Leaving;
    }
    if let Some(lost) = lost_at(task, rules)
        && lost <= now
    {
        return Verdict::Lost;
    }
    let started = match task.phase {
        Phase::Running(started) => started,
        Phase::Pending | Phase::Stopping => return Verdict::Settling(None),
    };
    match task.check {
        None => {
            let settled = started + rules.settle;
            if settled <= now { Verdict::Healthy } else { Verdict::Settling(Some(settled)) }
        }
        Some(Health::Healthy) => Verdict::Healthy,
        Some(Health::Unknown) => Verdict::Settling(None),
        Some(Health::Unhealthy) => {
            let end = started + grace;
            if end <= now { Verdict::Unhealthy } else { Verdict::Settling(Some(end)) }
        }
    }
}

/// When the task is given up, unless its instance's agent comes back.
pub(crate) fn lost_at(task: &Seen, rules: &Rules) -> Option<Timestamp> {
    Some(task.ground.away_since? + rules.lost_after?)
}

/// Whether a task that has stopped is a failure of its deployment: it ended by itself before it
/// was healthy (ECS semantics §8.1), or within the first seconds. What somebody asked for is none.
pub(crate) fn is_failure(ended: &Ended, rules: &Rules) -> bool {
    if !by_itself(ended) {
        return false;
    }
    match (ended.started_at, ended.check) {
        (None, _) => true,
        (Some(started), None) => ended.stopped_at.since(started) < rules.settle.max(TRIAL),
        (Some(_), Some(check)) => check != Health::Healthy,
    }
}

/// Whether a task that has stopped did so though nobody had asked it to: what starts are held back
/// for (ECS semantics §7.6).
pub(crate) fn by_itself(ended: &Ended) -> bool {
    matches!(ended.code, Some(StopCode::TaskFailedToStart | StopCode::EssentialContainerExited))
}

/// What the checks of a task's essential containers say: the worst; none if it has no checks.
pub(crate) fn check(task: &Task) -> Option<Health> {
    let checked = |container: &&Container| container.essential && container.health_check;
    let healths = task.containers.iter().filter(checked).map(|container| container.health);
    healths.reduce(worse)
}

/// The worse of what two checks say.
pub(crate) fn worse(one: Health, other: Health) -> Health {
    match (one, other) {
        (Health::Unhealthy, _) | (_, Health::Unhealthy) => Health::Unhealthy,
        (Health::Unknown, _) | (_, Health::Unknown) => Health::Unknown,
        (Health::Healthy, Health::Healthy) => Health::Healthy,
    }
}
