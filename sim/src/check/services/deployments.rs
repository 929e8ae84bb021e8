//! How deployments begin and end, and what services say of it.

use std::collections::BTreeMap;

use ecs::audit::{AuditedDeployment, AuditedService};
use terms::TaskId;

use super::{Judged, id_of};
use crate::check::{Checker, broken};
use crate::world::Violation;

const ONE: &str = "one deployment of a service at a time";
const ENDS: &str = "deployments end once, and as their tasks do";
const BACK: &str = "what is rolled back goes to what was complete last";
const GONE: &str = "deleted services leave no tasks";
const TOLD: &str = "services say what happens, in order";

/// How many failures the circuit breaker asks for.
fn threshold(row: &AuditedService) -> Option<u64> {
    let breaker = row.breaker?;
    let share = (u64::from(row.desired) * u64::from(breaker.value)).div_ceil(100);
    Some(match breaker.kind {
        "COUNT" => u64::from(breaker.value).max(1),
        "BOUNDED_PERCENT" => share.clamp(3, 200),
        _ => share.max(1),
    })
}

impl Checker {
    pub(super) fn one_at_a_time(&self, judged: &Judged<'_>) -> Vec<Violation> {
        let mut found = Vec::new();
        if judged.touched.service.is_none() && judged.touched.deployments.is_empty() {
            return found;
        }
        let Some(row) = judged.after.as_ref().filter(|row| row.status == "ACTIVE") else {
            return found;
        };
        if row.is_external {
            return found;
        }
        let all: Vec<_> = self.services.of_service(judged.name).collect();
        let primary: Vec<_> = all.iter().filter(|one| one.status == "PRIMARY").collect();
        if primary.len() != 1 || primary.iter().any(|one| Some(&one.id) != row.primary.as_ref()) {
            found.push(broken(ONE, format!("{row:?} has {primary:?}")));
        }
        let is_going =
            |one: &&&AuditedDeployment| matches!(one.progress, "PENDING" | "IN_PROGRESS");
        let going: Vec<_> = all.iter().filter(is_going).collect();
        if going.len() > 1 {
            found.push(broken(ONE, format!("{}: {going:?}", judged.name)));
        }
        found
    }

    pub(super) fn ends(
        &self,
        judged: &Judged<'_>,
        known: &BTreeMap<String, AuditedDeployment>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        for change in &judged.touched.deployments {
            let Some(after) = change.after.as_deref() else { continue };
            let before = known.get(&after.id);
            let went = |to: &str| after.rollout == to && before.is_none_or(|row| row.rollout != to);
            if before.is_some_and(|row| row.is_over && row.progress != after.progress) {
                found.push(broken(ENDS, format!("{before:?} becomes {after:?}")));
            }
            if went("COMPLETED") {
                found.extend(self.completed(judged, after));
            }
            if went("FAILED") {
                found.extend(self.failed(judged, after, known));
            }
        }
        found
    }

    /// A deployment is complete: nothing is left of those before it, and all its tasks are there.
    fn completed(&self, judged: &Judged<'_>, row: &AuditedDeployment) -> Option<Violation> {
        let service = judged.after.as_ref()?;
        if service.early_success || judged.rows().any(|row| row.early_success || row.is_daemon) {
            return None;
        }
        let others =
            self.live(judged.name).filter(|task| task.deployment.as_ref() != Some(&row.id));
        let others: Vec<TaskId> = others.map(id_of).collect();
        if !others.is_empty() && !self.several {
            let detail = format!("{} is COMPLETED, and {others:?} of others are there", row.id);
            return Some(broken(ENDS, detail));
        }
        let now = row.completed_at?;
        let tasks: Vec<_> = self.live(judged.name).collect();
        let healthy = tasks.iter().filter(|task| self.is_healthy(task, now)).count() as u64;
        let desired = judged.rows().map(|row| u64::from(row.desired)).min().unwrap_or(0);
        let detail = || format!("{} is COMPLETED with {healthy} healthy of {desired}", row.id);
        (healthy < desired && !self.services.has_faded(judged.name)).then(|| broken(ENDS, detail()))
    }

