//! File systems that volumes are, mounted on folders of ours: `mount(8)` knows how, helpers for
//! network file systems and loop devices included.
//!
//! **Invariant:** everything mounted here lies below an instance's folder, so that
//! [`unmount_below`] finds what a crash left.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, umount2};
use parking_lot::Mutex;

/// Containers of one task are created at once, and mount the same volume: one of them does.
static MOUNTING: Mutex<()> = Mutex::new(());

/// The mode of an empty disk's root.
const OPEN_TO_ALL: u32 = 0o777;

/// A file system to be mounted, in the words of `mount(8)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// `tmpfs`, `ext4`, `nfs`, …; empty lets `mount` find out.
    pub kind: String,
    /// What is mounted: a device, an image, `server:/path`, or a word for those without any.
    pub device: String,
    /// Options with commas between; may be empty.
    pub options: String,
}

/// A disk in a file: made of this size when first asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The file. It takes room only as it is written to.
    pub image: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// `ext3`, `ext4` or `xfs`: what it is formatted with; none is xfs if this host can make that,
    /// else ext4.
    pub format: Option<String>,
}

/// Mounts a file system on a folder, which is made if absent. One that something is mounted on is
/// success. To be called where blocking is allowed.
///
/// # Errors
/// In `mount`'s own words.
pub fn mount(what: &FileSystem, at: &Path) -> io::Result<()> {
    let _mounting = MOUNTING.lock();
    mount_unless_there(what, at)
}

/// The same with a disk. While nothing is in it, its root is open to every user: containers that
/// run as another one than root write to it too.
///
/// # Errors
/// In the words of the program that failed: a format whose `mkfs` is not on this host, no room.
pub fn mount_disk(disk: &Disk, at: &Path) -> io::Result<()> {
    let _mounting = MOUNTING.lock();
    if !disk.image.exists() {
        format_disk(disk)?;
    }
    let device = disk.image.display().to_string();
    // What it was formatted with, `mount` sees.
    let what = FileSystem { kind: String::new(), device, options: "loop".to_owned() };
    mount_unless_there(&what, at)?;
    let mut entries = fs::read_dir(at)?.filter_map(|entry| Some(entry.ok()?.file_name()));
    if entries.all(|name| name == "lost+found") {
        fs::set_permissions(at, fs::Permissions::from_mode(OPEN_TO_ALL))?;
    }
    Ok(())
}

fn format_disk(disk: &Disk) -> io::Result<()> {
    if let Some(folder) = disk.image.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = disk.image.with_extension("new");
    let file = fs::File::create(&temporary)?;
    file.set_len(disk.size_bytes)?;
    drop(file);
    let format = disk.format.as_deref().unwrap_or_else(|| {
        let makes_xfs = run(Command::new("mkfs.xfs").arg("-V"), "mkfs.xfs").is_ok();
        if makes_xfs { "xfs" } else { "ext4" }
    });
    let program = format!("mkfs.{format}");
    let force = if format == "xfs" { "-f" } else { "-F" };
    run(Command::new(&program).args(["-q", force]).arg(&temporary), &program)?;
    fs::rename(temporary, &disk.image)
}

fn mount_unless_there(what: &FileSystem, at: &Path) -> io::Result<()> {
    if mounted_below(at)?.iter().any(|path| path == at) {
        return Ok(());
    }
    fs::create_dir_all(at)?;
    let mut command = Command::new("mount");
    if !what.kind.is_empty() {
        command.args(["-t", &what.kind]);
    }
    if !what.options.is_empty() {
        command.args(["-o", &what.options]);
    }
    run(command.arg("--").arg(&what.device).arg(at), "mount")
}

/// Runs a program to its end.
fn run(command: &mut Command, name: &str) -> io::Result<()> {
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(|error| {
        io::Error::new(error.kind(), format!("'{name}' cannot be run on this host: {error}"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().lines().collect::<Vec<_>>().join(" ");
    Err(io::Error::other(if said.is_empty() { format!("'{name}' failed") } else { said }))
}

/// Takes off all that is mounted on a folder or below it; nothing is success. What containers have
/// of it in namespaces of their own stays theirs until they end.
///
/// # Errors
/// If something cannot be taken off.
pub fn unmount_below(folder: &Path) -> io::Result<()> {
    let _mounting = MOUNTING.lock();
    let mut mounted = mounted_below(folder)?;
    // The innermost, and what was mounted last, first.
    mounted.reverse();
    for path in mounted {
        let flags = MntFlags::UMOUNT_NOFOLLOW;
        if umount2(&path, flags).is_err() {
            umount2(&path, flags | MntFlags::MNT_DETACH)?;
        }
    }
    match mounted_below(folder)?.first() {
        None => Ok(()),
        Some(path) => Err(io::Error::other(format!("{} is still mounted", path.display()))),
    }
}

/// What is mounted on a folder or below it, in the order in which it was.
fn mounted_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    // The kernel tells real paths.
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let paths = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    Ok(paths.filter(|path| path.starts_with(&real)).collect())
}

/// `\\040` and the like, as the kernel writes spaces, tabs, line ends and backslashes.
fn unescape(text: &str) -> PathBuf {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, escaped) {
            (b'\\', Some(byte)) => {
                plain.push(byte);
                rest = &behind[3..];
            }
            _ => {
                plain.push(first);
                rest = behind;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from(String::from_utf8_lossy(&plain).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        let check = |text: &str, expected: &str| assert_eq!(unescape(text), Path::new(expected));
        check("/plain", "/plain");
        check("/with\\040space", "/with space");
        check("/back\\134slash", "/back\\slash");
        check("/end\\04", "/end\\04");
    }
}
