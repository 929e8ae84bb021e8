//! Unpacking a layer's tar into a folder.
//!
//! **Invariant:** nothing outside the folder is touched, whatever the tar holds. Every parent folder is
//! opened by `openat2` with `RESOLVE_IN_ROOT`: links that the tar itself made are followed as in a
//! `chroot`, and every change is made to a name directly in a folder so opened, never through a
//! link. Names with `..` are refused, a leading `/` is dropped.
//!
//! Whiteouts (`.wh.NAME`, `.wh..wh..opq`) become overlayfs's own (a 0/0 character device, the
//! `trusted.overlay.opaque` attribute). Other device nodes are left out: a container gets a `/dev` of
//! its own. Attributes that steer overlayfs are never taken from a tar.

mod attributes;
mod stream;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use blobs::Digest;
use layers::{Compression, Kind, TarError, TarReader};

use super::UnpackError;
use stream::Hashed;
use tree::Tree;

/// What one layer may unpack to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of its tar, and of any one file with its holes.
    pub(super) bytes: u64,
    /// Entries.
    pub(super) entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 256 << 30, entries: 8_000_000 }
    }
}

/// Unpacks `blob` (plain, gzip or zstd; its first bytes tell) into the empty folder `target`.
/// Answers with the digest of the uncompressed tar.
pub(super) fn unpack(blob: File, target: &Path, limits: Limits) -> Result<Digest, UnpackError> {
    let plain = Compression::reader(blob).map_err(read_error)?;
    let mut tar = TarReader::new(Hashed::new(plain, limits.bytes));
    let mut tree = Tree::open(target)?;
    let mut count = 0;
    while let Some(entry) = tar.next_entry().map_err(tar_error)? {
        count += 1;
        if count > limits.entries {
            return Err(UnpackError::TooLarge { limit: format!("{} entries", limits.entries) });
        }
        if entry.size_bytes > limits.bytes {
            return Err(UnpackError::TooLarge {
                limit: format!("{} bytes in a file", limits.bytes),
            });
        }
        if let Kind::Other(_) | Kind::Device = entry.kind {
            continue;
        }
        tree.place(&entry, &mut tar)?;
    }
    tree.finish();
    tar.into_inner().finish().map_err(read_error)
}

/// Errors of reading: the blob, its compression, or the limit on its bytes.
fn read_error(error: io::Error) -> UnpackError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<stream::OverLimit>()) {
        Some(over) => UnpackError::TooLarge { limit: format!("{} bytes", over.limit_bytes) },
        None if error.kind() == io::ErrorKind::UnexpectedEof => UnpackError::Tar(error.to_string()),
        None => UnpackError::Compression(error.to_string()),
    }
}

fn tar_error(error: TarError) -> UnpackError {
    match error {
        TarError::Read(error) => read_error(error),
        TarError::Broken(problem) => UnpackError::Tar(problem),
    }
}

/// A name for messages: what is not UTF-8 or not printable is escaped.
fn printable(name: &[u8]) -> String {
    const NAME_CHARS_MAX: usize = 200;
    let text = String::from_utf8_lossy(name);
    text.chars().take(NAME_CHARS_MAX).flat_map(char::escape_debug).collect()
}

/// Errors of writing one entry.
fn write_error(action: &'static str, name: &[u8]) -> impl Fn(io::Error) -> UnpackError {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => UnpackError::DiskFull,
        _ => UnpackError::Io { action, name: printable(name), message: error.to_string() },
    }
}

fn entry_error(name: &[u8], problem: impl Into<String>) -> UnpackError {
    UnpackError::Entry { name: printable(name), problem: problem.into() }
}

/// Copies an entry's data, telling errors of reading from those of writing.
fn copy(
    from: &mut impl Read,
    mut to: &File,
    mut length: u64,
    name: &[u8],
    buffer: &mut [u8],
) -> Result<(), UnpackError> {
    use std::io::Write;
    while length > 0 {
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let count = match from.read(&mut buffer[..wanted]) {
            Ok(0) => return Err(UnpackError::Tar("it ends in the middle of a file".to_owned())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_error(error)),
        };
        to.write_all(&buffer[..count]).map_err(write_error("write", name))?;
        length -= count as u64;
    }
    Ok(())
}
