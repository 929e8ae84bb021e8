//! Layers from node to node: what agents that hand them out say, and what they are told. In memory,
//! of the server that the agents are connected to: the one that leads.

use std::collections::BTreeMap;

use agent_protocol::layers::{
    HeldLayer, LayerEnded, LayerFrom, LayerPeer, LayerWanted, LayersHeld, MAX_LAYERS_PER_FRAME,
    MAX_NAME_BYTES, PeerServing, PeerTrouble, PeersKnown,
};
use agent_protocol::node::ServerMessage;
use parking_lot::Mutex;
use peering::{Answer, Ending, LayerKey, Source, TicketKey, Tracker, Trouble, Want};
use terms::{ContainerInstanceArn, Timestamp};

/// How long after it was written a ticket opens a transfer: at once, but clocks differ.
const TICKET_LIFE: std::time::Duration = std::time::Duration::from_secs(900);
/// The most nodes that an agent may want to avoid.
const AVOID_MAX: usize = 64;

/// What is to be sent, and to whom.
pub(crate) type Letters = Vec<(ContainerInstanceArn, ServerMessage)>;

/// Who has which layer, of the nodes that are connected.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tracker: Tracker<ContainerInstanceArn>,
    serving: BTreeMap<ContainerInstanceArn, Serving>,
}

/// Where a node hands layers out.
#[derive(Debug)]
struct Serving {
    url: String,
    name: String,
    key: TicketKey,
}

impl Layers {
    /// A node hands layers out from now on. None if what it says cannot be used.
    pub(crate) fn serving(
        &self,
        instance: &ContainerInstanceArn,
        told: PeerServing,
    ) -> Option<ServerMessage> {
        let PeerServing { url, name, key } = told;
        let is_url = url.starts_with("http://") || url.starts_with("https://");
        let is_short = url.len() <= MAX_NAME_BYTES && name.len() <= MAX_NAME_BYTES;
        let key = TicketKey::of_text(&key).ok().filter(|_| is_url && is_short)?;
        let mut state = self.state.lock();
        state.tracker.joined(instance);
        state.serving.insert(instance.clone(), Serving { url, name, key });
        Some(PeersKnown {}.into())
    }

    /// It has these.
    pub(crate) fn held(
        &self,
        instance: &ContainerInstanceArn,
        told: LayersHeld,
        now: Timestamp,
    ) -> Letters {
        let layers = told.layers.into_iter().take(MAX_LAYERS_PER_FRAME).filter_map(key);
        let mut state = self.state.lock();
        let answers = state.tracker.held(instance, layers, now);
        state.letters(answers, now)
    }

    /// It wants one. `is_allowed`: whether one of its tasks has an image of that repository; for
    /// others nobody is named, nor does anybody wait for it.
    pub(crate) fn wanted(
        &self,
        instance: &ContainerInstanceArn,
        told: LayerWanted,
        is_allowed: bool,
        now: Timestamp,
    ) -> Letters {
        let LayerWanted { request_id: request, layer, size_bytes, avoid, .. } = told;
        let Some(layer) = key(layer).filter(|_| is_allowed) else {
            let letter = LayerFrom { request_id: request, peer: None };
            return vec![(instance.clone(), letter.into())];
        };
        let avoid = avoid.iter().take(AVOID_MAX).filter_map(|id| id.parse().ok()).collect();
        let mut state = self.state.lock();
        let want = Want { request, size_bytes, avoid };
        let answers = state.tracker.wanted(instance, layer, want, now);
        state.letters(answers, now)
    }

    /// It has one now, or will not.
    pub(crate) fn ended(
        &self,
        instance: &ContainerInstanceArn,
        told: LayerEnded,
        now: Timestamp,
    ) -> Letters {
        let Some(layer) = key(told.layer) else { return Letters::new() };
        let ending = match (told.is_here, told.trouble) {
            (true, _) => Ending::Here,
            (false, trouble) => Ending::Failed(trouble.map(|trouble| match trouble {
                PeerTrouble::Gone => Trouble::Gone,
                PeerTrouble::Unreachable => Trouble::Unreachable,
                PeerTrouble::Slow => Trouble::Slow,
                PeerTrouble::Corrupt => Trouble::Corrupt,
            })),
        };
        let mut state = self.state.lock();
        let answers = state.tracker.ended(instance, &layer, ending, now);
        state.letters(answers, now)
    }

    /// The agent is away: nobody is sent to it, nobody waits for it.
    pub(crate) fn gone(&self, instance: &ContainerInstanceArn, now: Timestamp) -> Letters {
        let mut state = self.state.lock();
        state.serving.remove(instance);
        let answers = state.tracker.gone(instance, now);
        state.letters(answers, now)
    }

    /// Gives those up who take too long.
    pub(crate) fn tick(&self, now: Timestamp) -> Letters {
        let mut state = self.state.lock();
        let answers = state.tracker.tick(now);
        state.letters(answers, now)
    }

    /// Forgets all.
    pub(crate) fn forget_all(&self) {
        *self.state.lock() = State::default();
    }
}

impl State {
    fn letters(&self, answers: Vec<Answer<ContainerInstanceArn>>, now: Timestamp) -> Letters {
        let letter = |answer: Answer<ContainerInstanceArn>| {
            let peer = match &answer.source {
                Source::Registry => None,
                Source::Peer(peer) => self.ticket(&answer, peer, now),
            };
            (answer.node, LayerFrom { request_id: answer.request, peer }.into())
        };
        answers.into_iter().map(letter).collect()
    }

    /// What the one shows the other.
    fn ticket(
        &self,
        answer: &Answer<ContainerInstanceArn>,
        peer: &ContainerInstanceArn,
        now: Timestamp,
    ) -> Option<LayerPeer> {
        let (bearer, serving) = (self.serving.get(&answer.node)?, self.serving.get(peer)?);
        let ticket = serving.key.write(&answer.layer.digest, &bearer.name, now + TICKET_LIFE);
        let (name, url) = (serving.name.clone(), serving.url.clone());
        Some(LayerPeer { id: peer.to_string(), name, url, ticket })
    }
}

/// The layer, if it is called as layers are.
fn key(layer: HeldLayer) -> Option<LayerKey> {
    let HeldLayer { repository, digest } = layer;
    let hex = digest.strip_prefix("sha256:")?;
    let is_digest = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_fine = is_digest && (1..=MAX_NAME_BYTES).contains(&repository.len());
    is_fine.then(|| LayerKey { repository: repository.into(), digest: digest.into() })
}
