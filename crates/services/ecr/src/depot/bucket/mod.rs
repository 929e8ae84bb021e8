//! Bytes in a bucket that several servers share.
//!
//! ```text
//! blobs/<id>    a blob or manifest, whole, by the id of the upload that brought it
//! uploads/<id>  how far an upload is, and what has come of it since its last part
//! owner         the installation whose bucket it is
//! ```
//!
//! Which digest lies under which id is a row (`ecr.objects`), written in the transaction that first names
//! the digest and taken away in one that sees that nothing names it; then its object goes. An upload
//! becomes a blob in a transaction that takes its own row (`ecr.uploads`) away.
//!
//! **Invariant:** ids are given out once. So whoever deletes an object late, a server that leads no more
//! too, deletes what no row can name again.
//! **Invariant:** only the leader's transactions commit, so nothing of this needs a lock in the bucket.

mod progress;
mod strangers;
mod tail;
mod uploads;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use blobs::{Digest, StoreError};
use bytes::Bytes;
use ledger::{Ledger, Row};
use parking_lot::Mutex;
use terms::{IdSource, Uuid};

use self::progress::Means;
use self::strangers::Strangers;
use self::uploads::Uploads;
use super::{DepotError, Hold, HoldKind, InBucket, Reader, is_named};
use crate::Tables;
use crate::model::Object;

pub(super) use self::uploads::Upload;

/// Rows that one transaction takes away.
const BATCH_MAX: usize = 256;

/// A bucket as a depot. Cheap to clone.
#[derive(Clone)]
pub(in crate::depot) struct Shelf(Arc<Inner>);

struct Inner {
    means: Means,
    owner: String,
    ledger: Ledger,
    tables: Tables,
    ids: Arc<dyn IdSource>,
    uploads: Uploads,
    strangers: Mutex<Strangers>,
    writing: Writing,
}

/// An object that came just now.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// Its name.
    pub(crate) name: String,
    /// Its length.
    pub(crate) size_bytes: u64,
    /// Whether it came by an upload, which has a row.
    pub(crate) is_upload: bool,
    writing: Writing,
}

/// Names of objects that this process is about to name in a row.
#[derive(Clone, Debug, Default)]
struct Writing(Arc<Mutex<BTreeSet<String>>>);

fn blob_key(name: &str) -> String {
    format!("blobs/{name}")
}

fn state_key(id: &str) -> String {
    format!("uploads/{id}")
}

impl Shelf {
    pub(super) fn new(setup: InBucket) -> Self {
        let InBucket { bucket, owner, ledger, tables, ids, spool } = setup;
        let uploads = Uploads::new(&ledger);
        let (strangers, writing) = (Mutex::default(), Writing::default());
        Self(Arc::new(Inner {
            means: Means::new(bucket, spool),
            owner,
            ledger,
            tables,
            ids,
            uploads,
            strangers,
            writing,
        }))
    }

    /// Marks an object as about to be named.
    fn fresh(&self, name: String, size_bytes: u64, is_upload: bool) -> Fresh {
        let writing = self.0.writing.clone();
        writing.0.lock().insert(name.clone());
        Fresh { name, size_bytes, is_upload, writing }
    }

    pub(super) async fn put(&self, bytes: Bytes) -> Result<Hold, DepotError> {
        let digest = Digest::of(&bytes);
        let name = Uuid::from_random(self.0.ids.next()).to_string();
        let fresh = self.fresh(name, bytes.len() as u64, false);
        self.0.means.bucket.put(&blob_key(&fresh.name), bytes).await?;
        Ok(Hold { digest, kind: HoldKind::Bucket(Some(fresh)) })
    }

    fn object(&self, digest: Digest) -> Result<Row<Object>, DepotError> {
        let row = self.0.ledger.snapshot().get(&self.0.tables.objects, &digest.to_string());
        row.ok_or(DepotError::Missing(digest))
    }

    pub(super) async fn read(&self, digest: Digest, limit_bytes: u64) -> Result<Bytes, DepotError> {
        let object = self.object(digest)?;
        let size_bytes = object.size_bytes;
        if size_bytes > limit_bytes {
            return Err(StoreError::TooLarge { digest, size_bytes, limit_bytes }.into());
        }
        let bytes = self.0.means.bucket.get(&blob_key(&object.name), limit_bytes).await?;
        bytes.ok_or(DepotError::Missing(digest))
    }

    pub(super) fn reader(&self, digest: Digest) -> Result<Reader, DepotError> {
        let object = self.object(digest)?;
        Ok(Reader::Object(self.0.means.bucket.clone(), blob_key(&object.name)))
    }

    /// After a transaction that was to name an object: takes away what no row names, and what is left of
    /// its upload. What fails is swept later.
    pub(super) async fn settle(&self, digest: Digest, fresh: Fresh) {
        let row = self.0.ledger.snapshot().get(&self.0.tables.objects, &digest.to_string());
        let is_kept = row.is_some_and(|row| row.name == fresh.name);
        let done = match (fresh.is_upload, is_kept) {
            (true, _) => self.end_upload(&fresh.name, is_kept).await,
            (false, true) => Ok(()),
            (false, false) => {
                let deleted = self.0.means.bucket.delete(&blob_key(&fresh.name)).await;
                deleted.map_err(DepotError::from)
            }
        };
        if let Err(error) = done {
            let (error, name) = (terms::with_causes(&error), &fresh.name);
            tracing::warn!(name, error, "what the registry does not need is taken away later");
        }
    }

    /// Takes away the rows of objects that nothing names, then the objects; and what lies in the bucket
    /// without a row.
    pub(super) async fn collect(&self) -> Result<(usize, u64), DepotError> {
        let Inner { ledger, tables, means, .. } = &*self.0;
        let mut gone = (0, 0);
        loop {
            let snapshot = ledger.snapshot();
            let rows = snapshot.prefix(&tables.objects, &());
            let unnamed = rows.filter(|(stored, _)| !is_named(&snapshot, tables, stored));
            let unnamed: Vec<_> = unnamed.map(|(stored, _)| stored).take(BATCH_MAX).collect();
            if unnamed.is_empty() {
                break;
            }
            let done = ledger.transact("ecr: collect", |tx| {
                let mut taken = Vec::new();
                for stored in &unnamed {
                    let Some(row) = tx.get(&tables.objects, stored) else { continue };
                    if !is_named(tx, tables, stored) {
                        tx.delete(&tables.objects, stored);
                        taken.push(Object::clone(&row));
                    }
                }
                Ok::<_, std::convert::Infallible>(taken)
            });
            for object in done.await.map_err(uncommitted)?.value {
                means.bucket.delete(&blob_key(&object.name)).await?;
                gone = (gone.0 + 1, gone.1 + object.size_bytes);
            }
        }
        let strangers = self.sweep_strangers().await?;
        Ok((gone.0 + strangers, gone.1))
    }
}

/// Why a transaction that never refuses did not commit.
fn uncommitted(error: ledger::TransactError<std::convert::Infallible>) -> DepotError {
    match error {
        ledger::TransactError::Rejected(never) => match never {},
        ledger::TransactError::Ledger(cause) => DepotError::Ledger(Box::new(cause)),
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.writing.0.lock().remove(&self.name);
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shelf").field(&self.0.means.bucket).finish()
    }
}
