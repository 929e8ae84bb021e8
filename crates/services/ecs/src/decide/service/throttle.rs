//! Holding starts back when tasks end before they run (ECS semantics §7.6), and keeping a pace where
//! they end soon after (decision 44).

use std::time::Duration;

use terms::Timestamp;

use crate::model::Throttle;

/// How the wait grows with each round of starts in a row that ended in a task that never ran. ECS
/// documents the longest wait and not the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThrottleCurve {
    /// The wait after the first such round.
    pub first: Duration,
    /// What each further round multiplies it by; less than 1 is taken for 1.
    pub factor: f64,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for ThrottleCurve {
    /// A second, doubled each time, up to ECS's 27 minutes.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), factor: 2.0, longest: Duration::from_secs(27 * 60) }
    }
}

impl ThrottleCurve {
    /// The wait after `failures` rounds.
    pub(crate) fn wait(&self, failures: u32) -> Duration {
        let Some(more) = failures.checked_sub(1) else { return Duration::ZERO };
        let more = i32::try_from(more).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.max(1.0).powi(more);
        if seconds < self.longest.as_secs_f64() {
            Duration::from_secs_f64(seconds)
        } else {
            self.longest
        }
    }
}

/// Rounds after which the service says that it cannot start tasks. ECS says so only of what goes
/// on failing.
const IMPAIRED_AFTER: u32 = 3;
/// A task that ends by itself sooner than this after its start ran only briefly.
const BRIEF: Duration = Duration::from_secs(10);
/// The longest wait after such a task. ECS holds nothing back here, but its starts take seconds.
const BRIEF_LONGEST: Duration = Duration::from_secs(10);

impl Throttle {
    /// Whether nothing is to be started at `now`.
    pub(crate) fn holds(&self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| *until > now)
    }

    /// Whether the service is to say that it cannot start tasks.
    pub(crate) fn is_impaired(&self) -> bool {
        self.failures >= IMPAIRED_AFTER
    }

    /// A task that was made at `made` ended at `ended` and never ran. Tasks that were made before
    /// the last such end was counted belong to the same round.
    pub(crate) fn count(&mut self, made: Timestamp, ended: Timestamp, curve: &ThrottleCurve) {
        if self.begins_round(made, ended) {
            self.failures = self.failures.saturating_add(1);
            self.until = Some(ended + curve.wait(self.failures));
        }
    }

    /// A task that was made at `made` came to run at `started` and ended by itself at `ended`.
    /// After the first that ran only briefly nothing is held back: it may have been killed.
    pub(crate) fn count_run(
        &mut self,
        made: Timestamp,
        (started, ended): (Timestamp, Timestamp),
        curve: &ThrottleCurve,
    ) {
        self.ran(started, ended);
        if ended.since(started) < BRIEF && self.begins_round(made, ended) {
            let wait = curve.wait(self.brief).min(BRIEF_LONGEST);
            self.brief = self.brief.saturating_add(1);
            self.until = self.until.max(Some(ended + wait));
        }
    }

    fn begins_round(&mut self, made: Timestamp, ended: Timestamp) -> bool {
        let begins = self.counted_at.is_none_or(|counted| made >= counted);
        if begins {
            self.counted_at = Some(ended.max(made));
        }
        begins
    }

    /// A task came to run at `started` and did so until `seen`: what failed before it does not
    /// matter any more, nor what ran briefly if it did so for longer.
    pub(crate) fn ran(&mut self, started: Timestamp, seen: Timestamp) {
        if self.counted_at.is_none_or(|counted| counted >= started) {
            return;
        }
        self.failures = 0;
        if self.brief == 0 || seen.since(started) >= BRIEF {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn waits_grow_up_to_the_longest() {
        let curve = ThrottleCurve::default();
        let check = |failures, seconds| assert_eq!(curve.wait(failures).as_secs(), seconds);
        check(0, 0);
        check(1, 1);
        check(2, 2);
        check(5, 16);
        check(11, 1024);
        check(12, 27 * 60);
        check(u32::MAX, 27 * 60);
    }

    #[test]
    fn tasks_that_were_made_together_are_one_round() {
        let curve = ThrottleCurve::default();
        let mut throttle = Throttle::default();
        for ended in [10, 11, 12] {
            throttle.count(at(0), at(ended), &curve);
        }
        assert_eq!((throttle.failures, throttle.until), (1, Some(at(11))));
        throttle.count(at(11), at(20), &curve);
        assert_eq!((throttle.failures, throttle.until), (2, Some(at(22))));
        assert_eq!(throttle.holds(at(21)), Some(at(22)));
        assert_eq!(throttle.holds(at(22)), None);
        throttle.ran(at(19), at(21));
        assert_eq!(throttle.failures, 2);
        throttle.ran(at(21), at(21));
        assert_eq!(throttle, Throttle::default());
    }

    #[test]
    fn tasks_that_run_briefly_are_started_at_a_pace() {
        let curve = ThrottleCurve::default();
        let mut throttle = Throttle::default();
        let mut now = 100;
        // Each ends a second after its start; the next one is made as soon as it may be.
        for wait in [0, 1, 2, 4, 8, 10, 10] {
            throttle.count_run(at(now), (at(now), at(now + 1)), &curve);
            assert_eq!(throttle.until, Some(at(now + 1 + wait)), "{wait}");
            now += 1 + wait;
        }
        assert!(!throttle.is_impaired());
        // Those that were made with the one that was counted are of its round.
        let counted = throttle;
        throttle.count_run(at(now - 12), (at(now - 12), at(now - 9)), &curve);
        assert_eq!(throttle, counted);
        // Running is not enough; running for longer is.
        throttle.ran(at(now), at(now + 9));
        assert_eq!(throttle, counted);
        throttle.ran(at(now), at(now + 10));
        assert_eq!(throttle, Throttle::default());
        // What ends after a longer time begins anew.
        throttle.count_run(at(now), (at(now), at(now + 10)), &curve);
        assert_eq!(throttle, Throttle::default());
    }
}
