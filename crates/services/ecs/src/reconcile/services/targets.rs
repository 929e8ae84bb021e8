//! How the targets of a service's tasks are, and the steps that tasks take with them.

use std::collections::BTreeMap;

use elbv2::{Place, Standing};
use ledger::{Facts, Tx};
use terms::TaskId;

use super::work::Work;
use crate::decide::report;
use crate::decide::service::health::worse;
use crate::decide::service::texts;
use crate::decide::service::view::{Balance, Decision, Traffic, Unwell};
use crate::model::{DesiredStatus, Health, Task, TaskStatus, TaskTarget};
use crate::tables::Scope;

/// What a task's targets say of it.
#[derive(Default)]
pub(super) struct Targets {
    pub(super) health: Option<Health>,
    pub(super) balance: Option<Balance>,
    pub(super) unwell: Option<Unwell>,
}

/// Reads how a task's targets are.
pub(super) fn of(facts: &Facts<'_>, tables: Option<&elbv2::Tables>, row: &Task) -> Targets {
    let mut found = Targets::default();
    if row.targets.is_empty() {
        return found;
    }
    match (row.desired, row.status) {
        (DesiredStatus::Running, TaskStatus::Activating) => found.balance = Some(Balance::Ready),
        (_, TaskStatus::Deactivating) => found.balance = Some(leaving(facts, tables, row)),
        (DesiredStatus::Running, TaskStatus::Running) => {
            for target in &row.targets {
                let (health, unwell) = health(facts, tables, row, target);
                found.health = Some(found.health.map_or(health, |known| worse(known, health)));
                found.unwell = found.unwell.or(unwell);
            }
        }
        _ => {}
    }
    found
}

fn standing(
    facts: &Facts<'_>,
    tables: Option<&elbv2::Tables>,
    row: &Task,
    target: &TaskTarget,
) -> Standing {
    let scope = scope(row);
    let Some(tables) = tables else { return Standing::NoGroup };
    let Some(at) = &target.at else {
        return match tables.target_group(facts, &scope, &target.group) {
            Some(_) => Standing::Absent,
            None => Standing::NoGroup,
        };
    };
    let place = Place { group: &target.group, id: &at.id, port: at.port };
    tables.standing(facts, &scope, &place, at.since)
}

fn leaving(facts: &Facts<'_>, tables: Option<&elbv2::Tables>, row: &Task) -> Balance {
    let begun = row.times.stopping_at.unwrap_or(row.created_at);
    let draining =
        row.targets.iter().filter_map(|target| match standing(facts, tables, row, target) {
            Standing::Draining { until, is_idle } => Some((until, is_idle)),
            _ => None,
        });
    let (until, is_idle) =
        draining.fold((begun, true), |(until, is_idle), one| (until.max(one.0), is_idle && one.1));
    Balance::Leaving { until, is_idle }
}

/// What a target's checks say of its task (ECS semantics §7.3): `unused` is not unhealthy, `initial`
/// is not healthy.
fn health(
    facts: &Facts<'_>,
    tables: Option<&elbv2::Tables>,
    row: &Task,
    target: &TaskTarget,
) -> (Health, Option<Unwell>) {
    let unwell = |reason: String, is_registered: bool| {
        let at = target.at.as_ref().filter(|_| is_registered);
        let machine = at.filter(|_| row.network.is_none()).map(|at| at.id.clone());
        let port = at.map(|at| at.port);
        let unwell = Unwell { group: target.group.clone(), machine, port, reason };
        (Health::Unhealthy, Some(unwell))
    };
    match standing(facts, tables, row, target) {
        Standing::Healthy => (Health::Healthy, None),
        Standing::Initial | Standing::Unused | Standing::Draining { .. } => (Health::Unknown, None),
        Standing::Unhealthy(reason) => unwell(reason, true),
        Standing::NoGroup => unwell("TARGET GROUP IS NOT FOUND".to_owned(), false),
        Standing::Absent => unwell("TARGET IS NOT FOUND".to_owned(), false),
    }
}

fn scope(row: &Task) -> vpc::Scope {
    vpc::Scope { account: row.arn.account.clone(), region: row.arn.region.clone() }
}

/// The weights of a deployment's group and of the other, for so many thousandths.
fn shares(part: u32) -> (u32, u32) {
    match part {
        0 => (0, 100),
        1..1000 => (part, 1000 - part),
        1000.. => (100, 0),
    }
}

