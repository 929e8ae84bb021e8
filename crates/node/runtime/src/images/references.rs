//! Which reference means which image: one small file a reference, replaced by rename.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blobs::{Digest, Durability};
use serde::{Deserialize, Serialize};

use super::layers::store_error;
use super::{ImageError, ImageReference};

/// The version of [`Record`]'s form.
const RECORD_VERSION: u32 = 1;
/// How many images from files stay of a repository by their digests alone.
const LEFT_MAX: usize = 8;
/// The largest record that is read.
const RECORD_BYTES_MAX: u64 = 64 * 1024;

/// What is known about a reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    pub(super) reference: ImageReference,
    /// What the reference resolved to: an index or a manifest.
    pub(super) target: Digest,
    /// The manifest for this machine.
    pub(super) manifest: Digest,
    /// Whether it came from its registry (and not from a file).
    pub(super) was_pulled: bool,
}

impl Record {
    pub(super) fn new(
        reference: ImageReference,
        target: Digest,
        manifest: Digest,
        was_pulled: bool,
    ) -> Self {
        Self { version: RECORD_VERSION, reference, target, manifest, was_pulled }
    }
}

/// The folder of records.
#[derive(Debug, Clone)]
pub(super) struct References {
    root: PathBuf,
    durability: Durability,
}

impl References {
    pub(super) fn open(root: PathBuf, durability: Durability) -> Result<Self, ImageError> {
        fs::create_dir_all(&root).map_err(|error| store_error("create", &root, error))?;
        Ok(Self { root, durability })
    }

    /// Files are named by the reference's own digest: references are longer than names may be.
    fn path(&self, reference: &ImageReference) -> PathBuf {
        let digest = Digest::of(reference.to_string().as_bytes());
        self.root.join(format!("{}.json", digest.hex()))
    }

    pub(super) fn get(&self, reference: &ImageReference) -> Result<Option<Record>, ImageError> {
        let record = self.read(&self.path(reference))?;
        Ok(record.filter(|record| record.reference == *reference))
    }

    pub(super) fn put(&self, record: &Record) -> Result<(), ImageError> {
        let path = self.path(&record.reference);
        let bytes = serde_json::to_vec(record).expect("a record has only text keys");
        write_atomically(&path, &bytes, self.durability)
            .map_err(|error| store_error("write", &path, error))
    }

    /// Writes a record by digest for what a tag has left. Of images that came from files, which nothing
    /// else takes away, some stay for each repository: those that were used last.
    pub(super) fn keep_by_digest(&self, old: Record) -> Result<(), ImageError> {
        let reference = old.reference.pinned(old.target);
        if self.get(&reference)?.is_none() {
            self.put(&Record { reference: reference.clone(), ..old })?;
        }
        let is_one = |record: &Record| {
            let other = &record.reference;
            !record.was_pulled
                && *other != reference
                && other.tag().is_none()
                && other.registry() == reference.registry()
                && other.repository() == reference.repository()
        };
        let mut left: Vec<_> = self.list()?.into_iter().filter(is_one).collect();
        left.sort_by_key(|record| std::cmp::Reverse(self.times(&record.reference).map(|at| at.1)));
        for record in left.iter().skip(LEFT_MAX - 1) {
            self.remove(&record.reference)?;
        }
        Ok(())
    }

    /// Marks a reference as used now, if it is known.
    pub(super) fn used(&self, reference: &ImageReference) -> Result<(), ImageError> {
        let path = self.path(reference);
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
        let marked =
            rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty());
        match marked.map_err(io::Error::from) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(store_error("mark", &path, error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// When a reference was pulled, and when it was last used. Each pull makes its file anew; a
    /// file system that does not tell when files were made is asked when they were last used.
    pub(super) fn times(&self, reference: &ImageReference) -> Option<(SystemTime, SystemTime)> {
        let told = fs::metadata(self.path(reference)).ok()?;
        let used = told.modified().ok()?;
        Some((told.created().unwrap_or(used), used))
    }

    pub(super) fn remove(&self, reference: &ImageReference) -> Result<bool, ImageError> {
        let path = self.path(reference);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(store_error("remove", &path, error)),
        }
    }

    /// All records, sorted by reference.
    pub(super) fn list(&self) -> Result<Vec<Record>, ImageError> {
        let list = |error| store_error("list", &self.root, error);
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(list)? {
            let path = entry.map_err(list)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(self.read(&path)?);
            }
        }
        records.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(records)
    }

    /// Removes what a crash left half-written. The caller holds the store alone.
    pub(super) fn sweep(&self) -> Result<(), ImageError> {
        let list = |error| store_error("list", &self.root, error);
        for entry in fs::read_dir(&self.root).map_err(list)? {
            let path = entry.map_err(list)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Option<Record>, ImageError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(store_error("open", path, error)),
        };
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, RECORD_BYTES_MAX), &mut bytes)
            .map_err(|error| store_error("read", path, error))?;
        let record: Record = serde_json::from_slice(&bytes).map_err(|error| {
            ImageError::malformed(format!("the image store's {}", path.display()), error)
        })?;
        Ok(Some(record))
    }
}

/// Writes a file that readers see whole or not at all.
pub(super) fn write_atomically(
    path: &Path,
    bytes: &[u8],
    durability: Durability,
) -> io::Result<()> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("tmp-{}-{number}", std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        if durability == Durability::Synced {
            file.sync_data()?;
        }
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    if let (Durability::Synced, Some(folder)) = (durability, path.parent()) {
        File::open(folder)?.sync_all()?;
    }
    written
}
