//! Concurrent transactions against a naive model that knows nothing of snapshots or batches.

use std::collections::BTreeMap;

use ledger::{Feed, Ledger, Revision, Tx};
use proptest::prelude::*;

use crate::world::{Backend, Embedded, Key, Memory, Ship, World, key};

type Model = BTreeMap<Key, Ship>;

/// What a transaction does, one after the other.
#[derive(Debug, Clone)]
enum Step {
    Get(Key),
    Prefix(String),
    First(String),
    Last(String),
    Port(String),
    Tags(u32, u32),
    /// Writes what was read so far into the row, so that a stale read shows.
    Put(Key, String, Vec<u32>),
    Delete(Key),
    Reject,
}

/// What a step saw: the rows, in order.
type Seen = Vec<(Key, Ship)>;

/// One transaction that has ended: where it stands in the order, and what it did.
struct Done {
    revision: Revision,
    steps: Vec<Step>,
    seen: Vec<Seen>,
    wrote: bool,
}

fn fleet() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b"]).prop_map(str::to_owned)
}

fn port() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["Oslo", "Bergen", "Ostende"]).prop_map(str::to_owned)
}

fn any_key() -> impl Strategy<Value = Key> {
    (fleet(), 0..4_u32)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any_key().prop_map(Step::Get),
        1 => fleet().prop_map(Step::Prefix),
        1 => fleet().prop_map(Step::First),
        1 => fleet().prop_map(Step::Last),
        1 => port().prop_map(Step::Port),
        1 => (0..3_u32, 0..3_u32).prop_map(|(from, to)| Step::Tags(from, to)),
        5 => (any_key(), port(), prop::collection::vec(0..3_u32, 0..3))
            .prop_map(|(key, port, tags)| Step::Put(key, port, tags)),
        2 => any_key().prop_map(Step::Delete),
    ]
}

fn transaction() -> impl Strategy<Value = Vec<Step>> {
    let steps = prop::collection::vec(step(), 1..6);
    (steps, prop::bool::weighted(0.1)).prop_map(|(mut steps, reject)| {
        steps.extend(reject.then_some(Step::Reject));
        steps
    })
}

/// What a step reads; the model and the transaction each say it their way.
fn cargo(seen: &[Seen]) -> u64 {
    let rows = seen.iter().flatten();
    rows.fold(1, |sum: u64, (_, ship)| sum.wrapping_mul(31).wrapping_add(ship.cargo))
}

fn on_transaction(
    world: &Handles,
    tx: &mut Tx<'_>,
    steps: &[Step],
) -> Result<Vec<Seen>, Vec<Seen>> {
    let mut seen: Vec<Seen> = Vec::new();
    let own = |(key, row): (Key, ledger::Row<Ship>)| (key, Ship::clone(&row));
    for step in steps {
        let rows: Seen = match step {
            Step::Get(key) => tx
                .get(&world.ships, key)
                .map(|row| (key.clone(), row))
                .into_iter()
                .map(own)
                .collect(),
            Step::Prefix(fleet) => tx.prefix(&world.ships, fleet).map(own).collect(),
            Step::First(fleet) => tx.prefix(&world.ships, fleet).take(1).map(own).collect(),
            Step::Last(fleet) => tx.last(&world.ships, fleet).into_iter().map(own).collect(),
            Step::Port(port) => tx.index(&world.by_port, port).map(own).collect(),
            Step::Tags(from, to) => tx.index_range(&world.by_tag, from..=to).map(own).collect(),
            Step::Put(key, port, tags) => {
                let ship = Ship { port: port.clone(), tags: tags.clone(), cargo: cargo(&seen) };
                tx.put(&world.ships, key.clone(), ship);
                continue;
            }
            Step::Delete(key) => {
                tx.delete(&world.ships, key);
                continue;
            }
            Step::Reject => return Err(seen),
        };
        seen.push(rows);
    }
    Ok(seen)
}

fn on_model(model: &mut Model, steps: &[Step]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    for step in steps {
        let all = || model.iter().map(|(key, ship)| (key.clone(), ship.clone()));
        let rows: Seen = match step {
            Step::Get(wanted) => all().filter(|(key, _)| key == wanted).collect(),
            Step::Prefix(fleet) => all().filter(|(key, _)| key.0 == *fleet).collect(),
            Step::First(fleet) => all().filter(|(key, _)| key.0 == *fleet).take(1).collect(),
            Step::Last(fleet) => all().rfind(|(key, _)| key.0 == *fleet).into_iter().collect(),
            Step::Port(port) => all().filter(|(_, ship)| ship.port == *port).collect(),
            Step::Tags(from, to) => (*from..=*to)
                .flat_map(|tag| all().filter(move |(_, ship)| ship.tags.contains(&tag)))
                .collect(),
            Step::Put(key, port, tags) => {
                let ship = Ship { port: port.clone(), tags: tags.clone(), cargo: cargo(&seen) };
                model.insert(key.clone(), ship);
                continue;
            }
            Step::Delete(key) => {
                model.remove(key);
                continue;
            }
            Step::Reject => break,
        };
        seen.push(rows);
    }
    seen
}

#[derive(Clone)]
struct Handles {
    ledger: Ledger,
    ships: ledger::Table<Key, Ship>,
    by_port: ledger::Index<String, Key, Ship>,
    by_tag: ledger::Index<u32, Key, Ship>,
}

