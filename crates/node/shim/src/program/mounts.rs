//! `mount`: mounts what goes over `/dev` once libcontainer has made its devices there. It runs as
//! the container's first process does, before that leaves the host's files.
//!
//! libcontainer makes devices and links in whatever is mounted on `/dev`; runc makes none if that is
//! a folder of the host (`needsSetupDev`), for they would be left in it.

use std::io;
use std::path::Path;

use libcontainer::oci_spec::runtime::{Linux, Mount, SpecBuilder};
use libcontainer::rootfs::RootFS;
use nix::mount::{MsFlags, mount};

/// Mounts all of `mounts`, the JSON of an OCI document's, in the container's root.
pub(crate) fn mount_all(root: &Path, mounts: &str) -> io::Result<()> {
    let mounts: Vec<Mount> = serde_json::from_str(mounts)?;
    // libcontainer leaves a `/dev` writable, to make devices in it.
    let is_said = |mount: &Mount| mount.options().iter().flatten().any(|option| option == "ro");
    let of_devices = mounts.iter().find(|mount| mount.destination() == Path::new("/dev"));
    let closes_devices = of_devices.is_some_and(is_said);
    let spec = SpecBuilder::default().mounts(mounts).build().map_err(io::Error::other)?;
    let mounted = RootFS::new().mount_to_rootfs(&Linux::default(), &spec, root, false);
    mounted.map_err(io::Error::other)?;
    if closes_devices {
        close(&root.join("dev"))?;
    }
    Ok(())
}

/// Takes the right to write away from what is mounted at `path`.
fn close(path: &Path) -> io::Result<()> {
    let kept = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let now = rustix::fs::statvfs(path)?.f_flag.bits();
    let now = MsFlags::from_bits_truncate(now as _) & kept;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | now;
    let none: Option<&str> = None;
    Ok(mount(none, path, none, flags, none)?)
}
