//! The store: one file a blob, named by its digest.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{Digest, Ingest, IngestError};

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A committed blob survives a loss of power: its bytes and its name are synced before
    /// [`Ingest::commit`] returns.
    #[default]
    Synced,
    /// A committed blob survives a crash of the process, not of the machine. For tests.
    Relaxed,
}

/// A content-addressed store in one folder; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) root: PathBuf,
    pub(crate) durability: Durability,
}

/// A blob that [`Store::list`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the blob is named by.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
    /// When it was taken in, by the file system's clock.
    pub modified: SystemTime,
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: "open", "create", …
        action: &'static str,
        /// The file or folder it was tried on.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// [`Store::read`] met a blob over the caller's limit.
    #[error("blob {digest} has {size_bytes} bytes; at most {limit_bytes} are allowed here")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its length.
        size_bytes: u64,
        /// The caller's limit.
        limit_bytes: u64,
    },
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

impl Store {
    /// Opens the store in `root`, making the folders that are missing.
    ///
    /// # Errors
    /// If the folders cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_with(root, Durability::default())
    }

    /// As [`Store::open`], with a durability of the caller's choice.
    ///
    /// # Errors
    /// If the folders cannot be made.
    pub fn open_with(root: impl Into<PathBuf>, durability: Durability) -> Result<Self, StoreError> {
        let store = Self { root: root.into(), durability };
        for dir in [store.blobs_dir(), store.ingest_dir()] {
            fs::create_dir_all(&dir).map_err(io_error("create", &dir))?;
        }
        Ok(store)
    }

    /// The store in `root`, whether or not it is there: to share blobs from. Nothing can be stored
    /// in one that [`Store::open`] has not made.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), durability: Durability::default() }
    }

    pub(crate) fn blobs_dir(&self) -> PathBuf {
        self.root.join("sha256")
    }

    pub(crate) fn ingest_dir(&self) -> PathBuf {
        self.root.join("ingest")
    }

    /// Where the blob is, or would be; callers only read it.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs_dir().join(digest.hex())
    }

    /// Whether the blob is here.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.size_bytes(digest).is_some()
    }

    /// The blob's length, or `None` if it is not here.
    pub fn size_bytes(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest)).ok().map(|metadata| metadata.len())
    }

    /// Opens a blob for reading; `None` if it is not here. A blob that is deleted while it is open
    /// can be read to its end.
    ///
    /// # Errors
    /// If it is here but cannot be opened.
    pub fn reader(&self, digest: &Digest) -> Result<Option<File>, StoreError> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("open", &path)(error)),
        }
    }

    /// Reads a whole blob of at most `limit_bytes`; `None` if it is not here.
    ///
    /// # Errors
    /// If it is larger than the limit, or cannot be read.
    pub fn read(&self, digest: &Digest, limit_bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut file) = self.reader(digest)? else { return Ok(None) };
        let path = self.path(digest);
        let size_bytes = file.metadata().map_err(io_error("read", &path))?.len();
        if size_bytes > limit_bytes {
            return Err(StoreError::TooLarge { digest: *digest, size_bytes, limit_bytes });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io_error("read", &path))?;
        Ok(Some(bytes))
    }

    /// Stores `bytes` and answers with their digest.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, IngestError> {
        let digest = Digest::of(bytes);
        if self.contains(&digest) {
            return Ok(digest);
        }
        let mut ingest = self.ingest_unnamed()?;
        ingest.write(bytes)?;
        ingest.commit(Some(&digest), Some(bytes.len() as u64))
    }

    /// Every blob that is here, in no particular order.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let dir = self.blobs_dir();
        let mut entries = Vec::new();
        for entry in fs::read_dir(&dir).map_err(io_error("list", &dir))? {
            let entry = entry.map_err(io_error("list", &dir))?;
            let name = entry.file_name();
            let Some(digest) = name.to_str().and_then(|hex| format!("sha256:{hex}").parse().ok())
            else {
                continue;
            };
            // Deleted since: not an error.
            let Ok(metadata) = entry.metadata() else { continue };
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push(Entry { digest, size_bytes: metadata.len(), modified });
        }
        Ok(entries)
    }

    /// Deletes a blob; `false` if it was not here.
    ///
    /// # Errors
    /// If it is here but cannot be deleted.
    pub fn delete(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error("delete", &path)(error)),
        }
    }

    /// Starts taking in the blob of this digest, or goes on where another attempt stopped:
    /// [`Ingest::offset`] says from which byte. `None` if the blob is here already.
    ///
    /// Waits while another caller, in this process or another, takes in the same blob.
    ///
    /// # Errors
    /// If the partial file cannot be opened or read.
    pub fn ingest(&self, digest: &Digest) -> Result<Option<Ingest>, IngestError> {
        Ingest::resume(self, digest)
    }

    /// Starts taking in a blob whose digest only its bytes will tell. Not resumable.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn ingest_unnamed(&self) -> Result<Ingest, IngestError> {
        Ingest::unnamed(self)
    }

    /// Starts an upload under a name of the caller's, of ASCII letters, digits and dashes: what came
    /// of it stays on the disk until it is committed, discarded or swept.
    ///
    /// # Errors
    /// If there is one of that name, or the file cannot be made.
    ///
    /// # Panics
    /// If the name has other characters, or none.
    pub fn begin_upload(&self, name: &str) -> Result<Ingest, IngestError> {
        let begun = Ingest::upload(self, name, true)?;
        begun.ok_or_else(|| {
            let gone = io::Error::from(io::ErrorKind::NotFound);
            io_error("lock", &self.ingest_dir())(gone).into()
        })
    }

    /// Goes on with an upload, which is hashed again; `None` if there is none of that name. Waits
    /// while another caller has it.
    ///
    /// # Errors
    /// If its file cannot be opened or read.
    ///
    /// # Panics
    /// As [`Store::begin_upload`].
    pub fn resume_upload(&self, name: &str) -> Result<Option<Ingest>, IngestError> {
        Ingest::upload(self, name, false)
    }

    /// How many bytes have come of an upload; `None` if there is none of that name.
    ///
    /// # Panics
    /// As [`Store::begin_upload`].
    pub fn upload_bytes(&self, name: &str) -> Option<u64> {
        let path = crate::ingest::upload_path(self, name);
        fs::metadata(path).ok().map(|told| told.len())
    }

    /// Takes a blob over from another store on the same machine without copying it: both have the
    /// same file (a hard link) from then on, and each may delete its own name of it. `false` if the
    /// other has it not, or lies on another file system.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn share(&self, other: &Self, digest: &Digest) -> Result<bool, StoreError> {
        let (from, to) = (other.path(digest), self.path(digest));
        match fs::hard_link(&from, &to) {
            Ok(()) => {
                self.sync_names()?;
                Ok(true)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(true),
                io::ErrorKind::NotFound
                | io::ErrorKind::CrossesDevices
                | io::ErrorKind::TooManyLinks
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::Unsupported => Ok(false),
                _ => Err(io_error("link", &to)(error)),
            },
        }
    }

    /// Sees to it that the names of blobs survive a loss of power.
    pub(crate) fn sync_names(&self) -> Result<(), StoreError> {
        if self.durability == Durability::Relaxed {
            return Ok(());
        }
        let dir = self.blobs_dir();
        File::open(&dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", &dir))
    }

    /// Deletes the partial files that nobody is writing: unnamed ones always, resumable ones and uploads if last
    /// written before `before`. Returns how many went.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn sweep(&self, before: SystemTime) -> Result<usize, StoreError> {
        crate::ingest::sweep(self, before)
    }
}
