//! Availability Zone rebalancing: what goes with it (ECS semantics §7.12).

use placement::ZONE;
use shapes_ecs as shapes;
use shapes_ecs::AvailabilityZoneRebalancing as Rebalancing;

use super::Kind;
use crate::error::Error;

/// What rebalancing depends on.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Facts<'a> {
    /// REPLICA or DAEMON, ECS or EXTERNAL.
    pub(in crate::api) kind: Kind,
    /// The most tasks during a deployment, in percent of the desired count.
    pub(in crate::api) maximum_percent: u32,
    /// Placement strategies.
    pub(in crate::api) strategies: &'a [shapes::PlacementStrategy],
    /// Placement constraints.
    pub(in crate::api) constraints: &'a [shapes::PlacementConstraint],
}

impl Facts<'_> {
    /// Why a service cannot be rebalanced, if it cannot.
    fn hindrance(&self) -> Option<&'static str> {
        let first = self.strategies.first();
        if self.kind.is_daemon() {
            // Observed on ECS.
            Some("Availability Zone Rebalancing does not support DAEMON services")
        } else if self.kind.is_external() {
            Some(
                "Availability Zone Rebalancing does not support the EXTERNAL deployment controller",
            )
        } else if self.maximum_percent <= 100 {
            // Observed on ECS.
            Some(
                "Availability Zone Rebalancing does not support maximumPercent <= 100 % as \
                 deployment configuration.",
            )
        } else if first.is_some_and(|one| !spreads_over_zones(one)) {
            Some(
                "Availability Zone Rebalancing requires attribute:ecs.availability-zone spread as \
                 the first placement strategy, or no placement strategy.",
            )
        } else if self.constraints.iter().any(names_zone) {
            Some(
                "Availability Zone Rebalancing does not support \
                 attribute:ecs.availability-zone as a placement constraint.",
            )
        } else {
            None
        }
    }

    /// What a service that is made gets. One that says nothing is rebalanced if it can be
    /// (observed on ECS for a maximum of 100 percent).
    ///
    /// # Errors
    /// When it is asked for and cannot be.
    pub(in crate::api) fn at_first(
        &self,
        given: Option<Rebalancing>,
    ) -> Result<Rebalancing, Error> {
        match (given, self.hindrance()) {
            (Some(Rebalancing::Disabled), _) | (None, Some(_)) => Ok(Rebalancing::Disabled),
            (Some(Rebalancing::Enabled) | None, None) => Ok(Rebalancing::Enabled),
            (Some(Rebalancing::Enabled), Some(text)) => Err(Error::invalid(text)),
        }
    }

    /// What a service that is changed has then; `old` is what it had.
    ///
    /// # Errors
    /// When it is to be rebalanced, as before or from now on, and cannot be.
    pub(in crate::api) fn later(
        &self,
        old: Rebalancing,
        given: Option<Rebalancing>,
    ) -> Result<Rebalancing, Error> {
        self.at_first(Some(given.unwrap_or(old)))
    }
}

fn spreads_over_zones(strategy: &shapes::PlacementStrategy) -> bool {
    strategy.type_ == Some(shapes::PlacementStrategyType::Spread)
        && strategy.field.as_deref().and_then(|field| field.strip_prefix("attribute:"))
            == Some(ZONE)
}

fn names_zone(constraint: &shapes::PlacementConstraint) -> bool {
    constraint.expression.as_deref().is_some_and(|text| text.contains(ZONE))
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{DAEMON, EXTERNAL, REPLICA};
    use super::*;

    fn strategy(type_: shapes::PlacementStrategyType, field: &str) -> shapes::PlacementStrategy {
        shapes::PlacementStrategy { type_: Some(type_), field: Some(field.to_owned()) }
    }

    #[test]
    fn combinations() {
        use shapes::PlacementStrategyType::{Binpack, Spread};
        let zones = strategy(Spread, "attribute:ecs.availability-zone");
        let pack = strategy(Binpack, "cpu");
        let constraint = |text: &str| shapes::PlacementConstraint {
            type_: Some(shapes::PlacementConstraintType::MemberOf),
            expression: Some(text.to_owned()),
        };
        let check = |kind, maximum_percent, strategies: &[_], constraint: Option<_>, good: bool| {
            let constraints: Vec<_> = constraint.into_iter().collect();
            let facts = Facts { kind, maximum_percent, strategies, constraints: &constraints };
            let default = if good { Rebalancing::Enabled } else { Rebalancing::Disabled };
            assert_eq!(facts.at_first(None).ok(), Some(default), "{facts:?}");
            assert_eq!(facts.at_first(Some(Rebalancing::Enabled)).is_ok(), good, "{facts:?}");
            assert!(facts.at_first(Some(Rebalancing::Disabled)).is_ok());
            assert_eq!(facts.later(Rebalancing::Enabled, None).is_ok(), good);
            let never = facts.later(Rebalancing::Disabled, None);
            assert_eq!(never.ok(), Some(Rebalancing::Disabled));
            assert!(facts.later(Rebalancing::Enabled, Some(Rebalancing::Disabled)).is_ok());
        };
        check(REPLICA, 200, &[], None, true);
        check(REPLICA, 101, &[], None, true);
        check(REPLICA, 100, &[], None, false);
        check(DAEMON, 100, &[], None, false);
        check(EXTERNAL, 200, &[], None, false);
        check(REPLICA, 200, &[zones.clone(), pack.clone()], None, true);
        check(REPLICA, 200, &[pack, zones], None, false);
        check(REPLICA, 200, &[], Some(constraint("attribute:rack == 7")), true);
        let zone = constraint("attribute:ecs.availability-zone == us-east-1a");
        check(REPLICA, 200, &[], Some(zone), false);
    }
}
