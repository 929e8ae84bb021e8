//! The registry's bytes, and the uploads under way: in a folder of this machine (`disk`), or in a bucket
//! that several servers share (`bucket`).
//!
//! **Invariant:** bytes come before rows and go after them: what a row names is there.
//! **Invariant:** nothing goes while a request is about to name it: who will, has a [`Hold`] from before
//! it looks until its row is committed, and says so in that commit ([`crate::Tables::claim`]).

mod bucket;
mod disk;
mod reader;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ::bucket::{Bucket, BucketError};
use blobs::{Digest, IngestError, StoreError};
use bytes::Bytes;
use ledger::{Ledger, LedgerError, TransactError, View};
use terms::{IdSource, Timestamp, Uuid};

use crate::error::Error;
use crate::model::ContentDigest;
use crate::{Scope, Tables};

pub(crate) use bucket::Fresh;
pub(crate) use reader::{Begun, Reader};

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
    /// The bucket did not do what it was asked.
    #[error("the bucket failed")]
    Bucket(#[from] BucketError),
    /// What is where could not be written down.
    #[error("the ledger did not commit")]
    Ledger(#[source] Box<LedgerError>),
    /// Nobody can go on with an upload: what the bucket has of it is no such thing.
    #[error("what is kept of the upload {0} cannot be read")]
    Unreadable(String),
    /// A row names a blob whose bytes are not there.
    #[error("the bytes of the blob {0} are missing")]
    Missing(Digest),
    /// There are as many uploads as there may be.
    #[error("Too many uploads are under way; try again later.")]
    Crowded,
}

/// What the rows name is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// In a bucket.
    #[error(
        "the registry's images are in a bucket: name it with --registry-store, or delete them first"
    )]
    InBucket,
    /// In a server's folder.
    #[error(
        "the registry's images are in a data folder, and --registry-store would not find them: \
         push them to a new installation, or delete them first"
    )]
    OnDisk,
}

/// Where a registry keeps bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Depot(Place);

#[derive(Clone, Debug)]
enum Place {
    Disk(disk::Disk),
    Bucket(bucket::Shelf),
}

/// Keeps a blob from being collected until it is dropped.
pub(crate) struct Hold {
    digest: Digest,
    kind: HoldKind,
}

enum HoldKind {
    Disk {
        _held: disk::Held,
    },
    /// Of a bucket, what came just now: only the row of it can be collected, in a transaction that
    /// conflicts with one that names it.
    Bucket(Option<Fresh>),
}

/// A blob that came whole.
pub(crate) struct Stored {
    /// The bytes, held until this is dropped.
    pub(crate) hold: Hold,
    /// Their length.
    pub(crate) size_bytes: u64,
}

/// One upload, for whoever adds to it: others wait.
pub(crate) enum Upload {
    /// To the disk.
    Disk(disk::Upload),
    /// To a bucket.
    Bucket(bucket::Upload),
}

/// A bucket, and what the depot in it needs besides.
pub struct InBucket {
    /// The bucket.
    pub bucket: Bucket,
    /// Whose it is: the installation.
    pub owner: String,
    /// Where it is written down what is where.
    pub ledger: Ledger,
    /// The tables for that.
    pub tables: Tables,
    /// Where the names of objects come from.
    pub ids: Arc<dyn IdSource>,
    /// A folder of this machine for what comes from other registries while it is passed on.
    pub spool: PathBuf,
}

impl Depot {
    /// The depot in the folder `root`, made if it is not there. What one of `siblings` has (stores of
    /// blobs on the same machine) is not kept a second time.
    ///
    /// # Errors
    /// If a folder cannot be made or read.
    pub fn open(root: &Path, siblings: &[PathBuf]) -> Result<Self, StoreError> {
        Ok(Self(Place::Disk(disk::Disk::open(root, siblings)?)))
    }

    /// The depot in a bucket, for all servers of a ledger.
    pub fn in_bucket(setup: InBucket) -> Self {
        Self(Place::Bucket(bucket::Shelf::new(setup)))
    }

