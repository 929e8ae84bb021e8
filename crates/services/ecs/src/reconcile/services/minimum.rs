//! The minimum holds when a look is committed, not only when it was taken (docs/decisions/0054).

use std::collections::BTreeSet;
use std::time::Duration;

use ledger::Tx;
use terms::{TaskId, Timestamp};

use super::read;
use crate::api::Api;
use crate::decide::service::health::{self, Verdict};
use crate::decide::service::percent::Bounds;
use crate::decide::service::view::{Rules, Seen, View};
use crate::model::{Service, ServiceStatus};
use crate::tables::ServiceKey;

/// What counts as healthy at the time of a look.
#[derive(Clone, Copy)]
struct Measure {
    grace: Duration,
    rules: Rules,
    now: Timestamp,
}

impl Measure {
    fn is_healthy(&self, task: &Seen) -> bool {
        health::verdict(task, self.grace, &self.rules, self.now) == Verdict::Healthy
    }

    /// How many healthy tasks are left without these.
    fn left(&self, tasks: &[Seen], without: &BTreeSet<TaskId>) -> usize {
        tasks.iter().filter(|task| self.is_healthy(task) && !without.contains(&task.id)).count()
    }
}

impl Api {
    /// Lets the commit depend on the minimum: a look knows its service's tasks as facts, and one of
    /// them may have ended since. `service` is the service as it becomes, `stopped` what the look
    /// stops. Where fewer were left already when it was taken, none of those must be missing.
    pub(super) fn guard_minimum(
        &self,
        tx: &mut Tx<'_>,
        key: &ServiceKey,
        (view, service): (&View, &Service),
        rules: &Rules,
        stopped: &[TaskId],
    ) {
        let grace = Duration::from_secs(service.grace_seconds.unwrap_or(0).into());
        let measure = Measure { grace, rules: *rules, now: tx.now() };
        let stopped: BTreeSet<TaskId> = stopped.iter().copied().collect();
        let mut gone = view.tasks.iter().filter(|task| stopped.contains(&task.id));
        let is_active = service.status == ServiceStatus::Active;
        if !is_active || !gone.any(|task| measure.is_healthy(task)) {
            return;
        }
        let lower = Bounds::of(service.desired, &service.configuration).lower as usize;
        let least = lower.min(measure.left(&view.tasks, &stopped));
        if least == 0 {
            return;
        }
        let (tables, key) = (self.tables, key.clone());
        tx.guard(move |facts| measure.left(&read::tasks(*facts, &tables, &key), &stopped) >= least);
    }
}
