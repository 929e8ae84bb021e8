//! What is said of layers on the node channel, and who waits for an answer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent_protocol::layers::{
    HeldLayer, LayerEnded, LayerFrom, LayerPeer, LayerWanted, LayersHeld, MAX_LAYERS_PER_FRAME,
};
use agent_protocol::node::AgentMessage;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

/// Without a server that knows of layers for this long, the registry is asked.
const AWAY_MAX: Duration = Duration::from_secs(3);
/// A question without an answer is asked again after this long: one of the two may be lost.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Questions and answers.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// Told when there is something to send.
    wake: Notify,
    /// Whether a server that knows of layers is there.
    is_known: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    last: u64,
    /// Whether somebody waited for the server in vain since a channel began, or none has begun.
    is_vain: bool,
    asked: BTreeMap<u64, Asked>,
    outgoing: VecDeque<AgentMessage>,
}

struct Asked {
    wanted: LayerWanted,
    answer: oneshot::Sender<Option<LayerPeer>>,
}

/// A question that is under way; given up when dropped.
struct Question<'a> {
    desk: &'a Desk,
    id: u64,
    layer: HeldLayer,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if self.desk.state.lock().asked.remove(&self.id).is_some() {
            let (layer, is_here) = (self.layer.clone(), false);
            self.desk.tell(LayerEnded { layer, is_here, trouble: None }.into());
        }
    }
}

impl Desk {
    /// A channel stands; this goes first.
    pub(super) fn opened(&self, first: AgentMessage) {
        let mut state = self.state.lock();
        state.outgoing = VecDeque::from([first]);
        state.is_vain = false;
        drop(state);
        self.wake.notify_one();
    }

    /// It has ended: what was to be sent on it is moot.
    pub(super) fn closed(&self) {
        self.is_known.send_replace(false);
        self.state.lock().outgoing.clear();
    }

    /// The server knows of layers: all questions go to it, also those that another was asked.
    pub(super) fn known(&self) {
        let mut state = self.state.lock();
        let State { asked, outgoing, .. } = &mut *state;
        outgoing.extend(asked.values().map(|asked| asked.wanted.clone().into()));
        drop(state);
        self.is_known.send_replace(true);
        self.wake.notify_one();
    }

    /// These layers are here.
    pub(super) fn held(&self, mut layers: Vec<HeldLayer>) {
        layers.sort_unstable();
        layers.dedup();
        for some in layers.chunks(MAX_LAYERS_PER_FRAME) {
            self.tell(LayersHeld { layers: some.to_vec() }.into());
        }
    }

    /// Says something to a server that knows of layers; to none other.
    pub(super) fn tell(&self, message: AgentMessage) {
        if *self.is_known.borrow() {
            self.state.lock().outgoing.push_back(message);
            self.wake.notify_one();
        }
    }

    pub(super) async fn outgoing(&self) -> AgentMessage {
        loop {
            if let Some(message) = self.state.lock().outgoing.pop_front() {
                return message;
            }
            self.wake.notified().await;
        }
    }

    /// An answer; none waits for it if its question was given up.
    pub(super) fn answered(&self, from: LayerFrom) {
        let asked = self.state.lock().asked.remove(&from.request_id);
        if let Some(asked) = asked {
            _ = asked.answer.send(from.peer);
        }
    }

