//! What holds of services: after each commit, and once nothing goes wrong any more.
//!
//! **Because of us.** Faults take tasks away as they like, so how few there are says nothing of the
//! scheduler. What it does is held to the rules: it stops no healthy task if fewer healthy ones
//! than the minimum are left then, and starts none if more than the maximum are there then. Both
//! are judged by what the ledger holds when the commit is made, and apart from the code that
//! decides: what counts as healthy is worked out here again.

mod alarms;
mod deployments;
mod sets;
mod settled;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ecs::audit::{
    Audit, AuditedDeployment, AuditedEvent, AuditedRevision, AuditedService, AuditedTask,
    AuditedTaskSet, Changed,
};
use ledger::Revision;
use terms::{TaskId, Timestamp};
use tokio::time::Instant;

use super::{Checker, broken};
use crate::world::Violation;

/// Who stopped a task.
const BY_US: &str = "ServiceSchedulerInitiated";
/// How long the tasks of a deployment are on trial that a circuit breaker watches.
const TRIAL: Duration = Duration::from_secs(5);
/// How long a look at a service may be on its way to the store. What tasks lost meanwhile is not
/// held against it where nothing depends on it.
const ON_ITS_WAY: Duration = Duration::from_secs(25);

/// How services are kept in a world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// How long a task without health checks runs until it counts as healthy.
    pub(crate) settle: Duration,
    /// After which time without its agent a task is lost.
    pub(crate) lost_after: Option<Duration>,
}

/// What is known of services. Deployments and revisions are under their service and id.
#[derive(Default)]
pub(crate) struct Services {
    pub(super) rules: Rules,
    pub(crate) rows: BTreeMap<String, AuditedService>,
    pub(crate) deployments: BTreeMap<(String, String), AuditedDeployment>,
    revisions: BTreeMap<(String, String), AuditedRevision>,
    pub(crate) task_sets: BTreeMap<(String, String), AuditedTaskSet>,
    alarms: alarms::Alarms,
    /// Their tasks that have not stopped.
    live: BTreeMap<String, BTreeSet<TaskId>>,
    /// How many tasks of a deployment have failed by themselves so far.
    failures: BTreeMap<String, u32>,
    /// When a service's tasks last became less by what the scheduler did not do.
    faded: BTreeMap<String, Instant>,
    /// How many tasks services have started.
    pub(crate) starts: u64,
}

/// What a commit did to a service and what belongs to it.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) tasks: Vec<Changed<AuditedTask>>,
    pub(super) service: Option<Changed<AuditedService>>,
    pub(super) deployments: Vec<Changed<AuditedDeployment>>,
    pub(super) task_sets: Vec<Changed<AuditedTaskSet>>,
    /// What the service has said in it.
    pub(super) events: Vec<AuditedEvent>,
}

/// A service before and after a commit, and what it did to it.
struct Judged<'a> {
    name: &'a str,
    before: Option<AuditedService>,
    after: Option<AuditedService>,
    touched: &'a Touched,
}

impl Judged<'_> {
    fn rows(&self) -> impl Iterator<Item = &AuditedService> {
        self.before.iter().chain(&self.after)
    }

    /// Whether the scheduler keeps it, before and after.
    fn is_kept(&self) -> bool {
        let both = [&self.before, &self.after];
        both.into_iter().all(|row| row.as_ref().is_some_and(|row| row.status == "ACTIVE"))
    }

    /// Tasks that the commit made.
    fn made(&self) -> impl Iterator<Item = &AuditedTask> {
        let made = self.touched.tasks.iter().filter(|task| task.before.is_none());
        made.filter_map(|task| task.after.as_deref())
    }

    /// Tasks that the scheduler asked to stop: before and after.
    fn stopped(&self) -> impl Iterator<Item = (&AuditedTask, &AuditedTask)> {
        let tasks = self.touched.tasks.iter();
        let both = tasks.filter_map(|one| Some((one.before.as_deref()?, one.after.as_deref()?)));
        both.filter(|(before, after)| {
            before.wants_running && !after.wants_running && after.stop_code == Some(BY_US)
        })
    }
}

/// What the checks of a task's essential containers say: the worst of them; none without checks.
fn checked(task: &AuditedTask) -> Option<&'static str> {
    let essential = task.containers.iter().filter(|container| container.essential);
    let all: Vec<&str> = essential.filter_map(|container| container.health).collect();
    if all.is_empty() {
        return None;
    }
    let has = |health| all.contains(&health);
    Some(if has("UNHEALTHY") {
        "UNHEALTHY"
    } else if has("UNKNOWN") {
        "UNKNOWN"
    } else {
        "HEALTHY"
    })
}

