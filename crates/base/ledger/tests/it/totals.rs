//! Totals: as the rows under each key amount to, after any changes, on every way in.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{FIGURES, Index, Ledger, MemoryStore, Record, Schema, Table, Total, Totals};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Crate {
    ships: Vec<u8>,
    weight: u32,
}

impl Record for Crate {}

#[derive(Clone, Copy)]
struct Port {
    crates: Table<u8, Crate>,
    by_ship: Index<u8, u8, Crate>,
    loads: Totals<u8>,
}

fn port(schema: &mut Schema) -> Port {
    let crates = schema.table("port.crates");
    let by_ship = schema.index(&crates, "by_ship", |_, row: &Crate| row.ships.clone());
    let loads = schema.totals(&by_ship, |row: &Crate| {
        let mut figures = [0; FIGURES];
        figures[1] = row.weight.into();
        figures
    });
    Port { crates, by_ship, loads }
}

struct Fixed;

impl terms::Clock for Fixed {
    fn now(&self) -> terms::Timestamp {
        terms::Timestamp::from_millis(0)
    }
}

impl terms::IdSource for Fixed {
    fn next(&self) -> [u8; 16] {
        [0; 16]
    }
}

fn open(store: MemoryStore) -> (Ledger, Port) {
    let mut schema = Schema::new();
    let port = port(&mut schema);
    let ledger = Ledger::open(schema, Box::new(store), Arc::new(Fixed), Arc::new(Fixed)).unwrap();
    (ledger, port)
}

/// Whether every total is what one gets by reading the rows.
fn check(ledger: &Ledger, port: &Port) {
    let snapshot = ledger.snapshot();
    for ship in 0..4_u8 {
        let rows = snapshot.index(&port.by_ship, &ship);
        let mut expected = Total::default();
        for (_, row) in rows {
            expected.rows += 1;
            expected.figures[1] += u64::from(row.weight);
        }
        assert_eq!(snapshot.facts().total(&port.loads, &ship), expected, "ship {ship}");
    }
}

type Changes = Vec<BTreeMap<u8, Option<(Vec<u8>, u32)>>>;

fn changes() -> impl Strategy<Value = Changes> {
    let row = (prop::collection::vec(0..4_u8, 0..3), 0..5_u32);
    let commit = prop::collection::btree_map(0..6_u8, prop::option::of(row), 1..4);
    prop::collection::vec(commit, 1..20)
}

proptest! {
    #[test]
    fn totals_are_those_of_the_rows(changes in changes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = MemoryStore::new();
        let (ledger, port) = open(store.clone());
        runtime.block_on(async {
            for commit in &changes {
                let done = ledger.transact("change", |tx| {
                    for (key, row) in commit {
                        match row.clone() {
                            Some((ships, weight)) => tx.put(&port.crates, *key, Crate { ships, weight }),
                            None => tx.delete(&port.crates, key),
                        }
                    }
                    Ok::<_, ()>(())
                });
                done.await.unwrap();
                check(&ledger, &port);
            }
        });
        // And anew, from what was stored.
        let (again, port) = open(store);
        check(&again, &port);
    }
}
