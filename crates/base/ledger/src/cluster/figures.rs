//! Figures of a ledger that servers share, for whoever looks inside.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::Cluster;

/// How a server stands with the etcd that it shares with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterFigures {
    /// How long this server's lease surely lasts from now on, if nothing renews it; zero without
    /// one. A third of it or less means that renewals fail.
    pub lease_left: Duration,
    /// For how long nobody has made sure that everything is shown here that was acknowledged
    /// anywhere; zero on a server that leads. A server looks every 2 seconds.
    pub behind: Duration,
    /// Servers that live, this one included.
    pub servers: usize,
    /// The size of etcd's database, of its largest member; 0 until this server has led.
    pub store_bytes: u64,
    /// What it may grow to.
    pub quota_bytes: u64,
}

/// What the tasks of a ledger note for [`ClusterFigures`].
#[derive(Default)]
pub(super) struct Notes {
    /// The last moment, in nanoseconds of [`crate::Etcd::now`], at which everything was shown.
    fresh_at: AtomicU64,
    servers: AtomicUsize,
    store_bytes: AtomicU64,
    quota_bytes: AtomicU64,
}

impl Notes {
    /// Everything is shown that was acknowledged until `at`.
    pub(super) fn fresh(&self, at: Duration) {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.fresh_at.fetch_max(nanos, Ordering::Relaxed);
    }

    /// So many servers live.
    pub(super) fn servers(&self, count: usize) {
        self.servers.store(count, Ordering::Relaxed);
    }

    /// What etcd says of its size.
    pub(super) fn size(&self, store_bytes: u64, quota_bytes: u64) {
        self.store_bytes.store(store_bytes, Ordering::Relaxed);
        self.quota_bytes.store(quota_bytes, Ordering::Relaxed);
    }
}

impl Cluster {
    pub(crate) fn figures(&self) -> ClusterFigures {
        let now = self.etcd.now();
        let session = self.session.borrow().clone();
        let left = session.map_or(Duration::ZERO, |session| session.left(now));
        let fresh = Duration::from_nanos(self.notes.fresh_at.load(Ordering::Relaxed));
        let leads = self.sure_session().is_some();
        ClusterFigures {
            lease_left: left,
            behind: if leads { Duration::ZERO } else { now.saturating_sub(fresh) },
            servers: self.notes.servers.load(Ordering::Relaxed),
            store_bytes: self.notes.store_bytes.load(Ordering::Relaxed),
            quota_bytes: self.notes.quota_bytes.load(Ordering::Relaxed),
        }
    }
}
