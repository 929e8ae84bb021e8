//! Capacity provider strategies, as requests give them and answers show them (ECS semantics
//! §12.1).

use std::collections::BTreeSet;

use shapes_ecs as shapes;
use terms::CapacityProviderName;

use crate::error::Error;
use crate::model::{StrategyItem, is_fargate};

/// Most items of a strategy.
const MAX_ITEMS: usize = 20;

/// A strategy as given, checked for itself. The model has checked the ranges of weights and bases.
pub(crate) fn read(
    items: Vec<shapes::CapacityProviderStrategyItem>,
) -> Result<Vec<StrategyItem>, Error> {
    if items.len() > MAX_ITEMS {
        return Err(Error::invalid(
            "The specified capacity provider strategy contains too many capacity providers. A \
             capacity provider strategy can contain a maximum of 20 capacity providers.",
        ));
    }
    let item = |item: shapes::CapacityProviderStrategyItem| {
        let number = |number: Option<i32>| u32::try_from(number.unwrap_or(0)).unwrap_or(0);
        let provider = item.capacity_provider.parse().map_err(|_| not_associated())?;
        Ok(StrategyItem { provider, weight: number(item.weight), base: number(item.base) })
    };
    let strategy: Vec<StrategyItem> = items.into_iter().map(item).collect::<Result<_, Error>>()?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = strategy.iter().find(|item| !seen.insert(&item.provider)) {
        let name = &twice.provider;
        return Err(Error::invalid(format!(
            "The specified capacity provider strategy contains the capacity provider '{name}' \
             more than once."
        )));
    }
    if strategy.iter().filter(|item| item.base > 0).count() > 1 {
        // Observed on ECS.
        return Err(Error::invalid(
            "The specified capacity provider strategy contains multiple capacity providers with a \
             base value defined.",
        ));
    }
    let fargate = strategy.iter().filter(|item| is_fargate(&item.provider)).count();
    if fargate > 0 && fargate < strategy.len() {
        // Observed on ECS.
        return Err(Error::invalid(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto \
             Scaling groups and Fargate providers. Specify one or the other and try again.",
        ));
    }
    Ok(strategy)
}

/// Checks that a strategy names only providers of its cluster.
pub(crate) fn check(
    strategy: &[StrategyItem],
    providers: &[CapacityProviderName],
) -> Result<(), Error> {
    let known = strategy.iter().all(|item| providers.contains(&item.provider));
    known.then_some(()).ok_or_else(not_associated)
}

/// Checks that a request's strategy can place tasks.
pub(crate) fn check_weights(strategy: &[StrategyItem]) -> Result<(), Error> {
    has_weight(strategy).then_some(()).ok_or_else(|| {
        Error::invalid(
            "There are no capacity providers with a weight value greater than zero defined in the \
             specified capacity provider strategy. At least one capacity provider must have a \
             weight value greater than zero specified. Specify a valid capacity provider strategy \
             and try again.",
        )
    })
}

/// Checks that a cluster's default strategy can place tasks.
pub(crate) fn check_default_weights(strategy: &[StrategyItem]) -> Result<(), Error> {
    // Observed on ECS.
    has_weight(strategy).then_some(()).ok_or_else(|| {
        Error::invalid(
            "There are no capacity providers with a weight value greater than zero defined in the \
             default capacity provider strategy. At least one capacity provider must have a weight \
             value greater than zero specified. Update the cluster's default capacity provider \
             strategy or specify a valid capacity provider strategy and try again.",
        )
    })
}

fn has_weight(strategy: &[StrategyItem]) -> bool {
    strategy.iter().any(|item| item.weight > 0)
}

/// A strategy as shown, weights and bases filled in.
pub(crate) fn show(strategy: &[StrategyItem]) -> Vec<shapes::CapacityProviderStrategyItem> {
    let show = |item: &StrategyItem| shapes::CapacityProviderStrategyItem {
        capacity_provider: item.provider.to_string(),
        weight: i32::try_from(item.weight).ok(),
        base: i32::try_from(item.base).ok(),
    };
    strategy.iter().map(show).collect()
}

fn not_associated() -> Error {
    // Observed on ECS.
    Error::invalid(
        "The specified capacity provider strategy cannot contain a capacity provider that is not \
         associated with the cluster. Associate the capacity provider with the cluster and try \
         again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, weight: i32, base: i32) -> shapes::CapacityProviderStrategyItem {
        shapes::CapacityProviderStrategyItem {
            capacity_provider: name.to_owned(),
            weight: Some(weight),
            base: Some(base),
        }
    }

    #[test]
    fn strategies_are_checked() {
        let check = |items: Vec<_>, good: bool| {
            let text = format!("{items:?}");
            assert_eq!(read(items).is_ok(), good, "{text}");
        };
        check(vec![], true);
        check(vec![item("a", 0, 0), item("b", 0, 0)], true);
        check(vec![item("a", 1, 1), item("b", 1, 0)], true);
        check(vec![item("a", 1, 1), item("b", 1, 1)], false);
        check(vec![item("a", 1, 0), item("a", 1, 0)], false);
        check(vec![item("FARGATE", 1, 0), item("FARGATE_SPOT", 1, 0)], true);
        check(vec![item("FARGATE", 1, 0), item("a", 1, 0)], false);
        check(vec![item("a b", 1, 0)], false);
        check((0..20).map(|n| item(&format!("p{n}"), 1, 0)).collect(), true);
        check((0..21).map(|n| item(&format!("p{n}"), 1, 0)).collect(), false);
    }

    #[test]
    fn members_belong_to_the_cluster() {
        let strategy = read(vec![item("a", 1, 0)]).unwrap_or_default();
        let name = |text: &str| text.parse().ok();
        let ours: Vec<_> = [name("b"), name("a")].into_iter().flatten().collect();
        assert!(check(&strategy, &ours).is_ok());
        assert!(check(&strategy, &ours[..1]).is_err());
        assert!(check(&[], &[]).is_ok());
    }
}
