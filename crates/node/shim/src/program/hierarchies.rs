//! What a container sees below `/sys/fs/cgroup` with cgroups of version 1: its own cgroup of each
//! tree, as Docker shows it, under the tree's name and those of its controllers.
//!
//! libcontainer's own mounting takes the container's process id for one of the host's wherever the
//! container joins a namespace of processes, and leaves the trees writable: a container could lift its
//! own limits.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use shim::cgroup::Hierarchies;

/// What the tree of names may take: it holds a few folders and links.
const OPTIONS: &str = "mode=755,size=64k";

/// Mounts at `target` a file system in which each of the trees has a folder, bound to `cgroup` of that
/// tree, which is made where it is absent. Nothing is mounted with version 2, which libcontainer does.
///
/// Which of it the container may write to, and that nothing runs from it, the OCI document says.
pub(crate) fn mount_all(hierarchies: &Hierarchies, cgroup: &str, target: &Path) -> io::Result<()> {
    let Hierarchies::V1(trees) = hierarchies else { return Ok(()) };
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some(OPTIONS))?;
    let none: Option<&str> = None;
    for (controller, tree) in trees {
        let Some(name) = tree.file_name() else { continue };
        let seen = target.join(name);
        if !seen.exists() {
            let own = tree.join(cgroup.trim_start_matches('/'));
            fs::create_dir_all(&own)?;
            fs::create_dir(&seen)?;
            mount(Some(&own), &seen, none, MsFlags::MS_BIND, none)?;
        }
        // Controllers that share a tree (`cpu,cpuacct`) are looked for by their own names, too.
        let alone = target.join(controller);
        if !alone.exists() {
            symlink(name, alone)?;
        }
    }
    Ok(())
}
