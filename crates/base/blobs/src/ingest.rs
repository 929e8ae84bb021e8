//! Taking in a blob: partial file, hash on the way, check, rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::store::io_error;
use crate::{Digest, Durability, Hasher, Store, StoreError};

/// How unnamed partial files begin; resumable ones are named by 64 hexadecimal digits.
const UNNAMED_PREFIX: &str = "unnamed-";
/// How much is read at a time when a partial file is hashed again.
const REHASH_BUFFER_BYTES: usize = 256 * 1024;

/// Why a blob could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The disk said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes are not those that the digest names; they were thrown away.
    #[error("digest mismatch: expected {expected}, the bytes have {actual}")]
    Digest {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// Fewer or more bytes than announced. Too few are kept, to be gone on with; too many are
    /// thrown away.
    #[error("size mismatch: expected {expected_bytes} bytes, got {actual_bytes}")]
    Size {
        /// The size that was announced.
        expected_bytes: u64,
        /// The size that came.
        actual_bytes: u64,
    },
}

impl IngestError {
    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Store(StoreError::Io { source, .. })
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// A blob on its way in. Dropped without [`Ingest::commit`], a resumable one keeps its bytes on disk
/// for the next attempt, an unnamed one is deleted.
pub struct Ingest {
    store: Store,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    offset: u64,
    /// The digest that names the file; `None` for unnamed ones.
    key: Option<Digest>,
    is_settled: bool,
}

impl Ingest {
    pub(crate) fn resume(store: &Store, digest: &Digest) -> Result<Option<Self>, IngestError> {
        let path = store.ingest_dir().join(digest.hex());
        loop {
            if store.contains(digest) {
                return Ok(None);
            }
            let file = open_partial(&path)?;
            lock(&file, FlockOperation::LockExclusive).map_err(io_error("lock", &path))?;
            // While we waited its owner may have committed (renamed) or discarded it: then the
            // file that we hold is no longer the one of that name.
            if !is_same_file(&file, &path) {
                continue;
            }
            let mut ingest = Self {
                store: store.clone(),
                path,
                file,
                hasher: Hasher::new(),
                offset: 0,
                key: Some(*digest),
                is_settled: false,
            };
            ingest.rehash()?;
            return Ok(Some(ingest));
        }
    }

    pub(crate) fn unnamed(store: &Store) -> Result<Self, IngestError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{UNNAMED_PREFIX}{}-{number}", std::process::id());
            let path = store.ingest_dir().join(name);
            let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => file,
                // Left by an earlier process of the same id, or one in another pid namespace.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(io_error("create", &path)(error).into()),
            };
            lock(&file, FlockOperation::LockExclusive).map_err(io_error("lock", &path))?;
            if !is_same_file(&file, &path) {
                continue; // A sweep of another process came between.
            }
            return Ok(Self {
                store: store.clone(),
                path,
                file,
                hasher: Hasher::new(),
                offset: 0,
                key: None,
                is_settled: false,
            });
        }
    }

    /// Hashes what an earlier attempt left and goes to its end.
    fn rehash(&mut self) -> Result<(), StoreError> {
        let mut buffer = vec![0; REHASH_BUFFER_BYTES];
        loop {
            let count = self.file.read(&mut buffer).map_err(io_error("read", &self.path))?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..count]);
            self.offset += count as u64;
        }
    }

    /// How many bytes are here: the next [`Ingest::write`] goes on from this byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends the next bytes.
    ///
    /// # Errors
    /// If the disk does not take them. What was taken before stays.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), IngestError> {
        if let Err(error) = self.file.write_all(bytes) {
            // A part may have been written; the hash does not cover it.
            let _ = self.file.set_len(self.offset);
            let _ = self.file.seek(SeekFrom::Start(self.offset));
            return Err(io_error("write", &self.path)(error).into());
        }
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is here and begins again at byte 0, for a source that cannot resume.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub fn restart(&mut self) -> Result<(), IngestError> {
        self.file.set_len(0).map_err(io_error("truncate", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(io_error("seek in", &self.path))?;
        self.hasher = Hasher::new();
        self.offset = 0;
        Ok(())
    }

    /// Checks digest and size and makes the blob visible. For a resumable ingest the digest that it
    /// was started with is checked whatever `expected` says.
    ///
    /// # Errors
    /// If digest or size are not as expected, or the disk refuses. Then no blob appears; too short a
    /// resumable ingest keeps its bytes for the next attempt.
    pub fn commit(
        mut self,
        expected: Option<&Digest>,
        size_bytes: Option<u64>,
    ) -> Result<Digest, IngestError> {
        if let Some(expected_bytes) = size_bytes.filter(|size| *size != self.offset) {
            let actual_bytes = self.offset;
            if actual_bytes > expected_bytes {
                self.discard();
            }
            return Err(IngestError::Size { expected_bytes, actual_bytes });
        }
        let actual = std::mem::take(&mut self.hasher).finish();
        for expected in self.key.iter().chain(expected) {
            if *expected != actual {
                let expected = *expected;
                self.discard();
                return Err(IngestError::Digest { expected, actual });
            }
        }
        if self.store.durability == Durability::Synced {
            self.file.sync_data().map_err(io_error("sync", &self.path))?;
        }
        let target = self.store.path(&actual);
        fs::rename(&self.path, &target).map_err(io_error("rename", &self.path))?;
        self.is_settled = true;
        if self.store.durability == Durability::Synced {
            let dir = self.store.blobs_dir();
            File::open(&dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", &dir))?;
        }
        Ok(actual)
    }

    /// Deletes what was taken in.
    pub fn discard(&mut self) {
        self.is_settled = true;
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if !self.is_settled && self.key.is_none() {
            self.discard();
        }
    }
}

fn open_partial(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io_error("create", path))
}

/// `flock` until it is not interrupted.
fn lock(file: &File, operation: FlockOperation) -> io::Result<()> {
    loop {
        match flock(file, operation) {
            Err(Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), fs::metadata(path)) else { return false };
    held.ino() == named.ino() && held.dev() == named.dev()
}

pub(crate) fn sweep(store: &Store, before: SystemTime) -> Result<usize, StoreError> {
    let dir = store.ingest_dir();
    let mut swept = 0;
    for entry in fs::read_dir(&dir).map_err(io_error("list", &dir))? {
        let entry = entry.map_err(io_error("list", &dir))?;
        let path = entry.path();
        let Ok(file) = File::open(&path) else { continue };
        // Whoever writes it holds the lock.
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let is_unnamed = entry.file_name().to_string_lossy().starts_with(UNNAMED_PREFIX);
        let is_old = file.metadata().and_then(|m| m.modified()).is_ok_and(|at| at < before);
        if (is_unnamed || is_old) && is_same_file(&file, &path) && fs::remove_file(&path).is_ok() {
            swept += 1;
        }
    }
    Ok(swept)
}
