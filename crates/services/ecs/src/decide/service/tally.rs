//! The tasks of one deployment or task set, sorted by what they count as.

use std::time::Duration;

use terms::{TaskId, Timestamp};

use super::health::{self, Verdict};
use super::view::{Phase, Rules, Seen};
use crate::model::DeploymentId;

/// Tasks by what they count as. Those that were asked to stop are not in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally<'a> {
    /// Healthy, on instances that stay.
    pub(crate) healthy: Vec<&'a Seen>,
    /// Not healthy yet, on instances that stay.
    pub(crate) settling: Vec<&'a Seen>,
    /// Their checks failed.
    pub(crate) unhealthy: Vec<&'a Seen>,
    /// Healthy, on DRAINING instances.
    pub(crate) draining_healthy: Vec<&'a Seen>,
    /// RUNNING and not healthy, on DRAINING instances.
    pub(crate) draining_other: Vec<&'a Seen>,
    /// To be stopped at once: not RUNNING yet, on DRAINING instances.
    pub(crate) evicted: Vec<TaskId>,
    /// To be stopped at once: their instance is lost.
    pub(crate) lost: Vec<TaskId>,
    /// How many were asked to stop, and have not.
    pub(crate) leaving: usize,
    /// When the next of them counts as something else.
    pub(crate) changes_at: Option<Timestamp>,
}

impl<'a> Tally<'a> {
    /// Sorts the tasks of `of`.
    pub(crate) fn of(
        of: DeploymentId,
        tasks: &'a [Seen],
        grace: Duration,
        rules: &Rules,
        now: Timestamp,
    ) -> Self {
        let mut tally = Self::default();
        for task in tasks.iter().filter(|task| task.of == of) {
            tally.add(task, health::verdict(task, grace, rules, now));
            let lost = health::lost_at(task, rules).filter(|lost| *lost > now);
            tally.change(lost);
        }
        tally
    }

    fn add(&mut self, task: &'a Seen, verdict: Verdict) {
        let is_draining = task.ground.is_draining;
        match verdict {
            Verdict::Leaving => self.leaving += 1,
            Verdict::Lost => self.lost.push(task.id),
            Verdict::Healthy if is_draining => self.draining_healthy.push(task),
            Verdict::Healthy => self.healthy.push(task),
            Verdict::Settling(until) => {
                self.change(until);
                match (is_draining, task.phase) {
                    (false, _) => self.settling.push(task),
                    (true, Phase::Pending) => self.evicted.push(task.id),
                    (true, Phase::Running(_) | Phase::Stopping) => self.draining_other.push(task),
                }
            }
            Verdict::Unhealthy if is_draining => self.draining_other.push(task),
            Verdict::Unhealthy => self.unhealthy.push(task),
        }
    }

    fn change(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.changes_at = Some(self.changes_at.map_or(at, |known| known.min(at)));
        }
    }

    /// Tasks that are or may become what is wanted: healthy or settling, where they can stay.
    pub(crate) fn good(&self) -> usize {
        self.healthy.len() + self.settling.len()
    }

    /// Tasks that count towards the maximum, once those that are stopped at once are.
    pub(crate) fn all(&self) -> usize {
        self.good() + self.unhealthy.len() + self.draining()
    }

    /// Tasks that count towards the minimum.
    pub(crate) fn each_healthy(&self) -> impl Iterator<Item = &'a Seen> {
        self.healthy.iter().chain(&self.draining_healthy).copied()
    }

    /// How many tasks count towards the minimum.
    pub(crate) fn all_healthy(&self) -> usize {
        self.each_healthy().count()
    }

    /// Tasks on DRAINING instances that are not stopped at once.
    pub(crate) fn draining(&self) -> usize {
        self.draining_healthy.len() + self.draining_other.len()
    }

    /// Whether nothing is left that was not asked to stop.
    pub(crate) fn is_empty(&self) -> bool {
        self.all() == 0 && self.evicted.is_empty() && self.lost.is_empty()
    }
}

/// The ids of tasks that may be stopped for being too many at `now`, and when the next of the
/// others may (ECS semantics §5.5).
pub(crate) fn unprotected(tasks: &[&Seen], now: Timestamp) -> (Vec<TaskId>, Option<Timestamp>) {
    let protection = |task: &&&Seen| task.protected_until.filter(|until| *until > now);
    let free = tasks.iter().filter(|task| protection(task).is_none()).map(|task| task.id);
    let next = tasks.iter().filter_map(|task| protection(&task)).min();
    (free.collect(), next)
}

/// The ids of tasks.
pub(crate) fn ids(tasks: &[&Seen]) -> Vec<TaskId> {
    tasks.iter().map(|task| task.id).collect()
}
