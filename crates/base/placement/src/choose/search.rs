//! The best instance of a class.

use std::cell::RefCell;
use std::ops::Range;

use super::Ask;
use super::wish::Tasks;
use crate::Constraint;
use crate::class::ClassId;
use crate::fleet::Fleet;
use crate::group::Holders;
use crate::room::Order;
use crate::seed::Seed;
use crate::tree::{Key, Search, Tree};

/// Draws before a search by chance turns to the next that fits after a random place.
const DRAWS: usize = 8;

/// How far the search in one class has come. What did not fit one task of a request fits none of
/// those after it, so nothing is looked at twice.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// How many tasks of the group the instances have that are searched now.
    level: u64,
    /// No instance before this place fits.
    from: Key,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { level: 0, from: Key::LEAST }
    }
}

/// What a search reads.
pub(super) struct Class<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) ask: &'a Ask<'a>,
    pub(super) class: ClassId,
    /// Those of the request's constraints that each instance must be asked about.
    pub(super) open: &'a [usize],
    /// Instances that did not fit though the order said that they might.
    pub(super) misled: RefCell<Vec<u32>>,
}

impl<'a> Class<'a> {
    /// The instance that is best for the next task, if one fits.
    pub(super) fn best(&self, cursor: &mut Cursor, seed: &mut Seed) -> Option<u32> {
        let wish = &self.ask.wish;
        match wish.tasks {
            Tasks::Never => self.pick(self.tree(), None, 0, cursor, seed),
            Tasks::None | Tasks::First => self.by_level(cursor, seed),
            Tasks::After { both } => self.least_tasks(both, cursor),
        }
    }

    /// How many instances have what is needed of the resource that orders them.
    pub(super) fn count(&self) -> usize {
        let tree = self.tree();
        tree.len() - tree.rank(self.start(0))
    }

    /// Whether an instance takes one more task. What concerns its class is not asked again.
    pub(super) fn takes(&self, slot: u32) -> bool {
        let Ask { request, .. } = self.ask;
        let instance = &self.fleet.slot(slot).instance;
        instance.has_room(&request.demand)
            && self.open.iter().all(|&constraint| match &request.constraints[constraint] {
                Constraint::DistinctInstance => instance.tasks_of(&request.group) == 0,
                Constraint::MemberOf(expression) => expression.matches(instance),
            })
    }

    fn tree(&self) -> &'a Tree {
        self.fleet.classes.get(self.class).order(self.ask.wish.order)
    }

    fn holders(&self) -> Option<&'a Holders> {
        self.fleet.groups.holders(self.ask.group, self.class, self.ask.wish.order)
    }

    /// Where instances begin that have enough of the resource that orders them.
    fn start(&self, level: u64) -> Key {
        Key::from(level, self.ask.wish.need.least(self.ask.wish.order))
    }

    /// Before which place nothing will fit, if `key` is the first that does.
    fn bound(&self, key: Key) -> Key {
        // A task that takes nothing of the resource that orders leaves its instance among its
        // equals there, and may move it before them.
        if self.ask.wish.need.least(self.ask.wish.order) == 0 { key.near().start } else { key }
    }

    /// Those without tasks of the group first, then those with one, with two and so on.
    fn by_level(&self, cursor: &mut Cursor, seed: &mut Seed) -> Option<u32> {
        let holders = self.holders();
        loop {
            let found = match (cursor.level, holders) {
                (0, holders) => {
                    self.pick(self.tree(), holders.map(|holders| &holders.plain), 0, cursor, seed)
                }
                (level, Some(holders)) => self.pick(&holders.counted, None, level, cursor, seed),
                (_, None) => None,
            };
            if found.is_some() || self.ask.wish.tasks == Tasks::None {
                return found;
            }
            let counted = &holders?.counted;
            let next = counted.nth(counted.rank(Key::from(cursor.level + 1, 0)))?;
            *cursor = Cursor { level: next.0.level(), from: Key::LEAST };
        }
    }

    /// The best by the order of `tree`, or one by chance, of those on `level`.
    fn pick(
        &self,
        tree: &Tree,
        except: Option<&Tree>,
        level: u64,
        cursor: &mut Cursor,
        seed: &mut Seed,
    ) -> Option<u32> {
        let range = self.start(level)..Key::from(level + 1, 0);
        if self.ask.wish.order == Order::Chance {
            return self.draw(tree, except, range, seed);
        }
        let from = range.start.max(cursor.from);
        let (key, slot) = self.first(tree, except, from..range.end)?;
        cursor.from = self.bound(key);
        let ties = key.ties();
        let others = tree.rank(ties.end) - tree.rank(key);
        if others == 1 {
            return Some(slot);
        }
        Some(self.draw(tree, except, ties, seed).unwrap_or(slot))
    }

    /// One of those in `range`, by chance.
    fn draw(
        &self,
        tree: &Tree,
        except: Option<&Tree>,
        range: Range<Key>,
        seed: &mut Seed,
    ) -> Option<u32> {
        let (low, high) = (tree.rank(range.start), tree.rank(range.end));
        if low == high {
            return None;
        }
        for _ in 0..DRAWS {
            let (key, room, slot) = tree.nth(low + seed.below(high - low))?;
            let excepted = except.is_some_and(|except| except.contains(key));
            if !excepted && self.ask.wish.need.fits(&room) && self.takes(slot) {
                return Some(slot);
            }
        }
        let (middle, ..) = tree.nth(low + seed.below(high - low))?;
        let found = self.first(tree, except, middle..range.end);
        let found = found.or_else(|| self.first(tree, except, range.start..middle));
        found.map(|(_, slot)| slot)
    }

    fn first(&self, tree: &Tree, except: Option<&Tree>, range: Range<Key>) -> Option<(Key, u32)> {
        let search = Search { range, need: self.ask.wish.need, except };
        tree.first(&search, &mut |_, slot| {
            let takes = self.takes(slot);
            if !takes && self.ask.wish.order == Order::Chance {
                self.misled.borrow_mut().push(slot);
            }
            takes
        })
    }

    /// Of those with least left of one resource, or of both, one with fewest tasks of the group.
    fn least_tasks(&self, both: bool, cursor: &mut Cursor) -> Option<u32> {
        let end = Key::from(1, 0);
        let from = self.start(0).max(cursor.from);
        let (key, slot) = self.first(self.tree(), None, from..end)?;
        cursor.from = self.bound(key);
        let Some(holders) = self.holders() else { return Some(slot) };
        let ties = if both { key.ties() } else { key.near() };
        let without = self.first(self.tree(), Some(&holders.plain), ties.clone());
        if let Some((_, slot)) = without {
            return Some(slot);
        }
        let mut best = None;
        let search = Search { range: ties, need: self.ask.wish.need, except: None };
        holders.plain.first(&search, &mut |key, slot| {
            let tasks = self.fleet.slot(slot).instance.tasks_of(&self.ask.request.group);
            if self.takes(slot) && best.is_none_or(|least| (tasks, key, slot) < least) {
                best = Some((tasks, key, slot));
            }
            false
        });
        best.map(|(.., slot)| slot)
    }
}
