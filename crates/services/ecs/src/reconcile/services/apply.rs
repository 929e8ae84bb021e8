//! One look at a service, and its outcome in one transaction.

use std::time::Duration;

use ledger::{TransactError, Tx};
use placement::{Removable, Request};
use terms::{ContainerInstanceId, TaskId, Timestamp, Uuid};

use super::read;
use crate::api::{Api, Placed, ServiceTemplate};
use crate::decide::service::view::{Alarms, Decision, Rules, Start, Stop, View, Why};
use crate::decide::service::{self, Rows, texts};
use crate::decide::{placing, report, room};
use crate::error::Error;
use crate::model::{
    self, DeploymentId, InstanceStatus, OfDeployment, SchedulingStrategy, ServiceEvent,
    ServiceEventKind, ServiceStatus, StopCode, Task, Workload, ZoneRebalancing,
};
use crate::placing::Plan;
use crate::tables::{Scope, ServiceKey};

/// Most tasks that one transaction starts and stops together: a transaction on etcd has at most
/// 127 rows. What is left is done by the next look, which follows at once.
const MAX_TASKS: usize = 60;
/// Events of a service that are kept.
const MAX_EVENTS: u64 = 100;

/// How long a deployment bakes whose service does not say: alarms have no metrics yet, so their
/// periods tell nothing.
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
}

/// Plans whose tasks are being written, each with what it was made for.
type Plans = Vec<(Plan, Request)>;

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
        let mut view = read::view(tx, &self.tables, key, (*row).clone());
        if row.status == ServiceStatus::Inactive && view.tasks.is_empty() {
            return Ok(Looked::default());
        }
        self.read_fleet(tx, key, &mut view);
        view.alarms = self.read_alarms(tx, key, &view);
        let now = tx.now();
        let (mut rows, mut decision) = service::decide(&view, rules, now);
        let mut work = Work { api: self, key, rows: &mut rows, looked: Looked::default() };
        let mut left = MAX_TASKS;
        let mut unplaced = 0;
        for start in &decision.starts {
            let (wanted, started) = work.start(tx, start, &mut left, plans)?;
            if Some(start.of) == view.service.primary && start.zone.is_none() {
                unplaced += wanted - started;
            }
        }
        let Work { looked, .. } = work;
        if unplaced > 0 {
            // What takes its place may have to make room for it.
            let said = rows.service.course.clone();
            let said_now = (rows.service.course.last_event, looked.waits_for_room);
            view.unplaced = unplaced;
            let (again, second) = service::decide(&view, rules, now);
            rows = again;
            rows.service.course.last_event = said_now.0;
            for (text, at) in said.said {
                let known = &mut rows.service.course.said;
                if known.iter().all(|(one, _)| *one != text) {
                    known.push((text, at));
                }
            }
            decision = Decision { starts: Vec::new(), ..second };
        }
        let mut work = Work { api: self, key, rows: &mut rows, looked };
        for stop in &decision.stops {
            work.stop(tx, &view, stop, &mut left)?;
        }
        work.finish(tx, &view, decision);
        let mut looked = work.looked;
        looked.at_once |= view.ended.len() == read::MAX_ENDED;
        self.write_rows(tx, key, &view, rows);
        Ok(looked)
    }

    /// Reads what only some services' deciders look at: zones, and where daemons belong.
    fn read_fleet(&self, tx: &Tx<'_>, key: &ServiceKey, view: &mut View) {
        let service = &view.service;
        if service.status != ServiceStatus::Active {
            return;
        }
        if service.scheduling == SchedulingStrategy::Daemon {
            self.read_eligible(tx, key, view);
        } else if service.rebalancing == ZoneRebalancing::Enabled
            && service.desired > 1
            && service.course.steady_at.is_some()
        {
            view.zones = read::zones(&tx.facts(), &self.tables, &key.0);
        }
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
        Alarms { alarming: alarming.map(|(name, _)| name).collect(), looks_back: BAKES }
    }

    fn read_eligible(&self, tx: &Tx<'_>, key: &ServiceKey, view: &mut View) {
        let Some(of) = view.service.primary else { return };
        let Some(workload) = workload(view, of) else { return };
        let template = self.service_template(&tx.facts(), &view.service, of, &workload, None);
        let Ok(ServiceTemplate { request, .. }) = template else { return };
        // What an instance has free does not matter: the daemon belongs there all the same.
        let request = Request { demand: Default::default(), ..request };
        let active = (key.0.clone(), InstanceStatus::Active);
        let rows = tx.facts().index(&self.tables.instances_by_status, &active);
        let fits = rows.filter(|(_, row)| room::instance(row, []).check(&request).is_ok());
        view.eligible = fits.map(|(key, _)| key.1).collect();
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

/// What a deployment's or task set's tasks are made from.
fn workload(view: &View, of: DeploymentId) -> Option<Workload> {
    if let Some(one) = view.deployments.iter().find(|one| one.id == of) {
        return Some(view.revisions.get(&one.revision)?.workload.clone());
    }
    view.task_sets.iter().find(|one| one.id == of).map(|set| set.workload.clone())
}

/// What is being done in one transaction.
struct Work<'a> {
    api: &'a Api,
    key: &'a ServiceKey,
    rows: &'a mut Rows,
    looked: Looked,
}

