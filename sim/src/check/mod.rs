//! The invariants, and a model of what was acknowledged.
//!
//! The checker follows what is durable: the change feed of the one server through all its lives, or
//! what etcd holds where there are several. Its own picture of tasks and instances is what was
//! published; what a restarted server shows must be no less, and what one of several shows must be
//! the same.

mod capacity;
mod clients;
mod services;
mod settled;
mod sorted;

use std::collections::{BTreeMap, BTreeSet};

use ecs::audit::{Audit, AuditedChange, AuditedInstance, AuditedTask, Changed};
use ledger::Revision;
use runtime::ContainerSpec;
use terms::{ContainerInstanceId, TaskId, Timestamp};

pub(crate) use clients::{Seen, id_of};
pub(crate) use services::Rules;
use sorted::Sorted;

use crate::world::Violation;

/// What is known, and what has been promised.
#[derive(Default)]
pub(crate) struct Checker {
    /// Whether several servers share the ledger: a commit may then hold several transactions.
    several: bool,
    revision: Revision,
    pub(crate) tasks: BTreeMap<TaskId, AuditedTask>,
    pub(crate) instances: BTreeMap<ContainerInstanceId, AuditedInstance>,
    /// Instances that have been connected.
    met: BTreeSet<ContainerInstanceId>,
    /// Tasks that were forgotten rightly.
    forgotten: BTreeSet<TaskId>,
    /// What each machine can take, as it really is.
    pub(crate) machines: BTreeMap<String, (u64, u64)>,
    /// Which container each `task/name` was started as.
    started: BTreeMap<(String, String), String>,
    clients: clients::Promises,
    pub(crate) services: services::Services,
    /// What tasks that have stopped used of Fargate.
    used: capacity::Used,
    /// How often things happened that a run is to meet.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// From here on agents choose ports (`net.ipv4.ip_local_port_range`).
const DYNAMIC_PORTS: u16 = 32_768;

/// Whether tasks may be placed on the instance.
fn takes_tasks(row: &AuditedInstance) -> bool {
    row.status == "ACTIVE" && row.connected
}

/// The instance that a change has let take tasks.
fn made_ready(change: &AuditedChange) -> Option<ContainerInstanceId> {
    match change {
        AuditedChange::Instance(Changed { after: Some(row), .. }) => {
            takes_tasks(row).then_some(row.arn.id)
        }
        _ => None,
    }
}

fn broken(invariant: &'static str, detail: impl Into<String>) -> Violation {
    Violation { invariant, detail: detail.into() }
}

impl Checker {
    /// Of a world with so many servers, which keep services by these rules.
    pub(crate) fn of(servers: usize, rules: Rules) -> Self {
        let services = services::Services::of(rules);
        Self { several: servers > 1, services, ..Self::default() }
    }

    /// Counts something that a run is to meet.
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// A server has loaded its disk: nothing that was published may be missing.
    pub(crate) fn loaded(&mut self, audit: &Audit, revision: Revision) -> Vec<Violation> {
        const LOST: &str = "no acknowledged write is lost";
        let mut found = self.services.load(audit, (self.revision, revision));
        if revision < self.revision {
            let detail = format!("revision {} was published, {revision} is left", self.revision);
            found.push(broken(LOST, detail));
        }
        let tasks: BTreeMap<_, _> =
            audit.tasks.iter().map(|task| (task.arn.id, task.clone())).collect();
        let instances: BTreeMap<_, _> =
            audit.instances.iter().map(|row| (row.arn.id, row.clone())).collect();
        // The disk may be ahead of what was published, by writes that nobody was told of.
        for (id, before) in &self.tasks {
            match tasks.get(id) {
                None if revision == self.revision => {
                    found.push(broken(LOST, format!("task {id} is gone")));
                }
                None if before.holds() => {
                    found.push(broken(
                        LOST,
                        format!("task {id} is gone, though it had not stopped"),
                    ));
                }
                Some(after) if after != before && after.version <= self.revision => {
                    found.push(broken(LOST, format!("{before:?} has become {after:?}")));
                }
                Some(after) => found.extend(task_moves(before, after)),
                None => {}
            }
        }
        for (id, before) in &self.instances {
            match instances.get(id) {
                None if revision == self.revision || !before.is_gone => {
                    found.push(broken(LOST, format!("instance {id} is gone")));
                }
                Some(after) if after != before && after.version <= self.revision => {
                    found.push(broken(LOST, format!("{before:?} has become {after:?}")));
                }
                Some(after) => found.extend(instance_moves(before, after)),
                None => {}
            }
        }
        for (id, after) in &tasks {
            self.used.see(after);
            let before = self.tasks.get(id);
            if before != Some(after) {
                let before = before.cloned().map(Box::new);
                self.services.task(&Changed { before, after: Some(Box::new(after.clone())) });
            }
        }
        (self.revision, self.tasks, self.instances) = (revision, tasks, instances);
        let all: Vec<_> = self.instances.keys().copied().collect();
        found.extend(all.into_iter().flat_map(|id| self.room(id)));
        found
    }

