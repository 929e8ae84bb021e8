//! The bytes of a layer: decompressed, bounded, hashed.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};

use blobs::{Digest, Hasher};
use flate2::read::MultiGzDecoder;

const BUFFER_BYTES: usize = 256 * 1024;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// What xz, bzip2 and lz4 begin with: known, and not read.
const FOREIGN_MAGICS: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (&[0x04, 0x22, 0x4d, 0x18], "lz4")];

/// How a blob or archive is compressed; its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Tells by the first bytes.
    ///
    /// # Errors
    /// For compressions that are known but not read.
    fn of(head: &[u8]) -> io::Result<Self> {
        if head.starts_with(GZIP_MAGIC) {
            return Ok(Self::Gzip);
        }
        if head.starts_with(ZSTD_MAGIC) {
            return Ok(Self::Zstd);
        }
        match FOREIGN_MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
            None => Ok(Self::None),
            Some((_, name)) => {
                let problem = format!("it is compressed with {name}; only gzip and zstd are read");
                Err(io::Error::new(io::ErrorKind::Unsupported, problem))
            }
        }
    }

    /// How `file` is compressed; reads its first bytes.
    pub(in super::super) fn detect(mut file: impl Read) -> io::Result<Self> {
        Self::of(&head(&mut file)?)
    }

    /// The plain bytes of `file`, which stands at its beginning.
    pub(in super::super) fn reader(mut file: File) -> io::Result<Plain> {
        let head = head(&mut file)?;
        let compression = Self::of(&head)?;
        let whole = Cursor::new(head).chain(BufReader::with_capacity(BUFFER_BYTES, file));
        Ok(match compression {
            Self::None => Plain::None(whole),
            Self::Gzip => Plain::Gzip(MultiGzDecoder::new(BufReader::new(whole))),
            Self::Zstd => Plain::Zstd(zstd::Decoder::new(whole)?),
        })
    }
}

fn head(file: &mut impl Read) -> io::Result<Vec<u8>> {
    const HEAD_BYTES: u64 = 8;
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

type Whole = Chain<Cursor<Vec<u8>>, BufReader<File>>;

/// A decompressed stream.
pub(in super::super) enum Plain {
    None(Whole),
    Gzip(MultiGzDecoder<BufReader<Whole>>),
    Zstd(zstd::Decoder<'static, BufReader<Whole>>),
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(reader) => reader.read(buffer),
            Self::Gzip(reader) => reader.read(buffer),
            Self::Zstd(reader) => reader.read(buffer),
        }
    }
}

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
