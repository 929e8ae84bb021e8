//! What holds with every store.

use std::cell::Cell;

use ledger::{OPTIMISTIC_RUNS, TransactError, Tx};

use crate::world::{
    Backend, Embedded, Key, Memory, OnEtcd, OnMemoryEtcd, Ship, World, key, run, ship, start,
};

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $test() { super::$test(&super::Memory::default()); })*
        }
        mod embedded {
            $(#[test] fn $test() { super::$test(&super::Embedded::default()); })*
        }
        mod memory_etcd {
            $(#[test] fn $test() { super::$test(&super::OnMemoryEtcd::default()); })*
        }
        mod etcd {
            $(#[test] fn $test() { super::$test(&super::OnEtcd::default()); })*
        }
    };
}

suite! {
    rows_survive_reopening,
    a_rejected_transaction_writes_nothing,
    a_transaction_that_changes_nothing_makes_no_revision,
    snapshots_do_not_change,
    own_writes_are_seen,
    what_was_read_is_guarded,
    a_transaction_ends_however_often_it_collides,
    a_rejection_on_fresh_rows_waits_until_they_are_durable,
    many_callers_commit_together,
}

fn rows_survive_reopening(backend: &impl Backend) {
    let world = backend.world();
    run(async {
        world.put(key("red", 1), ship("Oslo", 5)).await;
        world.put(key("red", 2), ship("Oslo", 6)).await;
        world.put(key("red", 1), ship("Bergen", 7)).await;
        world.put(key("blue", 1), ship("Oslo", 8)).await;
        let delete = world.ledger.transact("delete", |tx| {
            tx.delete(&world.ships, &key("red", 2));
            Ok::<_, ()>(())
        });
        assert_eq!(delete.await.unwrap().revision, 5);
    });
    drop(world);

    let world = backend.world();
    let snapshot = world.ledger.snapshot();
    assert_eq!(snapshot.revision(), 5);
    let expected = [(key("blue", 1), ship("Oslo", 8)), (key("red", 1), ship("Bergen", 7))];
    assert_eq!(world.all(), expected);
    let row = snapshot.get(&world.ships, &key("red", 1)).unwrap();
    assert_eq!((row.created(), row.version()), (1, 3));
    let in_oslo: Vec<Key> =
        snapshot.index(&world.by_port, &"Oslo".to_owned()).map(|(key, _)| key).collect();
    assert_eq!(in_oslo, [key("blue", 1)]);
    assert_eq!(run(world.put(key("red", 9), ship("Oslo", 0))), 6);
}

fn a_rejected_transaction_writes_nothing(backend: &impl Backend) {
    let world = backend.world();
    let outcome = run(world.ledger.transact("refuse", |tx| {
        tx.put(&world.ships, key("red", 1), ship("Oslo", 1));
        Err::<(), _>("no")
    }));
    assert!(matches!(outcome, Err(TransactError::Rejected("no"))), "{outcome:?}");
    assert_eq!((world.all(), world.ledger.snapshot().revision()), (vec![], 0));
}

fn a_transaction_that_changes_nothing_makes_no_revision(backend: &impl Backend) {
    let world = backend.world();
    let revision = |body: fn(&World, &mut Tx<'_>)| {
        let done = world.ledger.transact("nothing", |tx| {
            body(&world, tx);
            Ok::<_, ()>(())
        });
        run(done).unwrap().revision
    };
    assert_eq!(revision(|world, tx| drop(tx.get(&world.ships, &key("red", 1)))), 0);
    assert_eq!(revision(|world, tx| tx.delete(&world.ships, &key("red", 1))), 0);
    assert_eq!(revision(|world, tx| tx.put(&world.ships, key("red", 1), ship("Oslo", 1))), 1);
    assert_eq!(revision(|world, tx| drop(tx.get(&world.ships, &key("red", 1)))), 1);
}

fn snapshots_do_not_change(backend: &impl Backend) {
    let world = backend.world();
    run(async {
        world.put(key("red", 1), ship("Oslo", 1)).await;
        let snapshot = world.ledger.snapshot();
        world.put(key("red", 1), ship("Bergen", 2)).await;
        world.put(key("red", 2), ship("Oslo", 3)).await;
        assert_eq!(snapshot.get(&world.ships, &key("red", 1)).unwrap().port, "Oslo");
        assert_eq!(snapshot.len(&world.ships), 1);
        assert_eq!(snapshot.index(&world.by_port, &"Oslo".to_owned()).count(), 1);
    });
}

fn own_writes_are_seen(backend: &impl Backend) {
    let world = backend.world();
    run(async {
        for number in [1, 3, 5] {
            world.put(key("red", number), ship("Oslo", u64::from(number))).await;
        }
        world.put(key("tan", 0), ship("Bergen", 0)).await;
        let look = world.ledger.transact("look", |tx| {
            let (ships, red) = (&world.ships, "red".to_owned());
            tx.put(ships, key("red", 2), ship("Bergen", 2));
            tx.put(ships, key("red", 3), ship("Bergen", 33));
            tx.delete(ships, &key("red", 5));
            tx.put(ships, key("red", 7), ship("Oslo", 7));
            assert_eq!(tx.get(ships, &key("red", 3)).unwrap().cargo, 33);
            assert!(tx.get(ships, &key("red", 5)).is_none());
            let cargo = |rows: &mut dyn Iterator<Item = (Key, ledger::Row<Ship>)>| {
                rows.map(|(_, row)| row.cargo).collect::<Vec<_>>()
            };
            assert_eq!(cargo(&mut tx.prefix(ships, &red)), [1, 2, 33, 7]);
            assert_eq!(cargo(&mut tx.range(ships, key("red", 2)..=key("red", 6))), [2, 33]);
            assert_eq!(cargo(&mut tx.range(ships, key("red", 6)..key("red", 2))), [0_u64; 0]);
            assert_eq!(tx.last(ships, &red).unwrap().0, key("red", 7));
            assert_eq!(cargo(&mut tx.index(&world.by_port, &"Bergen".to_owned())), [2, 33, 0]);
            assert_eq!(cargo(&mut tx.index(&world.by_port, &"Oslo".to_owned())), [1, 7]);
            let ports = "A".to_owned().."N".to_owned();
            assert_eq!(cargo(&mut tx.index_range(&world.by_port, ports)), [2, 33, 0]);
            tx.delete(ships, &key("red", 7));
            assert_eq!(tx.last(ships, &red).unwrap().0, key("red", 3));
            Ok::<_, ()>(())
        });
        look.await.unwrap();
    });
}

/// Runs a transaction that reads with `read`, then writes; between the two, in its first run,
/// another commits `other`. Gives the number of runs.
fn runs_with(
    backend: &impl Backend,
    read: impl Fn(&World, &Tx<'_>),
    other: impl Fn(&World, &mut Tx<'_>),
) -> u32 {
    let world = backend.world();
    let runs = Cell::new(0);
    run(async {
        let reset = world.ledger.transact("reset", |tx| {
            let old: Vec<Key> = tx.range(&world.ships, ..).map(|(key, _)| key).collect();
            old.iter().for_each(|key| tx.delete(&world.ships, key));
            for number in 1..=3 {
                tx.put(&world.ships, key("red", number), ship("Oslo", 0));
            }
            tx.put(&world.ships, key("tan", 1), ship("Bergen", 0));
            Ok::<_, ()>(())
        });
        reset.await.unwrap();
        let tested = world.ledger.transact("tested", |tx| {
            read(&world, tx);
            tx.put(&world.ships, key("result", 0), ship("Nowhere", 0));
            if runs.replace(runs.get() + 1) == 0 {
                start(world.ledger.transact("other", |tx| {
                    other(&world, tx);
                    Ok::<_, ()>(())
                }));
            }
            Ok::<_, ()>(())
        });
        tested.await.unwrap();
    });
    runs.get()
}

fn what_was_read_is_guarded(backend: &impl Backend) {
    type Read = fn(&World, &Tx<'_>);
    type Other = fn(&World, &mut Tx<'_>);
    let check = |name: &str, read: Read, other: Other, collides: bool| {
        assert_eq!(runs_with(backend, read, other), 1 + u32::from(collides), "{name}");
    };
    let change: Other = |w, tx| tx.put(&w.ships, key("red", 2), ship("Oslo", 9));
    let create: Other = |w, tx| tx.put(&w.ships, key("red", 9), ship("Oslo", 9));
    let delete: Other = |w, tx| tx.delete(&w.ships, &key("red", 2));
    let leave: Other = |w, tx| tx.put(&w.ships, key("red", 2), ship("Bergen", 0));
    let row: Read = |w, tx| drop(tx.get(&w.ships, &key("red", 2)));
    let absent: Read = |w, tx| drop(tx.get(&w.ships, &key("red", 9)));
    let walk: Read = |w, tx| tx.prefix(&w.ships, &"red".to_owned()).for_each(drop);
    let first: Read = |w, tx| drop(tx.prefix(&w.ships, &"red".to_owned()).next());
    let last: Read = |w, tx| drop(tx.last(&w.ships, &"red".to_owned()));
    let oslo: Read = |w, tx| tx.index(&w.by_port, &"Oslo".to_owned()).for_each(drop);
    let bergen: Read = |w, tx| tx.index(&w.by_port, &"Bergen".to_owned()).for_each(drop);

    check("nothing read", |_, _| {}, change, false);
    check("a row that changed", row, change, true);
    check("a row that was deleted", row, delete, true);
    check("another row", row, create, false);
    check("an absent row that came", absent, create, true);
    check("an absent row that stayed so", absent, change, false);
    check("a walk over a changed row", walk, change, true);
    check("a walk over a new row", walk, create, true);
    check("a walk over a deleted row", walk, delete, true);
    check("a walk that stopped before the change", first, change, false);
    check("the last row, with a new one behind it", last, create, true);
    check("the last row, with a change before it", last, change, false);
    check("an index that a row left", oslo, leave, true);
    check("an index that a row came to", bergen, leave, true);
    check("an index with a changed row", oslo, change, true);
    check("an index beside the change", bergen, change, false);
}

fn a_transaction_ends_however_often_it_collides(backend: &impl Backend) {
    let world = backend.world();
    let runs = Cell::new(0);
    let count = |tx: &mut Tx<'_>| {
        let cargo = tx.get(&world.ships, &key("red", 1)).map_or(0, |row| row.cargo);
        tx.put(&world.ships, key("red", 1), ship("Oslo", cargo + 1));
        Ok::<_, ()>(())
    };
    run(async {
        let unlucky = world.ledger.transact("unlucky", |tx| {
            count(tx)?;
            if runs.replace(runs.get() + 1) < OPTIMISTIC_RUNS {
                start(world.ledger.transact("count", count));
            }
            Ok::<_, ()>(())
        });
        unlucky.await.unwrap();
    });
    assert_eq!(runs.get(), OPTIMISTIC_RUNS + 1);
    let cargo = world.ledger.snapshot().get(&world.ships, &key("red", 1)).unwrap().cargo;
    assert_eq!(cargo, OPTIMISTIC_RUNS as u64 + 1);
}

fn a_rejection_on_fresh_rows_waits_until_they_are_durable(backend: &impl Backend) {
    let world = backend.world();
    let runs = Cell::new(0);
    run(async {
        let taken = world.ledger.transact("take", |tx| {
            if tx.get(&world.ships, &key("red", 1)).is_some() {
                return Err(tx.base_revision());
            }
            tx.put(&world.ships, key("red", 1), ship("Oslo", 1));
            if runs.replace(runs.get() + 1) == 0 {
                start(world.ledger.transact("first", |tx| {
                    tx.put(&world.ships, key("red", 1), ship("Bergen", 2));
                    Ok::<_, ()>(())
                }));
            }
            Ok(())
        });
        let Err(TransactError::Rejected(seen)) = taken.await else { panic!("the name was taken") };
        assert_eq!(seen, 1);
        assert!(world.ledger.snapshot().revision() >= seen);
    });
}

fn many_callers_commit_together(backend: &impl Backend) {
    let world = backend.world();
    let (ledger, ships) = (world.ledger.clone(), world.ships);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let callers: Vec<_> = (0..64_u32)
            .map(|caller| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    for number in 0..10 {
                        let add = ledger.transact("add", |tx| {
                            let total = tx.get(&ships, &key("total", 0)).map_or(0, |row| row.cargo);
                            tx.put(&ships, key("total", 0), ship("Oslo", total + 1));
                            tx.put(&ships, key("caller", caller * 100 + number), ship("Oslo", 0));
                            Ok::<_, ()>(())
                        });
                        let revision = add.await.unwrap().revision;
                        assert!(ledger.snapshot().revision() >= revision, "read your own writes");
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
    let snapshot = world.ledger.snapshot();
    assert_eq!(snapshot.revision(), 640);
    assert_eq!(snapshot.get(&ships, &key("total", 0)).unwrap().cargo, 640);
    assert_eq!(snapshot.prefix(&ships, &"caller".to_owned()).count(), 640);
}
