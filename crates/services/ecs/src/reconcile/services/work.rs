//! What one look at a service does in its transaction: tasks started and stopped, things said.

use std::collections::BTreeMap;

use ledger::Tx;
use placement::{Refusal, Removable, Request};
use terms::{ContainerInstanceId, TaskId, Timestamp};

use super::apply::Looked;
use super::say;
use crate::api::{Api, NO_CAPACITY, Placed, ServiceTemplate, Taken};
use crate::decide::service::view::{Decision, Seen, Start, Stop, Unwell, View, Why};
use crate::decide::service::{self, Rows, texts};
use crate::decide::{placing, report, room, shares};
use crate::error::Error;
use crate::model::{self, ServiceEventKind, StopCode, Task, fleet_group};
use crate::placing::Plan;
use crate::tables::{ClusterKey, Scope, ServiceKey, ground_of};

/// Instances that an event names of those that could not take a task.
const MAX_REFUSED: usize = 10;

/// Plans whose tasks are being written, each with what it was made for.
pub(super) type Plans = Vec<(Plan, Request)>;

/// What is being done in one transaction.
pub(super) struct Work<'a> {
    pub(super) api: &'a Api,
    pub(super) key: &'a ServiceKey,
    /// The rows as they become.
    pub(super) rows: &'a mut Rows,
    pub(super) looked: Looked,
    /// What the tasks that it starts take.
    pub(super) taken: Taken,
    /// The tasks that it stops.
    pub(super) stopped: Vec<TaskId>,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        api: &'a Api,
        key: &'a ServiceKey,
        rows: &'a mut Rows,
        looked: Looked,
    ) -> Self {
        Self { api, key, rows, looked, taken: Taken::default(), stopped: Vec::new() }
    }

    pub(super) fn name(&self) -> String {
        self.key.1.to_string()
    }

    /// Starts tasks, as many as are `left` to be started; gives how many were to be, and were.
    pub(super) fn start(
        &mut self,
        tx: &mut Tx<'_>,
        view: &View,
        start: &Start,
        left: &mut usize,
        plans: &mut Plans,
    ) -> Result<(u32, u32), Error> {
        let wanted = (start.count as usize).min(*left);
        let is_part = wanted < start.count as usize;
        if wanted == 0 {
            self.looked.at_once |= is_part;
            return Ok((0, 0));
        }
        let Some(mut template) = self.template(tx, start) else { return Ok((0, 0)) };
        if let Some(zone) = &start.zone {
            template.request.zones = Some([zone.as_str().into()].into());
        }
        template.request.count = u32::try_from(wanted).unwrap_or(u32::MAX);
        let ids: Vec<TaskId> = (0..wanted).map(|_| TaskId::from_bytes(tx.next_id())).collect();
        let tasks = if start.on.is_empty() {
            let (strategy, counts) = (view.strategy(start.of), view.by_provider(start.of));
            let parts = shares::split(&template.request, strategy, &counts);
            self.start_planned(tx, &template, (&parts, start.zone.is_some()), &ids, plans)?
        } else {
            self.start_on(tx, start, &template, ids)?
        };
        *left -= tasks.len();
        // The rest finds no place either when some of these found none: that waits for room.
        self.looked.at_once |= is_part && tasks.len() == wanted;
        if !tasks.is_empty() {
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.arn.id).collect();
            let lines = texts::started(&self.name(), &ids);
            self.say(tx, lines);
        }
        let started = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        Ok((u32::try_from(wanted).unwrap_or(u32::MAX), started))
    }

    /// Remembers whether a task that is to be moved to another zone found a place there.
    pub(super) fn moved(&mut self, has_place: bool, now: Timestamp) {
        self.rows.service.course.no_place_at = (!has_place).then_some(now);
    }

    fn template(&mut self, tx: &mut Tx<'_>, start: &Start) -> Option<ServiceTemplate> {
        let rows = &*self.rows;
        let deployment = rows.deployments.iter().find(|one| one.id == start.of);
        let revision = deployment.and_then(|one| rows.revisions.get(&one.revision));
        let set = rows.task_sets.iter().find(|one| one.id == start.of);
        let workload = revision.map(|one| &one.workload).or(set.map(|one| &one.workload))?;
        let facts = tx.facts();
        let made = self.api.service_template(&facts, &rows.service, start.of, workload, revision);
        let made = made.and_then(|made| made.check_roles(self.api).map(|()| made));
        match made {
            Ok(template) => {
                let is_alternate = deployment.is_some_and(|one| one.is_alternate);
                Some(template.on_side(workload, is_alternate))
            }
            Err(error) => {
                let text = error.to_string();
                let why = text.trim_end_matches('.');
                self.say_once(tx, texts::unmade(&self.name(), why));
                self.looked.waits_for_room = true;
                None
            }
        }
    }

    /// Places the tasks of each part and writes them. What finds no place is told of, unless tasks
    /// are only being moved.
    fn start_planned(
        &mut self,
        tx: &mut Tx<'_>,
        template: &ServiceTemplate,
        (parts, moves): (&[Request], bool),
        ids: &[TaskId],
        plans: &mut Plans,
    ) -> Result<Vec<Task>, Error> {
        let (cluster, mut made, mut ids) = (&self.key.0, Vec::new(), ids);
        let ground = &template.ground();
        for part in parts {
            let (own, rest) = ids.split_at((part.count as usize).min(ids.len()));
            ids = rest;
            let seed = seed(tx);
            let beside: Vec<TaskId> = plans.iter().flat_map(|(plan, _)| plan.tasks()).collect();
            let placer = &self.api.placer;
            let plan = placer.plan_beside(&beside, &tx.facts(), ground, part, own, seed);
            let (placed, taken) = (Placed::Planned(&plan, part), &mut self.taken);
            let tasks = self.api.start_of_service(tx, cluster, template, &placed, taken)?;
            if tasks.len() < own.len() && !moves {
                let said = match ground.is_fleet() {
                    false => {
                        let told = shortage(cluster, part, &plan.shortage);
                        texts::unplaced(&self.name(), told)
                    }
                    true => texts::no_capacity(&self.name(), NO_CAPACITY, fargate(cluster, part)),
                };
                self.looked.waits_for_room = true;
                self.say_once(tx, said);
            }
            made.extend(tasks);
            plans.push((plan, part.clone()));
        }
        Ok(made)
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
        let (placed, taken) = (Placed::On(&wanted), &mut self.taken);
        let tasks = self.api.start_of_service(tx, cluster, template, &placed, taken)?;
        let is_placed = |id: &TaskId| tasks.iter().any(|task| task.arn.id == *id);
        if let Some((_, instance)) = wanted.iter().find(|(id, _)| !is_placed(id)) {
            let found = placing::look(&tx.facts(), &self.api.tables, cluster, *instance);
            let refused = found.and_then(|(_, one)| one.check(&template.request).err());
            let refused = refused.map(|reason| Refusal { instance: *instance, reason });
            let told = shortage(cluster, &template.request, refused.as_slice());
            self.looked.waits_for_room = true;
            self.say_once(tx, texts::unplaced(&self.name(), told));
        }
        Ok(tasks)
    }

    /// Stops tasks in the scale-in order, as many as are `left` to be stopped.
    pub(super) fn stop(
        &mut self,
        tx: &mut Tx<'_>,
        view: &View,
        stop: &Stop,
        left: &mut usize,
    ) -> Result<(), Error> {
        let count = stop.count.min(*left);
        self.looked.at_once |= count < stop.count;
        let chosen = self.choose(tx, view, stop, count);
        *left -= count;
        let reason = self.reason(view, stop.why);
        let (mut stopped, mut left) = (Vec::new(), Vec::new());
        for id in chosen {
            let key = self.key.0.task(id);
            let Some(row) = tx.get(&self.api.tables.tasks, &key) else { continue };
            let code = StopCode::ServiceSchedulerInitiated;
            let failed = view.tasks.iter().find(|task| task.id == id);
            let failed = failed.and_then(|task| task.unwell.as_ref());
            let reason = match failed.filter(|_| stop.why == Why::Unhealthy) {
                Some(Unwell { group, .. }) => {
                    format!("Task failed ELB health checks in (target-group {group})")
                }
                None => reason.clone(),
            };
            let why = model::Stop { code, reason };
            let next = match stop.why {
                // Nobody could wait for it.
                Why::Lost => report::request_stop(&row, why, tx.now()),
                Why::Scaling | Why::Unhealthy | Why::Draining => {
                    report::request_leave(&row, why, tx.now())
                }
            };
            if let Some(next) = next {
                left.push(Task::clone(&row));
                self.api.put_task(tx, key, next);
                stopped.push(id);
            }
        }
        let lines = texts::stopped(&self.name(), &stopped);
        self.say(tx, lines);
        self.tell_deregistered(tx, &left);
        self.stopped.extend(stopped);
        Ok(())
    }

    fn choose(&self, tx: &Tx<'_>, view: &View, stop: &Stop, count: usize) -> Vec<TaskId> {
        if count >= stop.among.len() {
            return stop.among.clone();
        }
        let known: BTreeMap<TaskId, &Seen> =
            view.tasks.iter().map(|task| (task.id, task)).collect();
        let Some(of) = stop.among.iter().find_map(|id| known.get(id)).map(|task| task.of) else {
            return Vec::new();
        };
        let strategy = view.strategy(of);
        if strategy.is_empty() || stop.why != Why::Scaling {
            return self.choose_by_place(tx, &stop.among, count);
        }
        // Shares come before places; what is of no provider of the strategy goes first of all.
        let provider = |id: &TaskId| known.get(id).and_then(|task| task.provider.clone());
        let mut by_provider: BTreeMap<_, Vec<TaskId>> = BTreeMap::new();
        for id in &stop.among {
            let of = provider(id).filter(|one| strategy.iter().any(|it| it.provider == *one));
            by_provider.entry(of).or_default().push(*id);
        }
        let strangers = by_provider.remove(&None).unwrap_or_default();
        let first = count.min(strangers.len());
        let mut chosen = self.choose_by_place(tx, &strangers, first);
        let number = |ids: &Vec<TaskId>| u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let may_go: shares::Counts =
            by_provider.iter().filter_map(|(of, ids)| Some((of.clone()?, number(ids)))).collect();
        let rest = u32::try_from(count - first).unwrap_or(u32::MAX);
        let gone = shares::take_back(strategy, &view.by_provider(of), &may_go, rest);
        for (item, count) in strategy.iter().zip(gone) {
            let of = by_provider.get(&Some(item.provider.clone())).map_or(&[][..], Vec::as_slice);
            chosen.extend(self.choose_by_place(tx, of, count as usize));
        }
        chosen
    }

    /// Which of `among` go first in the scale-in order.
    fn choose_by_place(&self, tx: &Tx<'_>, among: &[TaskId], count: usize) -> Vec<TaskId> {
        if count >= among.len() {
            return among.to_vec();
        }
        let (facts, cluster) = (tx.facts(), &self.key.0);
        let candidate = |id: &TaskId| {
            let row = facts.get(&self.api.tables.tasks, &cluster.task(*id))?;
            let ground = ground_of(&cluster.task(*id), &row);
            Some((ground, *id, Removable { instance: row.instance, demand: room::held(&row) }))
        };
        let found: Vec<_> = among.iter().filter_map(candidate).collect();
        // All are of one deployment, so that all are in the cluster, or all in the fleet.
        let Some((ground, _, _)) = found.first().cloned() else { return Vec::new() };
        let (ids, candidates): (Vec<_>, Vec<_>) =
            found.into_iter().map(|(_, id, candidate)| (id, candidate)).unzip();
        let group = match ground.is_fleet() {
            false => format!("service:{}", self.key.1),
            true => fleet_group(&cluster.name, &format!("service:{}", self.key.1)).to_string(),
        };
        let strategies = crate::api::service_strategies(&self.rows.service).unwrap_or_default();
        let order = (group.as_str(), strategies.as_slice());
        let chosen = self.api.placer.scale_in(&ground, order, &candidates, count, seed(tx));
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

    pub(super) fn finish(&mut self, tx: &mut Tx<'_>, view: &View, decision: Decision) {
        self.say(tx, decision.events);
        self.looked.again_at = decision.look_again_at;
        let has_room = !self.looked.waits_for_room && view.unplaced == 0;
        if has_room && decision.starts.iter().any(|start| start.count > 0) {
            // The next shortage is a new one.
            let said = &mut self.rows.service.course.said;
            said.retain(|(text, _)| !texts::is_of_shortage(text));
        }
    }

    pub(super) fn say_once(&mut self, tx: &mut Tx<'_>, what: (ServiceEventKind, String)) {
        if service::remember(&mut self.rows.service, &what.1, tx.now()) {
            self.say(tx, [what]);
        }
    }

    pub(super) fn say(
        &mut self,
        tx: &mut Tx<'_>,
        lines: impl IntoIterator<Item = (ServiceEventKind, String)>,
    ) {
        let course = &mut self.rows.service.course;
        say(tx, self.api.tables, self.key, course, lines);
    }
}

