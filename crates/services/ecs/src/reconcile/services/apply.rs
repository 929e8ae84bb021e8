//! One look at a service, and its outcome in one transaction.

use std::collections::BTreeSet;
use std::time::Duration;

use ledger::{TransactError, Tx};
use placement::{Demand, Request};
use terms::{ContainerInstanceId, Timestamp};

use super::read::Known;
use super::work::{Plans, Work};
use super::{minimum, read};
use crate::api::{Api, ServiceTemplate};
use crate::decide::room;
use crate::decide::service::view::{Alarms, Decision, Phase, Rules, View};
use crate::decide::service::{self, Rows};
use crate::error::Error;
use crate::model::{
    Course, InstanceStatus, OfDeployment, RolloutState, SchedulingStrategy, ServiceEventKind,
    ServiceStatus, Task, ZoneRebalancing,
};
use crate::tables::{Scope, ServiceKey};

/// Most tasks that one transaction starts and stops together: a transaction on etcd has at most
/// 127 rows. What is left is done by the next look, which follows at once.
const MAX_TASKS: usize = 60;
/// How long a deployment bakes whose service does not say, and whose alarms do not either.
const BAKES: Duration = Duration::from_secs(60);

/// What came of a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// When to look again if nothing changes before.
    pub(crate) again_at: Option<Timestamp>,
    /// Whether to look again at once.
    pub(crate) at_once: bool,
    /// Whether tasks found no place.
    pub(crate) waits_for_room: bool,
    /// Of a daemon: what is to be kept free for its next tasks, and where.
    pub(crate) reserves: Option<(Demand, BTreeSet<ContainerInstanceId>)>,
}

/// Whether what is said is why tasks are stopped, and not what comes of it.
fn is_cause((kind, _): &(ServiceEventKind, String)) -> bool {
    use ServiceEventKind as Kind;
    !matches!(
        kind,
        Kind::DeploymentCompleted(_)
            | Kind::SteadyState
            | Kind::SteadyStateOf(_)
            | Kind::TaskSetSteadyState
            | Kind::TaskSetSteady(_)
            | Kind::RebalancingCompleted
    )
}

impl Api {
    /// Looks at a service and does what it needs.
    ///
    /// # Errors
    /// When the ledger fails.
    pub(crate) async fn reconcile_service(
        &self,
        key: &ServiceKey,
        rules: &Rules,
    ) -> Result<Looked, TransactError<Error>> {
        let mut plans = Plans::new();
        let done = self.ledger.transact("reconcile service", |tx| {
            // What an earlier run planned is not to stand in the way of this one.
            plans.clear();
            self.look_at_service(tx, key, rules, &mut plans)
        });
        let looked = done.await?.value;
        for (plan, request) in plans {
            self.placer.committed(plan, &request);
        }
        if let Some((demand, on)) = &looked.reserves {
            self.placer.reserve(key, demand, on);
        }
        Ok(looked)
    }

