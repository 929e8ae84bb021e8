//! One lane: the deliveries of one target of one rule.

use ledger::Tx;
use terms::Timestamp;
use tokio::sync::Semaphore;

use super::{Courier, backoff};
use crate::model::{DeadLetter, Delivery, Failure};
use crate::tables::{DeliveryKey, LaneKey, LetterKey};

/// Most deliveries that go to a target at once.
const BATCH_MAX: usize = 64;
/// Most waiting deliveries of a lane that are passed over in search of ones that are due.
const SCAN_MAX: usize = 4_096;
/// Most dead letters that an account keeps in a region; the oldest go first.
pub(crate) const LETTERS_MAX: usize = 1_000;
/// The pause after the ledger did not take what came of a batch.
const STORE_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

impl Courier {
    /// Works until nothing of the lane is due; gives when something will be.
    pub(super) async fn work_lane(&self, lane: &LaneKey, seats: &Semaphore) -> Option<Timestamp> {
        loop {
            let (due, next) = self.due(lane);
            if due.is_empty() {
                return next;
            }
            let Ok(_seat) = seats.acquire().await else { return next };
            let deliveries: Vec<Delivery> =
                due.iter().map(|(_, delivery)| delivery.clone()).collect();
            let outcomes = self.deliver(&deliveries).await;
            let settled = self.ledger.transact("settle deliveries", |tx| {
                for ((key, _), outcome) in due.iter().zip(&outcomes) {
                    self.settle(tx, key, outcome.as_ref().err());
                }
                Ok::<_, std::convert::Infallible>(())
            });
            if let Err(error) = settled.await {
                // They are made again: at least once.
                tracing::warn!(%error, "what came of deliveries cannot be stored yet");
                return Some(self.ledger.clock().now() + STORE_PAUSE);
            }
        }
    }

    /// What of the lane is due, and when the first of the rest will be.
    fn due(&self, lane: &LaneKey) -> (Vec<(DeliveryKey, Delivery)>, Option<Timestamp>) {
        let (snapshot, now) = (self.ledger.snapshot(), self.ledger.clock().now());
        let (mut due, mut next) = (Vec::new(), None::<Timestamp>);
        let rows = snapshot.prefix(&self.tables.deliveries, lane).take(SCAN_MAX);
        for (key, row) in rows {
            if row.next_at > now {
                next = Some(next.map_or(row.next_at, |next| next.min(row.next_at)));
            } else {
                due.push((key, Delivery::clone(&row)));
                if due.len() == BATCH_MAX {
                    break;
                }
            }
        }
        (due, next)
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>> {
        let refused = |failure: &Failure| vec![Err(failure.clone()); deliveries.len()];
        let Some(first) = deliveries.first() else { return Vec::new() };
        let Some(target) = self.targets.of(first.arn()) else {
            let message = format!("Nothing here takes events for {}.", first.arn());
            return refused(&Failure::lasting("ResourceNotFoundException", message));
        };
        // A target that was put anew may have another ARN: those wait for the next batch's turn.
        let same = deliveries.iter().take_while(|delivery| delivery.arn() == first.arn()).count();
        let mut outcomes = target.deliver(&deliveries[..same]).await;
        outcomes.resize(same, Err(Failure::passing("InternalFailure", "The target said nothing.")));
        outcomes
    }

    /// Writes what came of a delivery.
    fn settle(&self, tx: &mut Tx<'_>, key: &DeliveryKey, failure: Option<&Failure>) {
        let Some(row) = tx.get(&self.tables.deliveries, key) else { return };
        let Some(failure) = failure else {
            tx.delete(&self.tables.deliveries, key);
            return;
        };
        let now = tx.now();
        let mut delivery = Delivery::clone(&row);
        delivery.attempts += 1;
        let [jitter, ..] = tx.next_id();
        delivery.next_at = now + backoff::pause(delivery.attempts, jitter);
        let exhausted = if delivery.attempts > delivery.retries_max() {
            Some("MaximumRetryAttempts")
        } else {
            (delivery.next_at >= delivery.expires_at()).then_some("MaximumEventAgeInSeconds")
        };
        let (rule, event, code) = (&delivery.rule_arn, &delivery.event_id, &failure.code);
        if failure.is_passing && exhausted.is_none() {
            tracing::info!(
                rule,
                event,
                code,
                message = failure.message,
                "a delivery failed, and is tried again"
            );
            tx.put(&self.tables.deliveries, key.clone(), delivery);
            return;
        }
        tracing::warn!(rule, event, code, message = failure.message, "a delivery was given up");
        let ((scope, ..), _) = &key.0;
        let letter = DeadLetter {
            delivery,
            at: now,
            error_code: failure.code.clone(),
            error_message: failure.message.clone(),
            exhausted: exhausted.filter(|_| failure.is_passing).map(str::to_owned),
        };
        tx.delete(&self.tables.deliveries, key);
        self.keep(tx, (scope.clone(), now, tx.next_id()), letter);
    }

    /// Keeps a dead letter, and as many as there is room for.
    fn keep(&self, tx: &mut Tx<'_>, key: LetterKey, letter: DeadLetter) {
        let kept: Vec<LetterKey> =
            tx.facts().prefix(&self.tables.letters, &key.0).map(|(key, _)| key).collect();
        let surplus = (kept.len() + 1).saturating_sub(LETTERS_MAX);
        for old in kept.into_iter().take(surplus) {
            tx.delete(&self.tables.letters, &old);
        }
        tx.put(&self.tables.letters, key, letter);
    }
}
