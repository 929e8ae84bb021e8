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
}
