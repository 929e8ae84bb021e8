//! A blob that is read: a file, or an object of a bucket.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use ::bucket::{Bucket, Reading};
use bytes::{Buf, Bytes, BytesMut};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use tokio::runtime::Handle;

use super::{DepotError, blocking};

/// A blob that is read. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// A file.
    File(Arc<File>),
    /// An object of this key.
    Object(Bucket, String),
}

/// What [`Reader::begin`] gives.
pub(crate) enum Begun {
    /// A file, to be read where it is wanted.
    File(Arc<File>),
    /// The bytes that were asked for.
    Object(Reading),
}

impl Reader {
    /// `count` bytes from byte `from` on, which must be there.
    ///
    /// # Errors
    /// If they are not, or cannot be read.
    pub(crate) async fn read_at(&self, from: u64, count: u64) -> io::Result<Bytes> {
        match self {
            Self::File(file) => {
                let file = Arc::clone(file);
                blocking(move || read_file(&file, from, count)).await
            }
            Self::Object(bucket, key) => {
                let reading = bucket.read(key, from, count.max(1)).await;
                gather(reading.map_err(io::Error::other)?, count).await
            }
        }
    }

    /// All `size_bytes` of it from its beginning, for a thread of its own ([`blocking`]).
    ///
    /// # Errors
    /// If the bucket does not begin to send them.
    pub(crate) async fn into_read(self, size_bytes: u64) -> Result<impl Read + Send, DepotError> {
        Ok(match (&self, size_bytes) {
            (_, 0) => Blocking::Piece(Bytes::new()),
            (Self::File(file), _) => Blocking::File(Arc::clone(file)),
            (Self::Object(bucket, key), _) => {
                let reading = bucket.read(key, 0, size_bytes).await?;
                Blocking::Object { reading, piece: Bytes::new(), runtime: Handle::current() }
            }
        })
    }

    /// The file, or an object's bytes as they come.
    ///
    /// # Errors
    /// If the bucket does not begin to send them.
    pub(crate) async fn begin(&self, from: u64, count: u64) -> Result<Begun, DepotError> {
        Ok(match self {
            Self::File(file) => Begun::File(Arc::clone(file)),
            Self::Object(bucket, key) => Begun::Object(bucket.read(key, from, count).await?),
        })
    }
}

/// A blob that a thread reads which may wait.
enum Blocking {
    Piece(Bytes),
    File(Arc<File>),
    Object { reading: Reading, piece: Bytes, runtime: Handle },
}

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = match self {
            Self::File(file) => return (&**file).read(buffer),
            Self::Piece(piece) => piece,
            Self::Object { reading, piece, runtime } => {
                while piece.is_empty() {
                    match runtime.block_on(reading.next()).map_err(io::Error::other)? {
                        Some(next) => *piece = next,
                        None => return Ok(0),
                    }
                }
                piece
            }
        };
        let count = piece.len().min(buffer.len());
        piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Some bytes of a file, into memory that nobody has written zeros to first: that is as much work as
/// the reading.
fn read_file(file: &File, from: u64, count: u64) -> io::Result<Bytes> {
    let count = usize::try_from(count).map_err(io::Error::other)?;
    let mut buffer = Vec::with_capacity(count);
    while buffer.len() < count {
        let at = from + buffer.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut buffer), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    buffer.truncate(count);
    Ok(buffer.into())
}

async fn gather(mut reading: Reading, count: u64) -> io::Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = reading.next().await.map_err(io::Error::other)? {
        bytes.extend_from_slice(&piece);
    }
    match bytes.len() as u64 == count {
        true => Ok(bytes.freeze()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