    fn look_at_service(
        &self,
        tx: &mut Tx<'_>,
        key: &ServiceKey,
        rules: &Rules,
        plans: &mut Plans,
    ) -> Result<Looked, Error> {
        let Some(row) = tx.get(&self.tables.services.rows, key) else {
            return Ok(Looked::default());
        };
        let known = self.known();
        let mut view = read::view(tx, &known, key, (*row).clone());
        if row.status == ServiceStatus::Inactive && view.tasks.is_empty() {
            return Ok(Looked::default());
        }
        let demand = self.read_fleet(tx, key, &mut view);
        view.alarms = self.read_alarms(tx, key, &view);
        let now = tx.now();
        let decide = |view: &View| match self.mistake.get() {
            None => service::decide(view, rules, now),
            Some(mistake) => mistake.decide(view, rules, now),
        };
        let (mut rows, mut decision) = decide(&view);
        let mut work = Work::new(self, key, &mut rows, Looked::default());
        let mut left = limit(&view);
        work.take_steps(tx, &mut decision, &mut left);
        let mut unplaced = 0;
        for start in &decision.starts {
            let (wanted, started) = work.start(tx, &view, start, &mut left, plans)?;
            if start.zone.is_some() {
                work.moved(started > 0, now);
            } else if Some(start.of) == view.service.primary {
                unplaced += wanted - started;
            }
        }
        let Work { looked, taken, .. } = work;
        taken.guard(self, tx);
        if unplaced > 0 {
            // What takes its place may have to make room for it.
            view.unplaced = unplaced;
            let (again, second) = decide(&view);
            let before = std::mem::replace(&mut rows, again);
            keep_said(before.service.course, &mut rows.service.course);
            decision = Decision { starts: Vec::new(), ..second };
        }
        let mut work = Work::new(self, key, &mut rows, looked);
        let (causes, ends): (Vec<_>, _) =
            std::mem::take(&mut decision.events).into_iter().partition(is_cause);
        decision.events = ends;
        work.say(tx, causes);
        for stop in &decision.stops {
            work.stop(tx, &view, stop, &mut left)?;
        }
        let stopped = std::mem::take(&mut work.stopped);
        let starts: Vec<ContainerInstanceId> =
            decision.starts.iter().flat_map(|start| start.on.iter().copied()).collect();
        work.finish(tx, &view, decision);
        let mut looked = work.looked;
        if view.service.scheduling == SchedulingStrategy::Daemon {
            let lacking = lacking(&view, &rows, looked.waits_for_room, &starts);
            looked.reserves = Some((demand.unwrap_or_default(), lacking));
        }
        looked.at_once |= view.ended.len() == read::MAX_ENDED;
        minimum::guard(known, tx, (&rows, &view.tasks), rules, &stopped);
        self.write_rows(tx, key, &view, rows);
        Ok(looked)
    }

    /// The tables that looks read.
    pub(crate) fn known(&self) -> Known {
        Known { tables: self.tables, balancers: self.balancers.get().copied() }
    }

    /// Reads what only some services' deciders look at: zones, and where daemons belong.
    /// Gives what a task of a daemon takes.
    fn read_fleet(&self, tx: &Tx<'_>, key: &ServiceKey, view: &mut View) -> Option<Demand> {
        let service = &view.service;
        if service.status != ServiceStatus::Active {
            return None;
        }
        if service.scheduling == SchedulingStrategy::Daemon {
            return self.read_eligible(tx, key, view);
        }
        if service.rebalancing == ZoneRebalancing::Enabled
            && service.desired > 1
            && service.course.steady_at.is_some()
        {
            let fleet = key.0.scope.fleet();
            let is_fargate = service.capacity.is_fargate();
            let ground = if is_fargate { &fleet } else { &key.0 };
            view.zones = match service.primary.map(|of| view.strategy(of)).unwrap_or_default() {
                [] => read::zones(&tx.facts(), &self.tables, ground, None),
                [_] if is_fargate => read::zones(&tx.facts(), &self.tables, ground, None),
                [one] => read::zones(&tx.facts(), &self.tables, &key.0, Some(&one.provider)),
                // Shares come before zones: a task that moved might have to move back.
                _ => BTreeSet::new(),
            };
        }
        None
    }

    /// The alarms of the service's deployments, if it has some.
    fn read_alarms(&self, tx: &Tx<'_>, key: &ServiceKey, view: &View) -> Alarms {
        let rules = view.service.configuration.alarms.as_ref().filter(|alarms| alarms.enable);
        let (Some(rules), Some(tables)) = (rules, self.alarms.get()) else {
            return Alarms::default();
        };
        let Scope { account, region } = key.0.scope.clone();
        let scope = cloudwatch::Scope { account, region };
        let states = tables.alarm_states(tx, &scope, &rules.names);
        let is_on = |state: &Option<cloudwatch::AlarmState>| {
            state.as_ref().is_some_and(|state| state.value == cloudwatch::StateValue::Alarm)
        };
        let alarming = states.into_iter().filter(|(_, state)| is_on(state));
        let alarming = alarming.map(|(name, _)| name).collect();
        let window = |name: &String| tables.alarm_window(tx, &scope, name);
        let looks_back = rules.names.iter().filter_map(window).max().unwrap_or(BAKES);
        Alarms { alarming, looks_back }
    }

