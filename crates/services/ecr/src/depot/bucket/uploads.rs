//! Uploads under way in a bucket. Each has a row; how far it is, is kept in memory by the server that
//! leads and saved in the bucket, so that it goes on wherever the next request is answered.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use blobs::Digest;
use bytes::Bytes;
use ledger::{Leadership, Ledger, LedgerError, watch};
use parking_lot::Mutex;
use terms::{Timestamp, Uuid};
use tokio::sync::OwnedMutexGuard;

use super::progress::Progress;
use super::{Inner, Shelf, blob_key, state_key, uncommitted};
use crate::Scope;
use crate::depot::{DepotError, Hold, HoldKind, Reader, Stored, blocking};
use crate::model::{Algorithm, Begun, ContentDigest};

/// Uploads under way at once.
const UPLOADS_MAX: usize = 10_000;

/// None until it is read from the bucket.
type Slot = Arc<tokio::sync::Mutex<Option<Progress>>>;

/// What this server knows of uploads.
pub(super) struct Uploads {
    known: Mutex<HashMap<String, Slot>>,
    /// Since it was looked at last, others may have gone on with them.
    leadership: Mutex<watch::Receiver<Leadership>>,
}

/// One upload, for whoever adds to it: others wait.
pub(crate) struct Upload {
    shelf: Shelf,
    id: String,
    progress: OwnedMutexGuard<Option<Progress>>,
    offset: u64,
}

impl Uploads {
    pub(super) fn new(ledger: &Ledger) -> Self {
        Self { known: Mutex::default(), leadership: Mutex::new(ledger.leadership()) }
    }

    /// What is known of an upload; of none, if the leadership has changed since.
    fn slot(&self, id: &str) -> Slot {
        let mut known = self.known.lock();
        if self.leadership.lock().take_change() {
            known.clear();
        }
        Arc::clone(known.entry(id.to_owned()).or_default())
    }
}

impl Shelf {
    pub(in crate::depot) async fn begin_upload(
        &self,
        id: Uuid,
        scope: &Scope,
        repository: &str,
    ) -> Result<Upload, DepotError> {
        let Inner { ledger, tables, uploads, means, .. } = &*self.0;
        if uploads.known.lock().len() >= UPLOADS_MAX {
            return Err(DepotError::Crowded);
        }
        let id = id.to_string();
        let begun = ledger.transact("ecr: begin an upload", |tx| {
            let (scope, repository) = (scope.clone(), repository.to_owned());
            let now = tx.now();
            tx.put(&tables.uploads, id.clone(), Begun { scope, repository, began_at: now });
            Ok::<_, std::convert::Infallible>(now)
        });
        let now = begun.await.map_err(uncommitted)?.value;
        let mut progress = uploads.slot(&id).lock_owned().await;
        *progress = Some(Progress::new(means, now));
        Ok(Upload { shelf: self.clone(), id, progress, offset: 0 })
    }

    pub(in crate::depot) async fn upload(
        &self,
        id: &str,
        scope: &Scope,
        repository: &str,
    ) -> Result<Option<Upload>, DepotError> {
        let Inner { ledger, tables, uploads, means, .. } = &*self.0;
        let row = ledger.snapshot().get(&tables.uploads, &id.to_owned());
        let is_theirs = |row: &Begun| row.scope == *scope && row.repository == repository;
        let Some(row) = row.filter(|row| is_theirs(row)) else { return Ok(None) };
        let mut progress = uploads.slot(id).lock_owned().await;
        if ledger.snapshot().get(&tables.uploads, &id.to_owned()).is_none() {
            return Ok(None); // It ended while we waited.
        }
        let offset = match &*progress {
            Some(progress) => progress.offset(),
            None => {
                let saved = Progress::load(means, id).await?;
                progress
                    .insert(saved.unwrap_or_else(|| Progress::new(means, row.began_at)))
                    .offset()
            }
        };
        Ok(Some(Upload { shelf: self.clone(), id: id.to_owned(), progress, offset }))
    }

    /// Takes an upload's row away, and then what is left of it; the object that it became too, unless
    /// a row names that.
    pub(super) async fn end_upload(&self, id: &str, is_named: bool) -> Result<(), DepotError> {
        let Inner { ledger, tables, uploads, means, .. } = &*self.0;
        let bucket = &means.bucket;
        let at = id.to_owned();
        if ledger.snapshot().get(&tables.uploads, &at).is_some() {
            let ended = ledger.transact("ecr: end an upload", |tx| {
                tx.delete(&tables.uploads, &at);
                Ok::<_, std::convert::Infallible>(())
            });
            ended.await.map_err(uncommitted)?;
        }
        let slot = uploads.known.lock().remove(id);
        let progress = slot.and_then(|slot| slot.try_lock_owned().ok()?.take());
        let mut progress = match progress {
            Some(progress) => Some(progress),
            None => Progress::load(means, id).await?,
        };
        if !is_named {
            if let Some(progress) = &mut progress {
                progress.drop_parts(bucket, id).await?;
            }
            bucket.delete(&blob_key(id)).await?;
        }
        match progress.is_some_and(|progress| progress.has_state()) {
            true => Ok(bucket.delete(&state_key(id)).await?),
            false => Ok(()),
        }
    }

