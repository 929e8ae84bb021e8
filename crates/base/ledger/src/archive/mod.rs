//! Archives: all rows of a store in one file, for backups, for moving to another store, and for
//! asking what would be (docs/decisions/0032).
//!
//! An archive is the line `longshore-archive 1`, and then one zstd stream of entries, numbers big
//! endian, each begun by a letter:
//!
//! - `H`: length (4 bytes), and JSON: who wrote it, from where, and its tables' record versions.
//!   Comes first.
//! - `T`: number (2), length (2), name: a table, before its first row.
//! - `R`: table (2), created (8), version (8), record version (2), lengths of key and body (4 each),
//!   key, body: a row as it is stored. Sealed bodies stay sealed.
//! - `E`: length (4), and JSON: the revision, and for each table how many rows it has and their sum.
//!   Comes last; then the SHA-256 of every byte of the stream before it.
//!
//! A table's sum is that of the first 16 bytes of each row's SHA-256, modulo 2^128: it does not
//! depend on the order, so two stores with the same rows have the same sums.

mod examine;
mod export;
mod import;
mod read;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use terms::Timestamp;

pub use examine::{Examined, Finding, Findings, examine};
pub use export::{About, export};
pub use import::{IfNotEmpty, import};
pub use read::ArchiveStore;

use crate::schema::Schema;
use crate::state::Revision;
use crate::store::LoadedRow;

/// The format that this program writes, and the newest that it reads. A change raises it and says
/// above what the older one was.
pub const ARCHIVE_FORMAT: u32 = 1;

/// What an archive begins with, before the number of its format and a line feed.
const MAGIC: &str = "longshore-archive ";

/// The table of the row that stands in a store while an archive is brought into it. A ledger does
/// not open on such a store.
pub(crate) const IMPORTING: &str = "ledger.importing";

/// The longest key, in bytes: more is damage.
const KEY_MAX_BYTES: usize = 64 << 10;
/// The longest body, in bytes: more is damage.
const BODY_MAX_BYTES: usize = 64 << 20;
/// The longest header or end, in bytes: more is damage.
const DOCUMENT_MAX_BYTES: usize = 4 << 20;
/// The most tables: more is damage.
const TABLES_MAX: usize = 4_096;

/// What an archive says of itself at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveHeader {
    /// The version of the program that wrote it.
    pub program: String,
    /// When, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// From where, in words.
    pub source: String,
    /// The writer's tables, with the versions that it wrote their records with.
    pub schema: BTreeMap<String, u16>,
    /// The SHA-256 of these, in hexadecimal digits: equal for programs with the same tables.
    pub fingerprint: String,
}

/// What is in an archive or a store, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The revision of the last commit that it holds.
    pub revision: Revision,
    /// Its tables by name.
    pub tables: BTreeMap<String, TableContents>,
}

/// What is in one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableContents {
    /// How many rows.
    pub rows: u64,
    /// Bytes of their keys and bodies.
    pub bytes: u64,
    /// Their sum, in hexadecimal digits; see the module.
    pub sum: Sum,
}

/// A sum over rows, whatever their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum(u128);

impl Contents {
    /// All rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }

    /// Counts one row.
    fn count(&mut self, row: &LoadedRow<'_>) {
        if !self.tables.contains_key(row.table) {
            self.tables.insert(row.table.to_owned(), TableContents::default());
        }
        let Some(table) = self.tables.get_mut(row.table) else { return };
        table.rows += 1;
        table.bytes += (row.key.len() + row.body.len()) as u64;
        table.sum.add(row);
    }
}

impl Sum {
    fn add(&mut self, row: &LoadedRow<'_>) {
        let digest = Sha256::new()
            .chain_update(row_head(row))
            .chain_update(row.key)
            .chain_update(row.body)
            .finalize();
        if let Some((first, _)) = digest.as_slice().split_first_chunk::<16>() {
            self.0 = self.0.wrapping_add(u128::from_be_bytes(*first));
        }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Sum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The fixed part of a row's entry, without letter and table: revisions, version, lengths.
fn row_head(row: &LoadedRow<'_>) -> [u8; ROW_HEAD_BYTES] {
    let mut head = [0; ROW_HEAD_BYTES];
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    head[..8].copy_from_slice(&row.created.to_be_bytes());
    head[8..16].copy_from_slice(&row.version.to_be_bytes());
    head[16..18].copy_from_slice(&row.record_version.to_be_bytes());
    head[18..22].copy_from_slice(&length(row.key));
    head[22..].copy_from_slice(&length(row.body));
    head
}

/// Two revisions, a record version, two lengths.
const ROW_HEAD_BYTES: usize = 8 + 8 + 2 + 4 + 4;

impl ArchiveHeader {
    fn new(schema: &Schema, about: &About) -> Self {
        let schema = schema.record_versions();
        let fingerprint = fingerprint(&schema);
        Self {
            program: about.program.clone(),
            created_at_ms: about.at.millis(),
            source: about.source.clone(),
            schema,
            fingerprint,
        }
    }

    /// When it was written.
    pub fn created_at(&self) -> Timestamp {
        Timestamp::from_millis(self.created_at_ms)
    }
}

/// What tells whether two programs store the same tables in the same versions.
pub fn fingerprint(record_versions: &BTreeMap<String, u16>) -> String {
    let mut digest = Sha256::new();
    for (table, version) in record_versions {
        digest.update(format!("{table} {version}\n"));
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
