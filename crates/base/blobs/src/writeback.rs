//! What is taken in goes to the disk while more of it comes, so that less is left to wait for at the end.

use std::fs::File;
use std::os::fd::AsRawFd;

/// How much is gathered before the system is told to write it: enough for a disk to be busy with, little
/// beside what is waited for otherwise.
const STEP_BYTES: u64 = 8 << 20;

/// How far a file, which is written from its beginning on, is on its way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Writeback {
    begun_bytes: u64,
}

impl Writeback {
    /// The file has so many bytes now. Each [`STEP_BYTES`] the system is told to begin to write them. That
    /// is not waited for, but a disk that has too much to do already makes the call wait
    /// (sync_file_range(2)): only for threads that may block.
    #[allow(unsafe_code)] // decision 168
    pub(crate) fn reached(&mut self, file: &File, bytes: u64) {
        let Some(step) = bytes.checked_sub(self.begun_bytes).filter(|step| *step >= STEP_BYTES)
        else {
            return;
        };
        let (Ok(from), Ok(step)) = (i64::try_from(self.begun_bytes), i64::try_from(step)) else {
            return;
        };
        // SAFETY: it takes numbers, and a descriptor that lives as long as `file`. That it fails means no
        // more than that all is left for the end, where errors of writing show.
        unsafe {
            libc::sync_file_range(file.as_raw_fd(), from, step, libc::SYNC_FILE_RANGE_WRITE);
        }
        self.begun_bytes = bytes;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_told_in_steps() {
        let file = tempfile::tempfile().unwrap();
        let mut writeback = Writeback::default();
        let mut check = |bytes: u64, expected: u64| {
            writeback.reached(&file, bytes);
            assert_eq!(writeback.begun_bytes, expected);
        };
        check(0, 0);
        check(STEP_BYTES - 1, 0);
        check(STEP_BYTES + 7, STEP_BYTES + 7);
        check(2 * STEP_BYTES, STEP_BYTES + 7);
        check(3 * STEP_BYTES, 3 * STEP_BYTES);
        check(1, 3 * STEP_BYTES);
    }
}
