//! Constraints and strategies of services (ECS semantics §6.2, §6.3, §7.1).

use shapes_ecs::{PlacementConstraint, PlacementStrategy};

use super::super::super::{constraints, strategies};
use super::Kind;
use crate::error::Error;

/// Most constraints of a definition and a service together.
const MAX_CONSTRAINTS: usize = 10;

/// Checks constraints and strategies, and gives them; none is as good as an empty list.
///
/// # Errors
/// When one cannot be read, there are too many, or a daemon has strategies.
pub(in crate::api) fn check<'a>(
    kind: Kind,
    constraints: &'a Option<Vec<PlacementConstraint>>,
    strategies: &'a Option<Vec<PlacementStrategy>>,
) -> Result<(&'a [PlacementConstraint], &'a [PlacementStrategy]), Error> {
    let given = constraints.as_deref().unwrap_or_default();
    constraints::read(given)?;
    check_total(0, constraints)?;
    let strategies = said(strategies.as_deref().unwrap_or_default());
    if kind.is_daemon() && !strategies.is_empty() {
        // Observed on ECS, but for its end.
        return Err(Error::invalid(
            "The daemon scheduling strategy does not support placement strategies. Remove the \
             placement strategy and try again",
        ));
    }
    strategies::read(strategies)?;
    Ok((given, strategies))
}

/// Checks how many constraints there are with the `own` ones of a definition.
///
/// # Errors
/// When there are too many.
pub(in crate::api) fn check_total(
    own: usize,
    given: &Option<Vec<PlacementConstraint>>,
) -> Result<(), Error> {
    let count = own + given.as_ref().map_or(0, Vec::len);
    if count > MAX_CONSTRAINTS {
        return Err(Error::invalid("At most 10 placement constraints are allowed."));
    }
    Ok(())
}

/// One strategy that says nothing is as good as none: so UpdateService removes them (API
/// reference).
pub(in crate::api) fn said(given: &[PlacementStrategy]) -> &[PlacementStrategy] {
    match given {
        [PlacementStrategy { type_: None, field: None }] => &[],
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{DAEMON, REPLICA};
    use super::*;

    #[test]
    fn daemons_have_constraints_alone() {
        use shapes_ecs::{PlacementConstraintType, PlacementStrategyType};
        let constraint = PlacementConstraint {
            type_: Some(PlacementConstraintType::DistinctInstance),
            expression: None,
        };
        let random = PlacementStrategy { type_: Some(PlacementStrategyType::Random), field: None };
        let nothing = PlacementStrategy { type_: None, field: None };
        let check = |kind, constraints: usize, strategies: &[&PlacementStrategy], good: bool| {
            let constraints = Some(vec![constraint.clone(); constraints]);
            let strategies = Some(strategies.iter().map(|&one| one.clone()).collect());
            assert_eq!(super::check(kind, &constraints, &strategies).is_ok(), good, "{kind:?}");
        };
        check(REPLICA, 10, &[&random], true);
        check(REPLICA, 11, &[], false);
        check(REPLICA, 0, &[&nothing], true);
        check(REPLICA, 0, &[&nothing, &random], false);
        check(DAEMON, 1, &[], true);
        check(DAEMON, 1, &[&nothing], true);
        check(DAEMON, 0, &[&random], false);
        assert!(check_total(5, &Some(vec![constraint.clone(); 5])).is_ok());
        assert!(check_total(6, &Some(vec![constraint; 5])).is_err());
    }
}