    /// Sees to it that what the rows name is in this depot and not in one of the other kind.
    ///
    /// # Errors
    /// Where it is instead.
    pub fn check(&self, ledger: &Ledger, tables: &Tables) -> Result<(), Misplaced> {
        let snapshot = ledger.snapshot();
        let has_objects = snapshot.prefix(&tables.objects, &()).next().is_some();
        let has_images = snapshot.prefix(&tables.images, &()).next().is_some();
        match &self.0 {
            Place::Disk(_) if has_objects => Err(Misplaced::InBucket),
            Place::Bucket(_) if has_images && !has_objects => Err(Misplaced::OnDisk),
            Place::Disk(_) | Place::Bucket(_) => Ok(()),
        }
    }

    /// Keeps `digest` from being collected as long as the hold lives, whether or not it is there.
    pub(crate) fn hold(&self, digest: &Digest) -> Hold {
        let kind = match &self.0 {
            Place::Disk(disk) => return disk.hold(digest).into(),
            Place::Bucket(_) => HoldKind::Bucket(None),
        };
        Hold { digest: *digest, kind }
    }

    /// Stores bytes; they stay as long as the hold lives, and then as long as a row names them.
    pub(crate) async fn put(&self, bytes: Bytes) -> Result<Hold, DepotError> {
        match &self.0 {
            Place::Disk(disk) => Ok(disk.put(bytes).await?.into()),
            Place::Bucket(shelf) => shelf.put(bytes).await,
        }
    }

    /// A whole blob of at most `limit_bytes` that a row names.
    pub(crate) async fn read(&self, digest: Digest, limit_bytes: u64) -> Result<Bytes, DepotError> {
        match &self.0 {
            Place::Disk(disk) => Ok(disk.read(digest, limit_bytes).await?.into()),
            Place::Bucket(shelf) => shelf.read(digest, limit_bytes).await,
        }
    }

    /// A blob that a row names.
    pub(crate) async fn reader(&self, digest: Digest) -> Result<Reader, DepotError> {
        match &self.0 {
            Place::Disk(disk) => Ok(Reader::File(Arc::new(disk.reader(digest).await?))),
            Place::Bucket(shelf) => shelf.reader(digest),
        }
    }

    /// Begins an upload to a repository under a new id.
    pub(crate) async fn begin_upload(
        &self,
        id: Uuid,
        scope: &Scope,
        repository: &str,
    ) -> Result<Upload, DepotError> {
        match &self.0 {
            Place::Disk(disk) => disk.begin_upload(id, scope, repository).await.map(Upload::Disk),
            Place::Bucket(shelf) => {
                shelf.begin_upload(id, scope, repository).await.map(Upload::Bucket)
            }
        }
    }

    /// The upload of this id to this repository; none if there is none, or it is another's.
    pub(crate) async fn upload(
        &self,
        id: &str,
        scope: &Scope,
        repository: &str,
    ) -> Result<Option<Upload>, DepotError> {
        let is_ours = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if !is_ours {
            return Ok(None);
        }
        match &self.0 {
            Place::Disk(disk) => Ok(disk.upload(id, scope, repository).await?.map(Upload::Disk)),
            Place::Bucket(shelf) => {
                Ok(shelf.upload(id, scope, repository).await?.map(Upload::Bucket))
            }
        }
    }

    /// What came of a transaction that was to name what is held: if it named it, what it needs no more
    /// goes; if it was refused, what came goes. Where that is not known, both stay until they are swept.
    pub(crate) async fn settle<T>(
        &self,
        hold: Hold,
        done: Result<T, TransactError<Error>>,
    ) -> Result<T, Error> {
        let is_known = matches!(done, Ok(_) | Err(TransactError::Rejected(_)));
        if let (Place::Bucket(shelf), HoldKind::Bucket(Some(fresh)), true) =
            (&self.0, hold.kind, is_known)
        {
            shelf.settle(hold.digest, fresh).await;
        }
        Ok(done?)
    }

