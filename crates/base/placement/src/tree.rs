//! An order of instances in which the first that fits is found without looking at the others.
//!
//! A treap (Seidel and Aragon 1996): a search tree by [`Key`] that is at the same time a heap by a
//! number mixed from the instance's id. Each node knows how many nodes are below it and the most
//! that is free on any of them, so a search passes by what cannot fit. What a tree looks like
//! depends on its entries alone, never on the way to them.
//!
//! Changes, ranks and searches for one resource take time logarithmic in the number of entries.
//! Where several resources must fit at once a search may look into parts that hold one of each,
//! but not on the same instance.

use std::cmp::Ordering;
use std::ops::Range;

use crate::room::{Need, Room};
use crate::seed;

/// A place in the order: by three figures, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    rank: u128,
    id: u128,
}

impl Key {
    /// The least key.
    pub(crate) const LEAST: Self = Self { rank: 0, id: 0 };

    /// The key of the instance `id` with these figures, the first of which weighs most.
    pub(crate) fn new(level: u64, first: u32, second: u32, id: u128) -> Self {
        Self { rank: u128::from(level) << 64 | u128::from(first) << 32 | u128::from(second), id }
    }

    /// The least key with these figures.
    pub(crate) fn from(level: u64, first: u32) -> Self {
        Self::new(level, first, 0, 0)
    }

    /// The figure that weighs most.
    pub(crate) fn level(self) -> u64 {
        u64::try_from(self.rank >> 64).unwrap_or(u64::MAX)
    }

    /// The keys with the same three figures, from this on.
    pub(crate) fn ties(self) -> Range<Self> {
        self..Self { rank: self.rank + 1, id: 0 }
    }

    /// The keys with the same first two figures.
    pub(crate) fn near(self) -> Range<Self> {
        let rank = self.rank >> 32 << 32;
        Self { rank, id: 0 }..Self { rank: rank + (1 << 32), id: 0 }
    }
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Node {
    key: Key,
    room: Room,
    /// Of the node and all below.
    best: Room,
    /// Higher up is who has more.
    weight: u64,
    /// Nodes here and below.
    size: u32,
    left: u32,
    right: u32,
    slot: u32,
}

/// Instances in order, by the numbers of their slots.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
}

/// What to look for.
pub(crate) struct Search<'a> {
    /// Where.
    pub(crate) range: Range<Key>,
    /// What must be free.
    pub(crate) need: Need,
    /// Entries that do not count: those that stand in this tree with the same key.
    pub(crate) except: Option<&'a Tree>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), root: NONE }
    }
}

