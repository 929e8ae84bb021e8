//! Keeps the data plane as the rows say, and the rows of health as the data plane says. Only the
//! server that leads runs this.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use balancer::Balancer;
use ledger::{Feed, Lagged};
use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Inner;
use crate::decide::{Plan, found, idle, plan};
use crate::model::{LoadBalancer, State, Target};

/// The pause before what failed is tried again: a listener, or a commit.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time without a look at everything.
const SWEEP: Duration = Duration::from_secs(30);

impl Inner {
    /// Runs until `shutdown`; then the data plane stops.
    pub(crate) async fn run(&self, balancer: &Balancer, shutdown: CancellationToken) {
        let mut feed = self.ledger.subscribe();
        loop {
            let again = self.look(balancer).await;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.rows_changed(&mut feed) => {}
                () = balancer.changed() => {}
                () = tokio::time::sleep(again) => {}
            }
        }
        balancer.stop();
    }

    /// One round; gives when there is to be another at the latest.
    async fn look(&self, balancer: &Balancer) -> Duration {
        let plan = plan(&self.tables, &self.certificates, &self.ledger.snapshot());
        let troubles = balancer.apply(&plan.config);
        let mut wait = if troubles.is_empty() { SWEEP } else { PAUSE };
        let noted = self.note_states(&plan, &troubles).await;
        let noted = noted.and(self.note_health(&plan, balancer).await);
        let noted = noted.and(self.end_draining().await);
        if let Err(error) = noted {
            tracing::warn!(%error, "what load balancers found cannot be stored yet");
            wait = PAUSE;
        }
        let first = self.ledger.snapshot().index_range(&self.tables.draining, ..).next();
        let first = first.and_then(|(_, row)| row.draining_until);
        let now = self.ledger.clock().now();
        first.map_or(wait, |first| wait.min(first.since(now)))
    }

    /// Waits until rows change that the data plane depends on.
    async fn rows_changed(&self, feed: &mut Feed) {
        let tables = &self.tables;
        loop {
            match feed.next().await {
                Ok(commit) => {
                    let touched = commit.touches(&tables.load_balancers)
                        || commit.touches(&tables.listeners)
                        || commit.touches(&tables.rules)
                        || commit.touches(&tables.groups)
                        || commit.touches(&tables.targets)
                        || self.certificates.touched_by(&commit);
                    if touched {
                        return;
                    }
                }
                Err(Lagged) => {
                    feed.restart();
                    return;
                }
            }
        }
    }

    /// Load balancers whose listeners listen are active.
    async fn note_states(
        &self,
        plan: &Plan,
        troubles: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let snapshot = self.ledger.snapshot();
        let state = |name: &String| match troubles.get(name) {
            Some(trouble) => State::Impaired(trouble.clone()),
            None => State::Active,
        };
        let changes: Vec<_> = plan
            .load_balancers
            .iter()
            .map(|(name, key)| (key, state(name)))
            .filter(|(key, state)| {
                let row = snapshot.get(&self.tables.load_balancers, key);
                row.is_some_and(|row| row.state != *state)
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let done = self.ledger.transact("note states of load balancers", |tx| {
            for (key, state) in &changes {
                let Some(row) = tx.get(&self.tables.load_balancers, key) else { continue };
                let row = LoadBalancer { state: state.clone(), ..LoadBalancer::clone(&row) };
                tx.put(&self.tables.load_balancers, (*key).clone(), row);
            }
            Ok::<_, Infallible>(())
        });
        done.await.map(drop).map_err(|error| error.to_string())
    }

    /// What checks found; nothing of groups that nobody uses.
    async fn note_health(&self, plan: &Plan, balancer: &Balancer) -> Result<(), String> {
        let (snapshot, now) = (self.ledger.snapshot(), self.ledger.clock().now());
        let mut changes = Vec::new();
        for report in balancer.health() {
            let Some(group) = plan.groups.get(&report.group) else { continue };
            let port = u32::from(report.target.port);
            let key = (group.0.clone(), group.1.clone(), report.target.id.clone(), port);
            let before = snapshot.get(&self.tables.health, &key);
            let before = before.as_deref();
            let row = match (report.target.draining, report.is_idle) {
                (false, _) => found(&report.health, before, now),
                (true, true) => idle(before, now),
                (true, false) => None,
            };
            if let Some(row) = row {
                changes.push((key, report.target.registration, Some(row)));
            }
        }
        for (key, _) in snapshot.range(&self.tables.health, ..) {
            let group = (key.0.clone(), key.1.clone());
            if !plan.groups.values().any(|used| *used == group) {
                changes.push((key, 0, None));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let done = self.ledger.transact("note health of targets", |tx| {
            for (key, registration, row) in &changes {
                let Some(row) = row else {
                    tx.delete(&self.tables.health, key);
                    continue;
                };
                // Another registration begins anew.
                let target = tx.get(&self.tables.targets, key);
                let is_this = |at: Timestamp| at.millis() == *registration;
                let is_it = |target: &Target| {
                    is_this(target.registered_at) && row.is_idle == target.draining_until.is_some()
                };
                if target.is_some_and(|target| is_it(&target)) {
                    tx.put(&self.tables.health, key.clone(), row.clone());
                }
            }
            Ok::<_, Infallible>(())
        });
        done.await.map(drop).map_err(|error| error.to_string())
    }

    /// Forgets targets whose draining is over.
    async fn end_draining(&self) -> Result<(), String> {
        let (snapshot, now) = (self.ledger.snapshot(), self.ledger.clock().now());
        let over = snapshot.index_range(&self.tables.draining, ..=now);
        let over: Vec<_> = over.map(|(key, _)| key).collect();
        if over.is_empty() {
            return Ok(());
        }
        let done = self.ledger.transact("end draining of targets", |tx| {
            for key in &over {
                let row = tx.get(&self.tables.targets, key);
                let until = row.and_then(|row| row.draining_until);
                if until.is_some_and(|until| until <= tx.now()) {
                    tx.delete(&self.tables.targets, key);
                    tx.delete(&self.tables.health, key);
                }
            }
            Ok::<_, Infallible>(())
        });
        done.await.map(drop).map_err(|error| error.to_string())
    }
}