    /// Forgets the uploads that nobody has added to since `before`, and what those that are over left.
    pub(crate) async fn sweep_uploads(&self, before: Timestamp) -> Result<usize, DepotError> {
        match &self.0 {
            Place::Disk(disk) => {
                let since = u64::try_from(before.millis()).unwrap_or(0);
                disk.sweep_uploads(UNIX_EPOCH + Duration::from_millis(since)).await
            }
            Place::Bucket(shelf) => shelf.sweep_uploads(before).await,
        }
    }

    /// Deletes the blobs that no row names and nobody holds; answers with how many, and their bytes.
    pub(crate) async fn collect(
        &self,
        ledger: &Ledger,
        tables: Tables,
    ) -> Result<(usize, u64), DepotError> {
        match &self.0 {
            Place::Disk(disk) => {
                let ledger = ledger.clone();
                disk.collect(move |digest| {
                    is_named(&ledger.snapshot(), &tables, &digest.to_string())
                })
                .await
            }
            Place::Bucket(shelf) => shelf.collect().await,
        }
    }
}

/// Whether a row names these bytes, by their SHA-256.
fn is_named(view: &impl View, tables: &Tables, stored: &String) -> bool {
    view.index(&tables.layers_by_stored, stored).next().is_some()
        || view.index(&tables.images_by_stored, stored).next().is_some()
        || view.index(&tables.scans_by_stored, stored).next().is_some()
}

impl Hold {
    /// The blob.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Where it lies in the bucket, if it came there just now.
    pub(crate) fn fresh(&self) -> Option<&Fresh> {
        match &self.kind {
            HoldKind::Disk { .. } => None,
            HoldKind::Bucket(fresh) => fresh.as_ref(),
        }
    }
}

impl From<disk::Held> for Hold {
    fn from(held: disk::Held) -> Self {
        Self { digest: held.digest(), kind: HoldKind::Disk { _held: held } }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.digest).finish()
    }
}

impl Upload {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Disk(upload) => upload.id(),
            Self::Bucket(upload) => upload.id(),
        }
    }

    /// How many bytes have come.
    pub(crate) fn offset(&self) -> u64 {
        match self {
            Self::Disk(upload) => upload.offset(),
            Self::Bucket(upload) => upload.offset(),
        }
    }

    /// What has come, to be read while more comes. Asked for before anything has.
    pub(crate) async fn reader(&mut self) -> Result<Reader, DepotError> {
        match self {
            Self::Disk(upload) => Ok(Reader::File(Arc::new(upload.reader().await?))),
            Self::Bucket(upload) => upload.reader().await,
        }
    }

    /// Whether what is added waits until the uploads of others are on: then nothing should lie in memory
    /// beside it.
    pub(crate) fn waits_for_others(&self) -> bool {
        match self {
            Self::Disk(_) => false,
            Self::Bucket(_) => true,
        }
    }

    /// Adds bytes at the end.
    pub(crate) async fn append(&mut self, bytes: Bytes) -> Result<(), DepotError> {
        match self {
            Self::Disk(upload) => upload.append(bytes).await,
            Self::Bucket(upload) => upload.append(bytes).await,
        }
    }

    /// Sees to it that what has come outlives this process, on whichever server it goes on.
    pub(crate) async fn save(&mut self) -> Result<(), DepotError> {
        match self {
            // Each piece was written when it came.
            Self::Disk(_) => Ok(()),
            Self::Bucket(upload) => upload.save().await,
        }
    }

    /// Makes a blob of what came if it has this digest; `None` if it has another, and then the upload
    /// is over. Otherwise it is over when the blob's row is written ([`Depot::settle`]).
    pub(crate) async fn finish(
        self,
        expected: ContentDigest,
    ) -> Result<Option<Stored>, DepotError> {
        match self {
            Self::Disk(upload) => upload.finish(expected).await,
            Self::Bucket(upload) => upload.finish(expected).await,
        }
    }

    /// Throws away what came.
    pub(crate) async fn cancel(self) -> Result<(), DepotError> {
        match self {
            Self::Disk(upload) => upload.cancel().await,
            Self::Bucket(upload) => upload.cancel().await,
        }
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
