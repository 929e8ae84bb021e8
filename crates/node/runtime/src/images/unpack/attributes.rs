//! What the tar says of a file beside its data: owner, permissions, attributes, times.

use std::os::fd::BorrowedFd;

use layers::Entry;
use rustix::fs::{self as rfs, AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::entry_error;
use super::tree::failed;
use crate::images::UnpackError;

/// Attributes that are taken over; all others (overlayfs's among them) are left out.
const XATTR_PREFIXES: [&[u8]; 2] = [b"user.", b"system.posix_acl_"];
const XATTR_CAPABILITY: &[u8] = b"security.capability";
const XATTR_USER_OVERLAY: &[u8] = b"user.overlay.";

pub(super) fn mode(entry: &Entry) -> Mode {
    Mode::from_raw_mode(entry.mode)
}

fn owner(entry: &Entry) -> Result<(Uid, Gid), UnpackError> {
    // The last number means "leave it" to chown.
    let id = |value: u64| u32::try_from(value).ok().filter(|&id| id != u32::MAX);
    match (id(entry.uid), id(entry.gid)) {
        (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
        _ => Err(entry_error(&entry.name, "has an owner beyond 32 bits")),
    }
}

pub(super) fn times(entry: &Entry) -> Timestamps {
    let (seconds, nanos) = entry.modified;
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanos) };
    Timestamps { last_access: time, last_modification: time }
}

/// Owner, attributes, permissions, in the order in which none takes back another.
pub(super) fn set_attributes(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), UnpackError> {
    let (uid, gid) = owner(entry)?;
    rfs::fchown(file, Some(uid), Some(gid)).map_err(failed("set the owner of", entry))?;
    rfs::fchmod(file, mode(entry)).map_err(failed("set the permissions of", entry))?;
    for (name, value) in &entry.xattrs {
        let is_wanted = XATTR_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || name == XATTR_CAPABILITY;
        if !is_wanted || name.starts_with(XATTR_USER_OVERLAY) {
            continue;
        }
        match rfs::fsetxattr(file, &**name, value, XattrFlags::empty()) {
            // A file system without them, as Docker does.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(failed("set an attribute of", entry)(errno)),
        }
    }
    Ok(())
}

/// Owner and times of what cannot be opened without a side effect.
pub(super) fn set_link_attributes(
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
) -> Result<(), UnpackError> {
    let (uid, gid) = owner(entry)?;
    rfs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("set the owner of", entry))?;
    rfs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("set the time of", entry))
}
