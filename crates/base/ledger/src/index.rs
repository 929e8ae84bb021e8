//! Indexes: which keys lead to a row, and the rows under each key.
//!
//! Rows under one key share its bytes: of a million tasks of one family, the family's key is in
//! memory once.

use std::cmp::Ordering;
use std::ops::Bound;

use imbl::OrdMap;
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;

use equivalent::{Comparable, Equivalent};

use crate::bytes::{Bytes, IndexKey};
use crate::state::Span;

/// The index keys of one row, by the number of the index and then by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexKeys(Box<[IndexKey]>);

impl IndexKeys {
    /// Keys in any order, perhaps more than once.
    pub(crate) fn new(mut keys: Vec<IndexKey>) -> Self {
        keys.sort_unstable_by(|one, other| one.place().cmp(&other.place()));
        keys.dedup_by(|one, other| one.place() == other.place());
        Self(keys.into_boxed_slice())
    }

    /// The keys that one index has of the row.
    pub(crate) fn of(&self, index: u16) -> impl Iterator<Item = &IndexKey> + Clone {
        self.0.iter().filter(move |key| key.index() == index)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, IndexKey> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, IndexKey> {
        self.0.iter_mut()
    }

    fn contains(&self, key: &IndexKey) -> bool {
        self.0.binary_search_by(|known| known.place().cmp(&key.place())).is_ok()
    }
}

/// Where an index leads to a row: sorted as if the two encodings stood in a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) key: IndexKey,
    pub(crate) row: Bytes,
}

/// A bound of a walk: an index key, perhaps with a part of a row's key behind it.
struct Edge<'a>(&'a [u8]);

/// Compares `key` followed by `row` with `bytes`.
pub(crate) fn compare_joined(key: &[u8], row: &[u8], bytes: &[u8]) -> Ordering {
    match bytes.split_at_checked(key.len()) {
        Some((first, rest)) => key.cmp(first).then_with(|| row.cmp(rest)),
        None => key.cmp(bytes),
    }
}

impl Equivalent<Place> for Edge<'_> {
    fn equivalent(&self, place: &Place) -> bool {
        self.compare(place).is_eq()
    }
}

impl Comparable<Place> for Edge<'_> {
    fn compare(&self, place: &Place) -> Ordering {
        compare_joined(&place.key, &place.row, self.0).reverse()
    }
}

/// The rows of a table by the keys of one index.
#[derive(Clone, Default)]
pub(crate) struct IndexMap(pub(crate) OrdMap<Place, ()>);

impl IndexMap {
    /// Walks the places inside the span.
    pub(crate) fn walk(&self, span: &Span) -> Option<RangedIter<'_, Place, (), DefaultSharedPtr>> {
        let (from, to) = span.as_bounds()?;
        Some(self.0.range::<_, Edge<'_>>((edge(from), edge(to))))
    }

    /// The key's bytes as the rows that are there under it have them.
    fn shared(&self, key: &IndexKey) -> Option<IndexKey> {
        let (place, ()) = self.0.get_next(&Edge(key))?;
        (place.key == *key).then(|| place.key.clone())
    }
}

fn edge(bound: Bound<&[u8]>) -> Bound<Edge<'_>> {
    bound.map(Edge)
}

/// All indexes of one table.
#[derive(Clone, Default)]
pub(crate) struct Indexes(pub(crate) Vec<IndexMap>);

impl Indexes {
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![IndexMap::default(); count])
    }

    pub(crate) fn of(&self, index: u16) -> &IndexMap {
        &self.0[usize::from(index)]
    }

    /// Lets a new row's keys share the bytes of those that are there.
    pub(crate) fn share(&self, keys: &mut IndexKeys) {
        for key in keys.iter_mut() {
            if let Some(shared) = self.of(key.index()).shared(key) {
                *key = shared;
            }
        }
    }

    /// Moves a row from its old places to its new ones.
    pub(crate) fn replace(&mut self, row: &Bytes, old: &IndexKeys, new: &IndexKeys) {
        for key in old.iter().filter(|key| !new.contains(key)) {
            let place = Place { key: key.clone(), row: row.clone() };
            self.0[usize::from(key.index())].0.remove(&place);
        }
        for key in new.iter().filter(|key| !old.contains(key)) {
            let place = Place { key: key.clone(), row: row.clone() };
            self.0[usize::from(key.index())].0.insert(place, ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_parts_compare_as_one() {
        for bytes in ["", "a", "ab", "abc", "abcd", "abd", "b", "aa"] {
            for (key, row) in [("ab", "c"), ("", "abc"), ("abc", ""), ("a", "bc")] {
                let joined = format!("{key}{row}");
                let expected = joined.as_bytes().cmp(bytes.as_bytes());
                assert_eq!(
                    compare_joined(key.as_bytes(), row.as_bytes(), bytes.as_bytes()),
                    expected
                );
            }
        }
    }
}
