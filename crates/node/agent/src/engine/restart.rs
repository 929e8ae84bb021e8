//! Restarts in place: when a container that has ended is started again (ecs-semantics §3.4,
//! `restartPolicy`).
//!
//! While one is on its way the container counts as running, as in Amazon's agent: neither the task
//! nor the server hears of it. The decision is journaled before anything is done, with its number;
//! the runtime keeps the number too and tells it with each end, so a crash in between neither
//! forgets a restart nor does it twice.

use std::time::Duration;

use agent_protocol::task::{DesiredStatus, RestartPolicy};
use terms::Timestamp;

use super::container::Stop;
use super::event::{Command, End, Failure, Record};
use super::health::Health;
use super::phase::Phase;
use super::{Outcome, TaskState};

/// How long a container must have run, and the time between two restarts, if the policy says
/// nothing: API reference, `ContainerRestartPolicy`.
const PERIOD_DEFAULT: Duration = Duration::from_secs(300);

/// What is known of a container's restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    /// How many there were, one that is on its way included.
    pub count: u32,
    /// How the container ended before the last one.
    pub last: Option<End>,
    /// Whether that one is on its way.
    pub is_pending: bool,
}

/// Whether a container that ended so is to run again. As Amazon's agent has it: not if its code is
/// to be ignored, and not before a whole period since its start, or its last restart.
pub(super) fn is_due(policy: Option<&RestartPolicy>, restarts: &Restarts, end: &End) -> bool {
    let Some(policy) = policy.filter(|policy| policy.enabled) else { return false };
    let period = policy.restart_attempt_period.map(|seconds| Duration::from_secs(seconds.into()));
    let since = restarts.last.as_ref().map(|end| end.at).or(end.started_at);
    let is_heeded = end.code.is_some_and(|code| !policy.ignored_exit_codes.contains(&code));
    is_heeded && since.is_some_and(|at| end.at.since(at) >= period.unwrap_or(PERIOD_DEFAULT))
}

impl TaskState {
    /// A container has ended by itself: it is restarted, or that is its end. `restarts` is how often
    /// it had been restarted when it ended: an end that was heard of before changes nothing.
    pub(super) fn exited(&mut self, index: usize, restarts: u32, end: End, out: &mut Outcome) {
        let container = &self.containers[index];
        if restarts < container.restarts.count {
            return;
        }
        let end = End { started_at: container.started_at.or(end.started_at), ..end };
        let policy = self.task.containers[index].restart_policy.as_ref();
        let goes_on = self.desired == DesiredStatus::Running
            && container.phase == Phase::Running
            && container.stop == Stop::NotAsked;
        if !goes_on || !is_due(policy, &container.restarts, &end) {
            return self.end(index, end, out);
        }
        let count = container.restarts.count + 1;
        let task = self.task.arn.clone();
        out.records.push(Record::Restarting { task, index, count, end: end.clone() });
        self.note_restart(index, count, end);
        self.ask_restart(index, out);
    }

    /// Takes a restart for begun.
    pub(super) fn note_restart(&mut self, index: usize, count: u32, end: End) {
        let Some(container) = self.containers.get_mut(index) else { return };
        container.restarts = Restarts { count, last: Some(end), is_pending: true };
        if let Some(health) = &mut container.health {
            health.next_at = None;
        }
    }

    /// Asks for the restart that is to be.
    pub(super) fn ask_restart(&self, index: usize, out: &mut Outcome) {
        let container = &self.containers[index];
        let (id, count) = (container.id.clone(), container.restarts.count);
        out.commands.push(Command::Restart { container: self.reference(index), id, count });
    }

    /// After a crash: asks for what was on its way, unless the task is to stop.
    pub(super) fn go_on_restarting(&mut self, index: usize, out: &mut Outcome) {
        match self.desired {
            DesiredStatus::Running => self.ask_restart(index, out),
            DesiredStatus::Stopped => self.end_at_last(index, None, out),
        }
    }

    /// A restart was done, or could not be.
    pub(super) fn restarted(
        &mut self,
        index: usize,
        result: Result<Timestamp, Failure>,
        out: &mut Outcome,
    ) {
        let container = &mut self.containers[index];
        if !container.restarts.is_pending {
            return;
        }
        match result {
            Ok(at) => {
                container.restarts.is_pending = false;
                container.started_at = Some(at);
                let Some(health) = &mut container.health else { return };
                *health = Health::new(health.plan.clone(), at);
                health.next_at = Some(at + health.plan.interval);
                let (status, since) = (health.status, health.since);
                let task = self.task.arn.clone();
                out.records.push(Record::Health { task, index, status, since });
                out.commands.push(Command::HealthChanged);
            }
            Err(failure) => self.end_at_last(index, Some(&failure), out),
        }
    }

    /// There is no restart: how the container ended before it is its end.
    fn end_at_last(&mut self, index: usize, failure: Option<&Failure>, out: &mut Outcome) {
        let Some(end) = self.containers[index].restarts.last.clone() else { return };
        let why = failure.map(|failure| format!("the container was not restarted: {failure}"));
        self.end(index, End { reason: end.reason.clone().or(why), ..end }, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_due_after_a_period_and_a_code_that_counts() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let policy = |period| RestartPolicy {
            enabled: true,
            ignored_exit_codes: vec![0, 3],
            restart_attempt_period: period,
        };
        let end = |code, started: Option<i64>, ended: i64| End {
            code,
            reason: None,
            at: at(ended),
            started_at: started.map(at),
        };
        let never = Restarts::default();
        let check = |policy: &RestartPolicy, restarts: &Restarts, end: &End, expected: bool| {
            assert_eq!(is_due(Some(policy), restarts, end), expected, "{policy:?} {end:?}");
        };
        let minute = policy(Some(60));
        check(&minute, &never, &end(Some(1), Some(0), 60), true);
        check(&minute, &never, &end(Some(1), Some(0), 59), false);
        check(&minute, &never, &end(Some(0), Some(0), 90), false);
        check(&minute, &never, &end(Some(3), Some(0), 90), false);
        check(&minute, &never, &end(None, Some(0), 90), false);
        check(&minute, &never, &end(Some(1), None, 90), false);
        check(&policy(None), &never, &end(Some(1), Some(0), 299), false);
        check(&policy(None), &never, &end(Some(1), Some(0), 300), true);
        let last = Some(end(Some(1), Some(0), 100));
        let before = Restarts { count: 1, last, is_pending: false };
        check(&minute, &before, &end(Some(1), Some(101), 159), false);
        check(&minute, &before, &end(Some(1), Some(101), 160), true);
        let off = RestartPolicy { enabled: false, ..minute };
        check(&off, &never, &end(Some(1), Some(0), 90), false);
        assert!(!is_due(None, &never, &end(Some(1), Some(0), 900)));
    }
}
