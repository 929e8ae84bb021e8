//! From an archive into a store.

use std::collections::HashSet;
use std::sync::Arc;

use super::{ArchiveStore, Contents, IMPORTING};
use crate::bytes::Bytes;
use crate::load;
use crate::schema::Schema;
use crate::state::Revision;
use crate::store::{Batch, LoadedRow, Store, StoreError, StoredRow, Write};

/// The bytes that one commit of an import carries.
const BATCH_BYTES: usize = 512 << 10;

/// What becomes of rows that the store has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfNotEmpty {
    /// Nothing is brought in.
    Refuse,
    /// They are deleted, but for those that the archive has too.
    Replace,
}

/// Makes `store` hold what the archive holds: rows, their revisions, and the revision of the last
/// commit. The whole archive is read and checked before anything is written.
///
/// It takes several commits. Until the last of them a row stands in the store that keeps ledgers
/// from opening on it; if the import is cut short, the same import again completes it.
///
/// # Errors
/// When the archive is damaged, or holds what this program cannot read; when the store is not
/// empty and that is not wanted, or cannot be read or written.
pub fn import(
    schema: &Schema,
    archive: &ArchiveStore,
    store: &mut dyn Store,
    if_not_empty: IfNotEmpty,
) -> Result<Contents, StoreError> {
    let contents = archive.read(&mut |row| load::check_row(schema, &row))?;
    let found = Found::look(store)?;
    if found.rows > 0 && !found.importing && if_not_empty == IfNotEmpty::Refuse {
        return Err(StoreError::NotEmpty { rows: found.rows });
    }
    let mut writer = Writer { store, batch: Batch::default(), bytes: 0, at: found.revision };
    let mut names = Names { schema, strangers: Vec::new() };
    let marker = StoredRow { created: 0, version: 0, record_version: 1, body: Arc::from([]) };
    writer.put(Write { table: IMPORTING, key: Bytes::from(&[][..]), row: Some(marker) })?;
    writer.commit()?;
    let mut left = found.keys;
    archive.read(&mut |row| {
        left.remove(&(row.table.to_owned(), row.key.to_vec()));
        writer.put(write_of(names.get(row.table), &row))
    })?;
    for (table, key) in left {
        let table = names.get(&table);
        writer.put(Write { table, key: key.into(), row: None })?;
    }
    writer.commit()?;
    writer.put(Write { table: IMPORTING, key: Bytes::from(&[][..]), row: None })?;
    writer.at = contents.revision;
    writer.commit()?;
    Ok(contents)
}

/// What is in the store before.
#[derive(Default)]
struct Found {
    revision: Revision,
    rows: u64,
    keys: HashSet<(String, Vec<u8>)>,
    /// An import was cut short.
    importing: bool,
}

impl Found {
    fn look(store: &mut dyn Store) -> Result<Self, StoreError> {
        let mut found = Self::default();
        found.revision = store.load(&mut |row| {
            if row.table == IMPORTING {
                found.importing = true;
            } else {
                found.rows += 1;
                found.keys.insert((row.table.to_owned(), row.key.to_vec()));
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn write_of(table: &'static str, row: &LoadedRow<'_>) -> Write {
    let stored = StoredRow {
        created: row.created,
        version: row.version,
        record_version: row.record_version,
        body: row.body.into(),
    };
    Write { table, key: row.key.into(), row: Some(stored) }
}

/// Tables' names as batches take them. Those of tables that are not declared here are kept for as
/// long as the process lives; an archive holds a bounded number of them.
struct Names<'a> {
    schema: &'a Schema,
    strangers: Vec<&'static str>,
}

impl Names<'_> {
    fn get(&mut self, name: &str) -> &'static str {
        if let Some(number) = self.schema.find(name) {
            return self.schema.spec(number).name;
        }
        if let Some(known) = self.strangers.iter().find(|known| **known == name) {
            return known;
        }
        let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
        self.strangers.push(kept);
        kept
    }
}

/// Gathers writes into commits of bearable size.
struct Writer<'a> {
    store: &'a mut dyn Store,
    batch: Batch,
    bytes: usize,
    /// The revision that the store is told.
    at: Revision,
}

impl Writer<'_> {
    fn put(&mut self, write: Write) -> Result<(), StoreError> {
        self.bytes += write.key.len() + write.row.as_ref().map_or(0, |row| row.body.len());
        self.batch.writes.push(write);
        if self.bytes >= BATCH_BYTES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let mut batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        batch.revision = self.at;
        if batch.writes.is_empty() { Ok(()) } else { self.store.commit(&batch) }
    }
}