fn id_of(task: &AuditedTask) -> TaskId {
    task.arn.id
}

impl Services {
    pub(super) fn of(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes over all rows of a server that has loaded its store; says what is missing. `known` is
    /// the revision that was published before.
    pub(super) fn load(
        &mut self,
        audit: &Audit,
        (known, found): (Revision, Revision),
    ) -> Vec<Violation> {
        let rows: BTreeMap<_, _> =
            audit.services.iter().map(|row| (row.name.clone(), row.clone())).collect();
        let key = |row: &AuditedDeployment| (row.service.clone(), row.id.clone());
        let deployments: BTreeMap<_, _> =
            audit.deployments.iter().map(|row| (key(row), row.clone())).collect();
        let mut missing = Vec::new();
        for (name, before) in &self.rows {
            match rows.get(name) {
                None if known == found => missing.push(format!("service {name} is gone")),
                Some(after) if after != before && after.version <= known => {
                    missing.push(format!("{before:?} has become {after:?}"));
                }
                Some(_) | None => {}
            }
        }
        for (key, before) in &self.deployments {
            match deployments.get(key) {
                None if known == found => missing.push(format!("deployment {key:?} is gone")),
                Some(after) if after != before && after.version <= known => {
                    missing.push(format!("{before:?} has become {after:?}"));
                }
                Some(_) | None => {}
            }
        }
        (self.rows, self.deployments) = (rows, deployments);
        let key = |row: &AuditedRevision| (row.service.clone(), row.id.clone());
        self.revisions = audit.revisions.iter().map(|row| (key(row), row.clone())).collect();
        let key = |row: &AuditedTaskSet| (row.service.clone(), row.id.clone());
        self.task_sets = audit.task_sets.iter().map(|row| (key(row), row.clone())).collect();
        self.live.clear();
        for task in audit.tasks.iter().filter(|task| task.holds()) {
            if let Some(name) = &task.service {
                self.live.entry(name.clone()).or_default().insert(task.arn.id);
            }
        }
        // Whatever a start found may have come of writes that nobody was told of.
        self.faded.extend(self.rows.keys().map(|name| (name.clone(), Instant::now())));
        missing.into_iter().map(|what| broken("no acknowledged write is lost", what)).collect()
    }

    pub(super) fn revision(&mut self, change: Changed<AuditedRevision>) {
        let both = (change.before, change.after);
        match both {
            (_, Some(row)) => {
                self.revisions.insert((row.service.clone(), row.id.clone()), *row);
            }
            (Some(row), None) => {
                self.revisions.remove(&(row.service, row.id));
            }
            (None, None) => {}
        }
    }

    /// Takes note of what became of a task.
    pub(super) fn task(&mut self, task: &Changed<AuditedTask>) {
        let row = task.after.as_deref().or(task.before.as_deref());
        let Some(row) = row else { return };
        let Some(name) = &row.service else { return };
        let live = self.live.entry(name.clone()).or_default();
        match &task.after {
            Some(after) if after.holds() => live.insert(after.arn.id),
            Some(_) | None => live.remove(&row.arn.id),
        };
        let (before, after) = (task.before.as_deref(), task.after.as_deref());
        let code = |row: Option<&AuditedTask>| row.and_then(|row| row.stop_code);
        let is_unhealthy = |row: &AuditedTask| checked(row) == Some("UNHEALTHY");
        let failed = code(before).is_none()
            && match code(after) {
                Some("TaskFailedToStart" | "EssentialContainerExited") => true,
                // What it was told and what was done about it may be in one commit.
                Some(BY_US) => [before, after].into_iter().flatten().any(is_unhealthy),
                _ => false,
            };
        if let (true, Some(of)) = (failed, &row.deployment) {
            *self.failures.entry(of.clone()).or_default() += 1;
        }
        self.starts += u64::from(before.is_none());
        let is_good = |row: &AuditedTask| {
            row.wants_running && row.is_running() && checked(row).is_none_or(|one| one == "HEALTHY")
        };
        if before.is_some_and(is_good) && !after.is_some_and(is_good) && code(after) != Some(BY_US)
        {
            self.faded.insert(name.clone(), Instant::now());
        }
    }

    fn has_faded(&self, name: &str) -> bool {
        self.faded.get(name).is_some_and(|at| at.elapsed() < ON_ITS_WAY)
    }

    fn of_service<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a AuditedDeployment> {
        let from = (name.to_owned(), String::new());
        self.deployments.range(from..).take_while(move |(key, _)| key.0 == name).map(|(_, row)| row)
    }
}

impl Checker {
    /// Takes over what a commit did to services, and judges it. The tasks and instances are already
    /// as they are after it.
    pub(super) fn services_change(&mut self, touched: BTreeMap<String, Touched>) -> Vec<Violation> {
        let mut found = Vec::new();
        for (name, touched) in &touched {
            let before = self.services.rows.get(name).cloned();
            let mut known = BTreeMap::new();
            if !touched.deployments.is_empty() {
                let all = self.services.of_service(name);
                known.extend(all.map(|row| (row.id.clone(), row.clone())));
            }
            self.take_over(name, touched);
            let after = self.services.rows.get(name).cloned();
            let judged = Judged { name, before, after, touched };
            found.extend(self.fewest(&judged));
            found.extend(self.most(&judged));
            found.extend(self.right(&judged));
            found.extend(self.protected(&judged));
            found.extend(self.one_at_a_time(&judged));
            found.extend(self.ends(&judged, &known));
            found.extend(self.gone(&judged));
            found.extend(self.sets(&judged));
            found.extend(self.shares(&judged));
            found.extend(self.heeds_alarms(&judged, &known));
            found.extend(deployments::told(&judged, self.several));
        }
        found
    }

