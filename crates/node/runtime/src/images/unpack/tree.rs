//! The folder that a layer is unpacked into.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use layers::{Entry, Kind, Mark};
use rustix::fs::{
    self as rfs, AtFlags, FileType, Mode, OFlags, ResolveFlags, Timestamps, XattrFlags,
};
use rustix::io::Errno;

use super::attributes::{mode, set_attributes, set_link_attributes, times};
use super::{copy, entry_error, write_error};
use crate::images::UnpackError;

const COPY_BUFFER_BYTES: usize = 256 * 1024;
/// `PATH_MAX`, its closing zero left out.
const PATH_BYTES_MAX: usize = 4095;
/// `NAME_MAX`.
const NAME_BYTES_MAX: usize = 255;
/// The permissions of folders that the tar uses but does not list, as Docker makes them.
const IMPLIED_FOLDER_MODE: u32 = 0o755;
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
/// A folder being filled.
pub(super) struct Tree {
    root: OwnedFd,
    /// The folder that the last entry was put in: tars list folders' entries one after the other.
    parent: Option<(Vec<u8>, Arc<OwnedFd>)>,
    /// Folders' times are set last, since filling them changes them.
    times: Vec<(Vec<u8>, Timestamps)>,
    buffer: Vec<u8>,
}

/// A name taken apart: the folder it is in (empty for the root) and its last part.
struct Place<'a> {
    folder: Vec<u8>,
    name: &'a [u8],
}

