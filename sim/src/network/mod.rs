//! The network between clients, agents and servers: calls and channels, late, lost, doubled, cut.

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

/// One way through the network; cut or not. Clones are the same way.
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

/// The ways from one place to each server, by the servers' numbers. Clones are the same ways.
#[derive(Clone, Debug)]
pub(crate) struct Roads(Arc<[Link]>);

impl Roads {
    /// Ways to so many servers.
    pub(crate) fn to_servers(count: usize) -> Self {
        Self((0..count).map(|_| Link::default()).collect())
    }

    /// The way to one server.
    pub(crate) fn to(&self, server: usize) -> &Link {
        &self.0[server]
    }

    pub(crate) fn all(&self) -> &[Link] {
        &self.0
    }

    pub(crate) fn mend(&self) {
        self.0.iter().for_each(Link::mend);
    }
}

/// The ways between servers, and from servers to etcd.
#[derive(Debug)]
pub(crate) struct Net {
    /// From each server to etcd.
    pub(crate) etcd: Roads,
    /// From each server to the others.
    pub(crate) peers: Vec<Roads>,
}

impl Net {
    pub(crate) fn of_servers(count: usize) -> Self {
        let peers = (0..count).map(|_| Roads::to_servers(count)).collect();
        Self { etcd: Roads::to_servers(count), peers }
    }

    pub(crate) fn mend(&self) {
        self.etcd.mend();
        self.peers.iter().for_each(Roads::mend);
    }
}
