//! What a journal's bytes lie on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::JournalError;

/// One file that only its owner writes. A crash keeps what was made durable, and any part of what
/// was written after it.
#[async_trait]
pub trait Medium: Send {
    /// Its name, for people.
    fn name(&self) -> String;

    /// All bytes.
    async fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Cuts it to this length in bytes.
    async fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Adds bytes at the end; when `durable`, they and all before them outlast a crash when it
    /// returns.
    async fn append(&mut self, bytes: Vec<u8>, durable: bool) -> io::Result<()>;

    /// Puts these bytes in the place of all, durably: a crash leaves the old ones or the new.
    async fn replace(&mut self, bytes: Vec<u8>) -> io::Result<()>;
}

/// A file of this machine, locked.
#[derive(Debug)]
pub struct DiskFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl DiskFile {
    /// Opens the file, made if absent with its folder, and gives its length.
    pub(super) fn open(path: &Path) -> Result<(Self, u64), JournalError> {
        let error = |action, source| JournalError::of(action, path.display().to_string(), source);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| error("make the folder of", source))?;
        }
        let file = open(path).map_err(|source| error("open", source))?;
        let length = file.metadata().map_err(|source| error("read", source))?.len();
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(JournalError::InUse { path: path.display().to_string() });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(error("lock", source)),
        }
        reserve(path);
        Ok((Self { path: path.to_owned(), file: Arc::new(Mutex::new(file)) }, length))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut File, &Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        let done = tokio::task::spawn_blocking(move || work(&mut file.lock(), &path)).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

#[async_trait]
impl Medium for DiskFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    async fn read(&mut self) -> io::Result<Vec<u8>> {
        self.blocking(|file, _| {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        })
        .await
    }

    async fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.blocking(move |file, _| file.set_len(length)).await
    }

    async fn append(&mut self, bytes: Vec<u8>, durable: bool) -> io::Result<()> {
        if !durable {
            // Into the page cache only: no reason to leave this thread.
            return append(&mut self.file.lock(), &self.path, &bytes, false);
        }
        self.blocking(move |file, path| append(file, path, &bytes, true)).await
    }

    async fn replace(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.blocking(move |file, path| {
            let fresh = path.with_extension("new");
            *file = replace(path, &fresh, &bytes).inspect_err(|_| {
                // On a full disk, what could not become the journal must not keep its room.
                let _ = std::fs::remove_file(&fresh);
            })?;
            reserve(path);
            Ok(())
        })
        .await
    }
}

/// Room that is kept for the journal: when the disk is full, exit codes and reports go on to be
/// written into what this gives back.
const RESERVE_BYTES: u64 = 4 << 20;

fn reserve_of(path: &Path) -> PathBuf {
    path.with_extension("reserve")
}

/// Keeps the room, unless it is kept or there is none.
fn reserve(path: &Path) {
    let path = reserve_of(path);
    if path.exists() {
        return;
    }
    let made = File::create(&path).and_then(|file| {
        let none = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&file, none, 0, RESERVE_BYTES).map_err(io::Error::from)
    });
    if made.is_err() {
        let _ = std::fs::remove_file(&path);
    }
}

/// Adds bytes at the end, if need be in the room that was kept.
fn append(file: &mut File, path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut write = || {
        file.write_all(bytes)?;
        if durable { file.sync_data() } else { Ok(()) }
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            if std::fs::remove_file(reserve_of(path)).is_err() {
                return Err(error);
            }
            tracing::error!(path = %path.display(), "the disk is full: the journal's reserve is used");
            // Part of them may have been written.
            file.set_len(length)?;
            file.write_all(bytes)?;
            if durable { file.sync_data() } else { Ok(()) }
        }
        written => written,
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

/// Writes `fresh` and puts it in the place of the journal; answers it, locked.
fn replace(path: &Path, fresh: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::create(fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    let file = open(fresh)?;
    file.try_lock()?;
    std::fs::rename(fresh, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}
