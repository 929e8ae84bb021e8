//! Totals: what the rows under each key of an index amount to. Kept as rows come and go, so that who
//! asks need not read them one by one.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use imbl::OrdMap;

use crate::bytes::IndexKey;
use crate::index::IndexKeys;
use crate::state::Entry;

/// How many figures a total has.
pub const FIGURES: usize = 5;

/// What rows amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many rows there are.
    pub rows: u64,
    /// The sum of each of their figures.
    pub figures: [u64; FIGURES],
}

impl Total {
    // All of it is sums of what the rows have: what is taken away was added before.
    fn add(&mut self, figures: [u64; FIGURES]) {
        self.rows += 1;
        for (sum, figure) in self.figures.iter_mut().zip(figures) {
            *sum = sum.wrapping_add(figure);
        }
    }

    fn take(&mut self, figures: [u64; FIGURES]) {
        self.rows -= 1;
        for (sum, figure) in self.figures.iter_mut().zip(figures) {
            *sum = sum.wrapping_sub(figure);
        }
    }
}

/// Gives the figures of a row, whose type only its table knows.
pub(crate) type FiguresOf = dyn Fn(&(dyn Any + Send + Sync)) -> [u64; FIGURES] + Send + Sync;

/// What is to be summed.
#[derive(Clone)]
pub(crate) struct TotalSpec {
    /// The index under whose keys.
    pub(crate) index: u16,
    pub(crate) figures: Arc<FiguresOf>,
}

/// All totals of one table.
#[derive(Clone, Default)]
pub(crate) struct TotalsState(Vec<(TotalSpec, OrdMap<IndexKey, Total>)>);

impl TotalsState {
    /// Those of a table without rows.
    pub(crate) fn new(specs: &[TotalSpec]) -> Self {
        Self(specs.iter().map(|spec| (spec.clone(), OrdMap::new())).collect())
    }

    /// The total under a key.
    pub(crate) fn of(&self, number: u16, key: &IndexKey) -> Total {
        let totals = self.0.get(usize::from(number)).map(|(_, totals)| totals);
        totals.and_then(|totals| totals.get(key)).copied().unwrap_or_default()
    }

    /// Moves a row from its old state to its new one.
    pub(crate) fn replace(&mut self, before: Option<&Entry>, after: Option<&Entry>) {
        for (spec, totals) in &mut self.0 {
            let figures = |entry: &Entry| (spec.figures)(&*entry.value);
            let (old, new) = (before.map(figures), after.map(figures));
            let none = IndexKeys::default();
            let from = before.map_or(&none, |entry| &entry.index_keys).of(spec.index);
            let to = after.map_or(&none, |entry| &entry.index_keys).of(spec.index);
            if old == new && from.clone().eq(to.clone()) {
                continue;
            }
            for key in from {
                let Some(figures) = old else { continue };
                let mut total = totals.get(key).copied().unwrap_or_default();
                total.take(figures);
                match total.rows {
                    0 => totals.remove(key),
                    _ => totals.insert(key.clone(), total),
                };
            }
            for key in to {
                let Some(figures) = new else { continue };
                let mut total = totals.get(key).copied().unwrap_or_default();
                total.add(figures);
                totals.insert(key.clone(), total);
            }
        }
    }
}

/// Totals of rows that come all at once.
pub(crate) struct Summing(Vec<(TotalSpec, HashMap<IndexKey, Total>)>);

impl Summing {
    pub(crate) fn new(specs: &[TotalSpec]) -> Self {
        Self(specs.iter().map(|spec| (spec.clone(), HashMap::new())).collect())
    }

    pub(crate) fn take(&mut self, entry: &Entry) {
        for (spec, totals) in &mut self.0 {
            let mut keys = entry.index_keys.of(spec.index).peekable();
            if keys.peek().is_none() {
                continue;
            }
            let figures = (spec.figures)(&*entry.value);
            keys.for_each(|key| totals.entry(key.clone()).or_default().add(figures));
        }
    }

    pub(crate) fn finish(self) -> TotalsState {
        let made = |(spec, totals): (TotalSpec, HashMap<IndexKey, Total>)| {
            (spec, totals.into_iter().collect())
        };
        TotalsState(self.0.into_iter().map(made).collect())
    }
}
