//! Task sets, and the shares of capacity providers.

use std::collections::{BTreeMap, BTreeSet};

use ecs::audit::{AuditedService, AuditedShare, AuditedTaskSet};

use super::{Judged, id_of};
use crate::check::capacity::excess;
use crate::check::{Checker, broken, takes_tasks};
use crate::world::Violation;

const SETS: &str = "task sets have what their share says";
const SHARES: &str = "tasks are shared out among capacity providers";

/// How many tasks a task set is to have: its percentage, rounded up.
fn share(set: &AuditedTaskSet, desired: u32) -> u64 {
    (u64::from(desired) * set.scale).div_ceil(100 * 100)
}

impl Checker {
    fn set(&self, service: &str, id: &str) -> Option<&AuditedTaskSet> {
        self.services.task_sets.get(&(service.to_owned(), id.to_owned()))
    }

    /// What a task set was before the commit and is after it.
    fn each<'a>(&'a self, judged: &'a Judged<'_>, id: &'a str) -> Vec<&'a AuditedTaskSet> {
        let before = judged.touched.task_sets.iter().filter_map(|change| change.before.as_deref());
        let before = before.filter(move |set| set.id == id);
        before.chain(self.set(judged.name, id)).collect()
    }

    /// What a commit did to task sets.
    pub(super) fn sets(&self, judged: &Judged<'_>) -> Vec<Violation> {
        let (name, mut found) = (judged.name, Vec::new());
        let mut complain = |what: String| found.push(broken(SETS, format!("{name}: {what}")));
        if judged.after.as_ref().is_none_or(|row| !row.is_external) {
            return found;
        }
        let sets = self.services.task_sets.values().filter(|set| set.service == name);
        let primary = sets.filter(|set| set.status == "PRIMARY").count();
        if primary > 1 {
            complain(format!("{primary} task sets are PRIMARY"));
        }
        let shares = |id: &str| -> Vec<u64> {
            let both = self.each(judged, id).into_iter();
            both.flat_map(|set| judged.rows().map(move |row| share(set, row.desired))).collect()
        };
        let made: BTreeSet<&str> =
            judged.made().filter_map(|task| task.deployment.as_deref()).collect();
        for id in made {
            let live = self.live(name).filter(|task| task.deployment.as_deref() == Some(id));
            let live = live.count() as u64;
            // What is not healthy, or drains, goes when others have taken its place.
            let most = 2 * shares(id).into_iter().max().unwrap_or(0);
            if live > most {
                complain(format!("{id} starts tasks and has {live}, at most {most} may be"));
            }
        }
        for task in judged.made() {
            let id = task.deployment.as_deref().unwrap_or_default();
            let both = self.each(judged, id);
            let is_right = both.iter().any(|set| set.definition == task.definition)
                && both.iter().any(|set| set.status != "DRAINING");
            if !is_right {
                complain(format!("{} starts, of {both:?}", task.arn.id));
            }
        }
        if judged.is_kept() && !self.services.has_faded(name) {
            for what in self.too_few(judged, &shares) {
                complain(what);
            }
        }
        found
    }

    /// Healthy tasks that were stopped though their task set then has fewer than its share.
    fn too_few(&self, judged: &Judged<'_>, shares: &dyn Fn(&str) -> Vec<u64>) -> Vec<String> {
        let mut found = Vec::new();
        let Some(now) = judged.stopped().filter_map(|(_, after)| after.stopping_at).max() else {
            return found;
        };
        let stays = |task: &ecs::audit::AuditedTask| {
            self.instances.get(&task.instance).is_some_and(takes_tasks)
        };
        let healthy = judged.stopped().map(|(before, _)| before);
        let healthy = healthy.filter(|task| self.is_healthy(task, now) && stays(task));
        for task in healthy {
            let id = task.deployment.as_deref().unwrap_or_default();
            let is_over = self.set(judged.name, id).is_none_or(|set| set.status == "DRAINING");
            let mine = self.live(judged.name).filter(|one| one.deployment == task.deployment);
            let left = mine.filter(|one| self.is_healthy(one, now)).count() as u64;
            let least = shares(id).into_iter().min().unwrap_or(0);
            if !is_over && left < least {
                found.push(format!("{} is stopped, {left} of {least} are left", id_of(task)));
            }
        }
        found
    }

