//! Whether what is stored can be read and makes sense.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Contents, IMPORTING};
use crate::load;
use crate::schema::Schema;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::store::{LoadedRow, Store, StoreError};

/// How many findings are told of each kind; the others are only counted.
const FINDINGS_TOLD: usize = 20;

/// Something that should not be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which rule does not hold, as `ecs.over-commit`.
    pub rule: String,
    /// Which row, or thing, in words.
    pub subject: String,
    /// What is wrong with it, in words.
    pub problem: String,
}

/// What should not be so: some of each kind, and how many of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Some of each rule.
    pub told: Vec<Finding>,
    /// How many for each rule.
    pub counts: BTreeMap<String, u64>,
}

impl Findings {
    /// Notes that `rule` does not hold for `subject`.
    pub fn note(&mut self, rule: &str, subject: impl ToString, problem: impl ToString) {
        let count = self.counts.entry(rule.to_owned()).or_default();
        *count += 1;
        if *count <= FINDINGS_TOLD as u64 {
            let (subject, problem) = (subject.to_string(), problem.to_string());
            self.told.push(Finding { rule: rule.to_owned(), subject, problem });
        }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// What a look at all rows of a store gives.
#[derive(Debug)]
pub struct Examined {
    /// The rows that can be read.
    pub snapshot: Snapshot,
    /// What is stored, counted.
    pub contents: Contents,
    /// How many rows of each table have each record version.
    pub record_versions: BTreeMap<String, BTreeMap<u16, u64>>,
    /// Tables that this program does not know.
    pub strangers: Vec<String>,
    /// Sealed rows that were only counted: no key at hand opens them.
    pub sealed: u64,
    /// What is wrong with rows as such; services look for more on the snapshot.
    pub findings: Findings,
}

/// Reads every row of a store and goes on behind those that cannot be read.
///
/// # Errors
/// When the store as a whole cannot be read.
pub fn examine(schema: &Schema, store: &mut dyn Store) -> Result<Examined, StoreError> {
    let mut state = State::empty(schema);
    let mut contents = Contents::default();
    let mut record_versions: BTreeMap<String, BTreeMap<u16, u64>> = BTreeMap::new();
    let mut findings = Findings::default();
    let (mut newest, mut sealed) = (0, 0);
    load::begin(schema);
    contents.revision = store.load(&mut |row| {
        contents.count(&row);
        let versions = record_versions.entry(row.table.to_owned()).or_default();
        *versions.entry(row.record_version).or_default() += 1;
        newest = newest.max(row.version);
        if row.table == IMPORTING {
            findings.note("ledger.import", row.table, "an import was cut short; run it again");
        } else if let Some(number) = schema.find(row.table) {
            if state.row(number, row.key).is_some() {
                findings.note("ledger.rows", name(&row), "the row is there twice");
            }
            match load::load_row(schema, number, &mut state, &row) {
                Ok(is_read) => sealed += u64::from(!is_read),
                Err(error) => findings.note("ledger.rows", name(&row), error),
            }
        }
        if row.created > row.version {
            let problem = format!("created at {}, but written at {}", row.created, row.version);
            findings.note("ledger.revisions", name(&row), problem);
        }
        Ok(())
    })?;
    if newest > contents.revision {
        let problem = format!("a row was written at revision {newest}, behind the last");
        findings.note("ledger.revisions", format!("revision {}", contents.revision), problem);
    }
    if let Err(error) = load::end(schema) {
        findings.note("ledger.secrets", "the store", error);
    }
    state.revision = contents.revision;
    let strangers = record_versions.keys().filter(|table| schema.find(table).is_none());
    let strangers = strangers.cloned().collect();
    let snapshot = Snapshot::new(state.into());
    Ok(Examined { snapshot, contents, record_versions, strangers, sealed, findings })
}

/// A row as people find it: its table, and its key with what can be read in it.
fn name(row: &LoadedRow<'_>) -> String {
    let key: String = row.key.iter().map(|&byte| readable(byte)).collect();
    let parts: Vec<&str> = key.split('\0').filter(|part| !part.is_empty()).collect();
    format!("{} {}", row.table, parts.join(" "))
}

fn readable(byte: u8) -> char {
    if byte.is_ascii_graphic() { char::from(byte) } else { '\0' }
}