    fn read_eligible(&self, tx: &Tx<'_>, key: &ServiceKey, view: &mut View) -> Option<Demand> {
        let of = view.service.primary?;
        let workload = view.workload(of)?.clone();
        let template = self.service_template(&tx.facts(), &view.service, of, &workload, None);
        let ServiceTemplate { request, .. } = template.ok()?;
        // What an instance has free does not matter: the daemon belongs there all the same.
        let demand = request.demand;
        let request = Request { demand: Demand::default(), ..request };
        let active = (key.0.clone(), InstanceStatus::Active);
        let rows = tx.facts().index(&self.tables.instances_by_status, &active);
        let fits = rows.filter(|(_, row)| room::instance(row, []).check(&request).is_ok());
        view.eligible = fits.map(|(key, _)| key.1).collect();
        Some(demand)
    }

    fn write_rows(&self, tx: &mut Tx<'_>, key: &ServiceKey, view: &View, rows: Rows) {
        let tables = &self.tables.services;
        for ended in &view.ended {
            let key = key.0.task(ended.id);
            if let Some(row) = tx.get(&self.tables.tasks, &key) {
                let of = row.deployment.map(|of| OfDeployment { counted: true, ..of });
                tx.put(&self.tables.tasks, key, Task { deployment: of, ..(*row).clone() });
            }
        }
        for (before, after) in view.deployments.iter().zip(rows.deployments) {
            if *before != after {
                tx.put(&tables.deployments, (key.clone(), after.id), after);
            }
        }
        for (id, after) in rows.revisions {
            if view.revisions.get(&id) != Some(&after) {
                tx.put(&tables.revisions, (key.clone(), id), after);
            }
        }
        for before in &view.task_sets {
            let row = (key.clone(), before.id);
            match rows.task_sets.iter().find(|one| one.id == before.id) {
                Some(after) if after == before => {}
                Some(after) => tx.put(&tables.task_sets, row, after.clone()),
                None => tx.delete(&tables.task_sets, &row),
            }
        }
        if rows.service != view.service {
            tx.put(&tables.rows, key.clone(), rows.service);
        }
    }
}

/// How many tasks a look may write: each comes with the targets that it is.
fn limit(view: &View) -> usize {
    let targets = view.workloads().map(|one| one.balanced.len()).max().unwrap_or(0);
    MAX_TASKS / (1 + targets)
}

/// What was said before a second decision stays said.
fn keep_said(before: Course, after: &mut Course) {
    after.last_event = before.last_event;
    for (text, at) in before.said {
        if after.said.iter().all(|(one, _)| *one != text) {
            after.said.push((text, at));
        }
    }
}

/// The instances where a daemon has yet to have its task. What was started just now will be seen
/// at the next look.
fn lacking(
    view: &View,
    rows: &Rows,
    waits_for_room: bool,
    starts: &[ContainerInstanceId],
) -> BTreeSet<ContainerInstanceId> {
    let primary = rows.deployments.iter().find(|one| Some(one.id) == rows.service.primary);
    if primary.is_none_or(|one| one.rollout == RolloutState::Failed) {
        return BTreeSet::new();
    }
    let goes_on = view.tasks.iter().filter(|task| task.phase != Phase::Stopping);
    let has: BTreeSet<ContainerInstanceId> = goes_on.map(|task| task.instance).collect();
    let started = |id: &ContainerInstanceId| !waits_for_room && starts.contains(id);
    view.eligible.iter().copied().filter(|id| !has.contains(id) && !started(id)).collect()
}
