//! When the deployment circuit breaker trips (ECS semantics §8.1).

use crate::model::Threshold;

/// Fewest and most failures that a bounded percentage comes to.
const BOUNDS: (u32, u32) = (3, 200);

impl Threshold {
    /// How many failures end a deployment of a service that is to have `desired` tasks.
    pub(crate) fn failures(self, desired: u32) -> u32 {
        let of = |percent: u32| {
            let share = (u64::from(desired) * u64::from(percent)).div_ceil(100);
            u32::try_from(share).unwrap_or(u32::MAX)
        };
        match self {
            Self::BoundedPercent(percent) => of(percent).clamp(BOUNDS.0, BOUNDS.1),
            Self::UnboundedPercent(percent) => of(percent).max(1),
            Self::Count(count) => count.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_follow_the_formula() {
        for desired in 1..=1000_u32 {
            let half = f64::from(desired) * 0.5;
            let expected = (half.ceil() as u32).clamp(3, 200);
            assert_eq!(Threshold::default().failures(desired), expected, "{desired}");
            let all = Threshold::UnboundedPercent(100);
            assert_eq!(all.failures(desired), desired);
            let third = (f64::from(desired) * 33.0 / 100.0).ceil() as u32;
            assert_eq!(Threshold::UnboundedPercent(33).failures(desired), third, "{desired}");
            assert_eq!(Threshold::Count(7).failures(desired), 7);
        }
    }

    #[test]
    fn the_documented_cases() {
        let check = |desired, failures| {
            assert_eq!(Threshold::default().failures(desired), failures, "{desired}");
        };
        check(0, 3);
        check(1, 3);
        check(25, 13);
        check(399, 200);
        check(400, 200);
        check(5000, 200);
        assert_eq!(Threshold::UnboundedPercent(50).failures(0), 1);
        assert_eq!(Threshold::UnboundedPercent(50).failures(5000), 2500);
        assert_eq!(Threshold::Count(0).failures(10), 1);
    }
}
