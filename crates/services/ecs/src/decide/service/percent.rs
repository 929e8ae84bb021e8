//! How few and how many tasks a service may have while tasks are replaced (ECS semantics §7.2).

use crate::model::DeploymentConfiguration;

/// The bounds that percentages of a desired count make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Fewest healthy tasks: rounded up.
    pub(crate) lower: u32,
    /// Most tasks that are RUNNING or on their way there, over all deployments: rounded down.
    pub(crate) upper: u32,
}

impl Bounds {
    /// The bounds of a service that is to have `desired` tasks.
    pub(crate) fn of(desired: u32, configuration: &DeploymentConfiguration) -> Self {
        let percent = |percent: u32| u64::from(desired) * u64::from(percent);
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            lower: count(percent(configuration.minimum_healthy_percent).div_ceil(100)),
            upper: count(percent(configuration.maximum_percent) / 100),
        }
    }
}

/// `part`, which belongs to a whole of `before`, for a whole of `after`: rounded up when it grows,
/// down when it shrinks, so that revisions are scaled together (ECS semantics §7.4).
pub(crate) fn scaled(part: u32, before: u32, after: u32) -> u32 {
    if before == 0 {
        return 0;
    }
    let product = u64::from(part) * u64::from(after);
    let scaled = if after > before {
        product.div_ceil(u64::from(before))
    } else {
        product / u64::from(before)
    };
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_round_as_ecs_does() {
        let check = |desired, minimum, maximum, lower, upper| {
            let configuration = DeploymentConfiguration {
                minimum_healthy_percent: minimum,
                maximum_percent: maximum,
                ..DeploymentConfiguration::replica()
            };
            let bounds = Bounds::of(desired, &configuration);
            assert_eq!(bounds, Bounds { lower, upper }, "{desired} {minimum} {maximum}");
        };
        check(4, 50, 200, 2, 8);
        check(2, 75, 100, 2, 2);
        check(3, 100, 125, 3, 3);
        check(1, 50, 150, 1, 1);
        check(0, 100, 200, 0, 0);
        check(10, 0, 100, 0, 10);
        check(3, 34, 167, 2, 5);
        check(u32::MAX, 100, 200, u32::MAX, u32::MAX);
    }

    #[test]
    fn parts_follow_their_whole() {
        let check = |part, before, after, expected| {
            assert_eq!(scaled(part, before, after), expected, "{part} of {before} for {after}");
        };
        check(5, 10, 20, 10);
        check(5, 10, 13, 7);
        check(5, 10, 4, 2);
        check(3, 10, 4, 1);
        check(5, 10, 10, 5);
        check(5, 0, 10, 0);
        check(0, 10, 20, 0);
    }
}