    /// The server has published a commit.
    pub(crate) fn commit(
        &mut self,
        revision: Revision,
        name: &str,
        changes: Vec<AuditedChange>,
        now: Timestamp,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let follows = match self.several {
            true => revision > self.revision,
            false => revision == self.revision + 1,
        };
        if !follows {
            let detail = format!("{revision} came after {}", self.revision);
            found.push(broken("the feed has no gap", detail));
        }
        self.revision = revision;
        let mut touched = BTreeSet::new();
        // In one commit of several transactions an instance may come before its first task.
        let ready: BTreeSet<ContainerInstanceId> = changes.iter().filter_map(made_ready).collect();
        let Sorted { tasks, instances, revisions, services } = Sorted::of(changes);
        for Changed { before, after } in tasks {
            let (before, after) = (before.map(|row| *row), after.map(|row| *row));
            touched.extend(after.iter().map(|row| row.instance));
            found.extend(self.task_changes((name, now), before, after, &ready));
        }
        for Changed { before, after } in instances {
            let (before, after) = (before.map(|row| *row), after.map(|row| *row));
            touched.extend(after.iter().map(|row| row.arn.id));
            found.extend(self.instance_changes(before, after));
        }
        revisions.into_iter().for_each(|change| self.services.revision(change));
        found.extend(self.services_change(services));
        found.extend(touched.into_iter().flat_map(|id| self.room(id)));
        found
    }

    /// A server among several shows a commit of its own feed.
    pub(crate) fn shown(
        &self,
        server: &str,
        revision: Revision,
        changes: &[AuditedChange],
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        if revision > self.revision {
            let detail = format!("{server} shows {revision}, etcd holds {}", self.revision);
            found.push(broken("nothing is visible before it is durable", detail));
        }
        for change in changes {
            let differs = match change {
                AuditedChange::Task(Changed { after: Some(row), .. }) => {
                    let known = self.tasks.get(&row.arn.id);
                    known
                        .filter(|known| known.version == row.version && **row != **known)
                        .map(|known| format!("{known:?} as {row:?}"))
                }
                AuditedChange::Instance(Changed { after: Some(row), .. }) => {
                    let known = self.instances.get(&row.arn.id);
                    known
                        .filter(|known| known.version == row.version && **row != **known)
                        .map(|known| format!("{known:?} as {row:?}"))
                }
                AuditedChange::Service(Changed { after: Some(row), .. }) => {
                    let known = self.services.rows.get(&row.name);
                    known
                        .filter(|known| known.version == row.version && **row != **known)
                        .map(|known| format!("{known:?} as {row:?}"))
                }
                _ => None,
            };
            let differs = differs.map(|what| format!("{server} shows {what}"));
            found.extend(differs.map(|what| broken("all servers show the same", what)));
        }
        found
    }

    /// Whether a server among several shows at `revision` what etcd holds now.
    pub(crate) fn shows(&self, revision: Revision, audit: &Audit) -> Result<(), String> {
        if revision != self.revision {
            return Err(format!("it is at {revision}, etcd holds {}", self.revision));
        }
        // The nodes of the fleet are under another name than the cluster, and so in another order.
        let mut instances: Vec<_> = audit.instances.iter().collect();
        instances.sort_by_key(|row| row.arn.id);
        let is_same = audit.tasks.iter().eq(self.tasks.values())
            && instances.into_iter().eq(self.instances.values())
            && audit.services.iter().eq(self.services.rows.values())
            && audit.deployments.iter().eq(self.services.deployments.values());
        match is_same {
            true => Ok(()),
            false => Err(format!("at {revision} it shows other tasks, instances or services")),
        }
    }

