//! One layer: its holders, those who fetch it, those who wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use terms::Timestamp;

use super::{Answer, LEASES_MAX, LayerKey, Node, Source, UPLOADS_MAX, Want, allowed};

/// What is known of one layer.
#[derive(Debug)]
pub(super) struct Layer<N> {
    /// Who has it, and who complained of that.
    pub(super) holders: BTreeMap<N, BTreeSet<N>>,
    /// Who fetches it.
    pub(super) work: BTreeMap<N, Work<N>>,
    /// Who waits to be told where from; the first came first.
    pub(super) waiting: VecDeque<Waiting<N>>,
    /// How many were sent to the registry.
    granted: usize,
    /// How many of those, and of the holders, were lost.
    pub(super) lost: usize,
}

/// A node at work.
#[derive(Debug)]
pub(super) struct Work<N> {
    pub(super) from: From<N>,
    /// After this it is taken for lost.
    pub(super) until: Timestamp,
}

/// Where a layer comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum From<N> {
    Registry,
    Peer(N),
    /// From a node that has gone meanwhile.
    Nobody,
}

/// A node that waits.
#[derive(Debug)]
pub(super) struct Waiting<N> {
    pub(super) node: N,
    pub(super) want: Want<N>,
}

impl<N> Default for Layer<N> {
    fn default() -> Self {
        Self {
            holders: BTreeMap::new(),
            work: BTreeMap::new(),
            waiting: VecDeque::new(),
            granted: 0,
            lost: 0,
        }
    }
}

impl<N: Ord + Clone> Layer<N> {
    pub(super) fn is_busy(&self) -> bool {
        !self.work.is_empty() || !self.waiting.is_empty()
    }

    /// Whether nothing of it is worth being kept.
    pub(super) fn is_forgotten(&self) -> bool {
        self.holders.is_empty() && !self.is_busy()
    }

    /// Tells those who wait where to fetch it from, as far as there is a place. Of the nodes that have
    /// it, those with the fewest others at them come first.
    pub(super) fn serve(
        &mut self,
        key: &LayerKey,
        nodes: &mut BTreeMap<N, Node>,
        now: Timestamp,
        answers: &mut Vec<Answer<N>>,
    ) {
        if self.waiting.is_empty() {
            return;
        }
        let uploads = |node: &N| nodes.get(node).map(|state| state.uploads);
        let free = self.holders.keys().filter_map(|node| Some((uploads(node)?, node.clone())));
        let mut free: BTreeSet<_> = free.filter(|(uploads, _)| *uploads < UPLOADS_MAX).collect();
        let mut waiting = std::mem::take(&mut self.waiting);
        while let Some(next) = waiting.pop_front() {
            let Some(from) = self.choose(&next, &mut free, nodes) else {
                self.waiting.push_back(next);
                continue;
            };
            let source = match &from {
                From::Peer(peer) => Source::Peer(peer.clone()),
                From::Registry | From::Nobody => Source::Registry,
            };
            let Waiting { node, want } = next;
            let until = now + allowed(want.size_bytes);
            self.work.insert(node.clone(), Work { from, until });
            answers.push(Answer { node, request: want.request, layer: key.clone(), source });
        }
    }

    /// Where this one may go now; none if it has to wait for somebody who is at work.
    fn choose(
        &mut self,
        next: &Waiting<N>,
        free: &mut BTreeSet<(usize, N)>,
        nodes: &mut BTreeMap<N, Node>,
    ) -> Option<From<N>> {
        let Waiting { node, want } = next;
        let suits = |peer: &N| peer != node && !want.avoid.contains(peer);
        if let Some(found) = free.iter().find(|(_, peer)| suits(peer)).cloned() {
            free.remove(&found);
            let (uploads, peer) = (found.0 + 1, found.1);
            if let Some(state) = nodes.get_mut(&peer) {
                state.uploads = uploads;
            }
            if uploads < UPLOADS_MAX {
                free.insert((uploads, peer.clone()));
            }
            return Some(From::Peer(peer));
        }
        // More than it avoids, itself included: one of them will do, and is at work now.
        let is_held = self.holders.len() > want.avoid.len() + 1 || self.holders.keys().any(suits);
        if is_held {
            return None;
        }
        let leases = self.work.values().filter(|work| work.from == From::Registry).count();
        let may_ask = leases == 0 || (leases < LEASES_MAX && self.granted < LEASES_MAX + self.lost);
        may_ask.then(|| {
            self.granted += 1;
            From::Registry
        })
    }
}
