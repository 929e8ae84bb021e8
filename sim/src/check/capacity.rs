//! Capacity providers and Fargate: who goes where, in which shares, and what was used.

use std::collections::BTreeMap;

use ecs::FargateUse;
use ecs::audit::{AuditedShare, AuditedTask};
use serde_json::Value;
use terms::TaskId;

use super::{Checker, broken, id_of};
use crate::world::Violation;

const PLACES: &str = "tasks go where their capacity provider is";
const SHARES: &str = "tasks are shared out among capacity providers";
const USED: &str = "what tasks used of Fargate adds up";

/// What one task used: seconds, and CPU units times seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    is_spot: bool,
    cpu: u64,
    memory: u64,
}

/// What tasks that have stopped used of Fargate.
#[derive(Default)]
pub(super) struct Used(BTreeMap<TaskId, Use>);

impl Used {
    /// Takes note of a task as it is: worked out here again, by the begun second from its first
    /// pull (or its start, where nothing was pulled) to its end.
    pub(super) fn see(&mut self, task: &AuditedTask) {
        let (true, Some(until)) = (task.on_fargate, task.stopped_at) else { return };
        let Some(began) = task.pull_started_at.or(task.started_at) else { return };
        let from = began.max(task.created_at);
        let seconds = until.since(from).as_millis().div_ceil(1_000);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        let is_spot = task.provider.as_deref() == Some("FARGATE_SPOT");
        let (cpu, memory) = (u64::from(task.cpu) * seconds, u64::from(task.memory) * seconds);
        self.0.insert(task.arn.id, Use { is_spot, cpu, memory });
    }
}

/// How far beyond its base a provider is.
fn beyond(has: u64, item: &AuditedShare) -> u64 {
    has.saturating_sub(item.base.into())
}

/// What is wrong with a provider having `has` tasks, if all of them are as `counts` says: more than
/// a task above its share, or any beyond its base while another lacks of its own.
pub(super) fn excess(
    strategy: &[AuditedShare],
    counts: &BTreeMap<&str, u64>,
    provider: &str,
    total: u64,
) -> Option<String> {
    let of = |item: &AuditedShare| counts.get(item.provider.as_str()).copied().unwrap_or(0);
    let item = strategy.iter().find(|item| item.provider == provider)?;
    let over = beyond(of(item), item);
    if over == 0 {
        return None;
    }
    if let Some(other) = strategy.iter().find(|other| of(other) < u64::from(other.base)) {
        return Some(format!("{provider} has more than its base, {} lacks", other.provider));
    }
    let bases: u64 = strategy.iter().map(|item| u64::from(item.base)).sum();
    let all: u64 = strategy.iter().map(|item| beyond(of(item), item)).sum();
    let shared = all.max(total.saturating_sub(bases));
    let weights: u64 = strategy.iter().map(|item| u64::from(item.weight)).sum();
    // Less than its share and one more.
    let is_fair = over * weights < u64::from(item.weight) * shared + weights;
    (!is_fair).then(|| format!("{provider} has {over} beyond its base of {shared}"))
}

impl Checker {
    /// Where a task was placed, and why one of Fargate is stopped.
    pub(super) fn capacity(
        &self,
        before: Option<&AuditedTask>,
        after: &AuditedTask,
    ) -> Option<Violation> {
        let place = self.instances.get(&after.instance)?;
        let id = after.arn.id;
        if before.is_none() {
            let provider = after.provider.as_ref().filter(|_| !after.on_fargate);
            let is_right = after.on_fargate == place.is_of_fleet
                && provider.is_none_or(|name| place.provider.as_ref() == Some(name));
            let detail = || format!("{id} of {:?} goes to {place:?}", after.provider);
            return (!is_right).then(|| broken(PLACES, detail()));
        }
        let was = before.and_then(|row| row.stop_code);
        let is_interrupted = after.stop_code == Some("SpotInterruption") && was.is_none();
        let is_spot = after.provider.as_deref() == Some("FARGATE_SPOT") && after.on_fargate;
        let detail = || format!("{id} of {:?} is interrupted on {place:?}", after.provider);
        (is_interrupted && !is_spot)
            .then(|| broken("only tasks of FARGATE_SPOT are interrupted", detail()))
    }

    /// RunTask by a strategy was answered. If all tasks found a place, they have its shares.
    pub(crate) fn shared_out(
        &self,
        strategy: &Value,
        count: u64,
        answer: &Value,
    ) -> Vec<Violation> {
        let number = |item: &Value, what: &str| {
            item[what].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
        };
        let items = strategy.as_array().into_iter().flatten();
        let items: Vec<AuditedShare> = items
            .map(|item| AuditedShare {
                provider: item["capacityProvider"].as_str().unwrap_or_default().to_owned(),
                base: number(item, "base"),
                weight: number(item, "weight"),
            })
            .collect();
        let tasks = answer["tasks"].as_array().into_iter().flatten();
        let ids = tasks.filter_map(|task| id_of(task["taskArn"].as_str()?));
        let tasks: Vec<_> = ids.filter_map(|id| self.tasks.get(&id)).collect();
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for task in &tasks {
            *counts.entry(task.provider.as_deref().unwrap_or_default()).or_default() += 1;
        }
        if tasks.len() as u64 != count {
            return Vec::new();
        }
        let wrong = items.iter().filter_map(|item| excess(&items, &counts, &item.provider, count));
        wrong.map(|what| broken(SHARES, format!("{strategy}: {counts:?}: {what}"))).collect()
    }

    /// ListContainerInstances was answered: nodes for Fargate's tasks are in no cluster.
    pub(crate) fn instances_listed(&self, answer: &Value) -> Vec<Violation> {
        let shown = answer["containerInstanceArns"].as_array().into_iter().flatten();
        let ids = shown.filter_map(|arn| arn.as_str()?.rsplit('/').next()?.parse().ok());
        let rows = ids.filter_map(|id| self.instances.get(&id)).filter(|row| row.is_of_fleet);
        rows.map(|row| broken("nodes for Fargate's tasks are in no cluster", format!("{row:?}")))
            .collect()
    }

    /// What a server says that tasks used of Fargate, now that none runs any more.
    pub(crate) fn metered(&self, told: &[FargateUse]) -> Vec<Violation> {
        let mut found = Vec::new();
        for one in told {
            let is_it = |used: &&Use| used.is_spot == (one.provider == "FARGATE_SPOT");
            let mine = || self.used.0.values().filter(is_it);
            let expected = (
                mine().count() as u64,
                mine().map(|used| used.cpu).sum::<u64>(),
                mine().map(|used| used.memory).sum::<u64>(),
            );
            if (one.tasks, one.cpu_unit_seconds, one.mib_seconds) != expected {
                found.push(broken(USED, format!("{one:?}, and not {expected:?}")));
            }
        }
        found
    }
}
