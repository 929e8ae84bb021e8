//! A table made of rows that come all at once, as at the start.

use std::collections::HashMap;
use std::sync::Arc;

use imbl::OrdMap;
use parking_lot::Mutex;

use crate::bytes::{Bytes, IndexKey};
use crate::index::{IndexKeys, IndexMap, Indexes, Place};
use crate::state::{Entry, TableState};
use crate::totals::{Summing, TotalSpec};

/// Fewer rows are not worth a thread.
const ROWS_FOR_THREADS: usize = 10_000;

/// A table of these rows, each once. Its maps are made on as many threads.
pub(crate) fn table(
    indexes: usize,
    totals: &[TotalSpec],
    mut rows: Vec<(Bytes, Entry)>,
    mut threads: usize,
) -> TableState {
    if !rows.is_sorted_by(|one, next| one.0 < next.0) {
        rows.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    }
    if rows.len() < ROWS_FOR_THREADS {
        threads = 1;
    }
    let (mut gathering, mut summing) = (Gathering::new(indexes), Summing::new(totals));
    let entries = rows.into_iter().map(|(key, mut entry)| {
        gathering.take(&key, &mut entry.index_keys);
        summing.take(&entry);
        (key, Arc::new(entry))
    });
    let entries = entries.collect();
    let parts = gathering.0.into_iter().enumerate().map(|(number, of)| Part::Index(number, of));
    let parts = Mutex::new(parts.chain([Part::Rows(entries)]));
    let work = || {
        let mut made = Vec::new();
        loop {
            let next = parts.lock().next();
            let Some(part) = next else { return made };
            made.push(part.make());
        }
    };
    let mut made = if threads <= 1 {
        work()
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let made = threads.into_iter().map(|thread| thread.join());
            made.flat_map(|made| made.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    };
    made.sort_unstable_by_key(|(number, _)| *number);
    let totals = summing.finish();
    let mut state = TableState { rows: OrdMap::new(), indexes: Indexes::default(), totals };
    for (_, made) in made {
        match made {
            Made::Index(map) => state.indexes.0.push(map),
            Made::Rows(rows) => state.rows = rows,
        }
    }
    state
}

/// What one map is made of.
enum Part {
    Index(usize, Groups),
    Rows(Vec<(Bytes, Arc<Entry>)>),
}

enum Made {
    Index(IndexMap),
    Rows(OrdMap<Bytes, Arc<Entry>>),
}

impl Part {
    /// The map, and where it stands among the others.
    fn make(self) -> (usize, Made) {
        match self {
            Self::Index(number, groups) => (number, Made::Index(index(groups))),
            Self::Rows(rows) => (usize::MAX, Made::Rows(filled(rows.into_iter()))),
        }
    }
}

fn index(groups: Groups) -> IndexMap {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let places = groups.into_iter().flat_map(|(key, rows)| {
        rows.into_iter().map(move |row| (Place { key: key.clone(), row }, ()))
    });
    IndexMap(filled(places))
}

/// The rows under each key of an index.
type Groups = HashMap<IndexKey, Vec<Bytes>>;

/// The places of rows that come in the order of their keys, by index.
struct Gathering(Vec<Groups>);

impl Gathering {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| HashMap::new()).collect())
    }

    /// Takes the places of the next row, whose keys share their bytes from then on.
    fn take(&mut self, row: &Bytes, keys: &mut IndexKeys) {
        for key in keys.iter_mut() {
            let groups = &mut self.0[usize::from(key.index())];
            if let Some((shared, _)) = groups.get_key_value(key) {
                *key = shared.clone();
            }
            groups.entry(key.clone()).or_default().push(row.clone());
        }
    }
}

/// A map of items that come in order. Every second one goes in first: a row of insertions at the
/// end leaves the nodes of the tree half empty, and the others fill them.
fn filled<K: Ord + Clone, V: Clone>(items: impl Iterator<Item = (K, V)>) -> OrdMap<K, V> {
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

    #[test]
    fn a_table_made_at_once_is_that_of_single_insertions_and_shares_keys() {
        for threads in [1, 3] {
            check(threads);
        }
    }

    fn check(threads: usize) {
        let rows: Vec<Bytes> = (0..ROWS_FOR_THREADS)
            .map(|number| format!("{number:06}").into_bytes().into())
            .collect();
        let keys_of = |number: usize| {
            let shared = IndexKey::new(0, [b"x", b"y", b"z"][number % 3]);
            let own = IndexKey::new(1, format!("{:06}", 999_999 - number).as_bytes());
            IndexKeys::new(vec![shared, own])
        };
        let mut single = Indexes::new(2);
        for (number, row) in rows.iter().enumerate() {
            let mut keys = keys_of(number);
            single.share(&mut keys);
            single.replace(row, &IndexKeys::default(), &keys);
        }
        let entries = rows.iter().enumerate().map(|(number, row)| {
            let index_keys = keys_of(number);
            (row.clone(), Entry { created: 1, version: 1, value: Arc::new(()), index_keys })
        });
        let made = table(2, &[], entries.collect(), threads);
        assert!(made.rows.keys().eq(rows.iter()));
        for index in 0..2 {
            assert!(made.indexes.of(index).0 == single.of(index).0);
        }
        for indexes in [&made.indexes, &single] {
            let all = indexes.of(0).0.keys();
            let of_x: Vec<_> = all.filter(|place| *place.key == *b"x").collect();
            assert_eq!(of_x.len(), ROWS_FOR_THREADS.div_ceil(3));
            assert!(of_x.iter().all(|place| std::ptr::eq(&*place.key, &*of_x[0].key)));
        }
    }
}
