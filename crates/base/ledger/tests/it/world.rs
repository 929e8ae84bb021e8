//! What the tests share: a small schema, a clock and ids that stand still, stores that reopen.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use ledger::{EmbeddedStore, Index, Ledger, MemoryStore, Record, Schema, Store, Table};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use terms::{Clock, IdSource, Timestamp};

/// A ship; ports and tags are what the indexes look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ship {
    pub port: String,
    pub tags: Vec<u32>,
    pub cargo: u64,
}

impl Record for Ship {}

pub fn ship(port: &str, cargo: u64) -> Ship {
    Ship { port: port.to_owned(), tags: Vec::new(), cargo }
}

pub type Key = (String, u32);

pub fn key(fleet: &str, number: u32) -> Key {
    (fleet.to_owned(), number)
}

pub struct World {
    pub ledger: Ledger,
    pub ships: Table<Key, Ship>,
    pub by_port: Index<String, Key, Ship>,
    pub by_tag: Index<u32, Key, Ship>,
}

#[derive(Default)]
pub struct Sources(AtomicU64);

impl Clock for Sources {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000)
    }
}

impl IdSource for Sources {
    fn next(&self) -> [u8; 16] {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
    }
}

impl World {
    pub fn open(store: Box<dyn Store>) -> Self {
        let mut schema = Schema::new();
        let ships = schema.table("test.ships");
        let by_port = schema.index(&ships, "by_port", |_, ship: &Ship| vec![ship.port.clone()]);
        let by_tag = schema.index(&ships, "by_tag", |_, ship: &Ship| ship.tags.clone());
        let sources = Arc::new(Sources::default());
        let ledger = Ledger::open(schema, store, sources.clone(), sources).unwrap();
        Self { ledger, ships, by_port, by_tag }
    }

    /// Writes one ship in a transaction of its own.
    pub async fn put(&self, key: Key, ship: Ship) -> ledger::Revision {
        let put = self.ledger.transact("put", |tx| {
            tx.put(&self.ships, key.clone(), ship.clone());
            Ok::<_, ()>(())
        });
        put.await.unwrap().revision
    }

    pub fn all(&self) -> Vec<(Key, Ship)> {
        let snapshot = self.ledger.snapshot();
        snapshot.range(&self.ships, ..).map(|(key, row)| (key, Ship::clone(&row))).collect()
    }
}

/// A place where stores keep their rows between openings.
pub trait Backend: Default {
    fn store(&self) -> Box<dyn Store>;

    fn world(&self) -> World {
        World::open(self.store())
    }
}

#[derive(Default)]
pub struct Memory(MemoryStore);

impl Backend for Memory {
    fn store(&self) -> Box<dyn Store> {
        Box::new(self.0.clone())
    }
}

pub struct Embedded(pub TempDir);

impl Default for Embedded {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Backend for Embedded {
    fn store(&self) -> Box<dyn Store> {
        Box::new(EmbeddedStore::open(self.0.path()).unwrap())
    }
}

/// Runs a future on this thread.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Polls a future once. A transaction is checked and applied to the head by its first poll;
/// later ones only wait for the store.
pub fn start<F: Future>(future: F) {
    let mut context = Context::from_waker(Waker::noop());
    let _: Poll<_> = pin!(future).poll(&mut context);
}
