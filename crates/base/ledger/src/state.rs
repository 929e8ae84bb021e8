//! The tables at one revision: persistent maps, so that a copy costs next to nothing.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, Deref, RangeBounds};
use std::sync::Arc;

use imbl::OrdMap;

use crate::bytes::Bytes;
use crate::index::{IndexKeys, Indexes, Place, compare_joined};
use crate::key::{self, Key};
use crate::record::Record;
use crate::schema::{ErasedValue, Schema, TableSpec};
use crate::totals::TotalsState;

/// Counts commits: each committed transaction that changed something has the next one.
pub type Revision = u64;

/// One row as the maps hold it.
pub(crate) struct Entry {
    pub(crate) created: Revision,
    pub(crate) version: Revision,
    pub(crate) value: ErasedValue,
    /// The keys of the indexes that lead to this row.
    pub(crate) index_keys: IndexKeys,
}

#[derive(Clone, Default)]
pub(crate) struct TableState {
    pub(crate) rows: OrdMap<Bytes, Arc<Entry>>,
    pub(crate) indexes: Indexes,
    pub(crate) totals: TotalsState,
}

/// All tables at one revision.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) revision: Revision,
    tables: Vec<Arc<TableState>>,
}

impl State {
    pub(crate) fn empty(schema: &Schema) -> Self {
        let table = |spec: &TableSpec| TableState {
            rows: OrdMap::new(),
            indexes: Indexes::new(spec.indexes.len()),
            totals: TotalsState::new(&spec.totals),
        };
        let tables = schema.tables().iter().map(|spec| Arc::new(table(spec)));
        Self { revision: 0, tables: tables.collect() }
    }

    pub(crate) fn table(&self, number: u16) -> &TableState {
        &self.tables[usize::from(number)]
    }

    pub(crate) fn row(&self, table: u16, key: &[u8]) -> Option<&Arc<Entry>> {
        self.table(table).rows.get(key)
    }

    /// The same with these tables, in the order of the schema.
    pub(crate) fn of(revision: Revision, tables: impl Iterator<Item = TableState>) -> Self {
        Self { revision, tables: tables.map(Arc::new).collect() }
    }

    /// Puts or removes a row and moves its index entries; gives the row that was there before,
    /// and the one that is there now.
    pub(crate) fn set(
        &mut self,
        number: u16,
        key: &Bytes,
        after: Option<Entry>,
    ) -> (Option<Arc<Entry>>, Option<Arc<Entry>>) {
        let table = Arc::make_mut(&mut self.tables[usize::from(number)]);
        let after = after.map(|mut entry| {
            table.indexes.share(&mut entry.index_keys);
            Arc::new(entry)
        });
        let before = match &after {
            Some(entry) => table.rows.insert(key.clone(), entry.clone()),
            None => table.rows.remove(key),
        };
        let none = IndexKeys::default();
        let old = before.as_ref().map_or(&none, |entry| &entry.index_keys);
        let new = after.as_ref().map_or(&none, |entry| &entry.index_keys);
        table.indexes.replace(key, old, new);
        table.totals.replace(before.as_deref(), after.as_deref());
        (before, after)
    }
}

/// A row: its value, and when it came to be. Cheap to clone.
pub struct Row<V> {
    created: Revision,
    version: Revision,
    value: Arc<V>,
}

impl<V: Record> Row<V> {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self::new(entry.created, entry.version, entry.value.clone())
    }

    pub(crate) fn new(created: Revision, version: Revision, value: ErasedValue) -> Self {
        let value = value.downcast().expect("a table holds only values of its handle's type");
        Self { created, version, value }
    }
}

impl<V> Row<V> {
    /// The revision that created the row; 0 for a row that the running transaction creates.
    pub fn created(&self) -> Revision {
        self.created
    }

    /// The revision that last wrote the row; 0 for one that the running transaction wrote.
    pub fn version(&self) -> Revision {
        self.version
    }

    /// The value, kept alive on its own.
    pub fn value(&self) -> &Arc<V> {
        &self.value
    }
}

impl<V> Deref for Row<V> {
    type Target = V;
    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V> Clone for Row<V> {
    fn clone(&self) -> Self {
        Self { created: self.created, version: self.version, value: self.value.clone() }
    }
}

impl<V: fmt::Debug> fmt::Debug for Row<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created, version, value } = self;
        write!(f, "{value:?} (created {created}, version {version})")
    }
}

/// A stretch of encoded keys: from `from`, up to and without `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Option<Vec<u8>>,
}

