//! Folders on the host that volumes are: made before the first container that mounts one, removed
//! with the task.

use std::io;
use std::path::Path;

use async_trait::async_trait;

/// Makes and removes folders. Each call may be repeated: what is already so is success.
#[async_trait]
pub trait Folders: Send + Sync + 'static {
    /// Makes the folder and those above it, unless there is something at `path` already.
    async fn make(&self, path: &Path) -> io::Result<()>;

    /// Removes the folder with all that is in it.
    async fn remove(&self, path: &Path) -> io::Result<()>;

    /// What is free on the disk that the folder is on.
    async fn room(&self, path: &Path) -> io::Result<Room>;
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

    async fn remove(&self, path: &Path) -> io::Result<()> {
        match tokio::fs::remove_dir_all(path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
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
