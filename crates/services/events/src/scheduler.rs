//! Runs rules on their schedules. A rule's row says when it runs next; running it queues its event
//! and sets the next time in one commit, so a run is neither lost nor doubled when another server
//! takes over.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use ledger::{Lagged, Ledger};
use terms::{Timestamp, Uuid};
use tokio_util::sync::CancellationToken;

use crate::model::{DEFAULT_BUS, Event, NewEvent, Rule};
use crate::routing::Router;
use crate::schedule::Schedule;
use crate::tables::{RuleKey, Tables};
use crate::timer;

/// A run that is this late is still made, once, however many were missed; one that is later is
/// left out. EventBridge says nothing of missed runs.
pub const LATE_MAX: Duration = Duration::from_secs(300);
/// The most rules that one commit runs.
const RULES_MAX: usize = 256;
/// The pause after the ledger did not take a run.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// Runs rules. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Scheduler {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
    pub(crate) router: Router,
    pub(crate) journal: crate::journal::Journal,
}

impl Scheduler {
    /// Runs until `shutdown`.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut feed = self.ledger.subscribe();
        loop {
            let due = self.run_due().await;
            let soonest = due.unwrap_or_else(|| self.soonest());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = timer::until(self.ledger.clock(), soonest) => {}
                () = self.changed(&mut feed) => {}
            }
        }
    }

    /// Waits until rules change.
    async fn changed(&self, feed: &mut ledger::Feed) {
        loop {
            match feed.next().await {
                Ok(commit) if commit.touches(&self.tables.rules) => return,
                Ok(_) => {}
                Err(Lagged) => {
                    feed.restart();
                    return;
                }
            }
        }
    }

    fn soonest(&self) -> Option<Timestamp> {
        let snapshot = self.ledger.snapshot();
        let first = snapshot.index_range(&self.tables.rules_by_due, ..).next();
        first.and_then(|(_, rule)| rule.due())
    }

    /// Runs what is due. Gives a time to look again at if that failed.
    async fn run_due(&self) -> Option<Option<Timestamp>> {
        let now = self.ledger.clock().now();
        let snapshot = self.ledger.snapshot();
        let due = snapshot.index_range(&self.tables.rules_by_due, ..=now).take(RULES_MAX);
        let keys: BTreeSet<RuleKey> = due.map(|(key, _)| key).collect();
        if keys.is_empty() {
            return None;
        }
        let ran = self.ledger.transact("run schedules", |tx| {
            let now = tx.now();
            let mut ran = Vec::new();
            for key in &keys {
                let Some(row) = tx.get(&self.tables.rules, key) else { continue };
                let Some(due) = row.due().filter(|due| *due <= now) else { continue };
                let mut rule = Rule::clone(&row);
                let slot = latest(&rule, due, now);
                rule.plan(now);
                let is_late = now.since(slot) > LATE_MAX;
                if is_late {
                    let rule = key.0.rule_arn(&key.1, &key.2);
                    tracing::warn!(rule, %slot, "a scheduled run was missed");
                } else {
                    let event = scheduled(key, slot, tx.next_id());
                    let routed = self.router.prepare(event.clone(), now);
                    self.router.queue(tx, key, &rule, &routed);
                    ran.push(event);
                }
                tx.put(&self.tables.rules, key.clone(), rule);
            }
            Ok::<_, Infallible>(ran)
        });
        match ran.await {
            Ok(ran) => {
                ran.value.into_iter().for_each(|event| self.journal.note(event));
                None
            }
            Err(error) => {
                tracing::warn!(%error, "schedules cannot be run yet");
                Some(Some(now + STORE_PAUSE))
            }
        }
    }
}

/// The last time at which the rule should have run, up to now.
fn latest(rule: &Rule, due: Timestamp, now: Timestamp) -> Timestamp {
    let schedule = rule.schedule.as_deref().and_then(|text| Schedule::parse(text).ok());
    let Some(schedule) = schedule else { return due };
    // Far behind, one look from shortly before now finds it without counting every run.
    let from = due.max(now - LATE_MAX);
    let first = if from == due { Some(due) } else { schedule.next(from, rule.made_at) };
    let mut slot = first.filter(|slot| *slot <= now).unwrap_or(due);
    while let Some(next) = schedule.next(slot, rule.made_at).filter(|next| *next <= now) {
        slot = next;
    }
    slot
}

/// The event of a scheduled run (EventBridge user guide).
fn scheduled((scope, bus, rule): &RuleKey, time: Timestamp, id: [u8; 16]) -> Event {
    debug_assert_eq!(bus, DEFAULT_BUS, "schedules are the default bus's alone");
    Event::new(NewEvent {
        id: Uuid::from_random(id).to_string(),
        detail_type: "Scheduled Event".to_owned(),
        source: "aws.events".to_owned(),
        account: scope.account.clone(),
        region: scope.region.clone(),
        time,
        resources: vec![scope.rule_arn(bus, rule)],
        detail: "{}".to_owned(),
    })
}