impl Work<'_> {
    /// Lets tasks take the steps that load balancers have to do with, as many as are `left` to be
    /// written.
    pub(super) fn take_steps(
        &mut self,
        tx: &mut Tx<'_>,
        decision: &mut Decision,
        left: &mut usize,
    ) {
        let activates = std::mem::take(&mut decision.activates);
        self.activate(tx, &activates, left);
        let releases = std::mem::take(&mut decision.releases);
        self.release(tx, &releases, left);
        if let Some(traffic) = decision.traffic.take() {
            self.direct(tx, &traffic);
        }
    }

    /// Makes tasks known to load balancers, as many as are `left` to be written.
    fn activate(&mut self, tx: &mut Tx<'_>, tasks: &[TaskId], left: &mut usize) {
        let mut registered: BTreeMap<String, usize> = BTreeMap::new();
        for id in tasks {
            if *left == 0 {
                self.looked.at_once = true;
                break;
            }
            let key = self.key.0.task(*id);
            let Some(row) = tx.get(&self.api.tables.tasks, &key) else { continue };
            if row.status != TaskStatus::Activating || row.desired != DesiredStatus::Running {
                continue;
            }
            let targets = self.api.register_targets(tx, &key, &row);
            for target in targets.iter().filter(|target| target.at.is_some()) {
                *registered.entry(target.group.to_string()).or_default() += 1;
            }
            if let Some(next) = report::activate(&row, targets, tx.now()) {
                self.api.put_task(tx, key, next);
                *left -= 1;
            }
        }
        let name = self.name();
        let lines = registered.iter().map(|(group, count)| texts::registered(&name, group, *count));
        self.say(tx, lines.collect::<Vec<_>>());
    }

    /// Lets traffic go where it is to go.
    fn direct(&mut self, tx: &mut Tx<'_>, traffic: &Traffic) {
        let api = self.api;
        let Some(balancers) = api.balancers.get() else { return };
        let rows = &*self.rows;
        let Some(one) = rows.deployments.iter().find(|one| one.id == traffic.to) else { return };
        let Some(revision) = rows.revisions.get(&one.revision) else { return };
        let (balanced, is_alternate) = (revision.workload.balanced.clone(), one.is_alternate);
        let Scope { account, region } = self.key.0.scope.clone();
        let scope = vpc::Scope { account, region };
        for balanced in &balanced {
            let Some(advanced) = &balanced.advanced else { continue };
            let rules = [
                (Some(&advanced.production), traffic.production),
                (advanced.test.as_ref(), traffic.test),
            ];
            for (rule, part) in rules {
                let Some(rule) = rule else { continue };
                let (own, rest) = shares(part);
                let (first, second) = if is_alternate { (rest, own) } else { (own, rest) };
                let weights = [(balanced.side(false), first), (balanced.side(true), second)];
                if !balancers.share_out(tx, &scope, rule, &weights) {
                    let told = texts::undirected(&self.name(), rule);
                    self.say_once(tx, told);
                }
            }
        }
    }

    /// Stops tasks to which load balancers have nothing under way any more.
    fn release(&mut self, tx: &mut Tx<'_>, tasks: &[TaskId], left: &mut usize) {
        for id in tasks {
            if *left == 0 {
                self.looked.at_once = true;
                break;
            }
            let key = self.key.0.task(*id);
            let Some(row) = tx.get(&self.api.tables.tasks, &key) else { continue };
            if let Some(next) = report::deactivate(&row) {
                self.api.put_task(tx, key, next);
                *left -= 1;
            }
        }
    }

    /// Tells that these tasks were taken from load balancers: rows as they were before.
    pub(super) fn tell_deregistered(&mut self, tx: &mut Tx<'_>, tasks: &[Task]) {
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        let mut sets: BTreeMap<crate::model::DeploymentId, usize> = BTreeMap::new();
        for task in tasks {
            let mut is_registered = false;
            for (target, _) in task.registered() {
                *groups.entry(target.group.to_string()).or_default() += 1;
                is_registered = true;
            }
            if let Some(of) = task.deployment.filter(|_| is_registered) {
                *sets.entry(of.id).or_default() += 1;
            }
        }
        let name = self.name();
        let gone = groups.iter().map(|(group, count)| texts::deregistered(&name, group, *count));
        let drain = sets.iter().map(|(of, count)| texts::draining(&name, *of, *count));
        self.say(tx, gone.chain(drain).collect::<Vec<_>>());
    }
}