impl Tree {
    pub(super) fn open(target: &Path) -> Result<Self, UnpackError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let name = target.as_os_str().as_bytes();
        let root = rfs::open(target, flags, Mode::empty())
            .map_err(|errno| write_error("open", name)(errno.into()))?;
        Ok(Self { root, parent: None, times: Vec::new(), buffer: vec![0; COPY_BUFFER_BYTES] })
    }

    /// Makes the file of an entry, reading its data from `data`.
    pub(super) fn place(&mut self, entry: &Entry, data: &mut impl Read) -> Result<(), UnpackError> {
        let Some(place) = take_apart(&entry.name)? else {
            return self.place_root(entry);
        };
        let folder_marks = place.folder.split(|&b| b == b'/').map(Mark::of);
        for mark in folder_marks {
            match mark {
                Mark::None => {}
                Mark::Meta => return Ok(()),
                _ => return Err(entry_error(&entry.name, "lies in a whiteout")),
            }
        }
        match Mark::of(place.name) {
            Mark::Meta => Ok(()),
            Mark::Invalid => Err(entry_error(&entry.name, "hides '.' or '..'")),
            Mark::Opaque => self.set_opaque(&place, entry),
            Mark::Gone(hidden) => self.hide(&place, hidden, entry),
            Mark::None => self.place_file(&place, entry, data),
        }
    }

    /// Sets the folders' times.
    pub(super) fn finish(mut self) {
        for (folder, times) in std::mem::take(&mut self.times).into_iter().rev() {
            // The folder may have been replaced since by another entry.
            if let Ok(folder) = self.open_folder(&folder, OFlags::empty()) {
                let _ = rfs::futimens(&folder, &times);
            }
        }
    }

    /// `./`: the layer's root itself.
    fn place_root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.kind != Kind::Directory {
            return Err(entry_error(&entry.name, "names the root, but is no folder"));
        }
        set_attributes(self.root.as_fd(), entry)?;
        self.times.push((Vec::new(), times(entry)));
        Ok(())
    }

    fn place_file(
        &mut self,
        place: &Place<'_>,
        entry: &Entry,
        data: &mut impl Read,
    ) -> Result<(), UnpackError> {
        let link = match entry.kind {
            // Before the parent is opened, since opening it may change the cached one.
            Kind::HardLink => Some(self.link_target(entry)?),
            _ => None,
        };
        let parent = self.open_parent(place, entry)?;
        let parent = parent.as_fd();
        let is_kept = clear(parent, place, entry)?;
        match entry.kind {
            Kind::Directory => {
                let folder = make_folder(parent, place.name, is_kept, &entry.name)?;
                set_attributes(folder.as_fd(), entry)?;
                let mut path = place.folder.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(place.name);
                self.times.push((path, times(entry)));
                Ok(())
            }
            Kind::File => {
                let file = write_file(parent, place.name, entry, data, &mut self.buffer)?;
                set_attributes(file.as_fd(), entry)?;
                rfs::futimens(&file, &times(entry)).map_err(failed("set the time of", entry))
            }
            Kind::HardLink => {
                let (folder, name) = link.expect("made above for hard links");
                rfs::linkat(folder, &*name, parent, place.name, AtFlags::empty()).map_err(|errno| {
                    match errno {
                        Errno::NOENT => entry_error(&entry.name, missing_target(entry)),
                        errno => failed("link", entry)(errno),
                    }
                })
            }
            Kind::SymLink => make_symlink(parent, place.name, entry),
            Kind::Fifo => {
                rfs::mknodat(parent, place.name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
                    .map_err(failed("make", entry))?;
                set_link_attributes(parent, place.name, entry)?;
                // The mode last, as a change of owner clears set-id bits.
                rfs::chmodat(parent, place.name, mode(entry), AtFlags::empty())
                    .map_err(failed("set the permissions of", entry))
            }
            Kind::Device | Kind::Other(_) => Ok(()),
        }
    }

    /// `.wh..wh..opq` in a folder.
    fn set_opaque(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), UnpackError> {
        self.open_parent(place, entry)?;
        let folder =
            self.open_folder(&place.folder, OFlags::empty()).map_err(failed("open", entry))?;
        mark_opaque(folder.as_fd(), entry)
    }

    /// `.wh.NAME`: what this layer itself has under that name stays; only what is below goes.
    fn hide(&mut self, place: &Place<'_>, name: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let parent = self.open_parent(place, entry)?;
        let parent = parent.as_fd();
        match rfs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => make_whiteout(parent, name).map_err(failed("hide", entry)),
            Err(errno) => Err(failed("hide", entry)(errno)),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = rfs::openat(parent, name, flags, Mode::empty())
                    .map_err(failed("open", entry))?;
                mark_opaque(folder.as_fd(), entry)
            }
            Ok(_) => Ok(()),
        }
    }

    /// The folder and name that a hard link leads to.
    fn link_target(&self, entry: &Entry) -> Result<(OwnedFd, Vec<u8>), UnpackError> {
        let target = take_apart(&entry.link)
            .map_err(|_| entry_error(&entry.name, "is a hard link out of the layer"))?
            .ok_or_else(|| entry_error(&entry.name, "is a hard link to the root folder"))?;
        let folder =
            self.open_folder(&target.folder, OFlags::PATH).map_err(|errno| match errno {
                Errno::NOENT | Errno::NOTDIR => entry_error(&entry.name, missing_target(entry)),
                errno => failed("link", entry)(errno),
            })?;
        Ok((folder, target.name.to_vec()))
    }

    /// Opens the folder that an entry is in, making what is missing of it.
    fn open_parent(
        &mut self,
        place: &Place<'_>,
        entry: &Entry,
    ) -> Result<Arc<OwnedFd>, UnpackError> {
        if let Some((_, opened)) = self.parent.as_ref().filter(|cached| cached.0 == place.folder) {
            return Ok(Arc::clone(opened));
        }
        let opened = match self.open_folder(&place.folder, OFlags::PATH) {
            Err(Errno::NOENT) => self.make_folders(&place.folder),
            other => other,
        };
        let opened = opened.map_err(|errno| match errno {
            Errno::NOTDIR | Errno::EXIST | Errno::NOENT | Errno::LOOP => {
                entry_error(&entry.name, "lies in something that is no folder")
            }
            errno => failed("open the folder of", entry)(errno),
        })?;
        let opened = Arc::new(opened);
        self.parent = Some((place.folder.clone(), Arc::clone(&opened)));
        Ok(opened)
    }

    /// Makes the folders on the way that the tar did not list.
    fn make_folders(&self, folder: &[u8]) -> Result<OwnedFd, Errno> {
        let mut opened = self.open_folder(b"", OFlags::PATH)?;
        let ends = folder.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(end, _)| end);
        for end in ends.chain([folder.len()]) {
            let path = &folder[..end];
            let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
            opened = match self.open_folder(path, OFlags::PATH) {
                Err(Errno::NOENT) => {
                    if rfs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                        return Err(Errno::EXIST); // A link that leads nowhere.
                    }
                    let mode = Mode::from_raw_mode(IMPLIED_FOLDER_MODE);
                    rfs::mkdirat(&opened, name, mode)?;
                    let made = rfs::openat(&opened, name, folder_flags(), Mode::empty())?;
                    rfs::fchmod(&made, mode)?;
                    made
                }
                other => other?,
            };
        }
        Ok(opened)
    }

    /// Opens a folder of the layer, links followed as if the layer were the whole file system.
    fn open_folder(&self, folder: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path: &[u8] = if folder.is_empty() { b"." } else { folder };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        loop {
            match rfs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                // The kernel could not exclude a race with a rename elsewhere: try again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }
}

fn folder_flags() -> OFlags {
    OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

pub(super) fn failed(action: &'static str, entry: &Entry) -> impl Fn(Errno) -> UnpackError {
    move |errno| write_error(action, &entry.name)(io::Error::from(errno))
}

fn missing_target(entry: &Entry) -> String {
    format!("is a hard link to '{}', which is not in the layer", super::printable(&entry.link))
}

/// Takes a name apart; `None` is the root. Refuses what could lead out.
fn take_apart(name: &[u8]) -> Result<Option<Place<'_>>, UnpackError> {
    if name.contains(&0) {
        return Err(entry_error(name, "has a zero byte in its name"));
    }
    if name.len() > PATH_BYTES_MAX {
        return Err(entry_error(name, format!("has a name of over {PATH_BYTES_MAX} bytes")));
    }
    let mut folder: Vec<u8> = Vec::new();
    let mut last: Option<&[u8]> = None;
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(entry_error(name, "has '..' in its name")),
            part if part.len() > NAME_BYTES_MAX => {
                let problem = format!("has a part of over {NAME_BYTES_MAX} bytes in its name");
                return Err(entry_error(name, problem));
            }
            part => {
                if let Some(before) = last.replace(part) {
                    if !folder.is_empty() {
                        folder.push(b'/');
                    }
                    folder.extend_from_slice(before);
                }
            }
        }
    }
    Ok(last.map(|name| Place { folder, name }))
}

