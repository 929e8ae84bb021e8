//! The bytes of a layer: decompressed.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::read::MultiGzDecoder;

const BUFFER_BYTES: usize = 256 * 1024;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// What xz, bzip2 and lz4 begin with: known, and not read.
const FOREIGN_MAGICS: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (&[0x04, 0x22, 0x4d, 0x18], "lz4")];

/// How a blob or archive is compressed; its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// With gzip, of one member or several.
    Gzip,
    /// With Zstandard.
    Zstd,
}

impl Compression {
    /// Tells by the first bytes.
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
    ///
    /// # Errors
    /// If it cannot be read, and for compressions that are known but not read.
    pub fn detect(mut file: impl Read) -> io::Result<Self> {
        Self::of(&head(&mut file)?)
    }

    /// The plain bytes of `file`, which stands at its beginning.
    ///
    /// # Errors
    /// As [`Compression::detect`].
    pub fn reader<R: Read>(mut file: R) -> io::Result<Plain<R>> {
        let head = head(&mut file)?;
        let compression = Self::of(&head)?;
        let whole = Cursor::new(head).chain(BufReader::with_capacity(BUFFER_BYTES, file));
        Ok(Plain(match compression {
            Self::None => Inner::None(whole),
            Self::Gzip => Inner::Gzip(MultiGzDecoder::new(BufReader::new(whole))),
            Self::Zstd => Inner::Zstd(zstd::Decoder::new(whole)?),
        }))
    }
}

fn head(file: &mut impl Read) -> io::Result<Vec<u8>> {
    const HEAD_BYTES: u64 = 8;
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

type Whole<R> = Chain<Cursor<Vec<u8>>, BufReader<R>>;

/// A decompressed stream; of no bounded length.
pub struct Plain<R>(Inner<R>);

enum Inner<R> {
    None(Whole<R>),
    Gzip(MultiGzDecoder<BufReader<Whole<R>>>),
    Zstd(zstd::Decoder<'static, BufReader<Whole<R>>>),
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::None(reader) => reader.read(buffer),
            Inner::Gzip(reader) => reader.read(buffer),
            Inner::Zstd(reader) => reader.read(buffer),
        }
    }
}
