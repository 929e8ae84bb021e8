//! When a rolling deployment is a success before it is whole (ECS semantics §8.3).

use crate::model::EarlySuccess;

impl EarlySuccess {
    /// How many of a deployment's tasks have to be healthy when its service is to have `desired`:
    /// one at least.
    pub(crate) fn required(self, desired: u32) -> u32 {
        let percent = u64::from(desired) * u64::from(self.healthy_percent);
        u32::try_from(percent.div_ceil(100)).unwrap_or(u32::MAX).max(1)
    }

    /// Whether so many healthy tasks are enough; `is_alone` says that nothing is left of what was
    /// before.
    pub(crate) fn is_met(self, desired: u32, healthy: u32, is_alone: bool) -> bool {
        healthy >= self.required(desired) && (self.deferred || is_alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_up_and_one_is_needed() {
        let check = |healthy_percent, desired, expected| {
            let early = EarlySuccess { healthy_percent, deferred: false };
            assert_eq!(early.required(desired), expected, "{healthy_percent} % of {desired}");
        };
        check(50, 3, 2);
        check(100, 7, 7);
        check(1, 1_000, 10);
        check(0, 5, 1);
        check(80, 0, 1);
    }

    #[test]
    fn what_was_before_goes_first_or_later() {
        let check = |deferred, healthy, is_alone, expected| {
            let early = EarlySuccess { healthy_percent: 50, deferred };
            assert_eq!(early.is_met(4, healthy, is_alone), expected, "{deferred} {healthy}");
        };
        check(false, 2, false, false);
        check(false, 2, true, true);
        check(true, 2, false, true);
        check(true, 1, true, false);
    }
}
