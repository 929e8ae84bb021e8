//! A container's directory: what is true of it, whether anyone runs or not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shim::file;
use terms::Timestamp;

use crate::ContainerId;

use super::{ContainerSpec, Exit};

/// What the runtime itself keeps of a container: written before anything else.
const RECORD: &str = "container.json";

/// The runtime's own record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: ContainerId,
    pub(super) name: String,
    pub(super) task: String,
    pub(super) cgroup: String,
}

/// The directory of one container.
#[derive(Clone, Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(containers: &Path, id: &ContainerId) -> Self {
        Self(containers.join(id.as_str()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes it, for this container only.
    pub(super) fn create(&self, spec: &ContainerSpec, cgroup: &str) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.file("bundle"))?;
        fs::set_permissions(&self.0, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let record = Record {
            id: spec.id.clone(),
            name: spec.name.clone(),
            task: spec.task.clone(),
            cgroup: cgroup.to_owned(),
        };
        self.write(RECORD, &record)
    }

    pub(super) fn record(&self) -> Option<Record> {
        self.read(RECORD)
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        self.read(file::EXIT).map(|exit: shim::Exit| Exit {
            code: exit.code,
            oom: exit.oom,
            at: Timestamp::from_millis(exit.at_ms),
            started_at: exit.started_ms.map(Timestamp::from_millis),
            reason: exit.reason,
            restarts: exit.restarts,
        })
    }

    /// How often it was restarted in place, the last one included.
    pub(super) fn restarts(&self) -> u32 {
        self.read(file::HOLDING).map_or(0, |holding: shim::Holding| holding.restarts)
    }

    /// Puts down an end that the shim could not: it is gone.
    pub(super) fn write_exit(&self, exit: &Exit) -> io::Result<()> {
        let exit = shim::Exit {
            code: exit.code,
            oom: exit.oom,
            at_ms: exit.at.millis(),
            started_ms: exit.started_at.map(Timestamp::millis),
            reason: exit.reason.clone(),
            restarts: exit.restarts,
        };
        self.write(file::EXIT, &exit)
    }

    /// Whether a shim was ever started for it: the shim's own log is made just before.
    pub(super) fn was_launched(&self) -> bool {
        self.file(file::SHIM_LOG).exists()
    }

    pub(super) fn failure(&self) -> Option<String> {
        fs::read_to_string(self.file(file::FAILURE)).ok()
    }

    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.file(name)).ok()?).ok()
    }

    /// Puts a file in place whole or not at all.
    pub(super) fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let path = self.file(name);
        let temporary = path.with_extension("new");
        fs::write(&temporary, serde_json::to_vec(value)?)?;
        fs::rename(temporary, path)
    }

    /// Takes it away; with `keep_logs`, all but the container's output.
    pub(super) fn remove(&self, keep_logs: bool) -> io::Result<()> {
        let gone = |outcome: io::Result<()>| match outcome {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        if !keep_logs {
            return gone(fs::remove_dir_all(&self.0));
        }
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(file::LOG) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => gone(fs::remove_dir_all(entry.path()))?,
                false => gone(fs::remove_file(entry.path()))?,
            }
        }
        Ok(())
    }
}
