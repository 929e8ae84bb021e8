//! Uploads under way. What came of one is on the disk with whose it is, so it outlives the process;
//! its hash is kept in memory and made again after a restart.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use blobs::{Ingest, IngestError, StoreError};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use terms::Uuid;
use tokio::sync::OwnedMutexGuard;

use super::{DepotError, Disk, Stored, blocking};
use crate::Scope;
use crate::model::{Algorithm, ContentDigest};

/// Uploads under way at once.
const UPLOADS_MAX: usize = 10_000;
/// The largest file that says whose an upload is.
const ABOUT_BYTES_MAX: u64 = 4_096;
/// What is hashed at a time.
const HASH_BUFFER_BYTES: usize = 256 * 1024;

/// Whose an upload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    scope: Scope,
    repository: String,
}

#[derive(Debug)]
struct Slot {
    about: About,
    /// None until the first bytes after a restart.
    ingest: Arc<tokio::sync::Mutex<Option<Ingest>>>,
}

#[derive(Debug)]
pub(super) struct Uploads {
    root: PathBuf,
    known: Mutex<HashMap<String, Arc<Slot>>>,
}

/// One upload, for whoever adds to it: others wait.
pub(crate) struct Upload {
    disk: Disk,
    id: String,
    ingest: OwnedMutexGuard<Option<Ingest>>,
    offset: u64,
}

impl Uploads {
    pub(super) fn open(root: PathBuf) -> Result<Self, StoreError> {
        let made = fs::create_dir_all(&root);
        made.map_err(|source| StoreError::Io { action: "create", path: root.clone(), source })?;
        Ok(Self { root, known: Mutex::default() })
    }

    fn path(&self, id: &str) -> PathBuf {
        self.root.join(format!("{id}.json"))
    }

    fn forget(&self, id: &str) {
        self.known.lock().remove(id);
        // Without bytes it says nothing; the sweep takes it too.
        let _ = fs::remove_file(self.path(id));
    }

    fn read(&self, id: &str) -> Result<Option<About>, DepotError> {
        let path = self.path(id);
        let failed = |source| DepotError::File { action: "read", path: path.clone(), source };
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(ABOUT_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        // Half a file is left by a crash before the client was told of the upload.
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

impl Disk {
    /// Begins an upload to a repository under a new id.
    pub(in crate::depot) async fn begin_upload(
        &self,
        id: Uuid,
        scope: &Scope,
        repository: &str,
    ) -> Result<Upload, DepotError> {
        let id = id.to_string();
        if self.0.uploads.known.lock().len() >= UPLOADS_MAX {
            return Err(DepotError::Crowded);
        }
        let about = About { scope: scope.clone(), repository: repository.to_owned() };
        let (inner, name, said) = (Arc::clone(&self.0), id.clone(), about.clone());
        let ingest = blocking(move || {
            let path = inner.uploads.path(&name);
            let bytes = serde_json::to_vec(&said).expect("names are texts");
            fs::write(&path, bytes).map_err(|source| DepotError::File {
                action: "write",
                path,
                source,
            })?;
            Ok::<_, DepotError>(inner.blobs.begin_upload(&name)?)
        })
        .await?;
        let ingest = Arc::new(tokio::sync::Mutex::new(Some(ingest)));
        let slot = Slot { about, ingest: Arc::clone(&ingest) };
        self.0.uploads.known.lock().insert(id.clone(), Arc::new(slot));
        let ingest = ingest.lock_owned().await;
        Ok(Upload { disk: self.clone(), id, ingest, offset: 0 })
    }

    /// The upload of this id, which is of the form that ids have, to this repository; none if there is
    /// none, or it is another's.
    pub(in crate::depot) async fn upload(
        &self,
        id: &str,
        scope: &Scope,
        repository: &str,
    ) -> Result<Option<Upload>, DepotError> {
        let known = self.0.uploads.known.lock().get(id).cloned();
        let slot = match known {
            Some(slot) => slot,
            None => {
                let (inner, name) = (Arc::clone(&self.0), id.to_owned());
                let about = blocking(move || inner.uploads.read(&name)).await?;
                let Some(about) = about else { return Ok(None) };
                let mut known = self.0.uploads.known.lock();
                let fresh = || Arc::new(Slot { about, ingest: Arc::default() });
                Arc::clone(known.entry(id.to_owned()).or_insert_with(fresh))
            }
        };
        if slot.about != (About { scope: scope.clone(), repository: repository.to_owned() }) {
            return Ok(None);
        }
        let mut held = Arc::clone(&slot.ingest).lock_owned().await;
        if held.is_none() {
            let (inner, name) = (Arc::clone(&self.0), id.to_owned());
            *held = blocking(move || inner.blobs.resume_upload(&name)).await?;
        }
        let Some(ingest) = &*held else {
            self.0.uploads.forget(id);
            return Ok(None);
        };
        let offset = ingest.offset();
        Ok(Some(Upload { disk: self.clone(), id: id.to_owned(), ingest: held, offset }))
    }

    /// Forgets the uploads that nobody has added to since `before`, and files of those that are over.
    pub(in crate::depot) async fn sweep_uploads(
        &self,
        before: SystemTime,
    ) -> Result<usize, DepotError> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            // Those that are under way are locked and stay; idle ones are let go first.
            let idle: Vec<_> = inner.uploads.known.lock().values().cloned().collect();
            for slot in idle {
                if let Ok(mut ingest) = slot.ingest.try_lock() {
                    *ingest = None;
                }
            }
            let swept = inner.blobs.sweep(before)?;
            let listed = fs::read_dir(&inner.uploads.root).into_iter().flatten().flatten();
            for entry in listed {
                let name = entry.file_name();
                let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
                let is_old = entry.metadata().and_then(|told| told.modified());
                let is_old = is_old.is_ok_and(|at| at < before);
                if let Some(id) = id.filter(|_| is_old)
                    && inner.blobs.upload_bytes(id).is_none()
                {
                    inner.uploads.forget(id);
                }
            }
            Ok(swept)
        })
        .await
    }
}

