//! Which capacity provider each task goes to, and which one tasks are taken from (ECS semantics
//! §12.1).
//!
//! Bases are filled first; what is beyond them is shared out by weight. ECS does not say how it
//! rounds: here each task goes to the provider that is furthest below its share of the tasks with
//! this one, the first of the strategy among equals, and each that goes is taken from the one that
//! is furthest above, the last among equals. So a service keeps its shares as it grows and shrinks,
//! to within a task.

use std::collections::BTreeMap;

use agent_protocol::{CAPACITY_PROVIDER_ATTRIBUTE, FARGATE_ATTRIBUTE, FARGATE_SPOT_ATTRIBUTE};
use placement::{Request, RequiredAttribute};
use terms::CapacityProviderName;

use crate::model::StrategyItem;

/// The word for a provider that has no instance (Developer Guide, "API failures messages").
pub(crate) const EMPTY_PROVIDER: &str = "EMPTY CAPACITY PROVIDER";

/// How many tasks each provider has.
pub(crate) type Counts = BTreeMap<CapacityProviderName, u32>;

/// A strategy and what each of its providers has, in the strategy's order.
struct Shares<'a> {
    strategy: &'a [StrategyItem],
    has: Vec<i64>,
}

impl<'a> Shares<'a> {
    fn of(strategy: &'a [StrategyItem], counts: &Counts) -> Self {
        let count = |item: &StrategyItem| counts.get(&item.provider).copied().unwrap_or(0).into();
        Self { strategy, has: strategy.iter().map(count).collect() }
    }

    fn base(&self, at: usize) -> i64 {
        self.strategy[at].base.into()
    }

    /// Tasks of a provider beyond its base.
    fn beyond(&self, at: usize) -> i64 {
        (self.has[at] - self.base(at)).max(0)
    }

    /// How far a provider is above its share of `total` tasks beyond all bases, times the sum of
    /// all weights.
    fn surplus(&self, at: usize, total: i64) -> i64 {
        let weights: i64 = self.strategy.iter().map(|item| i64::from(item.weight)).sum();
        self.beyond(at) * weights - i64::from(self.strategy[at].weight) * total
    }

    fn total(&self) -> i64 {
        (0..self.has.len()).map(|at| self.beyond(at)).sum()
    }

    /// Where the next task goes; nowhere if bases are filled and there are no weights.
    fn next(&self) -> Option<usize> {
        let mut all = 0..self.has.len();
        if let Some(at) = all.find(|&at| self.has[at] < self.base(at)) {
            return Some(at);
        }
        let total = self.total() + 1;
        let weighted = (0..self.has.len()).filter(|&at| self.strategy[at].weight > 0);
        weighted.min_by_key(|&at| self.surplus(at, total))
    }

    /// Where the next task is taken from, of those that have some which may go. What fills a base
    /// goes last.
    fn last(&self, may_go: &[u32]) -> Option<usize> {
        let total = self.total() - 1;
        let some = (0..self.has.len()).filter(|&at| may_go[at] > 0);
        some.max_by_key(|&at| (self.has[at] > self.base(at), self.surplus(at, total)))
    }
}

/// How many of `count` new tasks go to each item of a strategy, whose providers have `counts`
/// already. Together they are `count`, if some item has a weight.
pub(crate) fn share_out(strategy: &[StrategyItem], counts: &Counts, count: u32) -> Vec<u32> {
    let mut shares = Shares::of(strategy, counts);
    let mut new = vec![0; strategy.len()];
    for _ in 0..count {
        let Some(at) = shares.next() else { break };
        shares.has[at] += 1;
        new[at] += 1;
    }
    new
}

