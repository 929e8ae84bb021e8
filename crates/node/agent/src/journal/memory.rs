//! A journal without a disk, for tests and simulation: what a crash keeps is chosen by the caller.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Journal, JournalError};
use crate::engine::Record;

/// Records in memory. Clones share them, so that a second agent can take over from a first.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    records: Vec<Record>,
    durable: usize,
}

impl MemoryJournal {
    /// Forgets what was not yet durable, as a crash of the machine may.
    pub fn lose_what_is_not_durable(&self) {
        let mut kept = self.0.lock();
        let durable = kept.durable;
        kept.records.truncate(durable);
    }

    /// All records.
    pub fn records(&self) -> Vec<Record> {
        self.0.lock().records.clone()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn load(&mut self) -> Result<Vec<Record>, JournalError> {
        Ok(self.records())
    }

    async fn append(&mut self, records: Vec<Record>, durable: bool) -> Result<(), JournalError> {
        let mut kept = self.0.lock();
        kept.records.extend(records);
        if durable {
            kept.durable = kept.records.len();
        }
        Ok(())
    }

    fn wants_compaction(&self) -> bool {
        false
    }

    async fn compact(&mut self, records: Vec<Record>) -> Result<(), JournalError> {
        let durable = records.len();
        *self.0.lock() = Kept { records, durable };
        Ok(())
    }
}
