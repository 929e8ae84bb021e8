//! The store's lock: many may add at once, or one may take away.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A process that is being started (a shim) holds a copy of every open lock until it has become
/// its program, so a lock that was just given back may look taken for a moment.
const TRIES_MAX: u32 = 50;
const TRY_EVERY: Duration = Duration::from_millis(1);

/// Held while it lives; freed by the kernel if the process dies.
#[derive(Debug)]
pub(super) struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// To add, or to rely on what is there. Waits while someone takes away.
    pub(super) fn shared(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        loop {
            match flock(&file, FlockOperation::LockShared) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// To take away; `None` if anybody is at work. Blocks for up to [`TRIES_MAX`] milliseconds.
    pub(super) fn exclusive(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        for _ in 0..TRIES_MAX {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(Errno::WOULDBLOCK) => thread::sleep(TRY_EVERY),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(None)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}
