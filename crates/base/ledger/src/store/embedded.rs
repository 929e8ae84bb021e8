//! The store of one machine: a fjall database in a directory (docs/decisions/0002).
//!
//! One keyspace holds every row. Key: the table's name, a zero byte, the encoded key. Value: the
//! revision that created the row and the one that last wrote it (8 bytes each, big endian), the
//! record's version (2 bytes), the encoded value. One more key, [`REVISION_KEY`], holds the
//! revision of the last batch; no table's name is empty, so it collides with none.

use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::directory::{Directory, io};
use super::{Batch, LoadedRow, Pace, Store, StoreError, StoredRow};
use crate::state::Revision;

const REVISION_KEY: &[u8] = b"\0revision";

/// Rows are read once, when the ledger opens, so there is next to nothing to cache.
const CACHE_BYTES: u64 = 1 << 20;

/// Rows that are in the journal but not yet in sorted files; they take this much memory at most. At
/// 400 rows a second a file is written once a minute.
const MEMTABLE_BYTES: u64 = 32 << 20;

/// So many files of fresh rows are merged with the rest at a time. A merge writes much, and commits
/// wait for the disk meanwhile; rows are read only at the start, so it may come seldom.
const FRESH_FILES: u8 = 8;

/// The least that fjall takes; it bounds the journal that is read when the ledger opens.
const JOURNAL_BYTES: u64 = 64 << 20;

/// `created`, `version` and the record's version.
const HEADER_BYTES: usize = 8 + 8 + 2;

/// Rows in a directory on the local disk. A commit returns after `fdatasync`.
pub struct EmbeddedStore {
    // Before the directory, so that its lock is given up last.
    rows: Keyspace,
    database: Database,
    directory: Directory,
}

impl EmbeddedStore {
    /// Opens the store in `dir`, or makes an empty one. A batch that was cut short when the
    /// last process died is dropped: nobody was told that it is durable.
    ///
    /// # Errors
    /// When another process uses the directory, a newer program wrote it, the disk is full or
    /// fails, or its content is damaged.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let directory = Directory::open(dir)?;
        let merging = Leveled::default().with_l0_threshold(FRESH_FILES);
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .compaction_strategy(Arc::new(merging))
        };
        let open = || {
            let database = Database::builder(directory.rows())
                .worker_threads(1)
                .cache_size(CACHE_BYTES)
                .max_journaling_size(JOURNAL_BYTES)
                .open()?;
            let rows = database.keyspace("rows", options)?;
            Ok((database, rows))
        };
        match open() {
            Ok((database, rows)) => Ok(Self { rows, database, directory }),
            Err(error) => Err(explain(&directory, "opening", error)),
        }
    }

    fn row_damaged(&self) -> StoreError {
        self.directory.damaged("a stored row", "it is too short".to_owned())
    }
}

impl Store for EmbeddedStore {
    fn load(
        &mut self,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Revision, StoreError> {
        let mut revision = 0;
        for entry in self.rows.iter() {
            let (key, value) =
                entry.into_inner().map_err(|error| explain(&self.directory, "reading", error))?;
            if *key == *REVISION_KEY {
                let bytes = (*value).try_into().map_err(|_| self.row_damaged())?;
                revision = Revision::from_be_bytes(bytes);
            } else {
                sink(loaded(&key, &value).ok_or_else(|| self.row_damaged())?)?;
            }
        }
        Ok(revision)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut writes = self.database.batch().durability(Some(PersistMode::SyncData));
        for write in &batch.writes {
            let key = [write.table.as_bytes(), &[0], &write.key].concat();
            match &write.row {
                Some(row) => writes.insert(&self.rows, key, stored(row)),
                None => writes.remove(&self.rows, key),
            }
        }
        writes.insert(&self.rows, REVISION_KEY, batch.revision.to_be_bytes());
        writes.commit().map_err(|error| explain(&self.directory, "writing", error))
    }

    fn pace(&self) -> Pace {
        Pace::OwnThread
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmbeddedStore({})", self.directory.path().display())
    }
}

fn stored(row: &StoredRow) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER_BYTES + row.body.len());
    value.extend_from_slice(&row.created.to_be_bytes());
    value.extend_from_slice(&row.version.to_be_bytes());
    value.extend_from_slice(&row.record_version.to_be_bytes());
    value.extend_from_slice(&row.body);
    value
}

fn loaded<'a>(key: &'a [u8], value: &'a [u8]) -> Option<LoadedRow<'a>> {
    let end = key.iter().position(|&byte| byte == 0)?;
    let table = std::str::from_utf8(&key[..end]).ok()?;
    let (created, rest) = value.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (record_version, body) = rest.split_first_chunk()?;
    Some(LoadedRow {
        table,
        key: &key[end + 1..],
        created: Revision::from_be_bytes(*created),
        version: Revision::from_be_bytes(*version),
        record_version: u16::from_be_bytes(*record_version),
        body,
    })
}

/// What an error of fjall means to whoever runs the server.
fn explain(directory: &Directory, action: &'static str, error: fjall::Error) -> StoreError {
    // After a failed background write fjall only says that it is poisoned.
    if directory.is_full() {
        return StoreError::Full { dir: directory.path().to_owned() };
    }
    match error {
        fjall::Error::Io(source) => io(action, &directory.rows(), source),
        fjall::Error::Storage(lsm_tree_error) => {
            StoreError::Io { action, path: directory.rows(), source: Box::new(lsm_tree_error) }
        }
        fjall::Error::Poisoned => {
            let source = "an earlier write to the disk failed".into();
            StoreError::Io { action, path: directory.rows(), source }
        }
        fjall::Error::InvalidVersion(version) => {
            directory.damaged("the database", format!("its version is {version:?}"))
        }
        other => directory.damaged("the database", format!("{other:?}")),
    }
}