impl Upload {
    /// Its id.
    pub(in crate::depot) fn id(&self) -> &str {
        &self.id
    }

    /// How many bytes have come.
    pub(in crate::depot) fn offset(&self) -> u64 {
        self.offset
    }

    /// What has come, to be read while more comes.
    pub(in crate::depot) async fn reader(&mut self) -> Result<fs::File, DepotError> {
        let ingest = self.take().await?;
        let (ingest, file) = blocking(move || {
            let file = ingest.reader();
            (ingest, file)
        })
        .await;
        *self.ingest = Some(ingest);
        Ok(file?)
    }

    /// Adds bytes at the end.
    pub(in crate::depot) async fn append(&mut self, bytes: Bytes) -> Result<(), DepotError> {
        let mut ingest = self.take().await?;
        let (ingest, written) = blocking(move || {
            let written = ingest.write(&bytes);
            (ingest, written)
        })
        .await;
        self.offset = ingest.offset();
        *self.ingest = Some(ingest);
        Ok(written?)
    }

    /// Makes a blob of what came if it has this digest; `None` if it has another. Either way the
    /// upload is over.
    pub(in crate::depot) async fn finish(
        mut self,
        expected: ContentDigest,
    ) -> Result<Option<Stored>, DepotError> {
        let ingest = self.take().await?;
        let inner = Arc::clone(&self.disk.0);
        let outcome = blocking(move || {
            let (digest, size_bytes) = (ingest.digest(), ingest.offset());
            let fits = match expected.algorithm() {
                Algorithm::Sha256 => expected.stored() == Some(digest),
                Algorithm::Sha512 => sha512_of(&ingest)? == expected,
            };
            if !fits {
                let mut ingest = ingest;
                ingest.discard();
                return Ok(None);
            }
            let hold = inner.holds.hold(&digest);
            ingest.commit_sharing(Some(&digest), Some(size_bytes), &inner.siblings)?;
            Ok::<_, DepotError>(Some(Stored { hold: hold.into(), size_bytes }))
        })
        .await;
        self.disk.0.uploads.forget(&self.id);
        outcome
    }

    /// Throws away what came.
    pub(in crate::depot) async fn cancel(mut self) -> Result<(), DepotError> {
        let mut ingest = self.take().await?;
        blocking(move || ingest.discard()).await;
        self.disk.0.uploads.forget(&self.id);
        Ok(())
    }

    /// The file; read again if the request that had it broke off while it was written.
    async fn take(&mut self) -> Result<Ingest, DepotError> {
        if let Some(ingest) = self.ingest.take() {
            return Ok(ingest);
        }
        let (inner, id) = (Arc::clone(&self.disk.0), self.id.clone());
        let resumed = blocking(move || inner.blobs.resume_upload(&id)).await?;
        resumed.ok_or_else(|| DepotError::File {
            action: "find",
            path: self.disk.0.uploads.path(&self.id),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }
}

fn sha512_of(ingest: &Ingest) -> Result<ContentDigest, IngestError> {
    use sha2::Digest as _;
    let mut file = ingest.reader()?;
    let (mut hasher, mut buffer) = (sha2::Sha512::new(), vec![0; HASH_BUFFER_BYTES]);
    loop {
        let count = file.read(&mut buffer).map_err(|source| {
            let (action, path) = ("read", PathBuf::from("an upload"));
            IngestError::Store(StoreError::Io { action, path, source })
        })?;
        if count == 0 {
            return Ok(ContentDigest::of_sha512(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}
