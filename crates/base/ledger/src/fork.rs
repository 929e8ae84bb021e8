//! A ledger's state elsewhere: as a store to read, or as a ledger that forgets.

use std::fmt;
use std::sync::Arc;

use crate::ledger::Ledger;
use crate::schema::Schema;
use crate::state::{Revision, State};
use crate::store::{Batch, LoadedRow, Pace, Store, StoreError};

/// One state of a ledger, read row by row in stored form. It costs nothing to make and holds up
/// no commit, so archives of a running server are made from it. What is committed to it is
/// forgotten.
pub struct SnapshotStore {
    pub(crate) schema: Arc<Schema>,
    pub(crate) state: Arc<State>,
}

impl Store for SnapshotStore {
    fn load(
        &mut self,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Revision, StoreError> {
        for (number, spec) in (0..).zip(self.schema.tables()) {
            for (key, entry) in &self.state.table(number).rows {
                let error = |problem: String| StoreError::Row { table: spec.name.into(), problem };
                let body = self.schema.encode_row(number, key, &*entry.value);
                let body = body.map_err(|e| error(e.to_string()))?;
                sink(LoadedRow {
                    table: spec.name,
                    key,
                    created: entry.created,
                    version: entry.version,
                    record_version: spec.record_version,
                    body: &body,
                })?;
            }
        }
        Ok(self.state.revision)
    }

    fn commit(&mut self, _: &Batch) -> Result<(), StoreError> {
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace::Inline
    }
}

impl fmt::Debug for SnapshotStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotStore({})", self.state.revision)
    }
}

impl Ledger {
    /// What is durable now, to be read row by row. Tables of a newer program that lie in the
    /// store are not among it: this ledger never looked into them.
    pub fn rows(&self) -> SnapshotStore {
        SnapshotStore { schema: self.schema().clone(), state: self.durable() }
    }

    /// A ledger of its own that begins with what is durable in this one now and forgets its
    /// commits with the process: for asking what would be. It costs nothing to make, and starts
    /// no thread.
    pub fn fork(&self) -> Self {
        let rows = self.rows();
        let state = State::clone(&rows.state);
        self.with_state(state, Box::new(rows))
    }
}
