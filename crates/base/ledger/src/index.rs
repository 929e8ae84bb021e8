//! Indexes: which keys lead to a row, and the rows under each key.
//!
//! Rows under one key share its bytes: of a million tasks of one family, the family's key is in
//! memory once.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Bound;

use imbl::OrdMap;
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;

use equivalent::{Comparable, Equivalent};

use crate::schema::Bytes;
use crate::state::Span;

/// The index keys of one row: number of the index and key, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexKeys(Box<[(u16, Bytes)]>);

impl IndexKeys {
    /// Keys in any order, perhaps more than once.
    pub(crate) fn new(mut keys: Vec<(u16, Bytes)>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self(keys.into_boxed_slice())
    }

    /// The keys that one index has of the row.
    pub(crate) fn of(&self, index: u16) -> impl Iterator<Item = &Bytes> {
        self.0.iter().filter(move |(number, _)| *number == index).map(|(_, key)| key)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (u16, Bytes)> {
        self.0.iter()
    }

    fn iter_mut(&mut self) -> std::slice::IterMut<'_, (u16, Bytes)> {
        self.0.iter_mut()
    }

    fn contains(&self, key: &(u16, Bytes)) -> bool {
        self.0.binary_search(key).is_ok()
    }
}

/// Where an index leads to a row: sorted as if the two encodings stood in a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) key: Bytes,
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
pub(crate) struct IndexMap(OrdMap<Place, ()>);

impl IndexMap {
    /// Walks the places inside the span.
    pub(crate) fn walk(&self, span: &Span) -> Option<RangedIter<'_, Place, (), DefaultSharedPtr>> {
        let (from, to) = span.as_bounds()?;
        Some(self.0.range::<_, Edge<'_>>((edge(from), edge(to))))
    }

    /// The key's bytes as the rows that are there under it have them.
    fn shared(&self, key: &Bytes) -> Option<Bytes> {
        let (place, ()) = self.0.get_next(&Edge(key))?;
        (place.key == *key).then(|| place.key.clone())
    }
}

fn edge(bound: Bound<&[u8]>) -> Bound<Edge<'_>> {
    bound.map(Edge)
}

/// All indexes of one table.
#[derive(Clone, Default)]
pub(crate) struct Indexes(Vec<IndexMap>);

impl Indexes {
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![IndexMap::default(); count])
    }

    pub(crate) fn of(&self, index: u16) -> &IndexMap {
        &self.0[usize::from(index)]
    }

    /// Lets a new row's keys share the bytes of those that are there.
    pub(crate) fn share(&self, keys: &mut IndexKeys) {
        for (number, key) in keys.iter_mut() {
            if let Some(shared) = self.of(*number).shared(key) {
                *key = shared;
            }
        }
    }

    /// Moves a row from its old places to its new ones.
    pub(crate) fn replace(&mut self, row: &Bytes, old: &IndexKeys, new: &IndexKeys) {
        for (number, key) in old.iter().filter(|key| !new.contains(key)) {
            let place = Place { key: key.clone(), row: row.clone() };
            self.0[usize::from(*number)].0.remove(&place);
        }
        for (number, key) in new.iter().filter(|key| !old.contains(key)) {
            let place = Place { key: key.clone(), row: row.clone() };
            self.0[usize::from(*number)].0.insert(place, ());
        }
    }
}

/// Gathers the places of rows that come in the order of their keys, and makes the indexes of
/// them in one go.
pub(crate) struct Gathering(Vec<HashMap<Bytes, Group>>);

struct Group {
    key: Bytes,
    rows: Vec<Bytes>,
}

impl Gathering {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| HashMap::new()).collect())
    }

    /// Takes the places of the next row, whose keys share their bytes from then on.
    pub(crate) fn take(&mut self, row: &Bytes, keys: &mut IndexKeys) {
        for (number, key) in keys.iter_mut() {
            let groups = &mut self.0[usize::from(*number)];
            if let Some(group) = groups.get_mut(&**key) {
                *key = group.key.clone();
                group.rows.push(row.clone());
            } else {
                let group = Group { key: key.clone(), rows: vec![row.clone()] };
                groups.insert(key.clone(), group);
            }
        }
    }

    pub(crate) fn finish(self) -> Indexes {
        let index = |groups: HashMap<Bytes, Group>| {
            let mut groups: Vec<Group> = groups.into_values().collect();
            groups.sort_unstable_by(|one, other| one.key.cmp(&other.key));
            let places = groups.into_iter().flat_map(|Group { key, rows }| {
                rows.into_iter().map(move |row| (Place { key: key.clone(), row }, ()))
            });
            IndexMap(filled(places))
        };
        Indexes(self.0.into_iter().map(index).collect())
    }
}

/// A map of items that come in order. Every second one goes in first: a row of insertions at the
/// end leaves the nodes of the tree half empty, and the others fill them.
pub(crate) fn filled<K: Ord + Clone, V: Clone>(
    items: impl Iterator<Item = (K, V)>,
) -> OrdMap<K, V> {
    let mut map = OrdMap::new();
    let mut others = Vec::new();
    for (number, (key, value)) in items.enumerate() {
        if number % 2 == 0 {
            map.insert(key, value);
        } else {
            others.push((key, value));
        }
    }
    for (key, value) in others {
        map.insert(key, value);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        text.as_bytes().into()
    }

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

    #[test]
    fn gathered_indexes_are_those_of_single_insertions_and_share_keys() {
        let rows: Vec<Bytes> = (0..1_000).map(|number| bytes(&format!("{number:04}"))).collect();
        let keys_of = |number: usize| {
            let shared = (0, bytes(["x", "y", "z"][number % 3]));
            IndexKeys::new(vec![shared, (1, bytes(&format!("{:04}", 9_999 - number)))])
        };
        let (mut gathering, mut single) = (Gathering::new(2), Indexes::new(2));
        for (number, row) in rows.iter().enumerate() {
            gathering.take(row, &mut keys_of(number));
            let mut keys = keys_of(number);
            single.share(&mut keys);
            single.replace(row, &IndexKeys::default(), &keys);
        }
        let gathered = gathering.finish();
        for index in 0..2 {
            assert!(gathered.of(index).0 == single.of(index).0);
        }
        for indexes in [&gathered, &single] {
            let all = indexes.of(0).0.keys();
            let of_x: Vec<_> = all.filter(|place| *place.key == *b"x").collect();
            assert_eq!(of_x.len(), 334);
            assert!(of_x.iter().all(|place| std::ptr::eq(&*place.key, &*of_x[0].key)));
        }
    }
}