/// Takes away what an earlier entry of the same name made. `true` if it is a folder that stays.
fn clear(parent: BorrowedFd<'_>, place: &Place<'_>, entry: &Entry) -> Result<bool, UnpackError> {
    let stat = match rfs::statat(parent, place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(failed("look at", entry)(errno)),
        Ok(stat) => stat,
    };
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if is_folder && entry.kind == Kind::Directory {
        return Ok(true);
    }
    let was_whiteout = is_whiteout(&stat);
    if is_folder {
        // Nobody else writes here, and this does not follow links.
        let path = format!("/proc/self/fd/{}", parent.as_raw_fd());
        let path = Path::new(&path).join(OsStr::from_bytes(place.name));
        fs::remove_dir_all(path).map_err(write_error("replace", &entry.name))?;
    } else {
        rfs::unlinkat(parent, place.name, AtFlags::empty()).map_err(failed("replace", entry))?;
    }
    if was_whiteout && entry.kind == Kind::Directory {
        let folder = make_folder(parent, place.name, false, &entry.name)?;
        mark_opaque(folder.as_fd(), entry)?;
        return Ok(true);
    }
    Ok(false)
}

fn make_folder(
    parent: BorrowedFd<'_>,
    name: &[u8],
    is_kept: bool,
    shown: &[u8],
) -> Result<OwnedFd, UnpackError> {
    if !is_kept {
        rfs::mkdirat(parent, name, Mode::from_raw_mode(0o700))
            .map_err(|errno| write_error("make", shown)(errno.into()))?;
    }
    rfs::openat(parent, name, folder_flags(), Mode::empty())
        .map_err(|errno| write_error("open", shown)(errno.into()))
}

fn write_file(
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    data: &mut impl Read,
    buffer: &mut [u8],
) -> Result<File, UnpackError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rfs::openat(parent, name, flags, Mode::from_raw_mode(0o600))
        .map_err(failed("make", entry))?;
    let file = File::from(file);
    match &entry.pieces {
        None => copy(data, &file, entry.size_bytes, &entry.name, buffer)?,
        Some(pieces) => {
            for piece in pieces {
                io::Seek::seek(&mut &file, io::SeekFrom::Start(piece.offset))
                    .map_err(write_error("write", &entry.name))?;
                copy(data, &file, piece.length, &entry.name, buffer)?;
            }
            file.set_len(entry.size_bytes).map_err(write_error("write", &entry.name))?;
        }
    }
    Ok(file)
}

fn make_symlink(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<(), UnpackError> {
    if entry.link.is_empty() || entry.link.contains(&0) || entry.link.len() > PATH_BYTES_MAX {
        return Err(entry_error(&entry.name, "is a link without a usable target"));
    }
    rfs::symlinkat(&*entry.link, parent, name).map_err(failed("link", entry))?;
    set_link_attributes(parent, name, entry)
}

/// overlayfs's whiteout: a character device 0/0.
fn make_whiteout(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    rfs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
}

fn is_whiteout(stat: &rfs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn mark_opaque(folder: BorrowedFd<'_>, entry: &Entry) -> Result<(), UnpackError> {
    rfs::fsetxattr(folder, OPAQUE_XATTR, b"y", XattrFlags::empty()).map_err(failed("hide", entry))
}
