//! From stored rows to tables and indexes.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use crate::archive::IMPORTING;
use crate::schema::{Bytes, ErasedValue, Schema};
use crate::state::{Entry, State};
use crate::store::{LoadedRow, Store, StoreError};

/// All rows of the store, with their indexes.
pub(crate) fn load(schema: &Schema, store: &mut dyn Store) -> Result<State, StoreError> {
    let mut state = State::empty(schema);
    let mut strangers = BTreeSet::new();
    begin(schema);
    state.revision = store.load(&mut |row| match schema.find(row.table) {
        Some(number) => load_row(schema, number, &mut state, &row),
        None if row.table == IMPORTING => Err(StoreError::Importing),
        None => {
            strangers.insert(row.table.to_owned());
            Ok(())
        }
    })?;
    if !strangers.is_empty() {
        tracing::warn!(tables = ?strangers, "the store has tables that this program does not know; they are left as they are");
    }
    end(schema)?;
    Ok(state)
}

/// Puts one row into `state`.
pub(crate) fn load_row(
    schema: &Schema,
    number: u16,
    state: &mut State,
    row: &LoadedRow<'_>,
) -> Result<(), StoreError> {
    if let Some(entry) = entry(schema, number, row)? {
        let key: Bytes = row.key.into();
        state.set(number, &key, Some(Arc::new(entry)));
    }
    Ok(())
}

/// A row with its value decoded and its index keys; nothing for a secret one that is left out.
pub(crate) fn entry(
    schema: &Schema,
    number: u16,
    row: &LoadedRow<'_>,
) -> Result<Option<Entry>, StoreError> {
    let Some(value) = decode(schema, number, row)? else { return Ok(None) };
    let index_keys = schema.spec(number).index_keys(row.key, &*value);
    Ok(Some(Entry { created: row.created, version: row.version, value, index_keys }))
}

/// All rows are about to be read.
pub(crate) fn begin(schema: &Schema) {
    if let Some(keys) = schema.secrets_keys() {
        keys.begin_load();
    }
}

/// All rows were read.
pub(crate) fn end(schema: &Schema) -> Result<(), StoreError> {
    let Some(keys) = schema.secrets_keys() else { return Ok(()) };
    keys.end_load().map_err(|error| StoreError::Row {
        table: "of secrets".to_owned(),
        problem: error.to_string(),
    })
}

/// Whether this program can read a row; one of a table that it does not know, it can carry.
pub(crate) fn check_row(schema: &Schema, row: &LoadedRow<'_>) -> Result<(), StoreError> {
    schema.find(row.table).map_or(Ok(()), |number| decode(schema, number, row).map(drop))
}

/// The row's value; nothing for a secret one that is left out.
fn decode(
    schema: &Schema,
    number: u16,
    row: &LoadedRow<'_>,
) -> Result<Option<ErasedValue>, StoreError> {
    let spec = schema.spec(number);
    let error = |problem| StoreError::Row { table: row.table.to_owned(), problem };
    (spec.check_key)(row.key).map_err(|source| error(source.to_string()))?;
    schema
        .decode_row(number, row.key, row.record_version, row.body)
        .map_err(|source| error(chain(&source)))
}

/// An error with its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
