//! Health of targets: one check after the other for each target, and what follows from them.

mod probe;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::targets::TargetState;
pub(crate) use probe::probe;

/// A target's state as checks tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// No verdict yet.
    #[default]
    Initial,
    /// It passes.
    Healthy,
    /// It fails.
    Unhealthy,
}

/// Why a check failed (Application Load Balancer guide, "Target health status").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// Another status than the wanted ones.
    Code(u16),
    /// No answer in time.
    Timeout,
    /// No answer, or none in HTTP.
    Failed,
}

/// How a target is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Its state.
    pub state: State,
    /// Why the last check failed, if the target is unhealthy.
    pub reason: Option<Reason>,
}

/// What a target's checks add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judge {
    health: Health,
    /// Passes or failures in a row, whichever came last.
    passes: u32,
    failures: u32,
}

impl Judge {
    /// The verdict so far.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Takes over what somebody else decided, and tells whether the verdict is another. What was
    /// counted is forgotten with it.
    pub(crate) fn take_over(&mut self, state: State) -> bool {
        let is_new = self.health.state != state;
        if is_new {
            *self = Self { health: Health { state, reason: None }, ..Self::default() };
        }
        is_new
    }

    /// Notes a check, and tells whether the verdict is another. A new target needs one pass to be
    /// healthy; an unhealthy one `healthy` in a row.
    pub(crate) fn note(&mut self, failed: Option<Reason>, healthy: u32, unhealthy: u32) -> bool {
        let before = self.health.clone();
        match failed {
            None => {
                (self.passes, self.failures) = (self.passes.saturating_add(1), 0);
                let wanted = if before.state == State::Initial { 1 } else { healthy };
                if self.passes >= wanted {
                    self.health = Health { state: State::Healthy, reason: None };
                }
            }
            Some(reason) => {
                (self.passes, self.failures) = (0, self.failures.saturating_add(1));
                if self.failures >= unhealthy || before.state == State::Unhealthy {
                    self.health = Health { state: State::Unhealthy, reason: Some(reason) };
                }
            }
        }
        self.health != before
    }
}

/// Checks a target until it is dropped, as long as nobody else does.
pub(crate) async fn watch(target: Arc<TargetState>) {
    let mut interval: Option<(Duration, tokio::time::Interval)> = None;
    loop {
        let check = target.check.load_full();
        let ticks = match &mut interval {
            Some((period, ticks)) if *period == check.interval => ticks,
            other => {
                let mut ticks = tokio::time::interval(check.interval);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                &mut other.insert((check.interval, ticks)).1
            }
        };
        tokio::select! {
            biased;
            () = target.recheck.notified() => continue,
            _ = ticks.tick() => {}
        }
        let check = target.check.load_full();
        if !target.is_told() {
            let failed = probe(target.address(), &check).await.err();
            target.note(failed, &check);
        }
        target.forget_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_decided_stays_until_checks_say_otherwise() {
        let mut judge = Judge::default();
        assert!(judge.take_over(State::Healthy) && !judge.take_over(State::Healthy));
        assert!(!judge.note(Some(Reason::Timeout), 3, 2), "one failure is no verdict");
        assert!(judge.note(Some(Reason::Timeout), 3, 2));
        assert!(judge.take_over(State::Initial) && judge.note(None, 3, 2));
    }

    #[test]
    fn verdicts_follow_the_thresholds() {
        let mut judge = Judge::default();
        let fail = || Some(Reason::Timeout);
        assert!(!judge.note(fail(), 3, 2), "one failure is no verdict");
        assert!(judge.note(None, 3, 2), "a new target needs one pass");
        assert_eq!(judge.health().state, State::Healthy);
        assert!(!judge.note(fail(), 3, 2));
        assert!(!judge.note(None, 3, 2));
        assert!(!judge.note(fail(), 3, 2), "failures count in a row alone");
        assert!(judge.note(Some(Reason::Code(503)), 3, 2));
        let unhealthy = Health { state: State::Unhealthy, reason: Some(Reason::Code(503)) };
        assert_eq!(*judge.health(), unhealthy);
        assert!(!judge.note(None, 3, 2));
        assert!(!judge.note(None, 3, 2));
        assert!(judge.note(None, 3, 2), "an unhealthy one needs them all");
        let mut new = Judge::default();
        assert!(!new.note(fail(), 3, 2));
        assert!(new.note(fail(), 3, 2), "a new target that fails is unhealthy");
    }
}
