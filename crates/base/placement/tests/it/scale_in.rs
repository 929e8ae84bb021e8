//! Which tasks go first.

use std::collections::BTreeMap;

use placement::{Binpack, Demand, Fleet, Removable, Spread, Strategy, ZONE};
use proptest::prelude::*;
use terms::ContainerInstanceId;

use super::fleets::{Parts, demand, fleet, group, id};

/// Zone and size of each instance, and the sizes of the tasks on it.
fn world(instances: &[(u8, u32, &[u32])]) -> (Fleet, Vec<Removable>) {
    let mut candidates = Vec::new();
    let parts: Vec<Parts> = (0..)
        .zip(instances)
        .map(|(number, (zone, size, tasks))| {
            let held: Vec<(u8, Demand)> =
                tasks.iter().map(|&memory| (0, demand(0, memory, &[]))).collect();
            let removable = |(_, demand): &(u8, Demand)| Removable {
                instance: id(number),
                demand: demand.clone(),
            };
            candidates.extend(held.iter().map(removable));
            Parts { held, ..Parts::roomy(*size, Some(*zone)) }
        })
        .collect();
    (fleet(&parts), candidates)
}

fn check(
    instances: &[(u8, u32, &[u32])],
    strategies: &[Strategy],
    count: usize,
    expected: &[&[usize]],
) {
    let (fleet, candidates) = world(instances);
    for seed in 0..16 {
        let gone = fleet.scale_in(&group(0), strategies, &candidates, count, seed);
        assert_eq!(gone.len(), expected.len(), "{gone:?}");
        for (gone, allowed) in gone.iter().zip(expected) {
            assert!(allowed.contains(gone), "{gone} not in {allowed:?}");
        }
    }
}

fn zones() -> Strategy {
    Strategy::Spread(Spread::Attribute(ZONE.into()))
}

#[test]
fn each_strategy_takes_where_ecs_does() {
    // Tasks 0, 1; 2; 3, 4, 5.
    let three: &[(u8, u32, &[u32])] =
        &[(0, 1000, &[100, 100]), (0, 1000, &[100]), (1, 1000, &[100, 100, 100])];
    let instances = [Strategy::Spread(Spread::Instance)];
    check(three, &instances, 2, &[&[3, 4, 5], &[0, 1, 3, 4, 5]]);
    // Both zones have three tasks; the fourth to go is from the zone that has two again.
    check(&three[1..], &[zones()], 2, &[&[1, 2, 3], &[1, 2, 3]]);
    // Without strategies: the zone, then the instance with most.
    check(three, &[], 1, &[&[0, 1, 3, 4, 5]]);
    let uneven: &[(u8, u32, &[u32])] =
        &[(0, 1000, &[100]), (0, 1000, &[100, 100]), (1, 1000, &[100])];
    check(uneven, &[], 1, &[&[1, 2]]);
    // Binpack: most is left on the second, and once it lost one more still.
    let memory = [Strategy::Binpack(Binpack::Memory)];
    check(uneven, &memory, 1, &[&[0, 3]]);
    let sizes: &[(u8, u32, &[u32])] = &[(0, 1000, &[900, 50]), (0, 2000, &[300, 700])];
    check(sizes, &memory, 3, &[&[3], &[2], &[0]]);
    check(sizes, &[Strategy::Random], 4, &[&[0, 1, 2, 3][..]; 4]);
    check(sizes, &memory, 9, &[&[3], &[2], &[0], &[1]]);
}

#[test]
fn tasks_of_lost_instances_go_first() {
    let (fleet, mut candidates) = world(&[(0, 1000, &[100, 100]), (1, 1000, &[100])]);
    let gone = ContainerInstanceId::from_bytes([200; 16]);
    candidates.push(Removable { instance: gone, demand: demand(0, 10, &[]) });
    let order = fleet.scale_in(&group(0), &[], &candidates, 2, 5);
    assert_eq!(order[0], 3);
    assert!([0, 1].contains(&order[1]));
}

#[test]
fn tasks_that_are_not_candidates_count() {
    let (fleet, candidates) = world(&[(0, 1000, &[100, 100, 100]), (1, 1000, &[100])]);
    let order = fleet.scale_in(&group(0), &[zones()], &candidates[2..], 1, 5);
    assert_eq!(order, [0]);
}

proptest! {
    #[test]
    fn what_is_left_of_a_spread_is_even(
        tasks in prop::collection::vec((0..3_u8, 0..5_usize), 1..8), share in 0.0..1.0_f64, seed: u64,
    ) {
        let sizes = [10; 5];
        let instances: Vec<_> =
            tasks.iter().map(|&(zone, count)| (zone, 1000, &sizes[..count])).collect();
        let (fleet, candidates) = world(&instances);
        let count = (candidates.len() as f64 * share) as usize;
        let gone = fleet.scale_in(&group(0), &[zones()], &candidates, count, seed);
        prop_assert_eq!(gone.len(), count);
        let mut had: BTreeMap<u8, i64> = BTreeMap::new();
        let mut left: BTreeMap<u8, i64> = BTreeMap::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let zone = tasks[usize::from(candidate.instance.bytes()[0])].0;
            *had.entry(zone).or_default() += 1;
            *left.entry(zone).or_default() += i64::from(!gone.contains(&index));
        }
        // A zone that lost something has at most one fewer than any that has most.
        let most = left.values().copied().max().unwrap_or(0);
        for (zone, left) in left {
            prop_assert!(left == had[&zone] || most - left <= 1);
        }
        prop_assert_eq!(fleet.scale_in(&group(0), &[zones()], &candidates, count, seed), gone);
    }
}
