//! What the scheduler starts and stops.

use ecs::audit::{AuditedService, AuditedTask};
use terms::TaskId;

use super::{Judged, checked, id_of};
use crate::check::{Checker, broken, takes_tasks};
use crate::world::Violation;

const FEWEST: &str = "never fewer healthy tasks than the minimum because of us";
const MOST: &str = "never more tasks than the maximum";
const RIGHT: &str = "services start what their deployments say";
const PROTECTED: &str = "protected tasks are not stopped for being too many";

fn lower(row: &AuditedService) -> u64 {
    (u64::from(row.desired) * u64::from(row.minimum_healthy_percent)).div_ceil(100)
}

fn upper(row: &AuditedService) -> u64 {
    let desired = u64::from(row.desired);
    (desired * u64::from(row.maximum_percent) / 100).max(desired)
}

impl Checker {
    pub(super) fn fewest(&self, judged: &Judged<'_>) -> Option<Violation> {
        if !judged.is_kept() || judged.rows().any(|row| row.is_external) {
            return None;
        }
        let now = judged.stopped().filter_map(|(_, after)| after.stopping_at).max()?;
        let is_daemon = judged.rows().any(|row| row.is_daemon);
        let stays = |task: &AuditedTask| {
            // A daemon has no business on an instance that takes no tasks.
            !is_daemon || self.instances.get(&task.instance).is_some_and(takes_tasks)
        };
        let stopped: Vec<&AuditedTask> = judged.stopped().map(|(before, _)| before).collect();
        let healthy = stopped.iter().filter(|task| self.is_healthy(task, now) && stays(task));
        let healthy: Vec<TaskId> = healthy.map(|task| id_of(task)).collect();
        if healthy.is_empty() || (is_daemon && self.services.has_faded(judged.name)) {
            return None;
        }
        let is_healthy = |task: &&AuditedTask| self.is_healthy(task, now);
        let mut left = self.live(judged.name).filter(is_healthy).count();
        if self.several {
            // A commit may hold several transactions: what ended in it may have ended afterwards.
            let ended = judged.touched.tasks.iter().filter_map(|task| task.before.as_deref());
            let ended = ended.filter(|task| !stopped.iter().any(|one| id_of(one) == id_of(task)));
            let is_over = |task: &&AuditedTask| {
                !self.tasks.get(&id_of(task)).is_some_and(|row| self.is_healthy(row, now))
            };
            left += ended.filter(is_healthy).filter(is_over).count();
        }
        let wanted = judged.rows().map(lower).min().unwrap_or(0);
        let detail = || {
            let name = judged.name;
            format!("{name}: {healthy:?} are stopped, {left} healthy are left of {wanted}")
        };
        ((left as u64) < wanted).then(|| broken(FEWEST, detail()))
    }

    pub(super) fn most(&self, judged: &Judged<'_>) -> Vec<Violation> {
        let (name, mut found) = (judged.name, Vec::new());
        if judged.made().next().is_none() || judged.rows().any(|row| row.is_external) {
            return found;
        }
        let live = self.live(name).count();
        if judged.rows().all(|row| !row.is_daemon) {
            let most = judged.rows().map(upper).max().unwrap_or(0);
            if live as u64 > most {
                found.push(broken(MOST, format!("{name}: {live} tasks, at most {most} may be")));
            }
            return found;
        }
        for made in judged.made() {
            let here = self.live(name).filter(|task| task.instance == made.instance).count();
            if here > 1 {
                let detail = format!("{name}: {here} daemons on {}", made.instance);
                found.push(broken(MOST, detail));
            }
        }
        found
    }

    pub(super) fn right(&self, judged: &Judged<'_>) -> Vec<Violation> {
        let (name, mut found) = (judged.name, Vec::new());
        let mut complain = |what: String| found.push(broken(RIGHT, format!("{name}: {what}")));
        for task in judged.made() {
            let id = task.arn.id;
            if judged.rows().all(|row| row.status != "ACTIVE") {
                complain(format!("it is not ACTIVE, and starts {id}"));
            }
            if judged.rows().any(|row| row.is_external) {
                continue;
            }
            let of = task.deployment.clone().unwrap_or_default();
            let Some(row) = self.services.deployments.get(&(name.to_owned(), of.clone())) else {
                complain(format!("{id} is of no deployment that there is: {of}"));
                continue;
            };
            let revision = self.services.revisions.get(&(name.to_owned(), row.revision.clone()));
            if revision.is_none_or(|revision| revision.definition != task.definition) {
                complain(format!("{id} runs {}, and not {revision:?}", task.definition));
            }
            let changes = judged.touched.deployments.iter();
            let before = changes.filter_map(|change| change.before.as_deref());
            let mut before = before.filter(|before| before.id == of).map(|before| before.rollout);
            if row.rollout == "FAILED" && before.next_back().is_none_or(|before| before == "FAILED")
            {
                complain(format!("{of} has failed, and starts {id}"));
            }
        }
        found
    }

    pub(super) fn protected(&self, judged: &Judged<'_>) -> Vec<Violation> {
        let mut found = Vec::new();
        if !judged.is_kept() || judged.rows().any(|row| row.is_daemon || row.is_external) {
            return found;
        }
        for (before, after) in judged.stopped() {
            let reason = after.stop_reason.as_deref().unwrap_or_default();
            let until = before.protected_until.zip(after.stopping_at);
            let is_protected = until.is_some_and(|(until, at)| until > at);
            let stays = self.instances.get(&after.instance).is_some_and(takes_tasks);
            let is_bad = checked(before) == Some("UNHEALTHY");
            if reason.starts_with("Scaling") && is_protected && stays && !is_bad {
                let (id, until) = (after.arn.id, before.protected_until);
                let detail = format!("{}: {id}, protected until {until:?}", judged.name);
                found.push(broken(PROTECTED, detail));
            }
        }
        found
    }
}