    /// Ends the uploads that nobody has added to since `before`; lets go of what memory holds of others.
    pub(in crate::depot) async fn sweep_uploads(
        &self,
        before: Timestamp,
    ) -> Result<usize, DepotError> {
        let Inner { ledger, tables, uploads, means, .. } = &*self.0;
        let slots: Vec<_> = uploads.known.lock().values().cloned().collect();
        for slot in slots {
            if let Ok(mut progress) = slot.try_lock()
                && progress.as_ref().is_some_and(Progress::is_saved)
            {
                *progress = None;
            }
        }
        let snapshot = ledger.snapshot();
        let old = snapshot.prefix(&tables.uploads, &());
        let old: Vec<_> = old.filter(|(_, row)| row.began_at < before).map(|(id, _)| id).collect();
        let mut swept = 0;
        for id in old {
            let slot = uploads.slot(&id);
            // Somebody adds to it.
            let Ok(mut progress) = slot.try_lock() else { continue };
            if progress.is_none() {
                *progress = Progress::load(means, &id).await?;
            }
            let is_idle = progress.as_ref().is_none_or(|progress| progress.touched_at() < before);
            drop(progress);
            if is_idle {
                self.end_upload(&id, false).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

impl Upload {
    pub(in crate::depot) fn id(&self) -> &str {
        &self.id
    }

    pub(in crate::depot) fn offset(&self) -> u64 {
        self.offset
    }

    fn progress(&mut self) -> Result<&mut Progress, DepotError> {
        self.progress.as_mut().ok_or_else(|| DepotError::Unreadable(self.id.clone()))
    }

    /// Notes what came of something; after an error only what was saved counts.
    fn done<T>(&mut self, done: Result<T, DepotError>) -> Result<T, DepotError> {
        match (&*self.progress, done.is_ok()) {
            (Some(progress), true) => self.offset = progress.offset(),
            _ => *self.progress = None,
        }
        done
    }

    /// A file of this machine, without a name, that all that comes is written to as well.
    pub(in crate::depot) async fn reader(&mut self) -> Result<Reader, DepotError> {
        let spool = self.shelf.0.means.folder.clone();
        let made = blocking(move || {
            std::fs::create_dir_all(&spool).and_then(|()| tempfile::tempfile_in(&spool)).map_err(
                |source| DepotError::File { action: "make a file in", path: spool, source },
            )
        });
        let file: Arc<File> = Arc::new(made.await?);
        self.progress()?.copy_to(Arc::clone(&file));
        Ok(Reader::File(file))
    }

    pub(in crate::depot) async fn append(&mut self, bytes: Bytes) -> Result<(), DepotError> {
        let (shelf, id) = (self.shelf.clone(), self.id.clone());
        let now = shelf.0.ledger.clock().now();
        let done = self.progress()?.append(&shelf.0.means, &id, (bytes, now)).await;
        self.done(done)
    }

    pub(in crate::depot) async fn save(&mut self) -> Result<(), DepotError> {
        let (shelf, id) = (self.shelf.clone(), self.id.clone());
        // Another server may be at it by now.
        if !shelf.0.ledger.leadership().borrow().is_leading() {
            return Err(DepotError::Ledger(Box::new(LedgerError::NotLeading { leader: None })));
        }
        let done = self.progress()?.save(&shelf.0.means, &id).await;
        self.done(done)
    }

    pub(in crate::depot) async fn finish(
        mut self,
        expected: ContentDigest,
    ) -> Result<Option<Stored>, DepotError> {
        let (shelf, id) = (self.shelf.clone(), self.id.clone());
        let is_sha256 = expected.algorithm() == Algorithm::Sha256;
        let fits = |digest: Digest| !is_sha256 || expected.stored() == Some(digest);
        let digest = self.progress()?.digest();
        let mut is_right = fits(digest);
        let fresh = shelf.fresh(id.clone(), self.offset, true);
        if is_right {
            let done = self.progress()?.complete(&shelf.0.means, &id).await;
            self.done(done)?;
        }
        if is_right && !is_sha256 {
            is_right = sha512_of(&shelf, &id, self.offset).await? == expected;
        }
        let size_bytes = self.offset;
        drop(self);
        match is_right {
            true => {
                let hold = Hold { digest, kind: HoldKind::Bucket(Some(fresh)) };
                Ok(Some(Stored { hold, size_bytes }))
            }
            false => {
                shelf.end_upload(&id, false).await?;
                Ok(None)
            }
        }
    }

    pub(in crate::depot) async fn cancel(self) -> Result<(), DepotError> {
        let (shelf, id) = (self.shelf.clone(), self.id.clone());
        drop(self);
        shelf.end_upload(&id, false).await
    }
}

/// The digest of an object that came just now.
async fn sha512_of(shelf: &Shelf, id: &str, size_bytes: u64) -> Result<ContentDigest, DepotError> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha512::new();
    if size_bytes > 0 {
        let mut reading = shelf.0.means.bucket.read(&blob_key(id), 0, size_bytes).await?;
        while let Some(piece) = reading.next().await? {
            hasher.update(&piece);
        }
    }
    Ok(ContentDigest::of_sha512(&hasher.finalize()))
}
