//! The container's root file system, before the container is in it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::mount::{MsFlags, mount};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use shim::Overlay;

/// The longest options of one mount that the kernel takes: a page, with its closing zero.
const MOUNT_OPTIONS_BYTES_MAX: usize = 4095;

/// The largest file of an image that is read here.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Mounts `overlay` at `target` in the caller's mount namespace.
///
/// It is mounted `volatile` where the kernel can: what a container writes to its own root is not
/// kept over a crash of the host, so nothing need be synced when the container ends.
pub(crate) fn mount_overlay(overlay: &Overlay, target: &Path) -> Result<(), String> {
    let describe = |what: &str, error: &dyn std::fmt::Display| {
        format!("cannot mount the root file system at {}: {what}{error}", target.display())
    };
    let base = common_parent(&overlay.lower);
    std::env::set_current_dir(&base).map_err(|e| describe("lower directories: ", &e))?;
    let lower: Vec<String> = overlay.lower.iter().map(|l| escape(short(l, &base))).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        escape(&overlay.upper),
        escape(&overlay.work)
    );
    if options.len() > MOUNT_OPTIONS_BYTES_MAX {
        return Err(describe("the image has too many layers for one overlay", &""));
    }
    let attempt = |options: &str| {
        mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options))
    };
    let volatile = format!("{options},volatile");
    let mounted = match volatile.len() <= MOUNT_OPTIONS_BYTES_MAX {
        true => attempt(&volatile).or_else(|_| attempt(&options)),
        false => attempt(&options),
    };
    mounted.map_err(|error| describe("", &error))
}

/// The deepest directory above all of these.
fn common_parent(paths: &[PathBuf]) -> PathBuf {
    let mut parent = paths.first().and_then(|p| p.parent()).unwrap_or(Path::new("/")).to_owned();
    while !paths.iter().all(|path| path.starts_with(&parent)) {
        if !parent.pop() {
            return PathBuf::from("/");
        }
    }
    parent
}

fn short<'a>(path: &'a Path, base: &Path) -> &'a Path {
    path.strip_prefix(base).ok().filter(|p| !p.as_os_str().is_empty()).unwrap_or(path)
}

fn escape(path: &Path) -> String {
    let mut escaped = String::new();
    for c in path.to_string_lossy().chars() {
        if matches!(c, ':' | ',' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A directory that paths and links cannot lead out of.
pub(crate) struct Root(OwnedFd);

impl Root {
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat2(CWD, directory, flags, Mode::empty(), ResolveFlags::empty())?))
    }

    fn at(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        Ok(openat2(self.0.as_fd(), path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?)
    }

    /// The text of a file; empty if there is none.
    pub(crate) fn read(&self, path: &str) -> io::Result<String> {
        match self.at(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => {
                let mut text = Vec::new();
                File::from(fd).take(FILE_BYTES_MAX).read_to_end(&mut text)?;
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Makes a directory and those above it, where they are absent.
    pub(crate) fn make_directories(&self, path: &Path) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut above = PathBuf::from("/");
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let here = above.join(name);
            match self.at(&here, flags) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    mkdirat(self.at(&above, flags)?, name, Mode::from_raw_mode(0o755))?;
                }
                Err(error) => return Err(error),
            }
            above = here;
        }
        Ok(())
    }
}