    /// The strategy that a deployment's or a task set's tasks go by.
    fn strategy(&self, service: &str, of: &str) -> &[AuditedShare] {
        if let Some(set) = self.set(service, of) {
            return &set.strategy;
        }
        let key = (service.to_owned(), of.to_owned());
        let revision = self.services.deployments.get(&key).map(|row| row.revision.clone());
        let key = (service.to_owned(), revision.unwrap_or_default());
        self.services.revisions.get(&key).map_or(&[], |row| row.strategy.as_slice())
    }

    /// What is started goes where the strategy has it: no provider gets more than its share, when
    /// all that are wanted found a place.
    pub(super) fn shares(&self, judged: &Judged<'_>) -> Vec<Violation> {
        let (name, mut found) = (judged.name, Vec::new());
        // What ended meanwhile was still there for who decided.
        if !judged.is_kept() || self.several || self.services.has_faded(name) {
            return found;
        }
        let of = |task: &ecs::audit::AuditedTask| task.deployment.clone().unwrap_or_default();
        for id in judged.made().map(of).collect::<BTreeSet<_>>() {
            let strategy = self.strategy(name, &id);
            let live: Vec<_> = self.live(name).filter(|task| of(task) == id).collect();
            let desired = match self.set(name, &id) {
                Some(set) => judged.rows().map(|row| share(set, row.desired)).max(),
                None => judged.rows().map(|row| u64::from(row.desired)).max(),
            };
            let desired = desired.unwrap_or(0);
            if strategy.is_empty() || (live.len() as u64) < desired {
                continue;
            }
            // What it stops in the same commit was counted, too.
            let stopped = judged.stopped().map(|(before, _)| before);
            let stopped: Vec<_> = stopped.filter(|task| of(task) == id).collect();
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for task in live.iter().chain(&stopped) {
                *counts.entry(task.provider.as_deref().unwrap_or_default()).or_default() += 1;
            }
            let made = judged.made().filter(|task| of(task) == id);
            let providers: BTreeSet<&str> =
                made.filter_map(|task| task.provider.as_deref()).collect();
            for provider in providers {
                if let Some(what) = excess(strategy, &counts, provider, desired) {
                    let detail = format!("{name}: {id}: {strategy:?}: {counts:?}: {what}");
                    found.push(broken(SHARES, detail));
                }
            }
        }
        found
    }

    /// Whether each task set of a service has what it is to have.
    pub(super) fn sets_settled(&self, row: &AuditedService) -> Result<(), String> {
        let name = &row.name;
        let sets: Vec<_> =
            self.services.task_sets.values().filter(|set| set.service == *name).collect();
        for set in &sets {
            let mine = || {
                self.live(name).filter(|task| task.deployment.as_deref() == Some(set.id.as_str()))
            };
            let running = mine().filter(|task| task.is_running()).count() as u64;
            let wanted = share(set, row.desired);
            let is_whole = running == wanted && mine().count() as u64 == wanted;
            let is_told = u64::from(set.computed_desired) == wanted && set.is_steady;
            if set.status == "DRAINING" || !is_whole || !is_told {
                return Err(format!("service {name}: {running} run of {wanted} of {set:?}"));
            }
        }
        let has_set = |task: &&ecs::audit::AuditedTask| {
            sets.iter().any(|set| task.deployment.as_ref() == Some(&set.id))
        };
        match self.live(name).find(|task| !has_set(task)) {
            Some(task) => Err(format!("service {name}: {} is of no task set", task.arn.id)),
            None => Ok(()),
        }
    }
}