async fn perform(world: Handles, scripts: Vec<Vec<Step>>) -> Vec<Done> {
    let mut done = Vec::new();
    for steps in scripts {
        let mut base = 0;
        let outcome = world.ledger.transact("script", |tx| {
            base = tx.base_revision();
            on_transaction(&world, tx, &steps)
        });
        done.push(match outcome.await {
            Ok(committed) => Done {
                wrote: steps.iter().any(|step| matches!(step, Step::Put(..))),
                revision: committed.revision,
                seen: committed.value,
                steps,
            },
            Err(ledger::TransactError::Rejected(seen)) => {
                Done { revision: base, seen, steps, wrote: false }
            }
            Err(error) => panic!("{error:?}"),
        });
    }
    done
}

/// Adds a row of its own to each transaction that writes, so that it surely makes a revision.
fn mark(scripts: &mut [Vec<Vec<Step>>]) {
    let writes = |steps: &&mut Vec<Step>| {
        steps.iter().any(|step| matches!(step, Step::Put(..) | Step::Delete(_)))
    };
    for (number, steps) in (0..).zip(scripts.iter_mut().flatten().filter(writes)) {
        steps.insert(0, Step::Put(key("mark", number), "Nowhere".to_owned(), Vec::new()));
    }
}

/// Each transaction must have seen what the model shows at its place in the order of revisions.
fn check_order(mut done: Vec<Done>) -> Model {
    // Those that wrote nothing stand right behind the commit that they read.
    done.sort_by_key(|done| (done.revision, !done.wrote));
    let mut model = Model::new();
    let mut revision = 0;
    for Done { revision: at, steps, seen, wrote } in done {
        if wrote {
            assert_eq!(at, revision + 1, "revisions have no gaps");
            revision = at;
            assert_eq!(seen, on_model(&mut model, &steps), "{steps:?} at {at}");
        } else {
            assert_eq!(at, revision);
            assert_eq!(seen, on_model(&mut model.clone(), &steps), "{steps:?} after {at}");
        }
    }
    model
}

/// The feed, replayed over the snapshot it began with.
async fn replay(feed: &mut Feed, world: &World, until: Revision) -> Model {
    let rows = |(key, row): (Key, ledger::Row<Ship>)| (key, Ship::clone(&row));
    let mut model: Model = feed.snapshot().range(&world.ships, ..).map(rows).collect();
    let mut revision = feed.snapshot().revision();
    while revision < until {
        let commit = feed.next().await.unwrap();
        revision = commit.revision();
        for change in commit.changes_of(&world.ships) {
            let known = model.get(&change.key);
            assert_eq!(known, change.before.as_deref(), "before {revision}");
            match change.after {
                Some(row) => model.insert(change.key, Ship::clone(&row)),
                None => model.remove(&change.key),
            };
        }
    }
    model
}

fn check_indexes(world: &World, model: &Model) {
    let snapshot = world.ledger.snapshot();
    for port in ["Oslo", "Bergen", "Ostende"] {
        let found: Vec<Key> =
            snapshot.index(&world.by_port, &port.to_owned()).map(|(key, _)| key).collect();
        let expected: Vec<Key> = model
            .iter()
            .filter(|(_, ship)| ship.port == port)
            .map(|(key, _)| key.clone())
            .collect();
        assert_eq!(snapshot.index(&world.by_port, &port.to_owned()).count(), expected.len());
        assert_eq!(found, expected, "{port}");
    }
    let tagged = model.iter().flat_map(|(key, ship)| {
        let tags: std::collections::BTreeSet<u32> = ship.tags.iter().copied().collect();
        tags.into_iter().map(move |tag| (tag, key.clone()))
    });
    let mut expected: Vec<(u32, Key)> = tagged.collect();
    expected.sort();
    let found: Vec<Key> = snapshot.index_range(&world.by_tag, ..).map(|(key, _)| key).collect();
    assert_eq!(snapshot.index_range(&world.by_tag, ..).count(), found.len());
    assert_eq!(snapshot.range(&world.ships, ..).count(), model.len());
    assert_eq!(found, expected.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
}

fn check(backend: &impl Backend, mut scripts: Vec<Vec<Vec<Step>>>) {
    mark(&mut scripts);
    let world = backend.world();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let model = runtime.block_on(async {
        let mut feed = world.ledger.subscribe();
        let handles = Handles {
            ledger: world.ledger.clone(),
            ships: world.ships,
            by_port: world.by_port,
            by_tag: world.by_tag,
        };
        let tasks: Vec<_> = scripts
            .into_iter()
            .map(|scripts| tokio::spawn(perform(handles.clone(), scripts)))
            .collect();
        let mut done = Vec::new();
        for task in tasks {
            done.extend(task.await.unwrap());
        }
        let model = check_order(done);
        let revision = world.ledger.snapshot().revision();
        assert_eq!(replay(&mut feed, &world, revision).await, model);
        model
    });
    drop(runtime);
    assert_eq!(world.all().into_iter().collect::<Model>(), model);
    check_indexes(&world, &model);
    let revision = world.ledger.snapshot().revision();
    drop(world);

    let world = backend.world();
    assert_eq!(world.ledger.snapshot().revision(), revision);
    assert_eq!(world.all().into_iter().collect::<Model>(), model);
    check_indexes(&world, &model);
}

fn scripts() -> impl Strategy<Value = Vec<Vec<Vec<Step>>>> {
    prop::collection::vec(prop::collection::vec(transaction(), 1..12), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn transactions_behave_as_if_alone_in_memory(scripts in scripts()) {
        check(&Memory::default(), scripts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn transactions_behave_as_if_alone_on_disk(scripts in scripts()) {
        check(&Embedded::default(), scripts);
    }
}

#[test]
fn the_model_itself_is_checked() {
    let mut model = Model::new();
    let put = Step::Put(key("a", 1), "Oslo".to_owned(), vec![1, 2]);
    assert_eq!(on_model(&mut model, &[put, Step::Tags(0, 2)])[0].len(), 2);
}
