//! The bytes of a layer: bounded, hashed.

use std::io::{self, Read};

use blobs::{Digest, Hasher};

/// More bytes than allowed.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit_bytes} bytes")]
pub(super) struct OverLimit {
    pub(super) limit_bytes: u64,
}

/// Hashes what passes, and ends in [`OverLimit`] past a limit.
pub(super) struct Hashed<R> {
    input: R,
    hasher: Hasher,
    left_bytes: u64,
    limit_bytes: u64,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(input: R, limit_bytes: u64) -> Self {
        Self { input, hasher: Hasher::new(), left_bytes: limit_bytes, limit_bytes }
    }

    /// Reads to the end (a tar may be followed by padding) and tells the digest of it all.
    pub(super) fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.left_bytes = self
            .left_bytes
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(OverLimit { limit_bytes: self.limit_bytes }))?;
        Ok(count)
    }
}
