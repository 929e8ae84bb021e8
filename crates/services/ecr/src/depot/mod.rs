//! The registry's bytes: one folder of content-addressed files, and the uploads under way.
//!
//! ```text
//! ROOT/sha256/<hex>        blobs and manifests, whole (crate `blobs`)
//! ROOT/ingest/upload-<id>  what has come of an upload
//! ROOT/uploads/<id>.json   whose upload it is
//! ```
//!
//! **Invariant:** bytes come before rows and go after them: what a row names is on the disk.
//! **Invariant:** no file goes while a request is about to name it: who will, holds it ([`Hold`]) from
//! before it looks until its row is committed.

mod holds;
mod uploads;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blobs::{Digest, IngestError, Store, StoreError};

pub(crate) use holds::Hold;
use holds::Holds;
use uploads::Uploads;
pub(crate) use uploads::{Stored, Upload};

/// Why bytes could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DepotError {
    /// Of the store of blobs.
    #[error("the store of blobs failed")]
    Store(#[from] StoreError),
    /// The bytes could not be taken in.
    #[error("the bytes were not taken in")]
    Ingest(#[from] IngestError),
    /// A file of ours beside the blobs.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },
    /// A row names a blob that is not on the disk.
    #[error("the blob {0} is missing on the disk")]
    Missing(Digest),
    /// There are as many uploads as there may be.
    #[error("Too many uploads are under way; try again later.")]
    Crowded,
}

/// Where a registry keeps bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Depot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    blobs: Store,
    siblings: Vec<Store>,
    holds: Holds,
    uploads: Uploads,
}

impl Depot {
    /// The depot in the folder `root`, made if it is not there. What one of `siblings` has (stores of
    /// blobs on the same machine) is not kept a second time.
    ///
    /// # Errors
    /// If a folder cannot be made or read.
    pub fn open(root: &Path, siblings: &[PathBuf]) -> Result<Self, StoreError> {
        let siblings = siblings.iter().map(Store::at).collect();
        let blobs = Store::open(root)?;
        let uploads = Uploads::open(root.join("uploads"))?;
        Ok(Self(Arc::new(Inner { blobs, siblings, holds: Holds::default(), uploads })))
    }

    /// Keeps `digest` from being collected as long as the hold lives, whether or not it is there.
    pub(crate) fn hold(&self, digest: &Digest) -> Hold {
        self.0.holds.hold(digest)
    }

    /// Stores bytes; they stay as long as the hold lives, and then as long as a row names them.
    pub(crate) async fn put(&self, bytes: bytes::Bytes) -> Result<Hold, DepotError> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let hold = inner.holds.hold(&Digest::of(&bytes));
            inner.blobs.put(&bytes)?;
            Ok(hold)
        })
        .await
    }

    /// A whole blob of at most `limit_bytes` that a row names.
    pub(crate) async fn read(
        &self,
        digest: Digest,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, DepotError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.blobs.read(&digest, limit_bytes)?.ok_or(DepotError::Missing(digest)))
            .await
    }

    /// A blob that a row names.
    pub(crate) async fn reader(&self, digest: Digest) -> Result<File, DepotError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.blobs.reader(&digest)?.ok_or(DepotError::Missing(digest))).await
    }

    /// Deletes the blobs that nobody holds and for which `is_named` says no, asked while nobody can
    /// begin to hold the blob; answers with how many, and their bytes.
    pub(crate) async fn collect(
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

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("blocking work is never aborted once it runs"),
        },
    }
}
