//! Who has which layer, who fetches it from where, and who waits.

mod layer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use terms::Timestamp;

use layer::{From, Layer, Waiting};

/// The most nodes that fetch one layer from the registry at a time.
pub const LEASES_MAX: usize = 3;
/// The most layers that a node hands out at a time, whichever they are.
pub const UPLOADS_MAX: usize = 4;
/// So many nodes complain of one before it is named no more for a layer.
const COMPLAINTS_MAX: usize = 2;
/// The most layers of one node that are known.
const HELD_MAX: usize = 16_384;
/// The most layers that one node fetches or waits for; beyond, it asks the registry.
const AT_WORK_MAX: usize = 256;
/// How long fetching a layer may take, however small it is.
const ALLOWED_AT_LEAST: Duration = Duration::from_secs(30);
/// With so much more time for its size: whoever is slower holds nobody up.
const ALLOWED_BYTES_PER_SECOND: u64 = 4 * 1024 * 1024;

/// How long a node may be at work on a layer of this size until it is taken for lost.
pub fn allowed(size_bytes: u64) -> Duration {
    ALLOWED_AT_LEAST + Duration::from_secs(size_bytes / ALLOWED_BYTES_PER_SECOND)
}

/// A layer of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerKey {
    /// [`crate::repository_of`] its image.
    pub repository: Arc<str>,
    /// The blob's digest, with its algorithm.
    pub digest: Arc<str>,
}

/// What a node asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want<N> {
    /// The node's own number for it; comes back in the answer.
    pub request: u64,
    /// How long the layer is.
    pub size_bytes: u64,
    /// Nodes that it would not go to again.
    pub avoid: BTreeSet<N>,
}

/// Where a node is to fetch a layer from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source<N> {
    /// From the registry.
    Registry,
    /// From this node, which has it.
    Peer(N),
}

/// What a node is told, some time after it asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<N> {
    /// Who asked.
    pub node: N,
    /// Its number for it.
    pub request: u64,
    /// The layer.
    pub layer: LayerKey,
    /// Where from.
    pub source: Source<N>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The node has the layer.
    Here,
    /// It has not, and perhaps the node that it went to is to blame.
    Failed(Option<Trouble>),
}

/// What a node says of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It has the layer no more.
    Gone,
    /// It cannot be reached, breaks off, or refuses.
    Unreachable,
    /// It sends too little.
    Slow,
    /// It sent other bytes than the digest says.
    Corrupt,
}

/// What is known of the nodes that take part, for as long as they are connected.
#[derive(Debug)]
pub struct Tracker<N> {
    nodes: BTreeMap<N, Node>,
    layers: BTreeMap<LayerKey, Layer<N>>,
    /// The layers that somebody fetches or waits for.
    busy: BTreeSet<LayerKey>,
}

#[derive(Debug, Default)]
struct Node {
    holds: BTreeSet<LayerKey>,
    at_work: BTreeSet<LayerKey>,
    uploads: usize,
}

impl<N> Default for Tracker<N> {
    fn default() -> Self {
        Self { nodes: BTreeMap::new(), layers: BTreeMap::new(), busy: BTreeSet::new() }
    }
}

impl<N: Ord + Clone> Tracker<N> {
    /// A node takes part from now on; of one that does already, all stays as it is.
    pub fn joined(&mut self, node: &N) {
        self.nodes.entry(node.clone()).or_default();
    }

    /// A node says which layers it has. Of one that takes no part, or has too many, nothing is kept.
    pub fn held(
        &mut self,
        node: &N,
        layers: impl IntoIterator<Item = LayerKey>,
        now: Timestamp,
    ) -> Vec<Answer<N>> {
        layers.into_iter().for_each(|layer| self.hold(node, layer));
        self.settle(now)
    }

    fn hold(&mut self, node: &N, layer: LayerKey) {
        let Some(state) = self.nodes.get_mut(node) else { return };
        if state.holds.len() < HELD_MAX {
            state.holds.insert(layer.clone());
            let layer = self.layers.entry(layer).or_default();
            layer.holders.entry(node.clone()).or_default();
        }
    }

    /// A node asks where to fetch a layer from. The answer may come much later, with another call.
    /// Asked again before that, its place among those who wait stays; after it, what it was told
    /// counts as failed.
    pub fn wanted(
        &mut self,
        node: &N,
        layer: LayerKey,
        want: Want<N>,
        now: Timestamp,
    ) -> Vec<Answer<N>> {
        let room = self.nodes.get(node).is_some_and(|state| {
            state.at_work.len() < AT_WORK_MAX || state.at_work.contains(&layer)
        });
        if !room {
            let (node, request) = (node.clone(), want.request);
            return vec![Answer { node, request, layer, source: Source::Registry }];
        }
        self.lost_work(node, &layer);
        self.lost_layer(node, &layer);
        let wanted = self.layers.entry(layer.clone()).or_default();
        match wanted.waiting.iter_mut().find(|waiting| waiting.node == *node) {
            Some(waiting) => waiting.want = want,
            None => wanted.waiting.push_back(Waiting { node: node.clone(), want }),
        }
        if let Some(state) = self.nodes.get_mut(node) {
            state.at_work.insert(layer.clone());
        }
        self.busy.insert(layer);
        self.settle(now)
    }

