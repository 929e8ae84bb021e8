//! Network namespaces, kept alive by a mount of their file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::NetworkError;
use super::bridge::io_error;

/// The file system that a namespace's mounted file is on.
const NAMESPACE_FILE_SYSTEM: i64 = 0x6e73_6673;

/// The calling thread's own network namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// Makes a namespace whose file is `path`, and runs `inside` in it, with the namespace's own
/// descriptor. If that fails the namespace is gone.
pub(super) fn make<T: Send>(
    path: &Path,
    inside: impl FnOnce(&File) -> io::Result<T> + Send,
) -> io::Result<T> {
    File::create(path)?;
    let made = on_own_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let none: Option<&str> = None;
        mount(Some(OWN), path, none, MsFlags::MS_BIND, none)?;
        inside(&File::open(OWN)?)
    });
    if made.is_err() {
        let _ = remove(path);
    }
    made
}

/// Runs something in the namespace of `path`.
pub(super) fn enter<T: Send>(
    path: &Path,
    inside: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let namespace = File::open(path)?;
    on_own_thread(|| {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        inside()
    })
}

/// A place that networks are made in: the namespace of a file, or that of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// The namespace that this process started in.
    Process,
    /// The namespace of a file.
    File(PathBuf),
}

impl Ground {
    /// Runs something there.
    pub(super) fn run<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, NetworkError> + Send,
    ) -> Result<T, NetworkError> {
        match self {
            Self::Process => work(),
            Self::File(path) => enter(path, || Ok(work()))
                .map_err(io_error(format!("cannot enter the namespace {}", path.display())))?,
        }
    }
}

/// Whether a namespace is held by this file.
pub(super) fn is_namespace(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NAMESPACE_FILE_SYSTEM)
}

/// Lets go of a namespace: it ends with the last process in it. What is not there is success.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A thread that changes its namespace is used for nothing else and ends: no other work can find
/// itself in the wrong one.
fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
    })
}