    fn failed(
        &self,
        judged: &Judged<'_>,
        row: &AuditedDeployment,
        known: &BTreeMap<String, AuditedDeployment>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let is_breaker = row.reason.contains("circuit breaker");
        if is_breaker {
            let needed = judged.rows().filter_map(threshold).min().unwrap_or(u64::MAX);
            let failures = self.services.failures.get(&row.id).copied().unwrap_or(0);
            if u64::from(failures) < needed {
                let detail = format!("{} failed after {failures} failures of {needed}", row.id);
                found.push(broken("the circuit breaker counts what failed", detail));
            }
        }
        let complete = known.values().filter(|one| one.rollout == "COMPLETED" && one.id != row.id);
        let last = complete.max_by_key(|one| one.completed_at).map(|one| &one.id);
        if let Some(to) = &row.rollback_to
            && Some(to) != last
        {
            found.push(broken(BACK, format!("{} goes back to {to}, not to {last:?}", row.id)));
        }
        let goes_back = judged.rows().all(|row| row.breaker.is_some_and(|one| one.rollback));
        if is_breaker && goes_back && last.is_some() && row.rollback_to.is_none() {
            found.push(broken(BACK, format!("{} is not taken back to {last:?}", row.id)));
        }
        if let (Some(to), Some(after)) = (&row.rollback_to, &judged.after)
            && after.primary.as_ref() != Some(to)
            && !self.several
        {
            let detail =
                format!("{} goes back to {to}, and {:?} is current", row.id, after.primary);
            found.push(broken(BACK, detail));
        }
        found
    }

    pub(super) fn gone(&self, judged: &Judged<'_>) -> Vec<Violation> {
        let mut found = Vec::new();
        let is_over = judged.after.as_ref().is_none_or(|row| row.status == "INACTIVE");
        let left: Vec<TaskId> = self.live(judged.name).map(id_of).collect();
        if is_over && !left.is_empty() {
            found.push(broken(GONE, format!("{} has ended with {left:?}", judged.name)));
        }
        if judged.after.is_none() {
            let left: Vec<_> = self.services.of_service(judged.name).collect();
            if !left.is_empty() {
                found.push(broken(GONE, format!("{} is forgotten with {left:?}", judged.name)));
            }
        }
        found
    }
}

/// What a service says is numbered without a gap, and tells of each end of a deployment.
pub(super) fn told(judged: &Judged<'_>, several: bool) -> Vec<Violation> {
    let mut found = Vec::new();
    let Some(after) = &judged.after else { return found };
    let mut complain = |what: String| found.push(broken(TOLD, format!("{}: {what}", judged.name)));
    let known = judged.before.as_ref().filter(|before| before.created_at == after.created_at);
    let mut last = known.map_or(0, |row| row.last_event);
    for event in &judged.touched.events {
        if event.number != last + 1 && !several {
            complain(format!("{event:?} comes after {last}"));
        }
        last = last.max(event.number);
    }
    if last != after.last_event && !several {
        complain(format!("{last} is its last event, and it says {}", after.last_event));
    }
    for change in &judged.touched.deployments {
        let (before, Some(row)) = (change.before.as_deref(), change.after.as_deref()) else {
            continue;
        };
        let went = |to: &str| row.rollout == to && before.is_some_and(|one| one.rollout != to);
        let events = || judged.touched.events.iter();
        if went("COMPLETED") && !events().any(|one| one.completed.as_ref() == Some(&row.id)) {
            complain(format!("it does not say that {} is complete", row.id));
        }
        if went("FAILED") && !events().any(|one| one.failed.as_ref() == Some(&row.id)) {
            complain(format!("it does not say that {} has failed", row.id));
        }
    }
    for event in judged.touched.events.iter().filter(|_| !several) {
        let ends = |id: &Option<String>, to: &str| {
            let Some(id) = id else { return true };
            let mut changes =
                judged.touched.deployments.iter().filter_map(|one| one.after.as_ref());
            changes.any(|row| row.id == *id && row.rollout == to)
        };
        if !ends(&event.completed, "COMPLETED") || !ends(&event.failed, "FAILED") {
            complain(format!("it says '{}', which is not so", event.message));
        }
    }
    found
}
