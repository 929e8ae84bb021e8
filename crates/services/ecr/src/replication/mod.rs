//! Replication: what clients push here goes to other registries, as the registry's rules say.
//!
//! The transaction that takes a push writes what is to be replicated; this reads it, so a restart loses
//! nothing. Of one repository and one place, one image goes at a time: its tags are read when its manifest
//! is put, so the image that has a tag last gives it last.

mod copy;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use terms::{AccountId, Region, Timestamp};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use wire::Secret;

use self::copy::Trouble;
use crate::Inner;
use crate::error::Error;
use crate::model::{Progress, Replication};
use crate::tables::{NameKey, ReplicaKey, changed};

/// What a registry says with each request when it replicates: whose image it is.
pub(crate) static REPLICA_OF: HeaderName = HeaderName::from_static("longshore-replica-of");

/// Repositories that are replicated at once, each to each place.
const GROUPS_MAX: usize = 8;
/// An image is given up after so many attempts, some 17 minutes.
const ATTEMPTS_MAX: u32 = 11;
/// The wait after the first attempt; then twice as long each time.
const WAIT_MS: i64 = 1_000;
/// The longest wait.
const WAIT_MAX_MS: i64 = 600_000;
/// A look without an occasion.
const PAUSE: Duration = Duration::from_secs(60);
/// What passes at least between two looks at the clock.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// A registry that images can be replicated to: another Longshore.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its account.
    pub registry: AccountId,
    /// Its region.
    pub region: Region,
    /// Where it is: scheme, host and port.
    pub url: String,
    /// Whom it knows us as: an access key id.
    pub username: String,
    /// The secret access key.
    pub password: Secret,
}

/// What is replicated one after the other: a repository's images, to one place.
type Group = (NameKey, String);

fn group_of(at: &ReplicaKey) -> Group {
    ((at.0.clone(), at.1.clone()), at.3.clone())
}

/// Replicates until `shutdown`.
pub(crate) async fn run(inner: &Arc<Inner>, shutdown: CancellationToken) {
    let mut feed = inner.ledger.subscribe();
    let (mut tasks, mut busy) = (JoinSet::new(), HashMap::<Id, Group>::new());
    loop {
        let pause = begin(inner, &mut tasks, &mut busy);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            Some(ended) = tasks.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        tracing::error!(%error, "a replication panicked");
                        error.id()
                    }
                };
                busy.remove(&id);
            }
            () = changed(&mut feed, &inner.tables.replications) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Tries what is due, until nothing is.
pub(crate) async fn round(inner: &Arc<Inner>) {
    loop {
        let mut tasks = JoinSet::new();
        begin(inner, &mut tasks, &mut HashMap::new());
        if tasks.is_empty() {
            return;
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// What waits, in groups, and when each is due.
fn waiting(inner: &Inner) -> BTreeMap<Group, Vec<(Timestamp, ReplicaKey)>> {
    let snapshot = inner.ledger.snapshot();
    let mut groups = BTreeMap::<Group, Vec<_>>::new();
    for (at, row) in snapshot.index(&inner.tables.replications_waiting, &()) {
        if let Progress::Waiting { due_at, .. } = row.progress {
            groups.entry(group_of(&at)).or_default().push((due_at, at));
        }
    }
    groups
}

/// Begins with what is due and not under way; says when to look again.
fn begin(inner: &Arc<Inner>, tasks: &mut JoinSet<()>, busy: &mut HashMap<Id, Group>) -> Duration {
    let under_way: BTreeSet<Group> = busy.values().cloned().collect();
    let now = inner.ledger.clock().now();
    let mut pause = PAUSE;
    for (group, rows) in waiting(inner) {
        if under_way.contains(&group) {
            continue;
        }
        let (due, later): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(at, _)| *at <= now);
        if due.is_empty() {
            let next = later.iter().map(|(at, _)| at.millis()).min().unwrap_or(i64::MAX);
            let wait = u64::try_from(next.saturating_sub(now.millis())).unwrap_or(0);
            pause = pause.min(Duration::from_millis(wait));
        } else if tasks.len() < GROUPS_MAX {
            let inner = Arc::clone(inner);
            let task = tasks.spawn(async move {
                for (_, at) in due {
                    attempt(&inner, &at).await;
                }
            });
            busy.insert(task.id(), group);
        }
    }
    pause.max(PAUSE_MIN)
}

/// Tries once to replicate an image, and writes down what came of it.
async fn attempt(inner: &Arc<Inner>, at: &ReplicaKey) {
    let Some(row) = inner.ledger.snapshot().get(&inner.tables.replications, at) else { return };
    let Progress::Waiting { attempts, .. } = row.progress else { return };
    let outcome = copy::replicate(inner, at, &row.place).await;
    let (repository, image, place) = (&at.1, &at.2, &at.3);
    let attempts = attempts + 1;
    if let Err(error) = &outcome {
        tracing::warn!(repository, image, place, attempts, %error, "an image was not replicated");
    }
    let done = inner.ledger.transact("ecr: replicated", |tx| {
        let Some(now_there) = tx.get(&inner.tables.replications, at) else { return Ok(()) };
        // It was pushed again meanwhile, perhaps with another tag.
        let is_same = (now_there.asked, now_there.asked_at) == (row.asked, row.asked_at);
        if !is_same {
            return Ok(());
        }
        let progress = match &outcome {
            Ok(()) => Progress::Complete,
            Err(Trouble::Gone) => {
                tx.delete(&inner.tables.replications, at);
                return Ok(());
            }
            Err(trouble) if trouble.is_transient() && attempts < ATTEMPTS_MAX => {
                let wait = (WAIT_MS << (attempts - 1).min(20)).min(WAIT_MAX_MS);
                let due_at = Timestamp::from_millis(tx.now().millis() + wait);
                Progress::Waiting { due_at, attempts }
            }
            Err(trouble) => Progress::Failed { code: trouble.code().to_owned() },
        };
        let changed = Replication { progress, ..Replication::clone(&now_there) };
        tx.put(&inner.tables.replications, at.clone(), changed);
        Ok::<_, Error>(())
    });
    if let Err(error) = done.await {
        tracing::warn!(%error, "what came of a replication was not written down");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