    fn take_over(&mut self, name: &str, touched: &Touched) {
        for task in &touched.tasks {
            self.services.task(task);
        }
        for change in &touched.deployments {
            match (&change.before, &change.after) {
                (_, Some(row)) => {
                    let key = (name.to_owned(), row.id.clone());
                    let was = self.services.deployments.insert(key, (**row).clone());
                    let was = was.map(|row| (row.rollout, row.progress));
                    if was.is_none_or(|was| was != (row.rollout, row.progress)) {
                        self.meet(row.rollout, row.progress);
                    }
                }
                (Some(row), None) => {
                    self.services.deployments.remove(&(name.to_owned(), row.id.clone()));
                }
                (None, None) => {}
            }
        }
        for change in &touched.task_sets {
            match (&change.before, &change.after) {
                (_, Some(row)) => {
                    let key = (name.to_owned(), row.id.clone());
                    self.services.task_sets.insert(key, (**row).clone());
                }
                (Some(row), None) => {
                    self.count("task set ended");
                    self.services.task_sets.remove(&(name.to_owned(), row.id.clone()));
                }
                (None, None) => {}
            }
        }
        match &touched.service {
            Some(Changed { after: Some(row), .. }) => {
                if row.status == "INACTIVE" {
                    self.count("service ended");
                }
                self.services.rows.insert(name.to_owned(), (**row).clone());
            }
            Some(Changed { after: None, .. }) => {
                self.services.rows.remove(name);
            }
            None => {}
        }
    }

    /// Counts what has become of a deployment.
    fn meet(&mut self, rollout: &str, progress: &str) {
        match (rollout, progress) {
            ("COMPLETED", "SUCCESSFUL") => self.count("deployment completed"),
            ("FAILED", "STOPPED") => self.count("deployment failed"),
            ("FAILED", "ROLLBACK_IN_PROGRESS") => self.count("deployment goes back"),
            (_, "ROLLBACK_SUCCESSFUL") => self.count("deployment went back"),
            ("IN_PROGRESS", "STOP_REQUESTED") => self.count("deployment replaced"),
            _ => {}
        }
    }

    fn live<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a AuditedTask> {
        let ids = self.services.live.get(name).into_iter().flatten();
        ids.filter_map(|id| self.tasks.get(id)).filter(|task| task.wants_running)
    }

    /// How long a task has to settle. Where a circuit breaker watches the deployment that is rolled
    /// out, its tasks are on trial first (docs/decisions/0134).
    fn settle(&self, task: &AuditedTask) -> Duration {
        let Services { rules, rows, deployments, .. } = &self.services;
        let mut watched = rows.iter().filter(|(_, row)| row.breaker.is_some());
        let is_watched = watched.any(|(name, row)| {
            let of = row.primary.clone().filter(|of| task.deployment.as_ref() == Some(of));
            let row = of.and_then(|of| deployments.get(&(name.clone(), of)));
            row.is_some_and(|row| row.rollout == "IN_PROGRESS")
        });
        if is_watched { rules.settle.max(TRIAL) } else { rules.settle }
    }

    /// Whether a task counts as healthy at `now`.
    fn is_healthy(&self, task: &AuditedTask, now: Timestamp) -> bool {
        let rules = self.services.rules;
        if !task.wants_running || !task.is_running() {
            return false;
        }
        let away = self.instances.get(&task.instance).and_then(|row| row.away_since);
        let lost = away.zip(rules.lost_after).is_some_and(|(since, after)| since + after <= now);
        let is_well = match checked(task) {
            None => task.started_at.is_some_and(|at| at + self.settle(task) <= now),
            Some(health) => health == "HEALTHY",
        };
        is_well && !lost
    }
}
