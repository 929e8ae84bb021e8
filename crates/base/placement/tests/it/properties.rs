//! What holds for every fleet and request.

use std::collections::BTreeMap;

use placement::{Binpack, Fleet, Request, Spread, Strategy};
use proptest::prelude::*;

use super::fleets::{Parts, fleet, id, parts, request};
use super::reference::{best, note, sheets};

fn fleets() -> impl proptest::strategy::Strategy<Value = Vec<Parts>> {
    prop::collection::vec(parts(), 0..12)
}

/// The sums, counted without the crate's own arithmetic.
fn never_over_capacity(
    parts: &[Parts],
    before: &Fleet,
    after: &Fleet,
) -> Result<(), TestCaseError> {
    for (number, parts) in (0..).zip(parts) {
        let held = |pick: fn(&(u8, u32, u32)) -> u32| parts.held.iter().map(pick).sum::<u32>();
        let (was, is) = (before.get(id(number)).unwrap(), after.get(id(number)).unwrap());
        prop_assert_eq!(was.free_cpu().get(), parts.cpu.saturating_sub(held(|h| h.1)));
        prop_assert_eq!(was.free_memory().get(), parts.memory.saturating_sub(held(|h| h.2)));
        prop_assert!(is.free_cpu() <= was.free_cpu() && is.free_memory() <= was.free_memory());
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_choice_is_one_the_reference_allows(
        parts in fleets(), request in request(), seed: u64,
    ) {
        let before = fleet(&parts);
        let connected: Vec<bool> = parts.iter().map(|parts| parts.connected).collect();
        let mut paper = sheets(&before, &connected, &request);
        let mut after = before.clone();
        let placement = after.place(&request, seed);
        for &chosen in &placement.placed {
            prop_assert!(best(&paper, &request).contains(&chosen));
            note(&mut paper, chosen, &request);
        }
        let all_placed = placement.placed.len() == request.count as usize;
        prop_assert!(all_placed || best(&paper, &request).is_empty());
        prop_assert!(all_placed || placement.shortage.len() == parts.len());
        for sheet in &paper {
            let instance = after.get(sheet.id).unwrap();
            prop_assert_eq!(i64::from(instance.free_cpu().get()), sheet.cpu);
            prop_assert_eq!(i64::from(instance.free_memory().get()), sheet.memory);
        }
        never_over_capacity(&parts, &before, &after)?;
    }

    #[test]
    fn the_same_seed_gives_the_same_answer(parts in fleets(), request in request(), seed: u64) {
        prop_assert_eq!(fleet(&parts).place(&request, seed), fleet(&parts).place(&request, seed));
    }

    #[test]
    fn what_was_held_can_be_released(parts in fleets(), request in request(), seed: u64) {
        let before = fleet(&parts);
        let mut after = before.clone();
        let placed = after.place(&request, seed).placed;
        for chosen in placed {
            after.release(chosen, &request.group, &request.demand);
        }
        for number in (0..).take(parts.len()) {
            let (was, is) = (before.get(id(number)).unwrap(), after.get(id(number)).unwrap());
            prop_assert_eq!(was.free_cpu(), is.free_cpu());
            prop_assert_eq!(was.free_memory(), is.free_memory());
            prop_assert_eq!(was.tasks_of(&request.group), is.tasks_of(&request.group));
            prop_assert_eq!(was.check(&request), is.check(&request));
        }
    }

    #[test]
    fn spread_over_roomy_zones_is_even(zones in prop::collection::vec(0..3_u8, 1..12), count in 1..12_u32, seed: u64) {
        let roomy = |&zone: &u8| Parts {
            cpu: 4096, memory: 4096, zone: Some(zone), connected: true, held: Vec::new(),
        };
        let parts: Vec<Parts> = zones.iter().map(roomy).collect();
        let request = Request {
            count,
            group: "family:web".into(),
            strategies: vec![Strategy::Spread(Spread::Attribute("zone".into()))],
            ..Request::default()
        };
        let placed = fleet(&parts).place(&request, seed).placed;
        let mut tasks: BTreeMap<u8, i32> = zones.iter().map(|&zone| (zone, 0)).collect();
        for chosen in placed {
            *tasks.get_mut(&zones[usize::from(chosen.bytes()[0])]).unwrap() += 1;
        }
        let (least, most) = (tasks.values().min().unwrap(), tasks.values().max().unwrap());
        prop_assert!(most - least <= 1, "{tasks:?}");
    }

    #[test]
    fn binpack_opens_a_new_instance_only_when_it_must(
        count in 1..40_u32, memory in 1..600_u32, seed: u64,
    ) {
        let empty = Parts { cpu: 4096, memory: 1024, zone: None, connected: true, held: Vec::new() };
        let request = Request {
            count,
            group: "family:web".into(),
            demand: super::fleets::demand(0, memory, &[]),
            strategies: vec![Strategy::Binpack(Binpack::Memory)],
            ..Request::default()
        };
        let mut placed = fleet(&vec![empty; 40]).place(&request, seed).placed;
        placed.sort_unstable();
        placed.dedup();
        prop_assert_eq!(placed.len(), count.div_ceil(1024 / memory) as usize);
    }
}