    /// Asks where to fetch a layer from: a peer, or the registry (none). Ends, whatever the server
    /// does: after twice the time in which somebody else could have fetched the layer, and a while.
    pub(super) async fn ask(&self, mut wanted: LayerWanted) -> Option<LayerPeer> {
        if !self.is_there().await {
            return None;
        }
        let patience = ASK_AGAIN + 2 * peering::allowed(wanted.size_bytes);
        let (answer, mut answered) = oneshot::channel();
        let question = {
            let mut state = self.state.lock();
            state.last += 1;
            wanted.request_id = state.last;
            state.outgoing.push_back(wanted.clone().into());
            let (id, layer) = (state.last, wanted.layer.clone());
            state.asked.insert(id, Asked { wanted: wanted.clone(), answer });
            Question { desk: self, id, layer }
        };
        self.wake.notify_one();
        let until = Instant::now() + patience;
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer.ok().flatten(),
                () = self.lost() => return None,
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
            if Instant::now() >= until {
                let layer = &question.layer;
                tracing::warn!(
                    digest = layer.digest,
                    "no node has a layer in time; asking the registry"
                );
                return None;
            }
            self.tell(wanted.clone().into());
        }
    }

    /// Whether a server that knows of layers is there; waits for one a while, but not once a layer.
    async fn is_there(&self) -> bool {
        let mut known = self.is_known.subscribe();
        let is_known = *known.borrow();
        if is_known || self.state.lock().is_vain {
            return is_known;
        }
        let found = tokio::time::timeout(AWAY_MAX, known.wait_for(|known| *known)).await;
        let is_there = found.is_ok_and(|found| found.is_ok());
        self.state.lock().is_vain = !is_there;
        is_there
    }

    /// Returns when no server that knows of layers has been there for a while.
    async fn lost(&self) {
        let mut known = self.is_known.subscribe();
        loop {
            // The sender is ours: it does not end before us.
            _ = known.wait_for(|known| !known).await;
            if tokio::time::timeout(AWAY_MAX, known.wait_for(|known| *known)).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wanted() -> LayerWanted {
        let task = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{:032x}", 1);
        LayerWanted {
            request_id: 0,
            layer: HeldLayer { repository: "r/app".to_owned(), digest: "sha256:a".to_owned() },
            task_arn: task.parse().unwrap(),
            size_bytes: 1,
            avoid: Vec::new(),
        }
    }

    fn first() -> AgentMessage {
        agent_protocol::node::ChannelHeartbeatAck {}.into()
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_server_the_registry_is_asked() {
        let desk = Desk::default();
        assert_eq!(desk.ask(wanted()).await, None);
        let began = Instant::now();
        assert_eq!(desk.ask(wanted()).await, None);
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits for the same twice");
        // A server that does not know of layers says nothing of them.
        desk.opened(first());
        assert_eq!(desk.outgoing().await, first());
        assert_eq!(desk.ask(wanted()).await, None);
        assert!(desk.state.lock().asked.is_empty() && desk.state.lock().outgoing.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn questions_go_to_the_next_server_too() {
        let desk = Desk::default();
        desk.opened(first());
        desk.known();
        let server = async {
            assert_eq!(desk.outgoing().await, first());
            let AgentMessage::LayerWanted(asked) = desk.outgoing().await else { panic!() };
            desk.closed();
            desk.opened(first());
            desk.known();
            assert_eq!(desk.outgoing().await, first());
            let AgentMessage::LayerWanted(again) = desk.outgoing().await else { panic!() };
            assert_eq!(asked, again);
            let (id, name) = ("i".to_owned(), "n".to_owned());
            let peer = LayerPeer { id, name, url: String::new(), ticket: String::new() };
            desk.answered(LayerFrom { request_id: again.request_id, peer: Some(peer) });
        };
        let (answer, ()) = tokio::join!(desk.ask(wanted()), server);
        assert_eq!(answer.unwrap().id, "i");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let desk = Desk::default();
        desk.opened(first());
        desk.known();
        // It never answers.
        assert_eq!(desk.ask(wanted()).await, None);
        let mut said = std::mem::take(&mut desk.state.lock().outgoing);
        let last = said.pop_back().unwrap();
        let given_up = LayerEnded { layer: wanted().layer, is_here: false, trouble: None };
        assert_eq!(last, given_up.into());
        // It goes, and no other comes.
        let leave = async { desk.closed() };
        let (answer, ()) = tokio::join!(desk.ask(wanted()), leave);
        assert_eq!(answer, None);
    }
}