/// How many of `count` tasks that go are of each item of a strategy, whose providers have `counts`,
/// of which `may_go` may.
pub(crate) fn take_back(
    strategy: &[StrategyItem],
    counts: &Counts,
    may_go: &Counts,
    count: u32,
) -> Vec<u32> {
    let mut shares = Shares::of(strategy, counts);
    let may = |item: &StrategyItem| may_go.get(&item.provider).copied().unwrap_or(0);
    let mut may: Vec<u32> = strategy.iter().map(may).collect();
    let mut gone = vec![0; strategy.len()];
    for _ in 0..count {
        let Some(at) = shares.last(&may) else { break };
        shares.has[at] -= 1;
        may[at] -= 1;
        gone[at] += 1;
    }
    gone
}

/// What a task that goes to `provider` asks of its instance: that it belongs to it; of a node of the
/// fleet, that it takes tasks of that provider of Fargate's.
pub(crate) fn belongs_to(provider: &CapacityProviderName) -> RequiredAttribute {
    let of_fleet = FLEET.iter().find(|(name, _)| *name == provider.as_str());
    match of_fleet {
        Some((_, attribute)) => RequiredAttribute { name: (*attribute).into(), value: None },
        None => {
            let (name, value) = (CAPACITY_PROVIDER_ATTRIBUTE, provider.as_str().into());
            RequiredAttribute { name: name.into(), value: Some(value) }
        }
    }
}

/// Fargate's providers, and what nodes that take their tasks are known by.
const FLEET: [(&str, &str); 2] =
    [("FARGATE", FARGATE_ATTRIBUTE), ("FARGATE_SPOT", FARGATE_SPOT_ATTRIBUTE)];

/// What a task of the launch type FARGATE asks of its node.
pub(crate) fn on_demand() -> RequiredAttribute {
    RequiredAttribute { name: FARGATE_ATTRIBUTE.into(), value: None }
}

/// The provider of Fargate's that the tasks of a request go to.
pub(crate) fn fargate_provider(request: &Request) -> Option<CapacityProviderName> {
    let has = |attribute: &str| request.attributes.iter().any(|one| &*one.name == attribute);
    let (name, _) = FLEET.iter().find(|(_, attribute)| has(attribute))?;
    name.parse().ok()
}

/// The provider that the tasks of a request go to, if they go by one.
pub(crate) fn provider_of(request: &Request) -> Option<&str> {
    let is_it = |one: &&RequiredAttribute| *one.name == *CAPACITY_PROVIDER_ATTRIBUTE;
    request.attributes.iter().find(is_it)?.value.as_deref()
}

