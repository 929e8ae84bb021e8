//! What holds for every fleet and request.

use std::collections::BTreeMap;

use placement::{Binpack, Fleet, Request, Spread, Strategy, ZONE, count_reasons};
use proptest::prelude::*;

use super::changes::{change, change_all};
use super::fleets::{Parts, demand, fleet, id, parts, request};
use super::reference::{best, note, sheets};

fn fleets() -> impl proptest::strategy::Strategy<Value = Vec<Parts>> {
    prop::collection::vec(parts(), 0..12)
}

/// Places, and compares each step with the reference. What is left must be what the reference
/// counts, too.
fn agrees(parts: &[Parts], request: &Request, seed: u64) -> Result<(), TestCaseError> {
    let mut paper = sheets(parts);
    let mut fleet = fleet(parts);
    let able = paper.len() - fleet.refusals(request).len();
    let placement = fleet.place(request, seed);
    prop_assert_eq!(able > 0, !placement.placed.is_empty());
    for &chosen in &placement.placed {
        let best = best(&paper, request);
        prop_assert!(best.contains(&chosen), "chose {}, best are {:?}", chosen, best);
        note(&mut paper, chosen, request);
    }
    let all_placed = placement.placed.len() == request.count as usize;
    prop_assert!(all_placed || best(&paper, request).is_empty());
    prop_assert_eq!(placement.shortage.len(), if all_placed { 0 } else { parts.len() });
    let counts: u32 = count_reasons(&placement.shortage).values().sum();
    prop_assert_eq!(counts as usize, placement.shortage.len());
    for refusal in &placement.shortage {
        let reason = fleet.get(refusal.instance).unwrap().check(request);
        prop_assert_eq!(reason, Err(refusal.reason.clone()));
    }
    for sheet in &paper {
        let instance = fleet.get(sheet.id).unwrap();
        let free = (instance.free_cpu().get().into(), instance.free_memory().get().into());
        prop_assert_eq!(sheet.free(), free);
        prop_assert_eq!(i64::from(instance.tasks_of(&request.group)), sheet.tasks(request));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_choice_is_one_the_reference_allows(
        parts in fleets(), request in request(), seed: u64,
    ) {
        agrees(&parts, &request, seed)?;
    }

    #[test]
    fn the_same_seed_gives_the_same_answer(parts in fleets(), request in request(), seed: u64) {
        prop_assert_eq!(fleet(&parts).place(&request, seed), fleet(&parts).place(&request, seed));
    }

    #[test]
    fn a_plan_changes_nothing(parts in fleets(), request in request(), seed: u64) {
        let mut fleet = fleet(&parts);
        let planned = fleet.plan(&request, seed);
        for number in (0..).take(parts.len()) {
            let (was, is) = (parts[usize::from(number)].instance(number), fleet.get(id(number)).unwrap());
            prop_assert_eq!(was.free_cpu(), is.free_cpu());
            prop_assert_eq!(was.free_memory(), is.free_memory());
            prop_assert_eq!(was.tasks_of(&request.group), is.tasks_of(&request.group));
            prop_assert_eq!(was.check(&request), is.check(&request));
        }
        prop_assert_eq!(fleet.place(&request, seed), planned);
    }

    #[test]
    fn what_a_fleet_answers_depends_on_its_instances_alone(
        changes in prop::collection::vec(change(), 0..24), request in request(), seed: u64,
    ) {
        let mut changed = Fleet::default();
        let mut requests = Vec::new();
        change_all(&mut changed, changes, &mut requests);
        let mut fresh = Fleet::default();
        changed.iter().cloned().for_each(|instance| fresh.upsert(instance));
        // Which instances chance takes of those that are equally good depends also on what was
        // asked before.
        for request in requests.iter().chain([&request]) {
            prop_assert_eq!(changed.plan(request, 0).shortage.len(), fresh.plan(request, 0).shortage.len());
        }
        prop_assert_eq!(changed.refusals(&request), fresh.refusals(&request));
        prop_assert_eq!(changed.clone().place(&request, seed), fresh.place(&request, seed));
    }

    #[test]
    fn spread_is_even(
        zones in prop::collection::vec(0..3_u8, 1..12), count in 1..40_u32, seed: u64,
    ) {
        let parts: Vec<Parts> = zones.iter().map(|&zone| Parts::roomy(4096, Some(zone))).collect();
        let spread = |over| Request {
            count,
            group: "family:web".into(),
            strategies: vec![Strategy::Spread(over)],
            ..Request::default()
        };
        let even = |tasks: BTreeMap<u8, u32>, of: usize| {
            let least = if tasks.len() < of { 0 } else { *tasks.values().min().unwrap() };
            tasks.values().max().unwrap() - least <= 1
        };
        let by_zone = fleet(&parts).place(&spread(Spread::Attribute(ZONE.into())), seed).placed;
        let mut tasks = BTreeMap::new();
        for chosen in by_zone {
            *tasks.entry(zones[usize::from(chosen.bytes()[0])]).or_default() += 1;
        }
        let of = zones.iter().collect::<std::collections::BTreeSet<_>>().len();
        prop_assert!(even(tasks, of));
        let by_instance = fleet(&parts).place(&spread(Spread::Instance), seed).placed;
        let mut tasks = BTreeMap::new();
        for chosen in by_instance {
            *tasks.entry(chosen.bytes()[0]).or_default() += 1;
        }
        prop_assert!(even(tasks, parts.len()));
    }

    #[test]
    fn binpack_opens_a_new_instance_only_when_it_must(
        count in 1..40_u32, memory in 1..600_u32, seed: u64,
    ) {
        let empty = Parts { cpu: 4096, ..Parts::roomy(1024, None) };
        let request = Request {
            count,
            group: "family:web".into(),
            demand: demand(0, memory, &[]),
            strategies: vec![Strategy::Binpack(Binpack::Memory)],
            ..Request::default()
        };
        let mut placed = fleet(&vec![empty; 40]).place(&request, seed).placed;
        placed.sort_unstable();
        placed.dedup();
        prop_assert_eq!(placed.len(), count.div_ceil(1024 / memory) as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn many_choices_among_many_instances_are_those_of_the_reference(
        parts in prop::collection::vec(parts(), 40..80), request in request(), seed: u64,
    ) {
        agrees(&parts, &Request { count: request.count * 8, ..request }, seed)?;
    }
}
