//! From stored rows to tables and indexes.

mod decoding;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::mpsc;

use parking_lot::Mutex;

use crate::archive::IMPORTING;
use crate::building;
use crate::bytes::Bytes;
use crate::schema::{ErasedValue, Schema};
use crate::state::{Entry, Revision, State};
use crate::store::{LoadedRow, Pace, Store, StoreError};
pub(crate) use decoding::Decoding;

/// Rows that are decoded together.
const CHUNK_ROWS: usize = 1024;

/// The most threads that decode, and that make maps.
const THREADS_MAX: usize = 8;

/// All rows of the store, with their indexes. A store with a thread of its own is decoded on all
/// processors while it is read.
pub(crate) fn load(schema: &Schema, store: &mut dyn Store) -> Result<State, StoreError> {
    begin(schema);
    let (revision, decoded) = match store.pace() {
        Pace::Inline | Pace::Task => {
            let mut decoded = Vec::new();
            let revision = read(schema, store, &mut |chunk| {
                decoded.push(decode_chunk(schema, &chunk)?);
                Ok(())
            })?;
            (revision, decoded)
        }
        Pace::OwnThread => read_and_decode(schema, store)?,
    };
    end(schema)?;
    Ok(build(schema, revision, decoded, store.pace()))
}

/// The tables of rows that are decoded, each row once.
fn build(schema: &Schema, revision: Revision, decoded: Vec<Decoded>, pace: Pace) -> State {
    let mut tables: Vec<Vec<(Bytes, Entry)>> = Vec::new();
    tables.resize_with(schema.tables().len(), Vec::new);
    for (table, key, entry) in decoded.into_iter().flatten() {
        tables[usize::from(table)].push((key, entry));
    }
    let tables = schema.tables().iter().zip(tables);
    let threads = threads(pace);
    let tables =
        tables.map(|(spec, rows)| building::table(spec.indexes.len(), &spec.totals, rows, threads));
    State::of(revision, tables)
}

/// Rows as they are stored, one after the other.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    rows: Vec<Raw>,
}

/// One of them; key and body are parts of the chunk's bytes.
struct Raw {
    table: u16,
    created: Revision,
    version: Revision,
    record_version: u16,
    key: Range<usize>,
    body: Range<usize>,
}

impl Chunk {
    fn push(&mut self, table: u16, row: &LoadedRow<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(row.key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(row.body);
        let &LoadedRow { created, version, record_version, .. } = row;
        let (key, body) = (start..middle, middle..self.bytes.len());
        self.rows.push(Raw { table, created, version, record_version, key, body });
    }
}

type Decoded = Vec<(u16, Bytes, Entry)>;

/// On how many threads rows of such a store are decoded, and maps made.
fn threads(pace: Pace) -> usize {
    match pace {
        Pace::Inline | Pace::Task => 1,
        Pace::OwnThread => {
            std::thread::available_parallelism().map_or(1, |number| number.get().min(THREADS_MAX))
        }
    }
}

/// Gives all rows of tables that are known to `sink`, by chunks in the store's order.
fn read(
    schema: &Schema,
    store: &mut dyn Store,
    sink: &mut dyn FnMut(Chunk) -> Result<(), StoreError>,
) -> Result<Revision, StoreError> {
    let mut strangers = BTreeSet::new();
    let mut chunk = Chunk::default();
    let revision = store.load(&mut |row| match schema.find(row.table) {
        Some(number) => {
            chunk.push(number, &row);
            if chunk.rows.len() < CHUNK_ROWS {
                return Ok(());
            }
            sink(std::mem::take(&mut chunk))
        }
        None if row.table == IMPORTING => Err(StoreError::Importing),
        None => {
            strangers.insert(row.table.to_owned());
            Ok(())
        }
    })?;
    sink(chunk)?;
    if !strangers.is_empty() {
        tracing::warn!(tables = ?strangers, "the store has tables that this program does not know; they are left as they are");
    }
    Ok(revision)
}

/// The same, decoded meanwhile by other threads.
fn read_and_decode(
    schema: &Schema,
    store: &mut dyn Store,
) -> Result<(Revision, Vec<Decoded>), StoreError> {
    let decoders = threads(store.pace());
    let (sender, receiver) = mpsc::sync_channel::<(usize, Chunk)>(decoders * 2);
    let receiver = Mutex::new(receiver);
    let decode = || {
        let mut done = Vec::new();
        loop {
            let next = receiver.lock().recv();
            let Ok((number, chunk)) = next else { return done };
            done.push((number, decode_chunk(schema, &chunk)));
        }
    };
    let (revision, done) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..decoders).map(|_| scope.spawn(decode)).collect();
        let mut number = 0;
        let revision = read(schema, store, &mut |chunk| {
            number += 1;
            // The decoders take chunks until this sender is gone.
            sender.send((number, chunk)).map_err(|_| StoreError::Stopped)
        });
        drop(sender);
        let done = threads.into_iter().map(|thread| thread.join().map_err(|_| StoreError::Stopped));
        (revision, done.collect::<Result<Vec<_>, _>>())
    });
    let mut done: Vec<_> = done?.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(number, _)| *number);
    let decoded = done.into_iter().map(|(_, decoded)| decoded).collect::<Result<_, _>>()?;
    Ok((revision?, decoded))
}

fn decode_chunk(schema: &Schema, chunk: &Chunk) -> Result<Decoded, StoreError> {
    let mut decoded = Vec::with_capacity(chunk.rows.len());
    for raw in &chunk.rows {
        let row = LoadedRow {
            table: schema.spec(raw.table).name,
            key: &chunk.bytes[raw.key.clone()],
            created: raw.created,
            version: raw.version,
            record_version: raw.record_version,
            body: &chunk.bytes[raw.body.clone()],
        };
        if let Some(entry) = entry(schema, raw.table, &row)? {
            decoded.push((raw.table, row.key.into(), entry));
        }
    }
    Ok(decoded)
}

/// Puts one row into `state`; `false` for a secret one that is left out.
pub(crate) fn load_row(
    schema: &Schema,
    number: u16,
    state: &mut State,
    row: &LoadedRow<'_>,
) -> Result<bool, StoreError> {
    let Some(entry) = entry(schema, number, row)? else { return Ok(false) };
    let key: Bytes = row.key.into();
    state.set(number, &key, Some(entry));
    Ok(true)
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
        .map_err(|source| error(terms::with_causes(&source)))
}
