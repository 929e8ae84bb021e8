//! Typed tables, transactions, change feed and durable stores: where all state lives.
//!
//! ```
//! # use std::sync::Arc;
//! # use ledger::{Ledger, MemoryStore, Record, Schema};
//! # struct Fixed;
//! # impl terms::Clock for Fixed { fn now(&self) -> terms::Timestamp { terms::Timestamp::from_millis(0) } }
//! # impl terms::IdSource for Fixed { fn next(&self) -> [u8; 16] { [0; 16] } }
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Ship { crew: u32 }
//! impl Record for Ship {}
//!
//! let mut schema = Schema::new();
//! let ships = schema.table::<String, Ship>("port.ships");
//! let by_crew = schema.index(&ships, "by_crew", |_, ship: &Ship| vec![ship.crew]);
//! let store = Box::new(MemoryStore::new());
//! let ledger = Ledger::open(schema, store, Arc::new(Fixed), Arc::new(Fixed))?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let done = ledger
//!     .transact("launch", |tx| {
//!         if tx.get(&ships, &"Ada".to_owned()).is_some() {
//!             return Err("there is a ship of that name");
//!         }
//!         tx.put(&ships, "Ada".to_owned(), Ship { crew: 3 });
//!         Ok(())
//!     })
//!     .await
//!     .expect("a fresh name");
//! let snapshot = ledger.snapshot();
//! assert_eq!(snapshot.revision(), done.revision);
//! assert_eq!(snapshot.index(&by_crew, &3_u32).next().expect("one ship").0, "Ada");
//! # });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants:
//! - Nothing is visible before it is durable: snapshots, answers and the feed show only what the
//!   store has confirmed, in this order.
//! - Committed transactions have one order, that of their revisions, and each behaves as if it
//!   had run alone at its place in it. What it read through [`Tx::facts`] may be older; of that
//!   only what it guards ([`Tx::guard`]) is so at its place.
//! - Revisions have no gaps; the feed gives each once, or says that it lagged.
//! - After a failed commit of the store nothing more is written: what is on the disk may be one
//!   batch ahead of what was answered, never behind.
//! - No thread, clock or randomness of its own with a store of [`Pace::Inline`].

mod archive;
mod building;
mod bytes;
mod cluster;
mod error;
mod feed;
mod fork;
mod head;
mod index;
mod key;
mod ledger;
mod load;
mod record;
mod role;
mod schema;
mod secrets;
mod snapshot;
mod state;
mod store;
mod totals;
mod tx;
pub mod watch;

pub use archive::{
    ARCHIVE_FORMAT, About, ArchiveHeader, ArchiveStore, Contents, Examined, Finding, Findings,
    IfNotEmpty, Sum, TableContents, examine, export, fingerprint, import,
};
pub use bytes::Bytes;
pub use cluster::{ClusterFigures, ETCD_FORMAT, EtcdStore, REPLICATED, connect as connect_etcd};
pub use error::{LedgerError, TransactError};
pub use feed::{Change, Commit, FEED_COMMITS, Feed, Lagged};
pub use fork::SnapshotStore;
pub use head::MAX_WAITING;
pub use key::{Key, KeyError, KeyReader, KeyWriter};
pub use ledger::{Committed, Ledger, OPTIMISTIC_RUNS, TableDigest};
pub use record::{Record, RecordError, decode_body};
pub use role::{Leadership, Member};
pub use schema::{Index, Schema, Table, Totals};
pub use secrets::{SECRETS_KEY_BYTES, SecretsError, SecretsKeys};
pub use snapshot::{Facts, Snapshot, View};
pub use state::{Revision, Row, Rows};
pub use store::{
    AddressError, Batch, EMBEDDED_FORMAT, EmbeddedStore, Etcd, EtcdAnswer, EtcdCompare, EtcdError,
    EtcdEvent, EtcdLease, EtcdOp, EtcdPage, EtcdPair, EtcdRange, EtcdSettings, EtcdStatus, EtcdTls,
    EtcdTxn, EtcdWatch, LoadedRow, MemoryEtcd, MemoryStore, Pace, Secret, Store, StoreError,
    StoredRow, Write,
};
pub use totals::{FIGURES, Total};
pub use tx::Tx;
