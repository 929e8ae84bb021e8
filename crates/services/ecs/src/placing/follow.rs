//! Keeps fleets up to date while nobody plans on them, so that no plan has to: after a quiet hour
//! or a flood of reports that would be a look at every task of the cluster, under the fleet's lock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::kept::{COMMITS_AT_ONCE, Followed, Kept};
use super::{MAX_FLEETS, Placer};
use crate::model::ClusterStatus;
use crate::tables::ClusterKey;

/// Says that fleets are followed, until it is dropped.
struct Following<'a>(&'a AtomicBool);

impl<'a> Following<'a> {
    fn begin(is_followed: &'a AtomicBool) -> Self {
        is_followed.store(true, Ordering::Relaxed);
        Self(is_followed)
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Commits that a plan takes in itself, if the follower is behind by more.
const COMMITS_A_PLAN: usize = 256;

impl Placer {
    /// Keeps fleets up to date until `shutdown`. Those of clusters with tasks are loaded at once.
    pub(crate) async fn follow(&self, shutdown: &CancellationToken) {
        let mut feed = self.ledger.subscribe();
        let _following = Following::begin(&self.is_followed);
        self.warm(shutdown).await;
        loop {
            let fleets: Vec<_> = self.fleets.lock().kept().collect();
            for (cluster, fleet) in fleets {
                self.keep_up(&cluster, &fleet).await;
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                told = feed.next() => if told.is_err() {
                    feed.restart();
                },
            }
            // Fleets read on by themselves; this feed only tells when.
            while let Ok(Some(_)) = feed.try_next() {}
        }
    }

    /// Loads the fleets of clusters that have tasks, before somebody waits for one.
    async fn warm(&self, shutdown: &CancellationToken) {
        let (snapshot, tables) = (self.ledger.snapshot(), self.tables);
        let active = snapshot.range(&tables.clusters, ..);
        let active = active.filter(|(_, row)| row.status == ClusterStatus::Active);
        let mut warm = 0;
        let mut scopes = BTreeSet::new();
        let with_fleet = active.flat_map(|(cluster, _)| {
            let is_new = scopes.insert(cluster.scope.clone());
            let fleet = is_new.then(|| cluster.scope.fleet());
            std::iter::once(cluster).chain(fleet)
        });
        for cluster in with_fleet {
            if shutdown.is_cancelled() || warm == MAX_FLEETS {
                return;
            }
            if snapshot.index(&tables.held, &cluster).next().is_none() {
                continue;
            }
            warm += 1;
            let fleet = self.fleet(&cluster);
            if !fleet.lock().is_loaded() {
                self.renew(&cluster, &fleet).await;
            }
        }
    }

    async fn keep_up(&self, cluster: &ClusterKey, fleet: &Arc<Mutex<Kept>>) {
        loop {
            let followed = fleet.lock().follow(COMMITS_AT_ONCE);
            match followed {
                Followed::All => return,
                Followed::Part => tokio::task::yield_now().await,
                Followed::Lost => return self.renew(cluster, fleet).await,
            }
        }
    }

    /// Loads a fleet beside the one that is there, and then puts it in its place.
    async fn renew(&self, cluster: &ClusterKey, fleet: &Arc<Mutex<Kept>>) {
        tracing::debug!(cluster = %cluster.name, "the kept fleet is loaded again");
        let fresh = Kept::load_aside(&self.ledger, self.tables, cluster.clone()).await;
        fresh.replace(&mut fleet.lock(), &self.ledger);
    }

    /// Brings a fleet up to date for a plan, as far as that is soon done; whether it is behind.
    pub(super) fn bring_up(&self, kept: &mut Kept) -> bool {
        if !self.is_followed.load(Ordering::Relaxed) || !kept.is_loaded() {
            kept.catch_up();
            return false;
        }
        kept.follow(COMMITS_A_PLAN) != Followed::All
    }
}
