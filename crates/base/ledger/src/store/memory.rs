//! A store that forgets when the process ends: tests, simulations, throw-away servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Batch, LoadedRow, Pace, Store, StoreError, StoredRow};
use crate::bytes::Bytes;
use crate::state::Revision;

/// Keeps rows in memory. Clones share them, so a ledger opened on a clone finds what an earlier
/// one committed, as after a restart.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    revision: Revision,
    rows: BTreeMap<(&'static str, Bytes), StoredRow>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn load(
        &mut self,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Revision, StoreError> {
        let kept = self.kept.lock();
        for ((table, key), row) in &kept.rows {
            sink(LoadedRow {
                table,
                key,
                created: row.created,
                version: row.version,
                record_version: row.record_version,
                body: &row.body,
            })?;
        }
        Ok(kept.revision)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut kept = self.kept.lock();
        kept.revision = batch.revision;
        for write in &batch.writes {
            let key = (write.table, write.key.clone());
            match &write.row {
                Some(row) => kept.rows.insert(key, row.clone()),
                None => kept.rows.remove(&key),
            };
        }
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace::Inline
    }
}
