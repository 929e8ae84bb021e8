//! `share FOLDER`: makes the namespaces that the containers of a task share, and leaves one process
//! in them that does nothing: the first of their processes, so that they outlive each container
//! (Amazon's agent has its pause container for that). Says the process's id and ends.
//!
//! What a container with rights over other processes finds behind this one is an empty, read-only
//! root, an empty network and no open file: never the host's.
#![allow(unsafe_code)] // fork, and a signal's disposition

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, chdir, close, fork, pause, pivot_root, setsid};

/// Standard input, output and error.
const STANDARD: std::ops::Range<i32> = 0..3;

/// `folder` is an empty one to mount the root on.
pub(crate) fn share(folder: &Path) -> io::Result<()> {
    let all = CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS;
    let fail = |what: &'static str| move |error| io::Error::other(format!("{what}: {error}"));
    close_all_but_standard()?;
    unshare(all).map_err(fail("cannot make namespaces"))?;
    enter_nothing(folder).map_err(fail("cannot make an empty root"))?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(fail("cannot fork"))? {
        ForkResult::Child => stay(),
        ForkResult::Parent { child } => writeln!(io::stdout(), "{child}"),
    }
}

/// Whoever started this may have left files open for it.
fn close_all_but_standard() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|descriptor| !STANDARD.contains(descriptor)) {
        // The one that the list was read from is closed already.
        let _ = close(descriptor);
    }
    Ok(())
}

/// Leaves the host's files behind.
fn enter_nothing(folder: &Path) -> nix::Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some("size=4k,mode=555"))?;
    chdir(folder)?;
    // The old root comes to lie on the new one, and is taken off again.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")
}

/// The first process of its namespace: orphans become its children, and are nobody's any more
/// when they end. It ends when it is killed, and all in its namespace with it.
fn stay() -> ! {
    let _ = setsid();
    // SAFETY: no handler of ours runs.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) };
    // The standard ones are all there are; whoever started this waits for the last of them.
    for descriptor in STANDARD {
        let _ = close(descriptor);
    }
    loop {
        pause();
    }
}