    /// A node has fetched a layer, or will not: also one that gives up waiting, or found another way.
    pub fn ended(
        &mut self,
        node: &N,
        layer: &LayerKey,
        ending: Ending,
        now: Timestamp,
    ) -> Vec<Answer<N>> {
        if let Some(state) = self.nodes.get_mut(node) {
            state.at_work.remove(layer);
        }
        if let Some(known) = self.layers.get_mut(layer) {
            known.waiting.retain(|waiting| waiting.node != *node);
            match (known.work.remove(node).map(|work| work.from), ending) {
                (Some(From::Registry), Ending::Failed(_)) => known.lost += 1,
                (Some(From::Peer(peer)), ending) => {
                    self.freed(&peer);
                    if let Ending::Failed(Some(trouble)) = ending {
                        self.complained(node, &peer, layer, trouble);
                    }
                }
                (Some(From::Registry | From::Nobody) | None, _) => {}
            }
        }
        if ending == Ending::Here {
            self.hold(node, layer.clone());
        }
        self.settle(now)
    }

    /// A node is not connected any more: nobody is sent to it, nobody waits for it.
    pub fn gone(&mut self, node: &N, now: Timestamp) -> Vec<Answer<N>> {
        let Some(state) = self.nodes.remove(node) else { return Vec::new() };
        for layer in &state.at_work {
            self.lost_work(node, layer);
            if let Some(layer) = self.layers.get_mut(layer) {
                layer.waiting.retain(|waiting| waiting.node != *node);
            }
        }
        for layer in &state.holds {
            self.lost_layer(node, layer);
        }
        for layer in &self.busy {
            let works = self.layers.get_mut(layer).into_iter().flat_map(|l| l.work.values_mut());
            works.filter(|work| work.from == From::Peer(node.clone())).for_each(|work| {
                work.from = From::Nobody;
            });
        }
        self.settle(now)
    }

    /// Takes those for lost who have been at work for too long. To be called every now and then.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Answer<N>> {
        for layer in self.busy.clone() {
            let Some(known) = self.layers.get(&layer) else { continue };
            let late = known.work.iter().filter(|(_, work)| work.until < now);
            let late: Vec<_> = late.map(|(node, _)| node.clone()).collect();
            for node in late {
                self.lost_work(&node, &layer);
                if let Some(state) = self.nodes.get_mut(&node) {
                    state.at_work.remove(&layer);
                }
            }
        }
        self.settle(now)
    }

    /// How many nodes are known to have the layer.
    pub fn holders(&self, layer: &LayerKey) -> usize {
        self.layers.get(layer).map_or(0, |layer| layer.holders.len())
    }

    /// A node has the layer no more.
    fn lost_layer(&mut self, node: &N, layer: &LayerKey) {
        if let Some(state) = self.nodes.get_mut(node) {
            state.holds.remove(layer);
        }
        if let Some(layer) = self.layers.get_mut(layer)
            && layer.holders.remove(node).is_some()
        {
            layer.lost += 1;
        }
    }

    /// A node is not at work on the layer any more, and got nothing.
    fn lost_work(&mut self, node: &N, layer: &LayerKey) {
        let Some(layer) = self.layers.get_mut(layer) else { return };
        match layer.work.remove(node).map(|work| work.from) {
            Some(From::Registry) => layer.lost += 1,
            Some(From::Peer(peer)) => self.freed(&peer),
            Some(From::Nobody) | None => {}
        }
    }

    fn freed(&mut self, peer: &N) {
        if let Some(peer) = self.nodes.get_mut(peer) {
            peer.uploads = peer.uploads.saturating_sub(1);
        }
    }

    fn complained(&mut self, by: &N, of: &N, layer: &LayerKey, trouble: Trouble) {
        let known = self.layers.get_mut(layer);
        let Some(complaints) = known.and_then(|layer| layer.holders.get_mut(of)) else { return };
        complaints.insert(by.clone());
        if trouble == Trouble::Gone || complaints.len() >= COMPLAINTS_MAX {
            self.lost_layer(of, layer);
        }
    }

    /// Tells all that can be told now, and forgets what nobody has or wants.
    fn settle(&mut self, now: Timestamp) -> Vec<Answer<N>> {
        let mut answers = Vec::new();
        let nodes = &mut self.nodes;
        self.busy.retain(|key| {
            let Some(layer) = self.layers.get_mut(key) else { return false };
            layer.serve(key, nodes, now, &mut answers);
            if layer.is_forgotten() {
                self.layers.remove(key);
                return false;
            }
            layer.is_busy()
        });
        answers
    }
}
