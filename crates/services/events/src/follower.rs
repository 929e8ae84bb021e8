//! Turns commits into events: what services here do is told to the rules of the default bus.
//!
//! How far commits were followed is stored only together with deliveries, so that a ledger
//! without rules, or with rules that do not match, is not written to. After a crash, rows that are
//! newer than that are told of as they are then: at least once, the newest state always.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ledger::{Commit, Feed, Lagged, Ledger, Revision, Snapshot};
use terms::{IdSource, Timestamp, Uuid};
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::model::{DEFAULT_BUS, Event, Moment};
use crate::routing::{DELIVERIES_MAX, Routed, Router};
use crate::tables::Tables;

/// Most commits whose events are queued in one commit.
const COMMITS_MAX: usize = 256;
/// The pause after the ledger did not take deliveries, or while too many wait.
const PAUSE: Duration = Duration::from_millis(200);

/// A service whose changes are events. Pure, and implemented above.
pub trait Source: Send + Sync + 'static {
    /// What a commit did, in order.
    fn of_commit(&self, commit: &Commit) -> Vec<Moment>;

    /// What stands in rows that are newer than `revision`, each with its revision: told after a
    /// crash, when nobody saw the changes themselves.
    fn found_after(&self, snapshot: &Snapshot, revision: Revision) -> Vec<(Revision, Moment)>;
}

/// Follows the feed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
    pub(crate) router: Router,
    pub(crate) journal: Journal,
    pub(crate) sources: Arc<Vec<Arc<dyn Source>>>,
    pub(crate) ids: Arc<dyn IdSource>,
}

/// An event to be queued; with the revision of its change if the change itself was not seen.
struct Found {
    routed: Routed,
    revision: Option<Revision>,
}

impl Follower {
    /// Follows until `shutdown`.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        let mut feed = self.ledger.subscribe();
        self.catch_up(&feed).await;
        loop {
            match self.gather(&mut feed).await {
                Ok(found) if found.is_empty() => {}
                Ok(found) => self.queue(&found, feed.position()).await,
                Err(Lagged) => {
                    tracing::warn!("events fell behind the ledger, and go on from what is there");
                    feed.restart();
                    self.catch_up(&feed).await;
                }
            }
        }
    }

    /// The events of the next commit and of those that are there already, if somebody listens.
    async fn gather(&self, feed: &mut Feed) -> Result<Vec<Found>, Lagged> {
        let mut found = Vec::new();
        let mut commit = feed.next().await?;
        for taken in 1.. {
            let moments = self.sources.iter().flat_map(|source| source.of_commit(&commit));
            for moment in moments.collect::<Vec<_>>() {
                let time = self.ledger.clock().now();
                found.extend(self.found(&moment, time, None));
            }
            let next = if taken < COMMITS_MAX { feed.try_next()? } else { None };
            match next {
                Some(next) => commit = next,
                None => break,
            }
        }
        Ok(found)
    }

    /// Notes the moment, and makes its event if a rule may want it.
    fn found(&self, moment: &Moment, time: Timestamp, revision: Option<Revision>) -> Option<Found> {
        let id = Uuid::from_random(self.ids.next()).to_string();
        self.journal.note_moment(moment.clone(), id.clone(), time);
        if !self.router.may_take(&self.ledger.snapshot(), moment) {
            return None;
        }
        let event: Event = moment.event(id, time);
        Some(Found { routed: self.router.prepare(event, time), revision })
    }

    /// Queues events; tries until the ledger takes them.
    async fn queue(&self, found: &[Found], position: Revision) {
        loop {
            while self.ledger.snapshot().len(&self.tables.deliveries) >= DELIVERIES_MAX {
                tokio::time::sleep(PAUSE).await;
            }
            let queued = self.ledger.transact("queue events", |tx| {
                let mut deliveries = 0;
                for Found { routed, revision } in found {
                    deliveries += self.router.route(tx, DEFAULT_BUS, routed, *revision);
                }
                if deliveries > 0 {
                    self.router.advance(tx, position);
                }
                Ok::<_, Infallible>(())
            });
            match queued.await {
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "events cannot be queued yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Tells of what changed while nobody followed.
    async fn catch_up(&self, feed: &Feed) {
        let snapshot = feed.snapshot().clone();
        let cursor = snapshot.get(&self.tables.cursor, &0).map_or(0, |cursor| cursor.revision);
        // Rules see only what is newer than they are.
        let rules = snapshot.range(&self.tables.rules, ..);
        let oldest = rules.map(|(_, rule)| rule.sees_after(rule.version())).min();
        let Some(oldest) = oldest else { return };
        let after = cursor.max(oldest);
        let time = self.ledger.clock().now();
        let mut found = Vec::new();
        for source in self.sources.iter() {
            for (revision, moment) in source.found_after(&snapshot, after) {
                found.extend(self.found(&moment, time, Some(revision)));
            }
        }
        if !found.is_empty() {
            self.queue(&found, snapshot.revision()).await;
        }
    }
}
