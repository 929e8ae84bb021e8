//! Folders on the host that volumes are: made before the first container that mounts one, removed
//! with the task.

use std::io;
use std::path::Path;

use async_trait::async_trait;
use parking_lot::Mutex;
use runtime::mounts::{self, Disk, FileSystem};

/// Held while a file is written that the first of several writers settles.
static KEEPING: Mutex<()> = Mutex::new(());
/// Held while something is mounted if nothing is: containers that share a volume start together.
static MOUNTING: Mutex<()> = Mutex::new(());

/// Makes and removes folders. Each call may be repeated: what is already so is success.
#[async_trait]
pub trait Folders: Send + Sync + 'static {
    /// Makes the folder and those above it, unless there is something at `path` already.
    async fn make(&self, path: &Path) -> io::Result<()>;

    /// Fails unless there is something at `path`.
    async fn expect(&self, path: &Path) -> io::Result<()>;

    /// Mounts a file system on the folder `at`, unless something is mounted there.
    async fn mount(&self, what: &FileSystem, at: &Path) -> io::Result<()>;

    /// Mounts a disk on the folder `at`, unless something is mounted there; makes it first if
    /// there is none.
    async fn mount_disk(&self, disk: &Disk, at: &Path) -> io::Result<()>;

    /// The text that is kept in `file`: `text` itself if there was none, and then it is kept.
    async fn keep(&self, file: &Path, text: &str) -> io::Result<String>;

    /// Puts the text into `file`, whole or not at all, whatever was there. Its folder is there.
    async fn put(&self, file: &Path, text: &str) -> io::Result<()>;

    /// The text that is kept in `file`, if any.
    async fn kept(&self, file: &Path) -> io::Result<Option<String>>;

    /// Takes off what is mounted below the folder, and removes it with all that is in it; or
    /// removes a file.
    async fn remove(&self, path: &Path) -> io::Result<()>;

    /// What is free on the disk that the folder is on.
    async fn room(&self, path: &Path) -> io::Result<Room>;

    /// The bytes of the disk that the folder takes; 0 if it is not there.
    async fn used(&self, path: &Path) -> io::Result<u64>;
}

/// What is free on a disk, for those who are not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All bytes of the disk.
    pub total_bytes: u64,
    /// The free ones.
    pub free_bytes: u64,
    /// All inodes; 0 where they are not counted.
    pub inodes: u64,
    /// The free ones.
    pub free_inodes: u64,
}

/// Those of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostFolders;

#[async_trait]
impl Folders for HostFolders {
    async fn make(&self, path: &Path) -> io::Result<()> {
        if tokio::fs::try_exists(path).await.unwrap_or(false) {
            return Ok(());
        }
        tokio::fs::create_dir_all(path).await
    }

    async fn expect(&self, path: &Path) -> io::Result<()> {
        tokio::fs::metadata(path).await.map(drop)
    }

    async fn mount(&self, what: &FileSystem, at: &Path) -> io::Result<()> {
        let (what, at) = (what.clone(), at.to_owned());
        blocking(move || {
            let _one = MOUNTING.lock();
            mounts::mount(&what, &at)
        })
        .await
    }

    async fn mount_disk(&self, disk: &Disk, at: &Path) -> io::Result<()> {
        let (disk, at) = (disk.clone(), at.to_owned());
        blocking(move || {
            let _one = MOUNTING.lock();
            mounts::mount_disk(&disk, &at)
        })
        .await
    }

    async fn keep(&self, file: &Path, text: &str) -> io::Result<String> {
        let (file, text) = (file.to_owned(), text.to_owned());
        blocking(move || {
            // The containers of a task are made at once and may share a volume: one settles it.
            let _one = KEEPING.lock();
            match std::fs::read_to_string(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                known => return known,
            }
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            replace(&file, &text)?;
            Ok(text)
        })
        .await
    }

    async fn put(&self, file: &Path, text: &str) -> io::Result<()> {
        let (file, text) = (file.to_owned(), text.to_owned());
        blocking(move || replace(&file, &text)).await
    }

    async fn kept(&self, file: &Path) -> io::Result<Option<String>> {
        match tokio::fs::read_to_string(file).await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        blocking(move || {
            let found = match std::fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                found => found?,
            };
            if !found.is_dir() {
                return std::fs::remove_file(&path);
            }
            // Never into what is mounted: that is somebody else's.
            mounts::unmount_below(&path)?;
            std::fs::remove_dir_all(&path)
        })
        .await
    }

    async fn used(&self, path: &Path) -> io::Result<u64> {
        let path = path.to_owned();
        blocking(move || runtime::usage(&path)).await
    }

    async fn room(&self, path: &Path) -> io::Result<Room> {
        let path = path.to_owned();
        let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&path)).await?;
        let told = asked.map_err(io::Error::from)?;
        Ok(Room {
            total_bytes: told.f_blocks.saturating_mul(told.f_frsize),
            free_bytes: told.f_bavail.saturating_mul(told.f_frsize),
            inodes: told.f_files,
            free_inodes: told.f_favail,
        })
    }
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let temporary = file.with_extension("new");
    std::fs::write(&temporary, text)?;
    std::fs::rename(temporary, file)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
