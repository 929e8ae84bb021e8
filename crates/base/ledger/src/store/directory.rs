//! The directory of an embedded store: whose it is, and which format it has.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The layout of the directory and of the rows in it. A change raises it and says here what
/// the older one was; older formats are converted when opened.
///
/// - 1: `lock`, `format`, and `rows/`, a fjall database (see `embedded.rs` for its rows).
pub const FORMAT: u32 = 1;

/// What `format` holds before the number.
const FORMAT_PREFIX: &str = "longshore-ledger ";

/// Below this many free bytes a failed write is put down to the full disk.
const FULL_DISK_BYTES: u64 = 1 << 20;

/// A directory that only this process uses until the value is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
}

impl Directory {
    /// Makes the directory if needed, takes its lock, and checks its format.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path).map_err(|source| io("creating", path, source))?;
        let lock = take_lock(path)?;
        let directory = Self { path: path.to_owned(), lock };
        directory.check_format()?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn rows(&self) -> PathBuf {
        self.path.join("rows")
    }

    /// Whether the disk has next to nothing left.
    pub(super) fn is_full(&self) -> bool {
        rustix::fs::statvfs(&self.path)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL_DISK_BYTES)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let path = self.path.join("format");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.begin_format(&path),
            Err(source) => return Err(io("reading", &path, source)),
        };
        let number = text.trim_end().strip_prefix(FORMAT_PREFIX);
        match number.and_then(|number| number.parse::<u32>().ok()) {
            Some(FORMAT) => Ok(()),
            Some(found) if found > FORMAT => {
                Err(StoreError::NewerFormat { dir: self.path.clone(), found, newest: FORMAT })
            }
            _ => Err(self.damaged("the file 'format'", format!("it says {text:?}"))),
        }
    }

    /// A directory without a format is new, or its first start was cut short before any row.
    fn begin_format(&self, path: &Path) -> Result<(), StoreError> {
        if self.rows().exists() {
            let problem = "it is missing, but there are rows".to_owned();
            return Err(self.damaged("the file 'format'", problem));
        }
        let new = self.path.join("format.new");
        let write = |file: &mut File| {
            writeln!(file, "{FORMAT_PREFIX}{FORMAT}")?;
            file.sync_all()
        };
        File::create(&new)
            .and_then(|mut file| write(&mut file))
            .and_then(|()| fs::rename(&new, path))
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(|source| io("writing", path, source))
    }

    pub(super) fn damaged(&self, what: &str, problem: String) -> StoreError {
        StoreError::Damaged { dir: self.path.clone(), what: what.to_owned(), problem }
    }
}

/// Rows hold secrets (SigV4 needs them in plain), so nobody else may look inside.
fn create_private(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

impl Drop for Directory {
    /// Closing the file is not enough: a child that was forked at this moment, and has not yet
    /// become another program, holds it open too.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, dir = %self.path.display(), "giving up the lock failed");
        }
    }
}

/// The kernel drops the lock with the process, however it ends; the number in the file only
/// tells whom to look for.
fn take_lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let error = |source| io("locking", &path, source);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(error)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.read_to_string(&mut text).is_ok() && !text.trim().is_empty();
            let holder = if read { format!("process {}", text.trim()) } else { "a process".into() };
            return Err(StoreError::InUse { dir: dir.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(error(source)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(error)?;
    Ok(file)
}

/// A failure of the file system, told apart from a full disk.
pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            StoreError::Full { dir: path.to_owned() }
        }
        _ => StoreError::Io { action, path: path.to_owned(), source: Box::new(source) },
    }
}
