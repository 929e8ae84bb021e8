//! The view that a transaction's function works on: one state, its own writes over it, and a
//! record of all it read.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use terms::{Clock, IdSource, Timestamp};

use crate::bytes::Bytes;
use crate::index::IndexKeys;
use crate::key::{self, Key};
use crate::record::Record;
use crate::schema::{ErasedValue, Index, Schema, Table};
use crate::snapshot::{Facts, View, view_by_own_methods};
use crate::state::{Entries, Revision, Row, Span, State};

/// Where time and ids of transactions come from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
}

/// What a transaction rests on, checked against the head before its writes are applied.
#[derive(Default)]
pub(crate) struct Reads {
    /// Version of each row read on its own; 0 for a row that was absent.
    pub(crate) rows: HashMap<(u16, Bytes), Revision>,
    pub(crate) spans: Vec<ReadSpan>,
    pub(crate) guards: Vec<Guard>,
}

/// Whether a fact that a transaction rests on is so.
type Guard = Box<dyn Fn(&Facts<'_>) -> bool>;

/// A stretch of a table or of one of its indexes that was walked.
pub(crate) struct ReadSpan {
    pub(crate) table: u16,
    pub(crate) index: Option<u16>,
    pub(crate) span: Span,
}

/// A row that a transaction writes.
#[derive(Clone)]
pub(crate) struct NewRow {
    pub(crate) value: ErasedValue,
    pub(crate) index_keys: IndexKeys,
}

/// Rows to write (or, `None`, to delete), by table and key.
pub(crate) type Writes = BTreeMap<u16, BTreeMap<Bytes, Option<NewRow>>>;

/// A running transaction: reads through [`View`] (also as plain methods), and writes.
///
/// The function that gets it may run several times, so it has no effects but these writes; time
/// and ids come from here too.
pub struct Tx<'a> {
    schema: &'a Schema,
    base: &'a State,
    sources: &'a Sources,
    now: OnceCell<Timestamp>,
    reads: RefCell<Reads>,
    writes: Writes,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(schema: &'a Schema, base: &'a State, sources: &'a Sources) -> Self {
        Self {
            schema,
            base,
            sources,
            now: OnceCell::new(),
            reads: RefCell::default(),
            writes: Writes::new(),
        }
    }

    pub(crate) fn finish(self) -> (Reads, Writes) {
        (self.reads.into_inner(), self.writes)
    }

    /// The time: the same all through one run of the function.
    pub fn now(&self) -> Timestamp {
        *self.now.get_or_init(|| self.sources.clock.now())
    }

    /// Sixteen bytes that no other caller gets, for an id.
    pub fn next_id(&self) -> [u8; 16] {
        self.sources.ids.next()
    }

    /// The state that this run started from, read without a record: without the transaction's own
    /// writes, and free to change before the commit. What is written on the strength of it needs
    /// a [`Tx::guard`].
    pub fn facts(&self) -> Facts<'a> {
        Facts::new(self.base)
    }

    /// Lets the commit depend on `holds` being so of the state that it is applied to, whatever
    /// else has changed since this run began. If it is not, nothing is written and the function
    /// runs again on that state, where its [`Tx::facts`] show why.
    ///
    /// `holds` runs while the whole ledger waits, so it reads few rows and has no effects. A
    /// function that runs alone, as the last resort, must not guard what its [`Tx::facts`] deny:
    /// it would never end, and is told [`crate::LedgerError::Contradiction`] instead. Nothing is
    /// asked of a transaction that writes nothing.
    pub fn guard(&mut self, holds: impl Fn(&Facts<'_>) -> bool + 'static) {
        self.reads.get_mut().guards.push(Box::new(holds));
    }

    /// The revision of the state that this run started from.
    pub fn base_revision(&self) -> Revision {
        self.base.revision
    }

    /// Writes a row, new or over the one that is there.
    pub fn put<K: Key, V: Record>(&mut self, table: &Table<K, V>, key: K, value: V) {
        self.put_arc(table, key, Arc::new(value));
    }

    /// As [`Tx::put`], with a value that is shared already.
    pub fn put_arc<K: Key, V: Record>(&mut self, table: &Table<K, V>, key: K, value: Arc<V>) {
        let key: Bytes = key::encode(&key).into();
        let index_keys = self.schema.spec(table.number).index_keys(&key, &*value);
        let row = NewRow { value, index_keys };
        self.writes.entry(table.number).or_default().insert(key, Some(row));
    }

    /// Writes a row again as it is, if it is there.
    pub(crate) fn rewrite(&mut self, table: u16, key: &Bytes) {
        let entry = self.base.row(table, key);
        let version = entry.map_or(0, |entry| entry.version);
        self.reads.get_mut().rows.insert((table, Bytes::clone(key)), version);
        let Some(entry) = entry else { return };
        let row = NewRow { value: Arc::clone(&entry.value), index_keys: entry.index_keys.clone() };
        self.writes.entry(table).or_default().insert(Bytes::clone(key), Some(row));
    }

    /// Deletes the row, if it is there.
    pub fn delete<K: Key, V: Record>(&mut self, table: &Table<K, V>, key: &K) {
        self.writes.entry(table.number).or_default().insert(key::encode(key).into(), None);
    }

    /// See [`View::get`].
    pub fn get<K: Key, V: Record>(&self, table: &Table<K, V>, key: &K) -> Option<Row<V>> {
        let key = key::encode(key);
        if let Some(written) = self.written(table.number).and_then(|rows| rows.get(&*key)) {
            return written.as_ref().map(|row| self.own_row(table.number, &key, row));
        }
        let entry = self.base.row(table.number, &key);
        let version = entry.map_or(0, |entry| entry.version);
        self.reads.borrow_mut().rows.insert((table.number, key.into()), version);
        entry.map(|entry| Row::of(entry))
    }

    /// See [`View::range`].
    pub fn range<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        bounds: impl RangeBounds<K>,
    ) -> impl Iterator<Item = (K, Row<V>)> {
        self.walk(table.number, None, Span::bounds(&bounds))
    }

    /// See [`View::prefix`].
    pub fn prefix<K: Key, V: Record, P: Key>(
        &self,
        table: &Table<K, V>,
        prefix: &P,
    ) -> impl Iterator<Item = (K, Row<V>)> {
        self.walk(table.number, None, Span::prefix(prefix))
    }

    /// See [`View::last`].
    pub fn last<K: Key, V: Record, P: Key>(
        &self,
        table: &Table<K, V>,
        prefix: &P,
    ) -> Option<(K, Row<V>)> {
        let span = Span::prefix(prefix);
        let own = self.own_keys(table.number, None, &span).pop();
        let written = self.written(table.number);
        let overwritten = |key: &Bytes| written.is_some_and(|rows| rows.contains_key(key));
        let mut based = Entries::straight(self.base.table(table.number), &span);
        let base = based.rfind(|(_, key, _)| !overwritten(key));
        let from = base.map_or_else(|| span.from.clone(), |(key, _, _)| key.to_vec());
        self.read_span(table.number, None, Span { from, to: span.to.clone() });
        match (own, base) {
            (Some((own, key)), base) if base.is_none_or(|(based, _, _)| *based < *own) => {
                Some(self.own_typed(table.number, &key))
            }
            (_, base) => base.map(|(_, key, entry)| crate::state::typed(key, entry)),
        }
    }

    /// See [`View::index`].
    pub fn index<I: Key, K: Key, V: Record, P: Key>(
        &self,
        index: &Index<I, K, V>,
        key: &P,
    ) -> impl Iterator<Item = (K, Row<V>)> {
        self.walk(index.table.number, Some(index.number), Span::prefix(key))
    }

    /// See [`View::index_range`].
    pub fn index_range<I: Key, K: Key, V: Record>(
        &self,
        index: &Index<I, K, V>,
        bounds: impl RangeBounds<I>,
    ) -> impl Iterator<Item = (K, Row<V>)> {
        self.walk(index.table.number, Some(index.number), Span::bounds(&bounds))
    }

    fn written(&self, table: u16) -> Option<&BTreeMap<Bytes, Option<NewRow>>> {
        self.writes.get(&table)
    }

    fn own_row<V: Record>(&self, table: u16, key: &[u8], row: &NewRow) -> Row<V> {
        let created = self.base.row(table, key).map_or(0, |entry| entry.created);
        Row::new(created, 0, row.value.clone())
    }

    fn own_typed<K: Key, V: Record>(&self, table: u16, key: &Bytes) -> (K, Row<V>) {
        let row = self.written(table).and_then(|rows| rows.get(key)).and_then(Option::as_ref);
        let row = row.expect("an own key has an own row");
        (key::decode(key).expect("encoded by this transaction"), self.own_row(table, key, row))
    }

    /// Own rows inside the span, sorted: (key walked over, row key).
    fn own_keys(&self, table: u16, index: Option<u16>, span: &Span) -> Vec<(Bytes, Bytes)> {
        let mut found = Vec::new();
        let rows = self.written(table).into_iter().flatten();
        for (key, row) in rows.filter_map(|(key, row)| Some((key, row.as_ref()?))) {
            match index {
                None if span.contains(key) => found.push((key.clone(), key.clone())),
                None => {}
                Some(index) => {
                    let inside = row.index_keys.of(index);
                    let inside = inside.filter(|walked| span.contains_joined(walked, key));
                    found.extend(inside.map(|walked| (Bytes::from(&**walked), key.clone())));
                }
            }
        }
        found.sort_unstable();
        found
    }

    fn read_span(&self, table: u16, index: Option<u16>, span: Span) {
        self.reads.borrow_mut().spans.push(ReadSpan { table, index, span });
    }

    fn walk<K: Key, V: Record>(
        &self,
        table: u16,
        index: Option<u16>,
        span: Span,
    ) -> Walk<'_, 'a, K, V> {
        let state = self.base.table(table);
        let base = match index {
            None => Entries::straight(state, &span),
            Some(index) => Entries::indexed(state, index, &span),
        };
        let own = self.own_keys(table, index, &span).into_iter().peekable();
        let types = std::marker::PhantomData;
        Walk {
            tx: self,
            table,
            index,
            span,
            base: base.peekable(),
            own,
            last: None,
            ended: false,
            types,
        }
    }
}

