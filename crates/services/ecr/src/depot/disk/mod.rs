//! Bytes in one folder of content-addressed files, beside the uploads under way.
//!
//! ```text
//! ROOT/sha256/<hex>        blobs and manifests, whole (crate `blobs`)
//! ROOT/ingest/upload-<id>  what has come of an upload
//! ROOT/uploads/<id>.json   whose upload it is
//! ```
//!
//! **Invariant:** no file goes while a request is about to name it: who will, holds it ([`Held`]) from
//! before it looks until its row is committed.

mod holds;
mod uploads;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blobs::{Digest, Store, StoreError};

use super::{DepotError, Stored, blocking};

pub(super) use holds::Held;
use holds::Holds;
pub(super) use uploads::Upload;
use uploads::Uploads;

/// The folder. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    blobs: Store,
    siblings: Vec<Store>,
    holds: Holds,
    uploads: Uploads,
}

impl Disk {
    /// The one at `root`, made if it is not there. What one of `siblings` has (stores of
    /// blobs on the same machine) is not kept a second time.
    ///
    /// # Errors
    /// If a folder cannot be made or read.
    pub(super) fn open(root: &Path, siblings: &[PathBuf]) -> Result<Self, StoreError> {
        let siblings = siblings.iter().map(Store::at).collect();
        let blobs = Store::open(root)?;
        let uploads = Uploads::open(root.join("uploads"))?;
        Ok(Self(Arc::new(Inner { blobs, siblings, holds: Holds::default(), uploads })))
    }

    /// Keeps `digest` from being collected as long as the hold lives, whether or not it is there.
    pub(super) fn hold(&self, digest: &Digest) -> Held {
        self.0.holds.hold(digest)
    }

    /// Stores bytes; they stay as long as the hold lives, and then as long as a row names them.
    pub(super) async fn put(&self, bytes: bytes::Bytes) -> Result<Held, DepotError> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let hold = inner.holds.hold(&Digest::of(&bytes));
            inner.blobs.put(&bytes)?;
            Ok(hold)
        })
        .await
    }

    /// A whole blob of at most `limit_bytes` that a row names.
    pub(super) async fn read(
        &self,
        digest: Digest,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, DepotError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.blobs.read(&digest, limit_bytes)?.ok_or(DepotError::Missing(digest)))
            .await
    }

    /// A blob that a row names.
    pub(super) async fn reader(&self, digest: Digest) -> Result<File, DepotError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.blobs.reader(&digest)?.ok_or(DepotError::Missing(digest))).await
    }

    /// Deletes the blobs that nobody holds and for which `is_named` says no, asked while nobody can
    /// begin to hold the blob; answers with how many, and their bytes.
    pub(super) async fn collect(
        &self,
        is_named: impl Fn(&Digest) -> bool + Send + 'static,
    ) -> Result<(usize, u64), DepotError> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let mut gone = (0, 0);
            for entry in inner.blobs.list()? {
                if is_named(&entry.digest) {
                    continue;
                }
                let delete = || inner.blobs.delete(&entry.digest);
                let done =
                    inner.holds.unless_held(&entry.digest, || match is_named(&entry.digest) {
                        true => Ok(false),
                        false => delete(),
                    });
                if done.transpose()?.unwrap_or(false) {
                    gone = (gone.0 + 1, gone.1 + entry.size_bytes);
                }
            }
            Ok(gone)
        })
        .await
    }
}
