//! A container that has ended, made ready to run again in place: what it wrote, its network and its
//! volumes stay, its processes, its cgroup and its mounts are made anew.

use std::fs;
use std::io;
use std::sync::Arc;

use shim::{Holding, file};

use super::keeper::Host;
use super::records::Directory;
use super::{CreateError, cgroups};

/// Where overlayfs leaves its mark in its work directory (Documentation/filesystems/overlayfs.rst,
/// "Volatile mount").
const VOLATILE_MARK: &str = "work/incompat/volatile";

/// Takes away what the earlier run left, and tells the next shim which run it holds. The record of
/// how the earlier one ended stays until that shim lives: if this process dies before, that record
/// is what is true.
pub(super) async fn clear(
    directory: &Directory,
    cgroup: &str,
    host: &Host,
    restarts: u32,
) -> Result<(), CreateError> {
    let (directory, cgroup) = (directory.clone(), cgroup.to_owned());
    let hierarchies = Arc::clone(&host.hierarchies);
    let cleared = tokio::task::spawn_blocking(move || {
        // With the cgroup go its counters: a kill for memory in the earlier run is not one of this.
        cgroups::remove(&hierarchies, &cgroup)?;
        for name in [file::RUNNING, file::FAILURE, file::CONSOLE] {
            gone(fs::remove_file(directory.file(name)))?;
        }
        gone(fs::remove_dir_all(directory.file(file::STATE)))?;
        let holding: Holding = directory
            .read(file::HOLDING)
            .ok_or_else(|| io::Error::other("what its shim is to hold is not known any more"))?;
        // A root that was mounted `volatile` (docs/decisions/0008-container-launch.md) is not mounted
        // again while its mark is there: after a crash of the machine what was written may be torn.
        // The machine has not crashed since: no container's process outlives it.
        gone(fs::remove_dir_all(holding.rootfs.work.join(VOLATILE_MARK)))?;
        directory.write(file::HOLDING, &Holding { restarts, ..holding })
    });
    let what = || "cannot make the container ready to run again".to_owned();
    match cleared.await {
        Ok(cleared) => cleared.map_err(|source| CreateError::Io { what: what(), source }),
        Err(error) => Err(CreateError::Io { what: what(), source: io::Error::other(error) }),
    }
}

fn gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
