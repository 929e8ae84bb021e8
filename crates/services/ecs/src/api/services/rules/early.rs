//! Early success of a rolling deployment (ECS semantics §8.3).

use shapes_ecs as shapes;

use crate::error::Error;

/// Checks criteria against the percentage that has to be healthy all the time.
///
/// # Errors
/// When they are on and say too little, or ask for less than must be healthy anyway.
pub(super) fn check(
    criteria: &shapes::DeploymentEarlySuccessCriteria,
    minimum_healthy_percent: i32,
) -> Result<(), Error> {
    if !criteria.enable {
        return Ok(());
    }
    let Some(healthy) = criteria.healthy_percent else {
        return Err(Error::invalid(
            "healthyPercent must be specified when earlySuccessCriteria is enabled",
        ));
    };
    if criteria.source_service_revision_cleanup.is_none() {
        return Err(Error::invalid(
            "sourceServiceRevisionCleanup must be specified when earlySuccessCriteria is enabled",
        ));
    }
    if healthy < minimum_healthy_percent {
        return Err(Error::invalid(
            "healthyPercent must be greater than or equal to minimumHealthyPercent",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria() {
        use shapes::ServiceRevisionCleanup::{Blocking, Deferred};
        let check = |enable, healthy_percent, cleanup, minimum, good: bool| {
            let criteria = shapes::DeploymentEarlySuccessCriteria {
                enable,
                healthy_percent,
                source_service_revision_cleanup: cleanup,
            };
            assert_eq!(super::check(&criteria, minimum).is_ok(), good, "{criteria:?} {minimum}");
        };
        check(false, None, None, 100, true);
        check(false, Some(1), None, 100, true);
        check(true, Some(50), Some(Blocking), 50, true);
        check(true, Some(100), Some(Deferred), 100, true);
        check(true, Some(49), Some(Blocking), 50, false);
        check(true, None, Some(Blocking), 0, false);
        check(true, Some(50), None, 0, false);
    }
}
