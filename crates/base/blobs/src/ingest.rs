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
use crate::writeback::Writeback;
use crate::{Digest, Durability, Hasher, Store, StoreError};

/// How unnamed partial files begin; resumable ones are named by 64 hexadecimal digits.
const UNNAMED_PREFIX: &str = "unnamed-";
/// How partial files of uploads begin; their callers' names follow.
const UPLOAD_PREFIX: &str = "upload-";
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

/// A blob on its way in. Dropped without [`Ingest::commit`], a resumable one or an upload keeps its
/// bytes on disk for the next attempt, an unnamed one is deleted.
pub struct Ingest {
    store: Store,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    writeback: Writeback,
    offset: u64,
    /// The digest that names the file; `None` for uploads and unnamed ones.
    key: Option<Digest>,
    /// Whether the bytes stay if nobody commits them.
    is_kept: bool,
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
                writeback: Writeback::default(),
                offset: 0,
                key: Some(*digest),
                is_kept: true,
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
                writeback: Writeback::default(),
                offset: 0,
                key: None,
                is_kept: false,
                is_settled: false,
            });
        }
    }

    pub(crate) fn upload(
        store: &Store,
        name: &str,
        is_new: bool,
    ) -> Result<Option<Self>, IngestError> {
        let path = upload_path(store, name);
        let mut options = OpenOptions::new();
        let file = match options.read(true).write(true).create_new(is_new).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_new => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error).into()),
        };
        lock(&file, FlockOperation::LockExclusive).map_err(io_error("lock", &path))?;
        if !is_same_file(&file, &path) {
            return Ok(None); // Committed or thrown away while we waited.
        }
        let mut ingest = Self {
            store: store.clone(),
            path,
            file,
            hasher: Hasher::new(),
            writeback: Writeback::default(),
            offset: 0,
            key: None,
            is_kept: true,
            is_settled: false,
        };
        ingest.rehash()?;
        Ok(Some(ingest))
    }

    /// The digest of what is here so far.
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// What is here so far, to be read from its beginning.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn reader(&self) -> Result<File, IngestError> {
        Ok(File::open(&self.path).map_err(io_error("open", &self.path))?)
    }

    /// Hashes what an earlier attempt left and goes to its end.
    fn rehash(&mut self) -> Result<(), StoreError> {
        let here = self.file.metadata().map_err(io_error("read", &self.path))?.len();
        // Of most there is nothing yet: many that begin at once need no buffers.
        if here == 0 {
            return Ok(());
        }
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
        if self.store.durability == Durability::Synced {
            self.writeback.reached(&self.file, self.offset);
        }
        Ok(())
    }

    /// Throws away what is here and begins again at byte 0, for a source that cannot resume.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub fn restart(&mut self) -> Result<(), IngestError> {
        self.file.set_len(0).map_err(io_error("truncate", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(io_error("seek in", &self.path))?;
        (self.hasher, self.writeback) = (Hasher::new(), Writeback::default());
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
        self,
        expected: Option<&Digest>,
        size_bytes: Option<u64>,
    ) -> Result<Digest, IngestError> {
        self.commit_sharing(expected, size_bytes, &[])
    }

    /// As [`Ingest::commit`]; if one of `siblings`, stores on the same machine, has the blob already,
    /// its file is shared (by a hard link) and what came is let go, so that the disk has it once.
    ///
    /// # Errors
    /// As [`Ingest::commit`].
    pub fn commit_sharing(
        mut self,
        expected: Option<&Digest>,
        size_bytes: Option<u64>,
        siblings: &[Store],
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
        for sibling in siblings {
            // Sharing saves room, no more: without it the bytes that came will do.
            if self.store.share(sibling, &actual).is_ok_and(|is_shared| is_shared) {
                self.discard();
                return Ok(actual);
            }
        }
        if self.store.durability == Durability::Synced {
            self.file.sync_data().map_err(io_error("sync", &self.path))?;
        }
        let target = self.store.path(&actual);
        fs::rename(&self.path, &target).map_err(io_error("rename", &self.path))?;
        self.is_settled = true;
        self.store.sync_names()?;
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
        if !self.is_settled && !self.is_kept {
            self.discard();
        }
    }
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").field("path", &self.path).finish_non_exhaustive()
    }
}

pub(crate) fn upload_path(store: &Store, name: &str) -> PathBuf {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    assert!(!name.is_empty() && name.bytes().all(is_plain), "no name of an upload");
    store.ingest_dir().join(format!("{UPLOAD_PREFIX}{name}"))
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
