//! How a container ended, on a disk that may be full by then.

use std::fs::{self, File};
use std::io::{self, Write};
use std::time::Duration;

use shim::{Exit, file};

/// Room for the record, taken when the container is made.
const RESERVED: &str = "exit.new";
/// More than any record has.
const ROOM_BYTES: usize = 1024;
/// A full disk is tried again so often.
const AGAIN: Duration = Duration::from_millis(250);

/// Takes the room. What is written over takes no more.
pub(crate) fn reserve() -> io::Result<()> {
    fs::write(RESERVED, [b' '; ROOM_BYTES])
}

/// Puts the record in place, whole or not at all. Waits for room if there is none: what nobody could
/// read later must not be told.
pub(crate) fn write(exit: &Exit) -> io::Result<()> {
    let mut text = serde_json::to_vec(exit)?;
    // JSON may end with blanks.
    text.resize(text.len().max(ROOM_BYTES), b' ');
    loop {
        match put(&text) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => std::thread::sleep(AGAIN),
            written => return written,
        }
    }
}

fn put(text: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(false).open(RESERVED)?;
    file.write_all(text)?;
    drop(file);
    fs::rename(RESERVED, file::EXIT)
}
