//! From a store into an archive.

use std::io::{self, Write};
use std::path::PathBuf;

use terms::Timestamp;

use super::write::ArchiveWriter;
use super::{ArchiveHeader, Contents, IMPORTING};
use crate::schema::Schema;
use crate::store::{Store, StoreError, directory};

/// What an archive tells of how it came to be.
#[derive(Debug, Clone)]
pub struct About {
    /// The version of the program.
    pub program: String,
    /// Now.
    pub at: Timestamp,
    /// Where the rows come from, in words.
    pub source: String,
}

/// Writes every row of `store` to `out` as it is stored, whether or not this program knows its
/// table.
///
/// # Errors
/// When the store cannot be read or is in the middle of an import, or `out` cannot be written.
pub fn export(
    schema: &Schema,
    store: &mut dyn Store,
    out: impl Write,
    about: &About,
) -> Result<Contents, StoreError> {
    let io = |source: io::Error| directory::io("writing", &PathBuf::from("the archive"), source);
    let mut writer = ArchiveWriter::begin(out, &ArchiveHeader::new(schema, about)).map_err(io)?;
    let revision = store.load(&mut |row| {
        if row.table == IMPORTING {
            return Err(StoreError::Importing);
        }
        writer.row(&row).map_err(io)
    })?;
    let (_, contents) = writer.finish(revision).map_err(io)?;
    Ok(contents)
}
