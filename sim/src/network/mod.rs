//! The network between clients, agents and the server: calls and channels, late, lost, doubled, cut.

mod calls;
mod channel;
mod mutated;
mod transport;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

pub(crate) use calls::Wire;
pub(crate) use channel::Channels;
pub(crate) use transport::AgentTransport;

/// The way of one machine to the server; cut or not. Clones are the same way.
///
/// Not a `watch` of tokio's: that wakes those who wait in an order that no seed knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_cut: AtomicBool,
    mended: Notify,
}

impl Link {
    pub(crate) fn cut(&self) {
        self.0.is_cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.0.is_cut.store(false, Ordering::Relaxed);
        self.0.mended.notify_waiters();
    }

    /// Returns once the way is open.
    pub(crate) async fn open(&self) {
        while self.0.is_cut.load(Ordering::Relaxed) {
            self.0.mended.notified().await;
        }
    }
}
