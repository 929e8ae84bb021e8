//! Guards: facts that the commit checks in place of versions.

use std::cell::Cell;

use ledger::{Facts, Ledger, LedgerError, OPTIMISTIC_RUNS, Revision, Table, TransactError, Tx};
use proptest::prelude::*;

use crate::world::{Backend, Embedded, Key, Memory, Ship, World, key, run, ship, start};

/// How many ships a fleet may have.
const FLEET: usize = 3;

fn ships_of(facts: &Facts<'_>, ships: &Table<Key, Ship>, fleet: &str) -> usize {
    facts.prefix(ships, &fleet.to_owned()).count()
}

/// Adds a ship to the fleet if the base has room for it, and guards that there is.
fn launch(
    ships: Table<Key, Ship>,
    tx: &mut Tx<'_>,
    fleet: &'static str,
    number: u32,
) -> Result<(), Revision> {
    if ships_of(&tx.facts(), &ships, fleet) >= FLEET {
        return Err(tx.base_revision());
    }
    tx.put(&ships, key(fleet, number), ship("Oslo", 0));
    tx.guard(move |facts| ships_of(facts, &ships, fleet) < FLEET);
    Ok(())
}

/// Runs `launch`; in its first run another transaction adds `others` ships to the fleet. Gives
/// the number of runs.
fn runs_beside(world: &World, others: u32) -> (u32, Result<Revision, Revision>) {
    let runs = Cell::new(0);
    let done = run(world.ledger.transact("launch", |tx| {
        launch(world.ships, tx, "red", 0)?;
        if runs.replace(runs.get() + 1) == 0 {
            start(world.ledger.transact("others", |tx| {
                for number in 1..=others {
                    tx.put(&world.ships, key("red", number), ship("Oslo", 0));
                }
                Ok::<_, ()>(())
            }));
        }
        Ok(())
    }));
    match done {
        Ok(committed) => (runs.get(), Ok(committed.revision)),
        Err(TransactError::Rejected(seen)) => (runs.get(), Err(seen)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_changes_without_harm_is_no_conflict() {
    for others in 1..FLEET as u32 {
        let world = Memory::default().world();
        assert_eq!(runs_beside(&world, others), (1, Ok(2)));
        assert_eq!(world.all().len(), others as usize + 1);
    }
}

#[test]
fn a_guard_that_fails_runs_the_function_on_the_head() {
    for backend in [true, false] {
        let world = if backend { Memory::default().world() } else { Embedded::default().world() };
        // The second run sees what is not durable yet, and its answer waits until it is.
        assert_eq!(runs_beside(&world, FLEET as u32), (1, Err(1)));
        assert_eq!(world.ledger.snapshot().revision(), 1);
    }
}

#[test]
fn facts_are_not_recorded_and_leave_out_own_writes() {
    let world = Memory::default().world();
    let ships = world.ships;
    run(async {
        world.put(key("red", 1), ship("Oslo", 1)).await;
        let runs = Cell::new(0);
        let look = world.ledger.transact("look", |tx| {
            tx.put(&ships, key("red", 2), ship("Oslo", 2));
            assert_eq!(tx.facts().prefix(&ships, &"red".to_owned()).count(), 1);
            assert_eq!(tx.facts().get(&ships, &key("red", 2)).map(|row| row.cargo), None);
            assert_eq!(tx.facts().revision(), tx.base_revision());
            assert_eq!(tx.facts().index(&world.by_port, &"Oslo".to_owned()).count(), 1);
            assert_eq!(tx.facts().last(&ships, &"red".to_owned()).unwrap().0, key("red", 1));
            if runs.replace(runs.get() + 1) == 0 {
                start(world.ledger.transact("other", |tx| {
                    tx.put(&ships, key("red", 1), ship("Bergen", 9));
                    Ok::<_, ()>(())
                }));
            }
            Ok::<_, ()>(())
        });
        look.await.unwrap();
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn guards_and_recorded_reads_both_bind() {
    let world = Memory::default().world();
    let runs = Cell::new(0);
    run(world.ledger.transact("both", |tx| {
        let read = tx.get(&world.ships, &key("blue", 1)).is_some();
        tx.put(&world.ships, key("result", 0), ship(if read { "Oslo" } else { "Bergen" }, 0));
        tx.guard(|_| true);
        if runs.replace(runs.get() + 1) == 0 {
            start(world.ledger.transact("other", |tx| {
                tx.put(&world.ships, key("blue", 1), ship("Oslo", 9));
                Ok::<_, ()>(())
            }));
        }
        Ok::<_, ()>(())
    }))
    .unwrap();
    assert_eq!(runs.get(), 2);
    let snapshot = world.ledger.snapshot();
    assert_eq!(snapshot.get(&world.ships, &key("result", 0)).unwrap().port, "Oslo");
}

#[test]
fn a_guard_is_asked_where_nothing_moved() {
    let world = Memory::default().world();
    let runs = Cell::new(0);
    let done = run(world.ledger.transact("never", |tx| {
        runs.set(runs.get() + 1);
        tx.put(&world.ships, key("red", 1), ship("Oslo", 1));
        tx.guard(|_| false);
        Ok::<_, ()>(())
    }));
    let Err(TransactError::Ledger(LedgerError::Contradiction { name: "never" })) = done else {
        panic!("{done:?}")
    };
    assert_eq!(runs.get(), OPTIMISTIC_RUNS + 1, "it ends");
    assert_eq!(world.all(), []);
    // And nobody else is held up.
    assert_eq!(run(world.put(key("red", 1), ship("Oslo", 1))), 1);
}

#[test]
fn a_guard_without_writes_asks_nothing() {
    let world = Memory::default().world();
    let done = run(world.ledger.transact("look", |tx| {
        tx.guard(|_| false);
        Ok::<_, ()>(())
    }));
    assert_eq!(done.unwrap().revision, 0);
}

const FLEETS: [&str; 2] = ["red", "blue"];

/// What a caller did: at which revision, and whether there was room.
type Done = (Revision, usize, bool);

async fn caller(ledger: Ledger, ships: Table<Key, Ship>, caller: u32, jobs: Vec<Job>) -> Vec<Done> {
    let mut done = Vec::new();
    for (number, job) in (caller * 100..).zip(jobs) {
        match job {
            Job::Launch(fleet) => {
                let launched =
                    ledger.transact("launch", |tx| launch(ships, tx, FLEETS[fleet], number));
                done.push(match launched.await {
                    Ok(committed) => (committed.revision, fleet, true),
                    Err(TransactError::Rejected(seen)) => (seen, fleet, false),
                    Err(error) => panic!("{error}"),
                });
            }
            Job::Sink(fleet) => {
                let fleet = FLEETS[fleet].to_owned();
                let sink = ledger.transact("sink", |tx| {
                    let first = tx.prefix(&ships, &fleet).next().map(|(key, _)| key);
                    first.into_iter().for_each(|key| tx.delete(&ships, &key));
                    Ok::<_, ()>(())
                });
                sink.await.unwrap();
            }
        }
    }
    done
}

#[derive(Clone, Debug)]
enum Job {
    Launch(usize),
    Sink(usize),
}

fn job() -> impl Strategy<Value = Job> {
    prop_oneof![
        3 => (0..FLEETS.len()).prop_map(Job::Launch),
        2 => (0..FLEETS.len()).prop_map(Job::Sink),
    ]
}

/// Whoever launched had room at its place in the order; whoever was refused had none.
fn check(backend: &impl Backend, jobs: Vec<Vec<Job>>) {
    let world = backend.world();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let (done, sizes) = runtime.block_on(async {
        let mut feed = world.ledger.subscribe();
        let callers: Vec<_> = (0..)
            .zip(jobs)
            .map(|(name, jobs)| tokio::spawn(caller(world.ledger.clone(), world.ships, name, jobs)))
            .collect();
        let mut done = Vec::new();
        for caller in callers {
            done.extend(caller.await.unwrap());
        }
        // How many ships each fleet had after each revision.
        let mut sizes = vec![[0_usize; FLEETS.len()]];
        while let Some(commit) = feed.try_next().unwrap() {
            let mut size = *sizes.last().unwrap();
            for change in commit.changes_of(&world.ships) {
                let fleet = FLEETS.iter().position(|fleet| *fleet == change.key.0).unwrap();
                match (change.before, change.after) {
                    (None, Some(_)) => size[fleet] += 1,
                    (Some(_), None) => size[fleet] -= 1,
                    both => panic!("{both:?}"),
                }
            }
            assert_eq!(commit.revision() as usize, sizes.len());
            sizes.push(size);
        }
        (done, sizes)
    });
    drop(runtime);
    assert!(sizes.iter().flatten().all(|&size| size <= FLEET), "{sizes:?}");
    for (revision, fleet, launched) in done {
        let at = revision as usize;
        if launched {
            assert_eq!(sizes[at][fleet], sizes[at - 1][fleet] + 1);
        } else {
            assert_eq!(sizes[at][fleet], FLEET, "refused where there was room, at {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn guards_hold_at_their_place_in_memory(
        jobs in prop::collection::vec(prop::collection::vec(job(), 1..12), 1..6)
    ) {
        check(&Memory::default(), jobs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn guards_hold_at_their_place_on_disk(
        jobs in prop::collection::vec(prop::collection::vec(job(), 1..12), 1..6)
    ) {
        check(&Embedded::default(), jobs);
    }
}
