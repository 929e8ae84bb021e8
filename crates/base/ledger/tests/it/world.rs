//! What the tests share: a small schema, a clock and ids that stand still, stores that reopen.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use ledger::{
    EmbeddedStore, Etcd, EtcdSettings, Index, Leadership, Ledger, LedgerError, Member, MemoryEtcd,
    MemoryStore, Record, Schema, Snapshot, Store, StoreError, Table,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use terms::{Clock, IdSource, Timestamp};

use crate::etcd_server;

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

struct Declared {
    schema: Schema,
    ships: Table<Key, Ship>,
    by_port: Index<String, Key, Ship>,
    by_tag: Index<u32, Key, Ship>,
}

fn declare() -> Declared {
    let mut schema = Schema::new();
    let ships = schema.table("test.ships");
    let by_port = schema.index(&ships, "by_port", |_, ship: &Ship| vec![ship.port.clone()]);
    let by_tag = schema.index(&ships, "by_tag", |_, ship: &Ship| ship.tags.clone());
    Declared { schema, ships, by_port, by_tag }
}

impl World {
    pub fn open(store: Box<dyn Store>) -> Self {
        let Declared { schema, ships, by_port, by_tag } = declare();
        let sources = Arc::new(Sources::default());
        let ledger = Ledger::open(schema, store, sources.clone(), sources).unwrap();
        Self { ledger, ships, by_port, by_tag }
    }

    /// Joins an etcd; with `None` the one that the settings name.
    pub async fn join(
        etcd: Option<Arc<dyn Etcd>>,
        settings: EtcdSettings,
    ) -> Result<Self, StoreError> {
        let Declared { schema, ships, by_port, by_tag } = declare();
        let sources = Arc::new(Sources::default());
        let ledger = match etcd {
            Some(etcd) => Ledger::join_on(etcd, schema, settings, sources.clone(), sources).await?,
            None => Ledger::join(schema, settings, sources.clone(), sources).await?,
        };
        Ok(Self { ledger, ships, by_port, by_tag })
    }

    /// Returns when it leads.
    pub async fn leads(&self) {
        self.ledger.leadership().wait_for(Leadership::is_leading).await.unwrap();
    }

    /// Reads what is current as soon as it can be reached.
    pub async fn reached(&self) -> Snapshot {
        loop {
            match self.ledger.current().await {
                Ok(snapshot) => break snapshot,
                Err(error) => assert!(matches!(error, LedgerError::Unreachable { .. }), "{error}"),
            }
        }
    }

    /// Writes one ship in a transaction of its own.
    pub async fn put(&self, key: Key, ship: Ship) -> ledger::Revision {
        let put = self.ledger.transact("put", |tx| {
            tx.put(&self.ships, key.clone(), ship.clone());
            Ok::<_, ()>(())
        });
        put.await.unwrap().revision
    }

    /// As [`World::put`], when this server leads.
    pub async fn put_when_leading(&self, key: Key) {
        self.leads().await;
        self.put(key, ship("Oslo", 1)).await;
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

/// An etcd that several servers may join, each by its name.
pub fn settings(name: &str, endpoint: &str, prefix: &str) -> EtcdSettings {
    let member = Member { name: name.to_owned(), url: format!("http://{name}") };
    EtcdSettings {
        prefix: prefix.to_owned(),
        ..EtcdSettings::new(vec![endpoint.to_owned()], member)
    }
}

/// Where the tasks of ledgers on an etcd run.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub struct OnMemoryEtcd(MemoryEtcd, tokio::runtime::Runtime);

impl Default for OnMemoryEtcd {
    fn default() -> Self {
        Self(MemoryEtcd::new(), runtime())
    }
}

impl Backend for OnMemoryEtcd {
    fn store(&self) -> Box<dyn Store> {
        unreachable!("it is joined")
    }

    fn world(&self) -> World {
        self.1.block_on(async {
            let etcd = Arc::new(self.0.clone());
            let world = World::join(Some(etcd), settings("one", "", "/test")).await.unwrap();
            world.leads().await;
            world
        })
    }
}

/// Under a prefix of its own of the etcd that all tests share.
pub struct OnEtcd(EtcdSettings, tokio::runtime::Runtime);

impl Default for OnEtcd {
    fn default() -> Self {
        Self(etcd_server::shared_settings("one"), runtime())
    }
}

impl Backend for OnEtcd {
    fn store(&self) -> Box<dyn Store> {
        unreachable!("it is joined")
    }

    fn world(&self) -> World {
        self.1.block_on(async {
            let world = World::join(None, self.0.clone()).await.unwrap();
            world.leads().await;
            world
        })
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
