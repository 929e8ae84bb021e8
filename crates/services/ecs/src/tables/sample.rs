//! An empty ledger for tests.

use std::sync::Arc;

use ledger::{Ledger, MemoryStore, Schema};
use terms::{Clock, IdSource, Timestamp};

use super::Tables;
use crate::model::sample::MADE;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        MADE
    }
}

impl IdSource for Still {
    fn next(&self) -> [u8; 16] {
        [0; 16]
    }
}

/// A ledger in memory in which it is always [`MADE`], and its tables.
pub(crate) fn ledger() -> (Ledger, Tables) {
    let mut schema = Schema::new();
    let tables = Tables::declare(&mut schema);
    let store = Box::new(MemoryStore::new());
    let ledger = Ledger::open(schema, store, Arc::new(Still), Arc::new(Still));
    (ledger.expect("a ledger in memory opens"), tables)
}
