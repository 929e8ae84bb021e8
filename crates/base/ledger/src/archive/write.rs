//! Writing an archive.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{ARCHIVE_FORMAT, ArchiveHeader, Contents, MAGIC, TABLES_MAX, row_head};
use crate::state::Revision;
use crate::store::LoadedRow;

/// Compression that costs less than writing what it saves.
const ZSTD_LEVEL: i32 = 3;

/// Bytes that gather before they are compressed.
const GATHERED_BYTES: usize = 256 << 10;

/// Writes entries one after the other; nothing but the tables' names and counts is kept.
pub(super) struct ArchiveWriter<W: Write> {
    out: Hashing<BufWriter<zstd::Encoder<'static, W>>>,
    numbers: HashMap<String, u16>,
    contents: Contents,
}

/// What is written, and the digest of all of it.
struct Hashing<W> {
    out: W,
    digest: Sha256,
}

impl<W: Write> Hashing<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }

    fn document(&mut self, letter: u8, document: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_vec(document)?;
        let length = u32::try_from(json.len()).map_err(io::Error::other)?;
        self.put(&[letter])?;
        self.put(&length.to_be_bytes())?;
        self.put(&json)
    }
}

impl<W: Write> ArchiveWriter<W> {
    pub(super) fn begin(mut out: W, header: &ArchiveHeader) -> io::Result<Self> {
        out.write_all(format!("{MAGIC}{ARCHIVE_FORMAT}\n").as_bytes())?;
        let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
        encoder.include_checksum(true)?;
        let out = BufWriter::with_capacity(GATHERED_BYTES, encoder);
        let mut out = Hashing { out, digest: Sha256::new() };
        out.document(b'H', header)?;
        Ok(Self { out, numbers: HashMap::new(), contents: Contents::default() })
    }

    pub(super) fn row(&mut self, row: &LoadedRow<'_>) -> io::Result<()> {
        let number = match self.numbers.get(row.table) {
            Some(number) => *number,
            None => self.name(row.table)?,
        };
        self.out.put(b"R")?;
        self.out.put(&number.to_be_bytes())?;
        self.out.put(&row_head(row))?;
        self.out.put(row.key)?;
        self.out.put(row.body)?;
        self.contents.count(row);
        Ok(())
    }

    /// Gives a table its number.
    fn name(&mut self, table: &str) -> io::Result<u16> {
        if self.numbers.len() == TABLES_MAX {
            return Err(io::Error::other("there are too many tables"));
        }
        let number = u16::try_from(self.numbers.len()).map_err(io::Error::other)?;
        let length = u16::try_from(table.len()).map_err(io::Error::other)?;
        self.out.put(b"T")?;
        self.out.put(&number.to_be_bytes())?;
        self.out.put(&length.to_be_bytes())?;
        self.out.put(table.as_bytes())?;
        self.numbers.insert(table.to_owned(), number);
        Ok(number)
    }

    pub(super) fn finish(mut self, revision: Revision) -> io::Result<(W, Contents)> {
        self.contents.revision = revision;
        self.out.document(b'E', &self.contents)?;
        let Hashing { mut out, digest } = self.out;
        out.write_all(&digest.finalize())?;
        let encoder = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut inner = encoder.finish()?;
        inner.flush()?;
        Ok((inner, self.contents))
    }
}