/// Bounds as a map takes them.
type EncodedBounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl Span {
    pub(crate) fn prefix<P: Key>(prefix: &P) -> Self {
        let from = key::encode(prefix);
        let to = successor(&from);
        Self { from, to }
    }

    /// The keys within `bounds`; for an index, all rows of the index keys within them.
    pub(crate) fn bounds<K: Key>(bounds: &impl RangeBounds<K>) -> Self {
        let from = match bounds.start_bound() {
            Bound::Included(first) => key::encode(first),
            Bound::Excluded(last) => match successor(&key::encode(last)) {
                Some(next) => next,
                None => return Self { from: vec![0xff], to: Some(vec![0xff]) },
            },
            Bound::Unbounded => Vec::new(),
        };
        let to = match bounds.end_bound() {
            Bound::Included(last) => successor(&key::encode(last)),
            Bound::Excluded(end) => Some(key::encode(end)),
            Bound::Unbounded => None,
        };
        Self { from, to }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && self.to.as_deref().is_none_or(|to| key < to)
    }

    /// Whether an index key with a row's key behind it lies inside.
    pub(crate) fn contains_joined(&self, key: &[u8], row: &[u8]) -> bool {
        compare_joined(key, row, &self.from).is_ge()
            && self.to.as_deref().is_none_or(|to| compare_joined(key, row, to).is_lt())
    }

    /// The rows of an index under exactly this key, behind the row `after` if there is one.
    pub(crate) fn behind<I: Key, K: Key>(index_key: &I, after: Option<&K>) -> Self {
        let mut span = Self::prefix(index_key);
        if let Some(after) = after {
            span.from.extend_from_slice(&key::encode(after));
            span.from.push(0);
        }
        span
    }

    /// As bounds for a map; `None` when nothing can be inside (maps panic on turned bounds).
    pub(crate) fn as_bounds(&self) -> Option<EncodedBounds<'_>> {
        let to = match self.to.as_deref() {
            Some(to) if to <= self.from.as_slice() => return None,
            Some(to) => Bound::Excluded(to),
            None => Bound::Unbounded,
        };
        Some((Bound::Included(&self.from), to))
    }
}

/// The first byte string after all that begin with `bytes`; `None` when there is none.
fn successor(bytes: &[u8]) -> Option<Vec<u8>> {
    let last = bytes.iter().rposition(|&byte| byte != 0xff)?;
    let mut next = bytes[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

/// Walks rows of a snapshot in the order of their keys, or of the index.
pub struct Rows<'a, K, V> {
    entries: Entries<'a>,
    types: PhantomData<fn() -> (K, V)>,
}

/// Walks encoded rows, straight or through an index. Gives (key walked over, row key, row).
pub(crate) enum Entries<'a> {
    None,
    Straight(imbl::ordmap::RangedIter<'a, Bytes, Arc<Entry>, imbl::shared_ptr::DefaultSharedPtr>),
    Indexed {
        rows: &'a OrdMap<Bytes, Arc<Entry>>,
        index: imbl::ordmap::RangedIter<'a, Place, (), imbl::shared_ptr::DefaultSharedPtr>,
    },
}

impl<'a> Entries<'a> {
    pub(crate) fn straight(table: &'a TableState, span: &Span) -> Self {
        match span.as_bounds() {
            Some(bounds) => Self::Straight(table.rows.range::<_, [u8]>(bounds)),
            None => Self::None,
        }
    }

    pub(crate) fn indexed(table: &'a TableState, index: u16, span: &Span) -> Self {
        match table.indexes.of(index).walk(span) {
            Some(index) => Self::Indexed { rows: &table.rows, index },
            None => Self::None,
        }
    }
}

pub(crate) type Walked<'a> = (&'a [u8], &'a Bytes, &'a Arc<Entry>);

fn row_itself<'a>((key, entry): (&'a Bytes, &'a Arc<Entry>)) -> Walked<'a> {
    (key, key, entry)
}

fn row_of_index<'a>(
    rows: &'a OrdMap<Bytes, Arc<Entry>>,
    (place, ()): (&'a Place, &'a ()),
) -> Walked<'a> {
    let Place { key, row } = place;
    (key, row, rows.get(row).expect("an index names only rows that exist"))
}

impl<'a> Iterator for Entries<'a> {
    type Item = Walked<'a>;

    fn next(&mut self) -> Option<Walked<'a>> {
        match self {
            Self::None => None,
            Self::Straight(rows) => rows.next().map(row_itself),
            Self::Indexed { rows, index } => index.next().map(|found| row_of_index(rows, found)),
        }
    }

    /// Counts without looking at rows.
    fn count(self) -> usize {
        match self {
            Self::None => 0,
            Self::Straight(rows) => rows.count(),
            Self::Indexed { index, .. } => index.count(),
        }
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::None => None,
            Self::Straight(rows) => rows.next_back().map(row_itself),
            Self::Indexed { rows, index } => {
                index.next_back().map(|found| row_of_index(rows, found))
            }
        }
    }
}

impl<'a, K, V> Rows<'a, K, V> {
    pub(crate) fn new(entries: Entries<'a>) -> Self {
        Self { entries, types: PhantomData }
    }
}

impl<'a, K, V: Record> Rows<'a, K, V> {
    /// The rows alone: their keys are not decoded.
    pub fn values(self) -> impl Iterator<Item = Row<V>> + use<'a, K, V> {
        self.entries.map(|(_, _, entry)| Row::of(entry))
    }
}

/// The typed form of an encoded row.
pub(crate) fn typed<K: Key, V: Record>(key: &[u8], entry: &Entry) -> (K, Row<V>) {
    let key = key::decode(key).expect("checked when written or loaded");
    (key, Row::of(entry))
}

impl<K: Key, V: Record> Iterator for Rows<'_, K, V> {
    type Item = (K, Row<V>);

    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next().map(|(_, key, entry)| typed(key, entry))
    }

    /// Counts without decoding keys or looking at rows.
    fn count(self) -> usize {
        self.entries.count()
    }
}

impl<K: Key, V: Record> DoubleEndedIterator for Rows<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.entries.next_back().map(|(_, key, entry)| typed(key, entry))
    }
}
