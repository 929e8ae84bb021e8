//! The stores that were weighed, each with just enough around it to be measured fairly.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ledger::{Batch, LoadedRow, Pace, Revision, Store, StoreError};

type Sink<'a> = &'a mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>;

/// A write as key and value bytes: the same for every candidate.
fn encoded(batch: &Batch) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
    batch.writes.iter().map(|write| {
        let key = [write.table.as_bytes(), &[0], &write.key].concat();
        let value = write.row.as_ref().map(|row| {
            let mut value = Vec::with_capacity(18 + row.body.len());
            value.extend_from_slice(&row.created.to_be_bytes());
            value.extend_from_slice(&row.version.to_be_bytes());
            value.extend_from_slice(&row.record_version.to_be_bytes());
            value.extend_from_slice(&row.body);
            value
        });
        (key, value)
    })
}

/// fjall: journal and memtables.
pub struct Fjall {
    db: fjall::Database,
    rows: fjall::Keyspace,
    mode: fjall::PersistMode,
}

impl Fjall {
    pub fn open(dir: &Path, mode: fjall::PersistMode) -> Self {
        let db = fjall::Database::builder(dir).worker_threads(1).open().expect("opens");
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(16 << 20);
        let rows = db.keyspace("rows", options).expect("opens");
        Self { db, rows, mode }
    }
}

impl Store for Fjall {
    fn load(&mut self, _: Sink<'_>) -> Result<Revision, StoreError> {
        Ok(0)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut writes = self.db.batch().durability(Some(self.mode));
        for (key, value) in encoded(batch) {
            match value {
                Some(value) => writes.insert(&self.rows, key, value),
                None => writes.remove(&self.rows, key),
            }
        }
        writes.insert(&self.rows, b"\0revision", batch.revision.to_be_bytes());
        writes.commit().expect("commits");
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace::OwnThread
    }
}

/// redb: copy-on-write B-tree.
pub struct Redb(redb::Database);

const ROWS: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("rows");

impl Redb {
    pub fn open(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).expect("creates");
        Self(redb::Database::create(dir.join("redb")).expect("opens"))
    }
}

impl Store for Redb {
    fn load(&mut self, _: Sink<'_>) -> Result<Revision, StoreError> {
        Ok(0)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let transaction = self.0.begin_write().expect("begins");
        {
            let mut rows = transaction.open_table(ROWS).expect("opens");
            for (key, value) in encoded(batch) {
                match value {
                    Some(value) => rows.insert(&*key, &*value).expect("inserts"),
                    None => rows.remove(&*key).expect("removes"),
                };
            }
            rows.insert(&b"\0revision"[..], &batch.revision.to_be_bytes()[..]).expect("inserts");
        }
        transaction.commit().expect("commits");
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace::OwnThread
    }
}

/// A plain log of our own: append and fdatasync, without the checkpoints it would need.
pub struct Log {
    file: File,
    at: u64,
    sync: bool,
}

impl Log {
    pub fn open(dir: &Path, preallocate: bool, sync: bool) -> Self {
        std::fs::create_dir_all(dir).expect("creates");
        let path = dir.join("log");
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).open(path).expect("opens");
        if preallocate {
            let zeros = vec![0; 1 << 20];
            (0..512).for_each(|_| file.write_all(&zeros).expect("writes"));
            file.sync_all().expect("syncs");
        }
        Self { file, at: 0, sync }
    }
}

impl Store for Log {
    fn load(&mut self, _: Sink<'_>) -> Result<Revision, StoreError> {
        Ok(0)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut bytes = batch.revision.to_be_bytes().to_vec();
        for (key, value) in encoded(batch) {
            bytes.extend_from_slice(&(key.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&(value.as_ref().map_or(0, Vec::len) as u32).to_be_bytes());
            bytes.extend_from_slice(&key);
            bytes.extend_from_slice(&value.unwrap_or_default());
        }
        self.file.write_all_at(&bytes, self.at).expect("writes");
        self.at += bytes.len() as u64;
        if self.sync {
            self.file.sync_data().expect("syncs");
        }
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace::OwnThread
    }
}
