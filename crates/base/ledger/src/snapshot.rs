//! Reading: snapshots, and what they share with transactions.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use crate::bytes::IndexKey;
use crate::key::{self, Key};
use crate::record::Record;
use crate::schema::{Index, Table, Totals};
use crate::state::{Entries, Revision, Row, Rows, Span, State};
use crate::totals::Total;

/// What can be read from: a [`Snapshot`], [`Facts`], or a [`crate::Tx`], which sees its own writes
/// too.
/// Functions that serve both take `&impl View`.
pub trait View {
    /// The row with this key.
    fn get<K: Key, V: Record>(&self, table: &Table<K, V>, key: &K) -> Option<Row<V>>;

    /// The rows whose keys lie in `bounds`, in the order of their keys.
    fn range<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        bounds: impl RangeBounds<K>,
    ) -> impl Iterator<Item = (K, Row<V>)>;

    /// The rows whose keys begin with `prefix`, which is the first parts of the key: for the key
    /// `(A, B, C)` an `A`, or an `(A, B)`; `()` means all rows.
    fn prefix<K: Key, V: Record, P: Key>(
        &self,
        table: &Table<K, V>,
        prefix: &P,
    ) -> impl Iterator<Item = (K, Row<V>)>;

    /// The row with the last of the keys that begin with `prefix`.
    fn last<K: Key, V: Record, P: Key>(
        &self,
        table: &Table<K, V>,
        prefix: &P,
    ) -> Option<(K, Row<V>)>;

    /// The rows that the index has under `key`, in the order of their own keys. A prefix of the
    /// index key is enough, as with [`View::prefix`].
    fn index<I: Key, K: Key, V: Record, P: Key>(
        &self,
        index: &Index<I, K, V>,
        key: &P,
    ) -> impl Iterator<Item = (K, Row<V>)>;

    /// The rows whose index keys lie in `bounds`, in the order of the index; a row that has
    /// several of them comes as often.
    fn index_range<I: Key, K: Key, V: Record>(
        &self,
        index: &Index<I, K, V>,
        bounds: impl RangeBounds<I>,
    ) -> impl Iterator<Item = (K, Row<V>)>;
}

/// All tables as they were at one revision. Costs nothing to take or to clone, never changes, and
/// holds only what is durable.
#[derive(Clone)]
pub struct Snapshot {
    state: Arc<State>,
}

/// One state of all tables, lent for a look: of a [`Snapshot`], or of a transaction's base, where
/// it may show what is not durable yet. What is read here is not recorded.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    state: &'a State,
}

impl Snapshot {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// The same state, lent.
    pub fn facts(&self) -> Facts<'_> {
        Facts::new(&self.state)
    }

    /// The revision of the last commit that this snapshot holds.
    pub fn revision(&self) -> Revision {
        self.state.revision
    }

    /// How many rows the table has.
    pub fn len<K: Key, V: Record>(&self, table: &Table<K, V>) -> usize {
        self.state.table(table.number).rows.len()
    }

    /// Whether the table has no rows.
    pub fn is_empty<K: Key, V: Record>(&self, table: &Table<K, V>) -> bool {
        self.len(table) == 0
    }

    /// See [`View::get`].
    pub fn get<K: Key, V: Record>(&self, table: &Table<K, V>, key: &K) -> Option<Row<V>> {
        self.facts().get(table, key)
    }

    /// See [`View::range`]; this one can also be walked backwards.
    pub fn range<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        bounds: impl RangeBounds<K>,
    ) -> Rows<'_, K, V> {
        self.facts().range(table, bounds)
    }

    /// See [`View::prefix`]; this one can also be walked backwards.
    pub fn prefix<K: Key, V: Record, P: Key>(
        &self,
        table: &Table<K, V>,
        prefix: &P,
    ) -> Rows<'_, K, V> {
        self.facts().prefix(table, prefix)
    }

    /// See [`View::last`].
    pub fn last<K: Key, V: Record, P: Key>(
        &self,
        table: &Table<K, V>,
        prefix: &P,
    ) -> Option<(K, Row<V>)> {
        self.facts().last(table, prefix)
    }

    /// See [`View::index`]; this one can also be walked backwards.
    pub fn index<I: Key, K: Key, V: Record, P: Key>(
        &self,
        index: &Index<I, K, V>,
        key: &P,
    ) -> Rows<'_, K, V> {
        self.facts().index(index, key)
    }

    /// See [`View::index_range`]; this one can also be walked backwards.
    pub fn index_range<I: Key, K: Key, V: Record>(
        &self,
        index: &Index<I, K, V>,
        bounds: impl RangeBounds<I>,
    ) -> Rows<'_, K, V> {
        self.facts().index_range(index, bounds)
    }

    /// The rows that the index has under exactly `key`, in the order of their own keys, behind
    /// the row with the key `after` (whether it is there or not), or from the first: how a
    /// listing goes on where the page before ended.
    pub fn index_after<I: Key, K: Key, V: Record>(
        &self,
        index: &Index<I, K, V>,
        key: &I,
        after: Option<&K>,
    ) -> Rows<'_, K, V> {
        self.facts().indexed(index, &Span::behind(key, after))
    }
}