/// Merges the base's rows with the transaction's own, and on its end notes how far it was read.
struct Walk<'t, 'a, K, V> {
    tx: &'t Tx<'a>,
    table: u16,
    index: Option<u16>,
    span: Span,
    base: std::iter::Peekable<Entries<'t>>,
    own: std::iter::Peekable<std::vec::IntoIter<(Bytes, Bytes)>>,
    /// The key that was walked over last, and its row's.
    last: Option<(Cow<'t, [u8]>, Bytes)>,
    ended: bool,
    types: std::marker::PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Record> Iterator for Walk<'_, '_, K, V> {
    type Item = (K, Row<V>);

    fn next(&mut self) -> Option<Self::Item> {
        let written = self.tx.written(self.table);
        while self
            .base
            .next_if(|(_, key, _)| written.is_some_and(|rows| rows.contains_key(*key)))
            .is_some()
        {}
        let own_first = match (self.own.peek(), self.base.peek()) {
            (Some((own, row)), Some((based, based_row, _))) => (&**own, row) < (*based, *based_row),
            (own, _) => own.is_some(),
        };
        if own_first {
            let (walked, key) = self.own.next()?;
            self.last = Some((Cow::Owned(walked.to_vec()), key.clone()));
            return Some(self.tx.own_typed(self.table, &key));
        }
        let Some((walked, key, entry)) = self.base.next() else {
            self.ended = true;
            return None;
        };
        self.last = Some((Cow::Borrowed(walked), key.clone()));
        Some(crate::state::typed(key, entry))
    }
}

impl<K, V> Drop for Walk<'_, '_, K, V> {
    /// What lies behind the last row that was asked for was not read.
    fn drop(&mut self) {
        let mut span = std::mem::replace(&mut self.span, Span { from: Vec::new(), to: None });
        if !self.ended {
            let Some((walked, row)) = &self.last else { return };
            let mut to = walked.to_vec();
            if self.index.is_some() {
                to.extend_from_slice(row);
            }
            to.push(0);
            span.to = Some(to);
        }
        self.tx.read_span(self.table, self.index, span);
    }
}

view_by_own_methods!(Tx<'_>);

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tx(from {})", self.base.revision)
    }
}
