//! Keeps services as they should be.
//!
//! A key in the queue means "look again here". Keys come from the feed (rows of the service, its
//! tasks, their instances), from times that looks ask for, from room that became free, and from a
//! slow sweep, so that a wake-up that was lost heals. A look reads that service's rows alone; it
//! costs the same however many services there are.

mod apply;
mod first;
mod minimum;
mod queue;
mod read;
mod said;
mod targets;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ledger::{Commit, LedgerError, Snapshot, TransactError};
use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use self::first::First;
use self::queue::Queue;
pub(crate) use self::read::tasks as tasks_of;
pub(crate) use self::said::say;
use crate::api::Api;
use crate::decide::service::view::Rules;
use crate::tables::ServiceKey;

/// Looks that are taken at the same time, each at another service.
const LOOKS: usize = 16;
/// How often the sweep adds keys, and how many: with 5,000 services each is looked at every four
/// minutes.
const SWEEP: (Duration, usize) = (Duration::from_secs(1), 20);
/// After which time a service whose tasks found no place is looked at again whatever happens.
const RETRY: Duration = Duration::from_secs(15);
/// How long room that became free is collected before those that wait for it are looked at.
const COLLECT: Duration = Duration::from_millis(100);
/// The pause after the ledger refused a look.
const REFUSED: Duration = Duration::from_secs(1);

/// Runs the loop until `shutdown`.
pub(crate) async fn run(api: &Arc<Api>, rules: Rules, shutdown: CancellationToken) {
    let mut feed = api.ledger.subscribe();
    let mut queue = Queue::new(api.tables);
    queue.add_all(feed.snapshot());
    let mut first = First::of(queue.keys());
    let mut looks = FuturesUnordered::new();
    let mut sweep = tokio::time::interval(SWEEP.0);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        while looks.len() < LOOKS
            && let Some(key) = queue.take()
        {
            looks.push(look(api, rules, key));
        }
        let wait = queue.wait(now(api), COLLECT);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            commit = feed.next() => match commit {
                Ok(commit) => {
                    let snapshot = api.ledger.snapshot();
                    see(api, &mut queue, &commit, &snapshot);
                    while let Ok(Some(commit)) = feed.try_next() {
                        see(api, &mut queue, &commit, &snapshot);
                    }
                }
                Err(ledger::Lagged) => queue.add_all(feed.restart()),
            },
            Some((key, outcome)) = looks.next(), if !looks.is_empty() => {
                first.took(&key);
                took(&mut queue, key, outcome, now(api));
            }
            () = tokio::time::sleep(wait) => queue.pass(now(api), &api.ledger.snapshot()),
            _ = sweep.tick() => queue.sweep(&api.ledger.snapshot(), SWEEP.1),
        }
    }
}

fn now(api: &Api) -> Timestamp {
    api.ledger.clock().now()
}

fn see(api: &Api, queue: &mut Queue, commit: &Commit, snapshot: &Snapshot) {
    queue.see(commit, snapshot);
    if let Some(alarms) = api.alarms.get() {
        queue.see_alarms(commit, alarms, snapshot);
    }
    if let Some(balancers) = api.balancers.get() {
        queue.see_targets(commit, balancers, snapshot);
    }
}

/// What came of a look: when to look again, if it can be said.
struct Outcome {
    again_at: Option<Timestamp>,
    at_once: bool,
    waits_for_room: bool,
    is_refused: bool,
}

async fn look(api: &Arc<Api>, rules: Rules, key: ServiceKey) -> (ServiceKey, Outcome) {
    let begun = Instant::now();
    let looked = api.reconcile_service(&key, &rules).await;
    let timer = meters::ecs().loop_seconds.get_or_create_owned(&meters::Loop { name: "services" });
    timer.observe(begun.elapsed().as_secs_f64());
    let outcome = match looked {
        Ok(looked) => Outcome {
            again_at: looked.again_at,
            at_once: looked.at_once,
            waits_for_room: looked.waits_for_room,
            is_refused: false,
        },
        Err(error) => {
            let follows = matches!(error, TransactError::Ledger(LedgerError::NotLeading { .. }));
            if !follows {
                tracing::warn!(service = %key.1, %error, "a service could not be looked at");
            }
            Outcome { again_at: None, at_once: false, waits_for_room: false, is_refused: true }
        }
    };
    (key, outcome)
}

fn took(queue: &mut Queue, key: ServiceKey, outcome: Outcome, now: Timestamp) {
    let mut again_at = outcome.again_at;
    if outcome.waits_for_room {
        let retry = now + RETRY;
        again_at = Some(again_at.map_or(retry, |at| at.min(retry)));
    }
    if outcome.is_refused {
        again_at = Some(now + REFUSED);
    }
    queue.done(&key, outcome.waits_for_room, again_at);
    if outcome.at_once {
        queue.add(key);
    }
}
