//! Delivery: what was queued goes to its targets, is tried again with growing pauses, and ends as
//! a dead letter if nothing helps.
//!
//! Each target of a rule has a lane of its own, so that a slow target holds up no other. A lane
//! takes what is due in the order of its events, a batch at a time; what failed steps aside until
//! its next try. A delivery's row is deleted when the target has taken it: after a crash it is
//! made again, so targets get an event at least once.

mod backoff;
mod http_target;
mod lane;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use ledger::{Commit, Feed, Lagged, Ledger};
use terms::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use http_target::HttpTarget;

use crate::model::{Delivery, Failure};
use crate::tables::{LaneKey, Tables};
use crate::timer;

/// Batches that are under way at once.
const BATCHES_MAX: usize = 64;

/// Something that takes events. Owned here, implemented by those who have what is meant: a service
/// above, or this crate for URLs.
#[async_trait]
pub trait Target: Send + Sync + 'static {
    /// Whether it takes deliveries for this ARN.
    fn takes(&self, arn: &str) -> bool;

    /// What is wrong with a target of such an ARN, as code and text; asked when one is put.
    fn check(&self, _target: &shapes_events::Target) -> Result<(), (String, String)> {
        Ok(())
    }

    /// Takes deliveries of one lane, in their order; tells of each what came of it. A delivery may
    /// come again although it was taken.
    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>>;
}

/// All targets that there are.
#[derive(Clone)]
pub(crate) struct Targets(Arc<Vec<Arc<dyn Target>>>);

impl Targets {
    pub(crate) fn new(targets: Vec<Arc<dyn Target>>) -> Self {
        Self(Arc::new(targets))
    }

    /// Who takes deliveries for this ARN.
    pub(crate) fn of(&self, arn: &str) -> Option<&Arc<dyn Target>> {
        self.0.iter().find(|target| target.takes(arn))
    }
}

/// Runs the lanes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Courier {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
    pub(crate) targets: Targets,
}

/// What is known of a lane.
#[derive(Default)]
struct Lane {
    /// It is being worked on.
    busy: bool,
    /// Something came meanwhile.
    again: bool,
}

impl Courier {
    /// Delivers until `shutdown`. What is under way then is broken off, and made again by whoever
    /// leads next.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut feed = self.ledger.subscribe();
        let mut work = Work::new(self.clone());
        work.begin_all(&feed);
        loop {
            let soonest = work.soonest();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                commit = feed.next() => match commit {
                    Ok(commit) => work.see(&commit),
                    Err(Lagged) => {
                        feed.restart();
                        work.begin_all(&feed);
                    }
                },
                Some(done) = work.running.join_next(), if !work.running.is_empty() => match done {
                    Ok((lane, next)) => work.rest(lane, next),
                    Err(error) => {
                        tracing::error!(%error, "a delivery failed in an unforeseen way");
                        work.lanes.clear();
                        work.begin_all(&feed);
                    }
                },
                () = timer::until(self.ledger.clock(), soonest) => work.wake(),
            }
        }
    }
}

struct Work {
    courier: Courier,
    seats: Arc<Semaphore>,
    lanes: HashMap<LaneKey, Lane>,
    /// Lanes that wait, by when.
    waiting: BTreeMap<Timestamp, Vec<LaneKey>>,
    running: JoinSet<(LaneKey, Option<Timestamp>)>,
}

impl Work {
    fn new(courier: Courier) -> Self {
        Self {
            courier,
            seats: Arc::new(Semaphore::new(BATCHES_MAX)),
            lanes: HashMap::new(),
            waiting: BTreeMap::new(),
            running: JoinSet::new(),
        }
    }

    /// Begins every lane that has anything.
    fn begin_all(&mut self, feed: &Feed) {
        let snapshot = feed.snapshot().clone();
        let mut last: Option<LaneKey> = None;
        for (key, _) in snapshot.range(&self.courier.tables.deliveries, ..) {
            if last.as_ref() != Some(&key.0) {
                self.begin(key.0.clone());
                last = Some(key.0);
            }
        }
    }

    fn see(&mut self, commit: &Commit) {
        if !commit.touches(&self.courier.tables.deliveries) {
            return;
        }
        let new = commit.changes_of(&self.courier.tables.deliveries);
        let new: Vec<LaneKey> =
            new.filter(|change| change.before.is_none()).map(|change| change.key.0).collect();
        for lane in new {
            self.begin(lane);
        }
    }

    fn begin(&mut self, key: LaneKey) {
        let lane = self.lanes.entry(key.clone()).or_default();
        if lane.busy {
            lane.again = true;
            return;
        }
        *lane = Lane { busy: true, again: false };
        let (courier, seats) = (self.courier.clone(), self.seats.clone());
        self.running.spawn(async move {
            let next = courier.work_lane(&key, &seats).await;
            (key, next)
        });
    }

    /// A lane has nothing to do now; `next` tells when it will have.
    fn rest(&mut self, key: LaneKey, next: Option<Timestamp>) {
        let again = self.lanes.remove(&key).is_some_and(|lane| lane.again);
        if again {
            self.begin(key);
        } else if let Some(next) = next {
            self.waiting.entry(next).or_default().push(key);
        }
    }

    fn soonest(&self) -> Option<Timestamp> {
        self.waiting.keys().next().copied()
    }

    /// Begins the lanes whose time has come.
    fn wake(&mut self) {
        let now = self.courier.ledger.clock().now();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() <= now) {
            for key in entry.remove() {
                self.begin(key);
            }
        }
    }
}
