//! rpm's data base: SQLite's file with a table of headers (rpm 4.16 and later).

mod header;
mod sqlite;

use crate::{Package, ReadError};

/// The table, and its column with the header.
const TABLE: &str = "Packages";
const COLUMN: usize = 1;

pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
    let mut packages = Vec::new();
    for blob in sqlite::column(bytes, TABLE, COLUMN)? {
        packages.extend(header::read(&blob)?);
    }
    Ok(packages)
}
