//! The writable side of containers' root file systems.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use blobs::{Digest, Durability};
use serde::{Deserialize, Serialize};

use super::references::write_atomically;
use super::{Image, ImageReference, RootFs, SnapshotError};
use crate::ContainerId;

const RECORD: &str = "image.json";
const UPPER: &str = "upper";
const WORK: &str = "work";
/// What is being taken away.
const GONE_SUFFIX: &str = ".gone";

/// The folder of snapshots: one for each container.
#[derive(Debug, Clone)]
pub(super) struct Snapshots {
    root: PathBuf,
}

/// What a snapshot keeps alive. Not synced: a container does not survive a loss of power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) reference: ImageReference,
    pub(super) target: Digest,
    pub(super) config: Digest,
    pub(super) diff_ids: Vec<Digest>,
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> SnapshotError {
    move |error| SnapshotError::Io { action, path: path.to_owned(), message: error.to_string() }
}

impl Snapshots {
    pub(super) fn open(root: PathBuf) -> Result<Self, SnapshotError> {
        fs::create_dir_all(&root).map_err(io_error("create", &root))?;
        Ok(Self { root })
    }

    fn path(&self, container: &ContainerId) -> PathBuf {
        self.root.join(container.as_str())
    }

    /// Makes, or finds again, the snapshot of `container` over `lower` (topmost first).
    pub(super) fn prepare(
        &self,
        image: &Image,
        container: &ContainerId,
        lower: Vec<PathBuf>,
    ) -> Result<RootFs, SnapshotError> {
        let path = self.path(container);
        let record = Record {
            reference: image.reference.clone(),
            target: image.digest,
            config: image.config_digest,
            diff_ids: image.layers.iter().map(|layer| layer.diff_id).collect(),
        };
        match self.read(&path)? {
            Some(found) if found.diff_ids == record.diff_ids => {}
            Some(found) => {
                return Err(SnapshotError::Conflict {
                    container: container.clone(),
                    image: found.reference,
                });
            }
            None => make(&path, &record, &lower)?,
        }
        Ok(RootFs { lower, upper: path.join(UPPER), work: path.join(WORK) })
    }

    /// Removes a snapshot: renamed first, so that a half-removed one is never found again.
    pub(super) fn release(&self, container: &ContainerId) -> Result<(), SnapshotError> {
        let path = self.path(container);
        let gone = path.with_extension(&GONE_SUFFIX[1..]);
        match fs::rename(&path, &gone) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // An earlier removal was broken off.
            Err(_) if gone.exists() => remove_tree(&gone)
                .and_then(|()| fs::rename(&path, &gone))
                .map_err(io_error("remove", &path))?,
            Err(error) => return Err(io_error("remove", &path)(error)),
        }
        remove_tree(&gone).map_err(io_error("remove", &gone))
    }

    /// The bytes that the writable side takes.
    pub(super) fn written(&self, container: &ContainerId) -> Result<u64, SnapshotError> {
        let path = self.path(container).join(UPPER);
        crate::usage(&path).map_err(io_error("measure", &path))
    }

    /// Every container that has a snapshot, with what it keeps.
    pub(super) fn list(&self) -> Result<Vec<(ContainerId, Record)>, SnapshotError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(io_error("list", &self.root))? {
            let path = entry.map_err(io_error("list", &self.root))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(container) = name.parse::<ContainerId>() else { continue };
            if let Some(record) = self.read(&path)? {
                found.push((container, record));
            }
        }
        Ok(found)
    }

    /// Removes what a crash left half-made or half-removed. The caller holds the store alone.
    pub(super) fn sweep(&self) -> Result<(), SnapshotError> {
        for entry in fs::read_dir(&self.root).map_err(io_error("list", &self.root))? {
            let path = entry.map_err(io_error("list", &self.root))?.path();
            let is_whole = path.extension().is_none() && path.join(RECORD).exists();
            if !is_whole {
                remove_tree(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Option<Record>, SnapshotError> {
        let path = path.join(RECORD);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let record = serde_json::from_slice(&bytes);
        record.map(Some).map_err(|error| io_error("read", &path)(error.into()))
    }
}

/// Makes a snapshot's folders; the record comes last and makes it whole.
fn make(path: &Path, record: &Record, lower: &[PathBuf]) -> Result<(), SnapshotError> {
    let upper = path.join(UPPER);
    for folder in [path, &upper, &path.join(WORK)] {
        match fs::create_dir(folder) {
            Ok(()) => {}
            // A crash came before the record was written.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("create", folder)(error)),
        }
    }
    // The root folder of the mount is the upper one: it takes after the image's.
    if let Some(top) = lower.first() {
        let top = fs::metadata(top).map_err(io_error("look at", top))?;
        fs::set_permissions(&upper, fs::Permissions::from_mode(top.mode() & 0o7777))
            .and_then(|()| std::os::unix::fs::chown(&upper, Some(top.uid()), Some(top.gid())))
            .map_err(io_error("set the permissions of", &upper))?;
    }
    let file = path.join(RECORD);
    let bytes = serde_json::to_vec(record).expect("a record has only text keys");
    write_atomically(&file, &bytes, Durability::Relaxed).map_err(io_error("write", &file))
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        other => other,
    }
}