/// What is told of tasks that found no place: the instance that came closest, those that refused for
/// the same reason, and the capacity provider that they are of.
fn shortage(cluster: &ClusterKey, request: &Request, refusals: &[Refusal]) -> texts::Shortage {
    let closest = refusals.iter().max_by_key(|one| closeness(one.reason.code()));
    let code = closest.map(|one| one.reason.code());
    let alike = refusals.iter().filter(|one| Some(one.reason.code()) == code);
    let arn = |one: &Refusal| cluster.instance_arn(one.instance).to_string();
    texts::Shortage {
        closest: closest.map(|one| texts::Closest {
            instance: one.instance.to_string(),
            code: one.reason.code().to_owned(),
        }),
        instances: alike.take(MAX_REFUSED).map(arn).collect(),
        provider: shares::provider_of(request).map(|name| {
            let Scope { region, account } = &cluster.scope;
            format!("arn:aws:ecs:{region}:{account}:capacity-provider/{name}")
        }),
    }
}

/// The ARN of Fargate's provider that tasks which found no place were of, if they go by one.
fn fargate(cluster: &ClusterKey, request: &Request) -> Option<String> {
    let is_plain = *request.attributes.last()? == shares::on_demand();
    let name = shares::fargate_provider(request)?;
    let Scope { region, account } = &cluster.scope;
    (!is_plain).then(|| format!("arn:aws:ecs:{region}:{account}:capacity-provider/{name}"))
}

/// How near an instance comes that refuses for this reason: what it lacks last is what is told.
fn closeness(code: &str) -> u8 {
    match code {
        "INACTIVE" => 0,
        "AGENT" | "RESOURCE:DISK" => 1,
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