/// A request as one for each provider that its tasks go to; the request itself if there is no
/// strategy.
pub(crate) fn split(request: &Request, strategy: &[StrategyItem], counts: &Counts) -> Vec<Request> {
    if strategy.is_empty() {
        return vec![request.clone()];
    }
    let shares = share_out(strategy, counts, request.count);
    let parts = strategy.iter().zip(shares).filter(|(_, count)| *count > 0);
    let part = |(item, count): (&StrategyItem, u32)| {
        let mut part = Request { count, ..request.clone() };
        part.attributes.push(belongs_to(&item.provider));
        part
    };
    parts.map(part).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn strategy(items: &[(&str, u32, u32)]) -> Vec<StrategyItem> {
        let item = |&(name, weight, base): &(&str, u32, u32)| StrategyItem {
            provider: name.parse().unwrap(),
            weight,
            base,
        };
        items.iter().map(item).collect()
    }

    fn counts(strategy: &[StrategyItem], has: &[u32]) -> Counts {
        strategy.iter().map(|item| item.provider.clone()).zip(has.iter().copied()).collect()
    }

    #[test]
    fn bases_come_first_and_weights_share_the_rest() {
        let check = |items: &[(&str, u32, u32)], has: &[u32], count, expected: &[u32]| {
            let strategy = strategy(items);
            let shares = share_out(&strategy, &counts(&strategy, has), count);
            assert_eq!(shares, expected, "{items:?} {has:?} {count}");
        };
        // One on A for every four on B (Developer Guide, capacity providers).
        check(&[("a", 1, 0), ("b", 4, 0)], &[0, 0], 5, &[1, 4]);
        check(&[("a", 1, 0), ("b", 4, 0)], &[0, 0], 10, &[2, 8]);
        check(&[("a", 1, 0), ("b", 4, 0)], &[0, 0], 1, &[0, 1]);
        check(&[("a", 1, 0), ("b", 1, 0)], &[0, 0], 3, &[2, 1]);
        check(&[("a", 1, 2), ("b", 1, 0)], &[0, 0], 6, &[4, 2]);
        check(&[("a", 0, 2), ("b", 1, 0)], &[0, 0], 6, &[2, 4]);
        check(&[("a", 0, 2), ("b", 1, 0)], &[0, 4], 2, &[2, 0]);
        check(&[("a", 0, 100_000), ("b", 1, 0)], &[0, 0], 7, &[7, 0]);
        check(&[("a", 1, 0), ("b", 0, 0)], &[0, 0], 4, &[4, 0]);
        // What is there already counts, so a lost task is replaced where it was.
        check(&[("a", 1, 0), ("b", 1, 0)], &[5, 3], 2, &[0, 2]);
        check(&[("a", 1, 1), ("b", 3, 0)], &[1, 3], 2, &[1, 1]);
        check(&[], &[], 3, &[]);
    }

    #[test]
    fn tasks_one_by_one_are_shared_as_all_at_once() {
        let items: [&[(&str, u32, u32)]; 3] = [
            &[("a", 1, 0), ("b", 4, 0)],
            &[("a", 3, 2), ("b", 5, 0), ("c", 7, 0)],
            &[("a", 0, 1), ("b", 1, 0), ("c", 1, 0)],
        ];
        for items in items {
            let strategy = strategy(items);
            let mut has = Counts::new();
            for count in 1..=60 {
                let one = share_out(&strategy, &has, 1);
                for (item, one) in strategy.iter().zip(one) {
                    *has.entry(item.provider.clone()).or_default() += one;
                }
                let all = share_out(&strategy, &Counts::new(), count);
                assert_eq!(has, counts(&strategy, &all), "{items:?} {count}");
            }
            // Taken back one by one, they leave the shares of the number that is left, to a task.
            for left in (0..60).rev() {
                let one = take_back(&strategy, &has, &has, 1);
                for (item, one) in strategy.iter().zip(one) {
                    *has.entry(item.provider.clone()).or_default() -= one;
                }
                let all = counts(&strategy, &share_out(&strategy, &Counts::new(), left));
                assert_eq!(has.values().sum::<u32>(), left);
                let differs = has.iter().any(|(name, count)| count.abs_diff(all[name]) > 1);
                assert!(!differs, "{items:?} {left}: {has:?} {all:?}");
            }
        }
    }

    #[test]
    fn what_may_not_go_stays() {
        let strategy = strategy(&[("a", 1, 1), ("b", 1, 0)]);
        let check = |has: &[u32], may: &[u32], count, expected: &[u32]| {
            let (has, may) = (counts(&strategy, has), counts(&strategy, may));
            assert_eq!(take_back(&strategy, &has, &may, count), expected, "{has:?} {may:?}");
        };
        check(&[3, 2], &[3, 2], 4, &[2, 2]);
        check(&[3, 2], &[3, 2], 5, &[3, 2]);
        check(&[3, 2], &[3, 0], 2, &[2, 0]);
        check(&[3, 2], &[0, 1], 2, &[0, 1]);
        check(&[2, 6], &[2, 6], 3, &[0, 3]);
    }

    #[test]
    fn a_request_is_split_by_provider() {
        let strategy = strategy(&[("a", 1, 0), ("b", 1, 0), ("c", 0, 0)]);
        let request = Request { count: 3, ..Request::default() };
        let parts = split(&request, &strategy, &Counts::new());
        let told: Vec<_> = parts.iter().map(|one| (provider_of(one), one.count)).collect();
        assert_eq!(told, [(Some("a"), 2), (Some("b"), 1)]);
        assert_eq!(split(&request, &[], &Counts::new()), [request]);
    }
}