    fn task_changes(
        &mut self,
        (name, now): (&str, Timestamp),
        before: Option<AuditedTask>,
        after: Option<AuditedTask>,
        ready: &BTreeSet<ContainerInstanceId>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let Some(id) = before.as_ref().or(after.as_ref()).map(|row| row.arn.id) else {
            return found;
        };
        if self.tasks.get(&id) != before.as_ref() {
            found.push(broken("the feed has no gap", format!("{name} changes another task {id}")));
        }
        match (&before, &after) {
            (Some(before), Some(after)) => found.extend(task_moves(before, after)),
            (Some(before), None) => {
                if before.holds() {
                    let detail = format!("{name} at {now} forgets {before:?}");
                    found.push(broken("only stopped tasks are forgotten", detail));
                }
                self.forgotten.insert(id);
            }
            (None, Some(after)) => {
                let place = self.instances.get(&after.instance);
                if !place.is_some_and(takes_tasks) && !ready.contains(&after.instance) {
                    let detail = format!("{name} places {id} on {place:?}");
                    found.push(broken("tasks go to ACTIVE, connected instances only", detail));
                }
                if self.forgotten.contains(&id) {
                    found.push(broken("no id is given twice", format!("task {id}")));
                }
            }
            (None, None) => {}
        }
        match after {
            Some(after) => {
                found.extend(self.capacity(before.as_ref(), &after));
                self.used.see(&after);
                self.tasks.insert(id, after)
            }
            None => self.tasks.remove(&id),
        };
        found
    }

    fn instance_changes(
        &mut self,
        before: Option<AuditedInstance>,
        after: Option<AuditedInstance>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let Some(id) = before.as_ref().or(after.as_ref()).map(|row| row.arn.id) else {
            return found;
        };
        if self.instances.get(&id) != before.as_ref() {
            found.push(broken("the feed has no gap", format!("another instance {id} is changed")));
        }
        match (&before, &after) {
            (Some(before), Some(after)) => found.extend(instance_moves(before, after)),
            (Some(before), None) if !before.is_gone => {
                let detail = format!("{before:?} is forgotten");
                found.push(broken("only deregistered instances are forgotten", detail));
            }
            (Some(_) | None, _) => {}
        }
        if after.as_ref().is_some_and(|row| row.connected) {
            self.met.insert(id);
        }
        match after {
            Some(after) => self.instances.insert(id, after),
            None => self.instances.remove(&id),
        };
        found
    }

    /// What holds on one instance in the records.
    fn room(&self, id: ContainerInstanceId) -> Vec<Violation> {
        const ROOM: &str = "no instance is over-committed in the records";
        let Some(instance) = self.instances.get(&id) else { return Vec::new() };
        let held: Vec<_> =
            self.tasks.values().filter(|task| task.instance == id && task.holds()).collect();
        let mut found = Vec::new();
        let mut complain =
            |what: String| found.push(broken(ROOM, format!("{}: {what}", instance.arn)));
        let sum =
            |of: fn(&AuditedTask) -> u32| held.iter().map(|task| u64::from(of(task))).sum::<u64>();
        let (cpu, memory) = (sum(|task| task.cpu), sum(|task| task.memory));
        if cpu > u64::from(instance.cpu) || memory > u64::from(instance.memory) {
            complain(format!(
                "{cpu} CPU units of {}, {memory} MiB of {}",
                instance.cpu, instance.memory
            ));
        }
        if instance.is_gone && !held.is_empty() {
            complain(format!("deregistered, with {} tasks that have not stopped", held.len()));
        }
        let mut ports: BTreeSet<(u16, bool)> =
            instance.reserved_tcp.iter().map(|port| (*port, true)).collect();
        ports.extend(instance.reserved_udp.iter().map(|port| (*port, false)));
        let mut gpus: BTreeSet<&String> = BTreeSet::new();
        for task in &held {
            let wanted = task.tcp.iter().map(|port| (*port, true));
            for (port, is_tcp) in wanted.chain(task.udp.iter().map(|port| (*port, false))) {
                // A port that the agent chose is free again when its container's network goes, before
                // the record hears of it; on the machine itself no port is given twice.
                if port < DYNAMIC_PORTS && !ports.insert((port, is_tcp)) {
                    complain(format!("port {port} twice, the second time for {}", task.arn.id));
                }
            }
            for gpu in &task.gpus {
                if !gpus.insert(gpu) || !instance.gpus.contains(gpu) {
                    complain(format!("GPU {gpu} is not free for {}", task.arn.id));
                }
            }
        }
        let mut addresses = BTreeSet::new();
        for task in self.tasks.values().filter(|task| task.holds()) {
            if task.interface.as_ref().is_some_and(|address| !addresses.insert(address)) {
                complain(format!("the address {:?} is given twice", task.interface));
            }
        }
        found
    }