impl Tree {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.size(self.root)
    }

    /// Adds an entry; there is none with its key.
    pub(crate) fn insert(&mut self, key: Key, room: Room, slot: u32) {
        let weight = seed::mix(key.id as u64 ^ seed::mix((key.id >> 64) as u64));
        let node = Node { key, room, best: room, weight, size: 1, left: NONE, right: NONE, slot };
        let new = if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("slots are numbered in 32 bits")
        };
        self.root = self.put(self.root, new);
    }

    /// Has the entry with this key say that `room` is free; there may be none yet.
    pub(crate) fn set(&mut self, key: Key, room: Room, slot: u32) {
        if !self.change(self.root, key, room) {
            self.insert(key, room, slot);
        }
    }

    /// Takes the entry with this key away; there is one.
    pub(crate) fn remove(&mut self, key: Key) {
        self.root = self.cut(self.root, key);
    }

    /// How many entries have a lesser key.
    pub(crate) fn rank(&self, key: Key) -> usize {
        self.locate(key).0
    }

    /// The entry that this many others precede.
    pub(crate) fn nth(&self, mut rank: usize) -> Option<(Key, Room, u32)> {
        let mut at = self.root;
        while at != NONE {
            let node = &self.nodes[at as usize];
            let before = self.size(node.left);
            if rank == before {
                return Some((node.key, node.room, node.slot));
            }
            if rank < before {
                at = node.left;
            } else {
                rank -= before + 1;
                at = node.right;
            }
        }
        None
    }

    /// Whether an entry has this key.
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.locate(key).1
    }

    /// The first entry in range where all that is needed is free and that `accept` takes. Entries
    /// that `accept` refuses cost a call each.
    pub(crate) fn first(
        &self,
        search: &Search<'_>,
        accept: &mut dyn FnMut(Key, u32) -> bool,
    ) -> Option<(Key, u32)> {
        let excepted = (0, search.except.map_or(0, Self::len));
        self.walk(self.root, search, excepted, accept)
    }

    /// `excepted` are the ranks in `search.except` between which those below `at` stand.
    fn walk(
        &self,
        at: u32,
        search: &Search<'_>,
        excepted: (usize, usize),
        accept: &mut dyn FnMut(Key, u32) -> bool,
    ) -> Option<(Key, u32)> {
        if at == NONE {
            return None;
        }
        let node = &self.nodes[at as usize];
        if !search.need.fits(&node.best) || excepted.1 - excepted.0 == node.size as usize {
            return None;
        }
        let (before, is_excepted) =
            search.except.map_or((0, false), |except| except.locate(node.key));
        if node.key >= search.range.start {
            let found = self.walk(node.left, search, (excepted.0, before), accept);
            if found.is_some() {
                return found;
            }
        }
        if node.key >= search.range.end {
            return None;
        }
        let good = node.key >= search.range.start && !is_excepted && search.need.fits(&node.room);
        if good && accept(node.key, node.slot) {
            return Some((node.key, node.slot));
        }
        let before = before + usize::from(is_excepted);
        self.walk(node.right, search, (before, excepted.1), accept)
    }

    /// How many entries have a lesser key, and whether one has this.
    fn locate(&self, key: Key) -> (usize, bool) {
        let (mut at, mut before) = (self.root, 0);
        while at != NONE {
            let node = &self.nodes[at as usize];
            if key < node.key {
                at = node.left;
                continue;
            }
            before += self.size(node.left);
            if key == node.key {
                return (before, true);
            }
            before += 1;
            at = node.right;
        }
        (before, false)
    }

    fn size(&self, at: u32) -> usize {
        if at == NONE { 0 } else { self.nodes[at as usize].size as usize }
    }

    /// Counts again what is at and below `at`.
    fn sum(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let (mut best, mut size) = (node.room, 1);
        for child in [node.left, node.right] {
            if child != NONE {
                let child = &self.nodes[child as usize];
                best = best.either(child.best);
                size += child.size;
            }
        }
        let node = &mut self.nodes[at as usize];
        (node.best, node.size) = (best, size);
    }

    /// Whether there was an entry to change.
    fn change(&mut self, at: u32, key: Key, room: Room) -> bool {
        if at == NONE {
            return false;
        }
        let node = &mut self.nodes[at as usize];
        let found = match key.cmp(&node.key) {
            Ordering::Equal => {
                node.room = room;
                true
            }
            Ordering::Less => {
                let left = node.left;
                self.change(left, key, room)
            }
            Ordering::Greater => {
                let right = node.right;
                self.change(right, key, room)
            }
        };
        if found {
            self.sum(at);
        }
        found
    }

    /// Puts `new` below `root`, or above it if it weighs more.
    fn put(&mut self, root: u32, new: u32) -> u32 {
        if root == NONE {
            return new;
        }
        let order = |node: &Node| (node.weight, node.key);
        let (above, key) = (&self.nodes[root as usize], self.nodes[new as usize].key);
        if order(&self.nodes[new as usize]) > order(above) {
            let (left, right) = self.split(root, key);
            let node = &mut self.nodes[new as usize];
            (node.left, node.right) = (left, right);
            self.sum(new);
            return new;
        }
        if key < above.key {
            let left = self.put(above.left, new);
            self.nodes[root as usize].left = left;
        } else {
            let right = self.put(above.right, new);
            self.nodes[root as usize].right = right;
        }
        self.sum(root);
        root
    }

    /// Parts what is below `at` into lesser keys than `key` and the others.
    fn split(&mut self, at: u32, key: Key) -> (u32, u32) {
        if at == NONE {
            return (NONE, NONE);
        }
        let node = &self.nodes[at as usize];
        let parts = if node.key < key {
            let (less, more) = self.split(node.right, key);
            self.nodes[at as usize].right = less;
            (at, more)
        } else {
            let (less, more) = self.split(node.left, key);
            self.nodes[at as usize].left = more;
            (less, at)
        };
        self.sum(at);
        parts
    }

    fn cut(&mut self, at: u32, key: Key) -> u32 {
        assert!(at != NONE, "an entry is removed by the key that it was inserted with");
        let node = &self.nodes[at as usize];
        if node.key == key {
            let (left, right) = (node.left, node.right);
            self.free.push(at);
            return self.join(left, right);
        }
        if key < node.key {
            let left = self.cut(node.left, key);
            self.nodes[at as usize].left = left;
        } else {
            let right = self.cut(node.right, key);
            self.nodes[at as usize].right = right;
        }
        self.sum(at);
        at
    }

    /// Joins two trees, all keys of the first of which are lesser.
    fn join(&mut self, left: u32, right: u32) -> u32 {
        if left == NONE || right == NONE {
            return if left == NONE { right } else { left };
        }
        let (l, r) = (&self.nodes[left as usize], &self.nodes[right as usize]);
        if (l.weight, l.key) > (r.weight, r.key) {
            let below = self.join(l.right, right);
            self.nodes[left as usize].right = below;
            self.sum(left);
            return left;
        }
        let below = self.join(left, r.left);
        self.nodes[right as usize].left = below;
        self.sum(right);
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    /// Entries with few different figures, of which some are in a second tree, too.
    fn entries(seed: &mut Seed) -> Vec<(Key, Room, bool)> {
        let mut entry = |id: u128| {
            let (memory, cpu) = (seed.below(6) as u32, seed.below(6) as u32);
            let room = Room { cpu, memory, ..Room::default() };
            (Key::new(0, memory, cpu, id), room, seed.below(3) > 0)
        };
        (0..60).map(&mut entry).collect()
    }

    #[test]
    fn searches_find_what_a_scan_finds() {
        for seed in 0..200 {
            let mut seed = Seed::new(seed);
            let mut entries = entries(&mut seed);
            let (mut tree, mut except) = (Tree::default(), Tree::default());
            for (slot, (key, room, excepted)) in (0..).zip(&entries) {
                tree.insert(*key, *room, slot);
                if *excepted {
                    except.insert(*key, Room::default(), slot);
                }
            }
            for (key, _, excepted) in entries.drain(..20) {
                tree.remove(key);
                if excepted {
                    except.remove(key);
                }
            }
            entries.sort_by_key(|(key, ..)| *key);
            for (rank, (key, ..)) in entries.iter().enumerate() {
                assert_eq!(tree.rank(*key), rank);
                assert_eq!(tree.nth(rank).map(|(key, ..)| key), Some(*key));
            }
            let need = Need { cpu: seed.below(6) as u32, ..Need::default() };
            let range = Key::from(0, seed.below(6) as u32)..Key::from(0, seed.below(8) as u32);
            let search = Search { range: range.clone(), need, except: Some(&except) };
            let found = tree.first(&search, &mut |_, _| true).map(|(key, _)| key);
            let scanned = entries
                .iter()
                .find(|(key, room, excepted)| range.contains(key) && need.fits(room) && !excepted);
            assert_eq!(found, scanned.map(|(key, ..)| *key));
        }
    }
}
