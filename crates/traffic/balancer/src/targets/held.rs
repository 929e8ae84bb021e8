//! Connections of streams: which target they go to, and how long they may.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::{GroupState, TargetState};
use crate::config::{Group, Target};

/// A connection to a target, which counts as under way until this is dropped.
pub(crate) struct Held {
    target: Arc<TargetState>,
    cut: watch::Receiver<()>,
}

impl Held {
    /// Returns when the connection is to be cut.
    pub(crate) async fn cut(&self) {
        // The sender lives in the target.
        let _ = self.cut.clone().changed().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.target.ended();
    }
}

impl TargetState {
    /// Counts a connection to it.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        self.outstanding.fetch_add(1, Ordering::SeqCst);
        Held { target: self.clone(), cut: self.cut.subscribe() }
    }
}

impl GroupState {
    /// Whether its targets are told who connects.
    pub(crate) fn greets(&self) -> bool {
        self.told.greets
    }

    /// Cuts the connections to targets that the group's next configuration has no more.
    pub(super) fn cut_gone(&self, next: &Group) {
        let stays = |target: &Target| {
            next.targets.iter().any(|one| (&one.id, one.address) == (&target.id, target.address))
        };
        let staying = self.targets.iter().map(|watched| &watched.state);
        let leaving = self.leaving.iter().filter_map(|(_, state)| state.as_ref());
        for state in staying.chain(leaving).filter(|state| !stays(&state.target)) {
            state.cut.send_replace(());
        }
    }

    /// Whether its targets are spoken to over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.told.tls
    }

    /// The target of a client's connection, other than `not`: by the client's address and port, or
    /// by its address alone (Network Load Balancer guide, "Routing algorithm").
    pub(crate) fn pick_of(
        &self,
        client: SocketAddr,
        not: Option<&Arc<TargetState>>,
    ) -> Option<Arc<TargetState>> {
        let fitting: Vec<_> = self.fitting(not).collect();
        let mut hasher = DefaultHasher::new();
        client.ip().hash(&mut hasher);
        if !self.told.by_source {
            client.port().hash(&mut hasher);
        }
        let count = u64::try_from(fitting.len()).unwrap_or(u64::MAX);
        let place = usize::try_from(hasher.finish().checked_rem(count)?).unwrap_or_default();
        fitting.get(place).map(|state| Arc::clone(state))
    }
}