    /// A machine has started a container; `running` is all that runs there now.
    pub(crate) fn started(
        &mut self,
        machine: &str,
        spec: &ContainerSpec,
        running: &[ContainerSpec],
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let key = (spec.task.clone(), container_name(spec).to_owned());
        if let Some(before) = self.started.insert(key, spec.id.to_string()) {
            let detail = format!("{} on {machine}: {} and before it {before}", spec.name, spec.id);
            found.push(broken("no task runs twice under one id", detail));
        }
        let Some(task) = self.task(&spec.task) else {
            let detail = format!("{machine} starts {}, of no task that was made", spec.name);
            return vec![broken("only tasks that were made are run", detail)];
        };
        let node = self.instances.get(&task.instance).and_then(|row| row.node.as_deref());
        if node.is_some_and(|node| node != machine) {
            let detail = format!("{} runs on {machine}, placed on {node:?}", spec.name);
            found.push(broken("tasks run where they were placed", detail));
        }
        let needs_guard = container_name(spec) == "main"
            && task.containers.iter().any(|container| container.name == "guard");
        let is_guard =
            |other: &&ContainerSpec| other.task == spec.task && container_name(other) == "guard";
        if needs_guard && running.iter().find(is_guard).is_none() {
            let detail = format!("{machine} starts {} without its guard", spec.name);
            found.push(broken("containers wait for those that they depend on", detail));
        }
        let tasks: BTreeSet<&String> = running.iter().map(|spec| &spec.task).collect();
        let known: Vec<_> = tasks.iter().filter_map(|task| self.task(task)).collect();
        let cpu: u64 = known.iter().map(|task| u64::from(task.cpu)).sum();
        let memory: u64 = known.iter().map(|task| u64::from(task.memory)).sum();
        let (cpu_max, memory_max) = self.machines.get(machine).copied().unwrap_or_default();
        if cpu > cpu_max || memory > memory_max {
            let all = known.iter().map(|t| format!("{} {} {} MiB", t.arn.id, t.status, t.memory));
            let all = all.collect::<Vec<_>>().join(", ");
            let detail = format!(
                "{machine} runs tasks of {cpu} CPU units and {memory} MiB, and has {cpu_max} and {memory_max}: {all}"
            );
            found.push(broken("no machine is over-committed", detail));
        }
        found
    }

    /// Whether an agent has ever been connected as this instance.
    pub(crate) fn was_connected(&self, id: ContainerInstanceId) -> bool {
        self.met.contains(&id)
    }

    /// The task of a machine's container.
    pub(crate) fn task(&self, id: &str) -> Option<&AuditedTask> {
        self.tasks.get(&id.parse().ok()?)
    }
}

/// The container's name in its task, of `ecs-<family>-<revision>-<name>-<hex>`.
fn container_name(spec: &ContainerSpec) -> &str {
    spec.name.split('-').nth(3).unwrap_or(&spec.name)
}

fn task_moves(before: &AuditedTask, after: &AuditedTask) -> Vec<Violation> {
    const FORWARD: &str = "states only move forward";
    let id = before.arn.id;
    let mut found = Vec::new();
    if after.rank < before.rank {
        let detail = format!("task {id} goes from {} to {}", before.status, after.status);
        found.push(broken(FORWARD, detail));
    }
    if after.wants_running && !before.wants_running {
        found.push(broken(FORWARD, format!("task {id} is to run again")));
    }
    if after.instance != before.instance || after.definition != before.definition {
        found.push(broken(FORWARD, format!("task {id} has moved: {before:?}, {after:?}")));
    }
    for (before, after) in before.containers.iter().zip(&after.containers) {
        let changed = before.runtime_id.is_some() && before.runtime_id != after.runtime_id;
        if after.rank < before.rank || changed || before.name != after.name {
            found.push(broken(FORWARD, format!("of task {id}: {before:?} becomes {after:?}")));
        }
    }
    found
}

fn instance_moves(before: &AuditedInstance, after: &AuditedInstance) -> Option<Violation> {
    let back = before.is_gone && !after.is_gone;
    back.then(|| broken("states only move forward", format!("{} comes back", before.arn)))
}
