//! Unpacked layers: a folder for each, named by the digest of its uncompressed tar.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use blobs::{Digest, Durability};
use rustix::fs::{FlockOperation, flock, syncfs};

use super::unpack::{self, Limits};
use super::{ImageError, UnpackError};

/// How folders that are being filled, or emptied, begin.
const TEMPORARY_PREFIX: &str = ".tmp-";
/// The layer of images that have none.
const EMPTY_NAME: &str = "empty";
/// How much of a digest names the folder: 144 bits, 24 characters. So the 127 layers that an image
/// may have stay below the 4,096 bytes of a mount's options when named relative to their parent.
const NAME_DIGEST_BYTES: usize = 18;

/// The folder of unpacked layers.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    root: PathBuf,
    durability: Durability,
    limits: Limits,
}

/// A folder that goes away unless it is kept. Locked, so that no sweep takes it from a live process.
struct Temporary {
    path: PathBuf,
    _lock: File,
    is_kept: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Layers {
    pub(super) fn open(
        root: PathBuf,
        durability: Durability,
        limits: Limits,
    ) -> Result<Self, ImageError> {
        fs::create_dir_all(&root).map_err(|error| store_error("create", &root, error))?;
        Ok(Self { root, durability, limits })
    }

    /// Where the layer is unpacked, or would be.
    pub(super) fn path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join(folder_name(diff_id))
    }

    pub(super) fn contains(&self, diff_id: &Digest) -> bool {
        self.path(diff_id).is_dir()
    }

    /// A layer with nothing in it, for images without any.
    pub(super) fn empty(&self) -> Result<PathBuf, ImageError> {
        let path = self.root.join(EMPTY_NAME);
        fs::create_dir_all(&path).map_err(|error| store_error("create", &path, error))?;
        Ok(path)
    }

    /// Unpacks `blob` unless its layer is here. With `expected`, the uncompressed tar must have that
    /// digest. Whatever goes wrong, nothing is left of it.
    pub(super) fn ensure(
        &self,
        blob_digest: &Digest,
        blob: File,
        expected: Option<&Digest>,
    ) -> Result<Digest, ImageError> {
        if let Some(expected) = expected.filter(|diff_id| self.contains(diff_id)) {
            return Ok(*expected);
        }
        let layer_error = |problem| match problem {
            UnpackError::DiskFull => ImageError::DiskFull { folder: self.root.clone() },
            problem => ImageError::Layer { layer: *blob_digest, problem },
        };
        let mut temporary = self.temporary()?;
        let diff_id = unpack::unpack(blob, &temporary.path, self.limits).map_err(layer_error)?;
        if expected.is_some_and(|expected| *expected != diff_id) {
            return Err(layer_error(UnpackError::DiffId { actual: diff_id }));
        }
        if self.durability == Durability::Synced {
            let folder = File::open(&temporary.path);
            folder
                .and_then(|folder| syncfs(&folder).map_err(io::Error::from))
                .map_err(|error| store_error("sync", &temporary.path, error))?;
        }
        let target = self.path(&diff_id);
        match fs::rename(&temporary.path, &target) {
            Ok(()) => temporary.is_kept = true,
            // Another process was faster; ours goes.
            Err(_) if target.is_dir() => {}
            Err(error) => return Err(store_error("rename", &temporary.path, error)),
        }
        Ok(diff_id)
    }

    fn temporary(&self) -> Result<Temporary, ImageError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id());
            let path = self.root.join(name);
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(store_error("create", &path, error)),
            }
            // A sweep may take it before it is locked: then there is nothing to open, or to keep.
            let Ok(lock) = File::open(&path) else { continue };
            flock(&lock, FlockOperation::LockExclusive)
                .map_err(|errno| store_error("lock", &path, errno.into()))?;
            if path.is_dir() {
                return Ok(Temporary { path, _lock: lock, is_kept: false });
            }
        }
    }

    /// Removes what crashed processes left half-made. Returns how many folders went.
    pub(super) fn sweep(&self) -> Result<usize, ImageError> {
        let mut swept = 0;
        for name in self.names()? {
            let path = self.root.join(&name);
            if !name.starts_with(TEMPORARY_PREFIX) {
                continue;
            }
            let Ok(folder) = File::open(&path) else { continue };
            let is_free = flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok();
            if is_free && fs::remove_dir_all(&path).is_ok() {
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Removes every layer that `is_needed` does not want. The caller sees to it that nobody adds
    /// users meanwhile. Returns how many went.
    pub(super) fn retain(&self, needed: &[Digest]) -> Result<usize, ImageError> {
        let needed: std::collections::BTreeSet<_> = needed.iter().map(folder_name).collect();
        let mut removed = 0;
        for name in self.names()? {
            if name.starts_with(TEMPORARY_PREFIX) || name == EMPTY_NAME || needed.contains(&name) {
                continue;
            }
            // Renamed first: a layer is there whole or not at all.
            let temporary = self.temporary()?;
            let path = self.root.join(&name);
            let gone = temporary.path.join("layer");
            fs::rename(&path, gone).map_err(|error| store_error("remove", &path, error))?;
            removed += 1;
        }
        Ok(removed)
    }

    fn names(&self) -> Result<Vec<String>, ImageError> {
        let list = |error| store_error("list", &self.root, error);
        let entries = fs::read_dir(&self.root).map_err(list)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }
}

fn folder_name(diff_id: &Digest) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&diff_id.as_bytes()[..NAME_DIGEST_BYTES])
}

/// What the store's own disk said.
pub(super) fn store_error(action: &str, path: &Path, error: io::Error) -> ImageError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ImageError::DiskFull { folder: path.parent().unwrap_or(path).to_owned() }
        }
        _ => ImageError::Store {
            message: format!("cannot {action} {}: {error}", path.display()),
            source: std::sync::Arc::new(error),
        },
    }
}
