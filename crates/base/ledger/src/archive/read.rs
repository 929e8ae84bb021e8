//! Reading an archive: every length is bounded, every count and sum is checked.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{
    ARCHIVE_FORMAT, ArchiveHeader, BODY_MAX_BYTES, Contents, DOCUMENT_MAX_BYTES, KEY_MAX_BYTES,
    MAGIC, ROW_HEAD_BYTES, TABLES_MAX,
};
use crate::state::Revision;
use crate::store::{Batch, LoadedRow, Pace, Store, StoreError, directory};

/// The longest first line, in bytes.
const FIRST_LINE_BYTES: u64 = 64;
/// The longest name of a table, in bytes.
const NAME_MAX_BYTES: usize = 256;
/// Bytes that are read ahead.
const AHEAD_BYTES: usize = 256 << 10;

/// An archive as a store that can be read. What is committed to it is forgotten: a ledger over it
/// answers what would be.
#[derive(Debug)]
pub struct ArchiveStore {
    path: PathBuf,
    header: ArchiveHeader,
}

impl ArchiveStore {
    /// Looks at the beginning of the archive at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is no archive, or was written in a newer format.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (_, header) = Entries::begin(path)?;
        Ok(Self { path: path.to_owned(), header })
    }

    /// What the archive says of itself.
    pub fn header(&self) -> &ArchiveHeader {
        &self.header
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives every row to `sink` and checks counts, sums and digest.
    ///
    /// # Errors
    /// When the file cannot be read or is not what was written; and what `sink` answers.
    pub fn read(
        &self,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Contents, StoreError> {
        let (mut entries, _) = Entries::begin(&self.path)?;
        let mut contents = Contents::default();
        loop {
            match entries.next(&mut contents, sink)? {
                Some(end) => return Ok(end),
                None => continue,
            }
        }
    }
}

impl Store for ArchiveStore {
    fn load(
        &mut self,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Revision, StoreError> {
        Ok(self.read(sink)?.revision)
    }

    fn commit(&mut self, _: &Batch) -> Result<(), StoreError> {
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace::Inline
    }
}

/// The entries of an archive, one after the other.
struct Entries {
    path: PathBuf,
    input: BufReader<zstd::Decoder<'static, BufReader<File>>>,
    digest: Sha256,
    tables: Vec<String>,
    row: Vec<u8>,
}

impl Entries {
    fn begin(path: &Path) -> Result<(Self, ArchiveHeader), StoreError> {
        let io = |source| directory::io("reading", path, source);
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let mut line = Vec::new();
        file.by_ref().take(FIRST_LINE_BYTES).read_until(b'\n', &mut line).map_err(io)?;
        let line = String::from_utf8_lossy(&line);
        let format = line.strip_suffix('\n').and_then(|line| line.strip_prefix(MAGIC));
        let format = format.and_then(|format| format.parse::<u32>().ok());
        match format {
            None => return Err(StoreError::NoArchive { path: path.to_owned() }),
            Some(found) if found > ARCHIVE_FORMAT => {
                let (path, newest) = (path.to_owned(), ARCHIVE_FORMAT);
                return Err(StoreError::NewerArchive { path, found, newest });
            }
            Some(_) => {}
        }
        let input = zstd::Decoder::with_buffer(file).map_err(io)?;
        let mut entries = Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(AHEAD_BYTES, input),
            digest: Sha256::new(),
            tables: Vec::new(),
            row: Vec::new(),
        };
        let [letter] = entries.take()?;
        if letter != b'H' {
            return Err(entries.damaged("it does not begin with a header".to_owned()));
        }
        let header = entries.document()?;
        Ok((entries, header))
    }

    /// One entry; at the end what the archive holds.
    fn next(
        &mut self,
        contents: &mut Contents,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Option<Contents>, StoreError> {
        let [letter] = self.take()?;
        match letter {
            b'T' => self.table().map(|()| None),
            b'R' => self.one_row(contents, sink).map(|()| None),
            b'E' => self.end(contents).map(Some),
            other => Err(self.damaged(format!("there is an entry of kind {other}"))),
        }
    }

    fn table(&mut self) -> Result<(), StoreError> {
        let number = u16::from_be_bytes(self.take()?);
        let length = usize::from(u16::from_be_bytes(self.take()?));
        if usize::from(number) != self.tables.len()
            || number as usize >= TABLES_MAX
            || length > NAME_MAX_BYTES
        {
            return Err(self.damaged("its tables are not in order".to_owned()));
        }
        let name = self.bytes(length)?;
        let name = String::from_utf8(name)
            .map_err(|_| self.damaged("a table's name is no text".to_owned()))?;
        self.tables.push(name);
        Ok(())
    }

    fn one_row(
        &mut self,
        contents: &mut Contents,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let number = usize::from(u16::from_be_bytes(self.take()?));
        let head: [u8; ROW_HEAD_BYTES] = self.take()?;
        let (created, rest) = split::<8>(&head);
        let (version, rest) = split::<8>(rest);
        let (record_version, rest) = split::<2>(rest);
        let (key, rest) = split::<4>(rest);
        let (body, _) = split::<4>(rest);
        let (key, body) = (u32::from_be_bytes(key) as usize, u32::from_be_bytes(body) as usize);
        if key > KEY_MAX_BYTES || body > BODY_MAX_BYTES || number >= self.tables.len() {
            return Err(self.damaged("a row has no table, or is too long".to_owned()));
        }
        let mut bytes = std::mem::take(&mut self.row);
        bytes.resize(key + body, 0);
        self.fill(&mut bytes)?;
        let (key, body) = bytes.split_at(key);
        let row = LoadedRow {
            table: &self.tables[number],
            key,
            created: Revision::from_be_bytes(created),
            version: Revision::from_be_bytes(version),
            record_version: u16::from_be_bytes(record_version),
            body,
        };
        contents.count(&row);
        sink(row)?;
        self.row = bytes;
        Ok(())
    }

    fn end(&mut self, contents: &Contents) -> Result<Contents, StoreError> {
        let end: Contents = self.document()?;
        let digest = self.digest.clone().finalize();
        let mut written = [0; 32];
        self.raw(&mut written)?;
        if digest.as_slice() != written {
            return Err(self.damaged("its digest is not that of its content".to_owned()));
        }
        let counted = Contents { revision: end.revision, ..contents.clone() };
        if counted != end {
            return Err(self.damaged("its rows are not those that its end counts".to_owned()));
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(end),
            Ok(_) => Err(self.damaged("it goes on behind its end".to_owned())),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn document<T: DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        let length = u32::from_be_bytes(self.take()?) as usize;
        if length > DOCUMENT_MAX_BYTES {
            return Err(self.damaged("its header or end is too long".to_owned()));
        }
        let json = self.bytes(length)?;
        serde_json::from_slice(&json).map_err(|error| self.damaged(error.to_string()))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.raw(bytes)?;
        self.digest.update(bytes);
        Ok(())
    }

    fn raw(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.input.read_exact(bytes).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> StoreError {
        match source.kind() {
            ErrorKind::UnexpectedEof => self.damaged("it ends too early".to_owned()),
            // zstd tells damage so.
            ErrorKind::Other | ErrorKind::InvalidData => self.damaged(source.to_string()),
            _ => directory::io("reading", &self.path, source),
        }
    }

    fn damaged(&self, problem: String) -> StoreError {
        let (dir, what) = (self.path.clone(), "the archive".to_owned());
        StoreError::Damaged { dir, what, problem }
    }
}

/// The first bytes of what is long enough, and the rest.
fn split<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    let (first, rest) = bytes.split_first_chunk().expect("the caller has given enough");
    (*first, rest)
}