impl<'a> Facts<'a> {
    pub(crate) fn new(state: &'a State) -> Self {
        Self { state }
    }

    /// The revision of the state.
    pub fn revision(&self) -> Revision {
        self.state.revision
    }

    /// See [`View::get`].
    pub fn get<K: Key, V: Record>(&self, table: &Table<K, V>, key: &K) -> Option<Row<V>> {
        self.state.row(table.number, &key::encode(key)).map(|entry| Row::of(entry))
    }

    /// See [`View::range`]; this one can also be walked backwards.
    pub fn range<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        bounds: impl RangeBounds<K>,
    ) -> Rows<'a, K, V> {
        self.straight(table, &Span::bounds(&bounds))
    }

    /// See [`View::prefix`]; this one can also be walked backwards.
    pub fn prefix<K: Key, V: Record, P: Key>(
        &self,
        table: &Table<K, V>,
        prefix: &P,
    ) -> Rows<'a, K, V> {
        self.straight(table, &Span::prefix(prefix))
    }

    /// See [`View::last`].
    pub fn last<K: Key, V: Record, P: Key>(
        &self,
        table: &Table<K, V>,
        prefix: &P,
    ) -> Option<(K, Row<V>)> {
        self.prefix(table, prefix).next_back()
    }

    /// See [`View::index`]; this one can also be walked backwards.
    pub fn index<I: Key, K: Key, V: Record, P: Key>(
        &self,
        index: &Index<I, K, V>,
        key: &P,
    ) -> Rows<'a, K, V> {
        self.indexed(index, &Span::prefix(key))
    }

    /// See [`View::index_range`]; this one can also be walked backwards.
    pub fn index_range<I: Key, K: Key, V: Record>(
        &self,
        index: &Index<I, K, V>,
        bounds: impl RangeBounds<I>,
    ) -> Rows<'a, K, V> {
        self.indexed(index, &Span::bounds(&bounds))
    }

    /// What the rows under exactly `key` amount to.
    pub fn total<I: Key>(&self, totals: &Totals<I>, key: &I) -> Total {
        let key = IndexKey::new(totals.index, &key::encode(key));
        self.state.table(totals.table).totals.of(totals.number, &key)
    }

    fn straight<K: Key, V: Record>(&self, table: &Table<K, V>, span: &Span) -> Rows<'a, K, V> {
        Rows::new(Entries::straight(self.state.table(table.number), span))
    }

    fn indexed<I, K: Key, V: Record>(&self, index: &Index<I, K, V>, span: &Span) -> Rows<'a, K, V> {
        let table = self.state.table(index.table.number);
        Rows::new(Entries::indexed(table, index.number, span))
    }
}

/// Makes a type whose own methods read as [`View`]'s do a [`View`].
macro_rules! view_by_own_methods {
    ($($reader:ty),*) => {$(
        impl View for $reader {
            fn get<K: Key, V: Record>(&self, table: &Table<K, V>, key: &K) -> Option<Row<V>> {
                self.get(table, key)
            }

            fn range<K: Key, V: Record>(
                &self,
                table: &Table<K, V>,
                bounds: impl RangeBounds<K>,
            ) -> impl Iterator<Item = (K, Row<V>)> {
                self.range(table, bounds)
            }

            fn prefix<K: Key, V: Record, P: Key>(
                &self,
                table: &Table<K, V>,
                prefix: &P,
            ) -> impl Iterator<Item = (K, Row<V>)> {
                self.prefix(table, prefix)
            }

            fn last<K: Key, V: Record, P: Key>(
                &self,
                table: &Table<K, V>,
                prefix: &P,
            ) -> Option<(K, Row<V>)> {
                self.last(table, prefix)
            }

            fn index<I: Key, K: Key, V: Record, P: Key>(
                &self,
                index: &Index<I, K, V>,
                key: &P,
            ) -> impl Iterator<Item = (K, Row<V>)> {
                self.index(index, key)
            }

            fn index_range<I: Key, K: Key, V: Record>(
                &self,
                index: &Index<I, K, V>,
                bounds: impl RangeBounds<I>,
            ) -> impl Iterator<Item = (K, Row<V>)> {
                self.index_range(index, bounds)
            }
        }
    )*};
}

pub(crate) use view_by_own_methods;

view_by_own_methods!(Snapshot, Facts<'_>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({})", self.state.revision)
    }
}

impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Facts({})", self.state.revision)
    }
}
