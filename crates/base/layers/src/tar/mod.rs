//! Reading tars: names, kinds and data of the entries, one after the other.
//!
//! Written here because layers come from strangers: every length is bounded before memory is taken
//! for it, and nothing touches the disk. Read are v7, ustar, GNU (long names, base-256 numbers,
//! sparse files) and PAX (all of it that layers use, sparse 0.1 and 1.0).

mod header;
mod pax;
mod sparse;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use header::{BLOCK_BYTES, Block};
use pax::Pax;
pub use sparse::Piece;

/// The longest extended header: PAX records, or a GNU long name.
const EXTENSION_BYTES_MAX: u64 = 1024 * 1024;
/// How many extended headers may stand before one entry.
const EXTENSIONS_MAX: usize = 16;
/// What is read at a time where data is skipped.
const SKIP_BUFFER_BYTES: usize = 64 * 1024;

/// Why a tar cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Its input cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is broken.
    #[error("{0}")]
    Broken(String),
}

pub(super) fn broken(problem: impl Into<String>) -> TarError {
    TarError::Broken(problem.into())
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, sparse or not.
    File,
    /// Another name of a file that came before.
    HardLink,
    /// A symbolic link.
    SymLink,
    /// A folder.
    Directory,
    /// A pipe.
    Fifo,
    /// A character or block device.
    Device,
    /// A type that names no file, or an unknown one.
    Other(u8),
}

/// One entry, with its extended headers applied.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As it stands in the tar.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Where a hard or symbolic link leads.
    pub link: Vec<u8>,
    /// Permissions, set-id and sticky bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u64,
    /// Its group.
    pub gid: u64,
    /// Seconds since the Unix epoch, and nanoseconds.
    pub modified: (i64, u32),
    /// The file's length, holes included.
    pub size_bytes: u64,
    /// Where the data goes, for a sparse file; else it is one piece from 0.
    pub pieces: Option<Vec<Piece>>,
    /// Extended attributes: names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads one tar. Between two calls of [`TarReader::next_entry`], reading gives the entry's data.
pub struct TarReader<R> {
    input: R,
    /// Data of the current entry that was not read yet.
    data_bytes: u64,
    /// What fills its last block.
    padding_bytes: u64,
    global: Pax,
    is_at_end: bool,
}

impl<R: Read> TarReader<R> {
    /// Reads the tar that `input` is.
    pub fn new(input: R) -> Self {
        let global = Pax::default();
        Self { input, data_bytes: 0, padding_bytes: 0, global, is_at_end: false }
    }

    /// The input, wherever it stands.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The next entry, or `None` at the end. Data of the last entry that was not read is skipped.
    ///
    /// # Errors
    /// If the input cannot be read, or is no tar.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut local = Pax::default();
        let (mut long_name, mut long_link) = (None, None);
        for _ in 0..EXTENSIONS_MAX {
            let Some(block) = self.next_block()? else { return Ok(None) };
            match block.kind_byte() {
                b'x' | b'X' => local.read(&self.extension(&block)?)?,
                b'g' => {
                    let records = self.extension(&block)?;
                    self.global.read(&records)?;
                }
                b'L' => long_name = Some(until_nul(self.extension(&block)?)),
                b'K' => long_link = Some(until_nul(self.extension(&block)?)),
                _ => {
                    let pax = local.over(&self.global);
                    return self.entry(&block, pax, long_name, long_link).map(Some);
                }
            }
        }
        Err(broken(format!("more than {EXTENSIONS_MAX} extended headers before one entry")))
    }

    fn entry(
        &mut self,
        block: &Block,
        pax: Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, TarError> {
        let name = pax.path.clone().or(long_name).unwrap_or_else(|| block.name());
        let link = pax.link.clone().or(long_link).unwrap_or_else(|| block.link());
        let kind = block.kind(&name)?;
        let stored_bytes = match kind {
            // These have no data, whatever their header says (some old tools leave a size there).
            Kind::HardLink | Kind::SymLink | Kind::Directory | Kind::Fifo | Kind::Device => 0,
            Kind::File | Kind::Other(_) => match pax.size {
                Some(size) => size,
                None => block.size()?,
            },
        };
        self.begin_data(stored_bytes)?;
        let mut entry = Entry {
            name,
            kind,
            link,
            mode: block.mode()?,
            uid: pax.uid.map_or_else(|| block.uid(), Ok)?,
            gid: pax.gid.map_or_else(|| block.gid(), Ok)?,
            modified: pax.modified.map_or_else(|| block.modified(), Ok)?,
            size_bytes: stored_bytes,
            pieces: None,
            xattrs: pax.xattrs.clone(),
        };
        if kind == Kind::File {
            sparse::apply(self, block, &pax, &mut entry)?;
        }
        Ok(entry)
    }

    fn begin_data(&mut self, size: u64) -> Result<(), TarError> {
        let unit = BLOCK_BYTES as u64;
        size.checked_add(unit).ok_or_else(|| broken("an entry's size is over 2^64 bytes"))?;
        self.data_bytes = size;
        self.padding_bytes = (unit - size % unit) % unit;
        Ok(())
    }

    /// The next header block; `None` at the end of the archive.
    fn next_block(&mut self) -> Result<Option<Block>, TarError> {
        if self.is_at_end {
            return Ok(None);
        }
        self.skip_data()?;
        let Some(block) = self.read_block()? else {
            self.is_at_end = true; // No end mark: many tools leave it out.
            return Ok(None);
        };
        if block.is_zero() {
            self.is_at_end = true;
            return Ok(None);
        }
        block.check_sum()?;
        Ok(Some(block))
    }

    /// Reads 512 bytes; `None` if the input ends before the first of them.
    fn read_block(&mut self) -> Result<Option<Block>, TarError> {
        let mut bytes = [0; BLOCK_BYTES];
        let mut count = 0;
        while count < BLOCK_BYTES {
            match self.input.read(&mut bytes[count..]) {
                Ok(0) if count == 0 => return Ok(None),
                Ok(0) => return Err(broken("it ends in the middle of a header")),
                Ok(n) => count += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(Block(bytes)))
    }

    /// The data of an extended header.
    fn extension(&mut self, block: &Block) -> Result<Vec<u8>, TarError> {
        let size = block.size()?;
        if size > EXTENSION_BYTES_MAX {
            let limit = EXTENSION_BYTES_MAX;
            return Err(broken(format!(
                "an extended header has {size} bytes; at most {limit} are read"
            )));
        }
        self.begin_data(size)?;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn skip_data(&mut self) -> Result<(), TarError> {
        let mut buffer = vec![0; SKIP_BUFFER_BYTES];
        while self.data_bytes > 0 {
            self.read_data(&mut buffer)?;
        }
        while self.padding_bytes > 0 {
            let wanted = self.padding_bytes as usize; // Below 512.
            let count = self.input.read(&mut buffer[..wanted])?;
            if count == 0 {
                // The last entry's padding may be missing at the end of a sloppy tar.
                self.padding_bytes = 0;
            }
            self.padding_bytes -= count as u64;
        }
        Ok(())
    }

    fn read_data(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.data_bytes).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..wanted])?;
        if count == 0 {
            let problem = "it ends in the middle of an entry's data";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        self.data_bytes -= count as u64;
        Ok(count)
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_data(buffer)
    }
}

pub(super) fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&b| b == 0) {
        bytes.truncate(end);
    }
    bytes
}
