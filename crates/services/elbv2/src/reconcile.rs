//! Keeps the data plane as the rows say, and the rows of health as the data plane says; what balancers
//! on hosts of their own have taken over is left to them. Only the server that leads runs this.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use balancer::{Balancer, CookieKey, Report};
use ledger::{Feed, Lagged, Snapshot};
use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Inner;
use crate::decide::{
    Front, Plan, Telling, found, idle, own, plan, reports, states, verdicts, zones,
};
use crate::model::{LoadBalancer, State, Target};

/// The pause before what failed is tried again: a listener, or a commit.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time without a look at everything.
const SWEEP: Duration = Duration::from_secs(30);

impl Inner {
    /// Runs until `shutdown`; then the data plane stops.
    pub(crate) async fn run(&self, balancer: &Balancer, shutdown: CancellationToken) {
        let mut feed = self.ledger.subscribe();
        let key = CookieKey::random();
        balancer.use_cookie_key(&key);
        self.balancers.open(balancer);
        loop {
            let again = self.look(balancer, &key).await;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.rows_changed(&mut feed) => {}
                () = balancer.changed() => {}
                () = self.balancers.changed.notified() => {}
                () = tokio::time::sleep(again) => {}
            }
        }
        self.zones.set(None);
        self.balancers.close();
        balancer.stop();
    }

    /// One round; gives when there is to be another at the latest.
    async fn look(&self, balancer: &Balancer, key: &CookieKey) -> Duration {
        let snapshot = self.ledger.snapshot();
        let plan = plan(&self.tables, &self.certificates, &snapshot);
        let (fronts, forgets) = self.balancers.fronts();
        self.tell(&plan, &snapshot, &fronts, key);
        let troubles = balancer.apply(&own(&plan.config, &plan.users, &fronts));
        let mut wait = if troubles.is_empty() { SWEEP } else { PAUSE };
        let states = states(&plan.config, &fronts, &troubles);
        let reports = reports(balancer.health(), &plan.users, &fronts);
        let noted = self.note_states(&plan, &states).await;
        let noted = noted.and(self.note_health(&plan, reports).await);
        let noted = noted.and(self.end_draining().await);
        if let Err(error) = noted {
            tracing::warn!(%error, "what load balancers found cannot be stored yet");
            wait = PAUSE;
        }
        let wait = forgets.map_or(wait, |forgets| wait.min(forgets));
        let first = self.ledger.snapshot().index_range(&self.tables.draining, ..).next();
        let first = first.and_then(|(_, row)| row.draining_until);
        let now = self.ledger.clock().now();
        first.map_or(wait, |first| wait.min(first.since(now)))
    }

    /// Tells balancers and who asks for names what there is.
    fn tell(&self, plan: &Plan, snapshot: &Snapshot, fronts: &[Front], key: &CookieKey) {
        // Serial numbers go round (RFC 1982).
        #[allow(clippy::cast_possible_truncation)]
        let serial = snapshot.revision() as u32;
        self.zones.set(Some(zones(&plan.config, fronts, serial)));
        let known = verdicts(&self.tables, snapshot, plan);
        let plan = (plan.config.clone(), plan.users.clone());
        self.balancers.tell(Telling::next(plan, known, fronts, key.clone()));
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
                        || self.certificates.touched_by(&commit)
                        || (self.balancers.any() && commit.touches(&tables.health));
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
        states: &BTreeMap<String, Option<String>>,
    ) -> Result<(), String> {
        let snapshot = self.ledger.snapshot();
        let state = |name: &String| {
            Some(match states.get(name)? {
                Some(trouble) => State::Impaired(trouble.clone()),
                None => State::Active,
            })
        };
        let changes: Vec<_> = plan
            .load_balancers
            .iter()
            .filter_map(|(name, key)| Some((key, state(name)?)))
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
    async fn note_health(&self, plan: &Plan, reports: Vec<Report>) -> Result<(), String> {
        let (snapshot, now) = (self.ledger.snapshot(), self.ledger.clock().now());
        let mut changes = Vec::new();
        for report in reports {
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