impl Work<'_> {
    fn name(&self) -> String {
        self.key.1.to_string()
    }

    /// Starts tasks, as many as are `left` to be started; gives how many were to be, and were.
    fn start(
        &mut self,
        tx: &mut Tx<'_>,
        start: &Start,
        left: &mut usize,
        plans: &mut Plans,
    ) -> Result<(u32, u32), Error> {
        let wanted = (start.count as usize).min(*left);
        self.looked.at_once |= wanted < start.count as usize;
        if wanted == 0 {
            return Ok((0, 0));
        }
        let Some(mut template) = self.template(tx, start) else { return Ok((0, 0)) };
        if let Some(zone) = &start.zone {
            template.request.zones = Some([zone.as_str().into()].into());
        }
        template.request.count = u32::try_from(wanted).unwrap_or(u32::MAX);
        let ids: Vec<TaskId> = (0..wanted).map(|_| TaskId::from_bytes(tx.next_id())).collect();
        let tasks = if start.on.is_empty() {
            self.start_planned(tx, start, &template, &ids, plans)?
        } else {
            self.start_on(tx, start, &template, ids)?
        };
        *left -= tasks.len();
        if !tasks.is_empty() {
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.arn.id).collect();
            let lines = texts::started(&self.name(), &ids);
            self.say(tx, lines);
        }
        let started = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        Ok((u32::try_from(wanted).unwrap_or(u32::MAX), started))
    }

    fn template(&mut self, tx: &mut Tx<'_>, start: &Start) -> Option<ServiceTemplate> {
        let rows = &*self.rows;
        let deployment = rows.deployments.iter().find(|one| one.id == start.of);
        let revision = deployment.and_then(|one| rows.revisions.get(&one.revision));
        let set = rows.task_sets.iter().find(|one| one.id == start.of);
        let workload = revision.map(|one| &one.workload).or(set.map(|one| &one.workload))?;
        let facts = tx.facts();
        let made = self.api.service_template(&facts, &rows.service, start.of, workload, revision);
        match made {
            Ok(template) => Some(template),
            Err(error) => {
                let text = error.to_string();
                let why = text.trim_end_matches('.');
                self.say_once(tx, texts::unmade(&self.name(), why));
                self.looked.waits_for_room = true;
                None
            }
        }
    }

    fn start_planned(
        &mut self,
        tx: &mut Tx<'_>,
        start: &Start,
        template: &ServiceTemplate,
        ids: &[TaskId],
        plans: &mut Plans,
    ) -> Result<Vec<Task>, Error> {
        let cluster = &self.key.0;
        let seed = seed(tx);
        let plan = self.api.placer.plan(&tx.facts(), cluster, &template.request, ids, seed);
        let tasks = self.api.start_of_service(tx, cluster, template, &Placed::Planned(&plan))?;
        if tasks.len() < ids.len() && start.zone.is_none() {
            let closest = plan.shortage.iter().max_by_key(|one| closeness(one.reason.code()));
            let closest = closest.map(|one| texts::Closest {
                instance: one.instance.to_string(),
                code: one.reason.code().to_owned(),
            });
            self.looked.waits_for_room = true;
            self.say_once(tx, texts::unplaced(&self.name(), closest.as_ref()));
        }
        plans.push((plan, template.request.clone()));
        Ok(tasks)
    }

    fn start_on(
        &mut self,
        tx: &mut Tx<'_>,
        start: &Start,
        template: &ServiceTemplate,
        ids: Vec<TaskId>,
    ) -> Result<Vec<Task>, Error> {
        let wanted: Vec<(TaskId, ContainerInstanceId)> =
            ids.into_iter().zip(start.on.iter().copied()).collect();
        let cluster = &self.key.0;
        let tasks = self.api.start_of_service(tx, cluster, template, &Placed::On(&wanted))?;
        let is_placed = |id: &TaskId| tasks.iter().any(|task| task.arn.id == *id);
        if let Some((_, instance)) = wanted.iter().find(|(id, _)| !is_placed(id)) {
            let found = placing::look(&tx.facts(), &self.api.tables, cluster, *instance);
            let refused = found.and_then(|(_, one)| one.check(&template.request).err());
            let closest = refused.map(|reason| texts::Closest {
                instance: instance.to_string(),
                code: reason.code().to_owned(),
            });
            self.looked.waits_for_room = true;
            self.say_once(tx, texts::unplaced(&self.name(), closest.as_ref()));
        }
        Ok(tasks)
    }

    /// Stops tasks in the scale-in order, as many as are `left` to be stopped.
    fn stop(
        &mut self,
        tx: &mut Tx<'_>,
        view: &View,
        stop: &Stop,
        left: &mut usize,
    ) -> Result<(), Error> {
        let count = stop.count.min(*left);
        self.looked.at_once |= count < stop.count;
        let chosen = self.choose(tx, stop, count);
        *left -= count;
        let reason = self.reason(view, stop.why);
        let mut stopped = Vec::new();
        for id in chosen {
            let key = self.key.0.task(id);
            let Some(row) = tx.get(&self.api.tables.tasks, &key) else { continue };
            let code = StopCode::ServiceSchedulerInitiated;
            let why = model::Stop { code, reason: reason.clone() };
            if let Some(next) = report::request_stop(&row, why, tx.now()) {
                self.api.put_task(tx, key, next);
                stopped.push(id);
            }
        }
        let lines = texts::stopped(&self.name(), &stopped);
        self.say(tx, lines);
        Ok(())
    }

    fn choose(&self, tx: &Tx<'_>, stop: &Stop, count: usize) -> Vec<TaskId> {
        if count >= stop.among.len() {
            return stop.among.clone();
        }
        let (facts, cluster) = (tx.facts(), &self.key.0);
        let candidate = |id: &TaskId| {
            let row = facts.get(&self.api.tables.tasks, &cluster.task(*id))?;
            Some((*id, Removable { instance: row.instance, demand: room::held(&row) }))
        };
        let (ids, candidates): (Vec<_>, Vec<_>) = stop.among.iter().filter_map(candidate).unzip();
        let group = format!("service:{}", self.key.1);
        let strategies = crate::api::service_strategies(&self.rows.service).unwrap_or_default();
        let order = (group.as_str(), strategies.as_slice());
        let chosen = self.api.placer.scale_in(cluster, order, &candidates, count, seed(tx));
        chosen.into_iter().map(|at| ids[at]).collect()
    }

    fn reason(&self, view: &View, why: Why) -> String {
        match why {
            Why::Unhealthy => "Task failed container health checks".to_owned(),
            Why::Lost => "Container instance was lost: its agent stayed away.".to_owned(),
            Why::Scaling | Why::Draining => {
                match self.rows.service.primary.or(view.service.primary) {
                    Some(id) => format!("Scaling activity initiated by (deployment {id})"),
                    None => "Scaling activity initiated by the service".to_owned(),
                }
            }
        }
    }

    fn finish(&mut self, tx: &mut Tx<'_>, view: &View, decision: Decision) {
        self.say(tx, decision.events);
        self.looked.again_at = decision.look_again_at;
        let has_room = !self.looked.waits_for_room && view.unplaced == 0;
        if has_room && decision.starts.iter().any(|start| start.count > 0) {
            // The next shortage is a new one.
            let said = &mut self.rows.service.course.said;
            said.retain(|(text, _)| !text.contains("was unable to place"));
        }
    }

    fn say_once(&mut self, tx: &mut Tx<'_>, what: (ServiceEventKind, String)) {
        if service::remember(&mut self.rows.service, &what.1, tx.now()) {
            self.say(tx, [what]);
        }
    }

    fn say(
        &mut self,
        tx: &mut Tx<'_>,
        lines: impl IntoIterator<Item = (ServiceEventKind, String)>,
    ) {
        let events = self.api.tables.services.events;
        for (kind, message) in lines {
            let last = &mut self.rows.service.course.last_event;
            *last += 1;
            let number = *last;
            let id = Uuid::from_random(tx.next_id());
            let event = ServiceEvent { id, created_at: tx.now(), message, kind };
            tx.put(&events, (self.key.clone(), number), event);
            if let Some(old) = number.checked_sub(MAX_EVENTS) {
                tx.delete(&events, &(self.key.clone(), old));
            }
        }
    }
}

/// How near an instance comes that refuses for this reason: what it lacks last is what is told.
fn closeness(code: &str) -> u8 {
    match code {
        "INACTIVE" => 0,
        "AGENT" => 1,
        "ATTRIBUTE" => 2,
        "LOCATION" => 3,
        "RESOURCE:CPU" => 6,
        "RESOURCE:MEMORY" => 7,
        "RESOURCE:PORTS" => 8,
        "RESOURCE:GPU" | "RESOURCE:ENI" => 9,
        _ => 5,
    }
}

fn seed(tx: &Tx<'_>) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = tx.next_id();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
