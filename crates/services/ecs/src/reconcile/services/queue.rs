//! Which services are to be looked at, and when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use ledger::{Change, Commit, Snapshot};
use terms::Timestamp;

use crate::model::{ContainerInstance, ServiceStatus, Task, TaskStatus};
use crate::tables::{
    ClusterKey, InstanceKey, Scope, ServiceKey, Tables, TaskKey, ground_of, service_of,
};

/// The longest sleep; times are those of the ledger's clock, which may be set.
const LONGEST: Duration = Duration::from_secs(60);

/// Keys in the order in which they came, each once. Bounded by the number of services.
pub(super) struct Queue {
    tables: Tables,
    order: VecDeque<ServiceKey>,
    waiting: BTreeSet<ServiceKey>,
    /// Those that are being looked at, and whether they were asked for again.
    looked_at: BTreeMap<ServiceKey, bool>,
    times: BTreeSet<(Timestamp, ServiceKey)>,
    time_of: BTreeMap<ServiceKey, Timestamp>,
    /// Services of which tasks found no place.
    roomless: BTreeSet<ServiceKey>,
    /// Clusters in which room became free.
    freed: BTreeSet<ClusterKey>,
    swept: Option<ServiceKey>,
}

impl Queue {
    pub(super) fn new(tables: Tables) -> Self {
        Self {
            tables,
            order: VecDeque::new(),
            waiting: BTreeSet::new(),
            looked_at: BTreeMap::new(),
            times: BTreeSet::new(),
            time_of: BTreeMap::new(),
            roomless: BTreeSet::new(),
            freed: BTreeSet::new(),
            swept: None,
        }
    }

    /// Asks for a look at a service.
    pub(super) fn add(&mut self, key: ServiceKey) {
        if let Some(again) = self.looked_at.get_mut(&key) {
            *again = true;
        } else if self.waiting.insert(key.clone()) {
            self.order.push_back(key);
        }
    }

    /// Asks for a look at every service.
    pub(super) fn add_all(&mut self, snapshot: &Snapshot) {
        for (key, row) in snapshot.range(&self.tables.services.rows, ..) {
            if row.status != ServiceStatus::Inactive {
                self.add(key);
            }
        }
    }

    /// Those that wait to be looked at.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.order.iter()
    }

    /// The next service to look at.
    pub(super) fn take(&mut self) -> Option<ServiceKey> {
        let key = self.order.pop_front()?;
        self.waiting.remove(&key);
        self.looked_at.insert(key.clone(), false);
        Some(key)
    }

    /// A look has ended.
    pub(super) fn done(
        &mut self,
        key: &ServiceKey,
        waits_for_room: bool,
        again_at: Option<Timestamp>,
    ) {
        if waits_for_room {
            self.roomless.insert(key.clone());
        } else {
            self.roomless.remove(key);
        }
        if let Some(known) = self.time_of.remove(key) {
            self.times.remove(&(known, key.clone()));
        }
        if let Some(at) = again_at {
            self.time_of.insert(key.clone(), at);
            self.times.insert((at, key.clone()));
        }
        if self.looked_at.remove(key) == Some(true) {
            self.add(key.clone());
        }
    }

    /// How long nothing has to be done.
    pub(super) fn wait(&self, now: Timestamp, collect: Duration) -> Duration {
        let next = self.times.first().map_or(LONGEST, |(at, _)| at.since(now).min(LONGEST));
        if self.freed.is_empty() { next } else { next.min(collect) }
    }

    /// Adds what is due at `now`, and those that wait for room where there is some now.
    pub(super) fn pass(&mut self, now: Timestamp, snapshot: &Snapshot) {
        while let Some((at, _)) = self.times.first()
            && *at <= now
        {
            let Some((_, key)) = self.times.pop_first() else { return };
            self.time_of.remove(&key);
            self.add(key);
        }
        for cluster in std::mem::take(&mut self.freed) {
            // Daemons come before what would take their room (ECS semantics §7.1).
            let daemons = snapshot.index(&self.tables.services.daemons, &cluster);
            let daemons: Vec<ServiceKey> = daemons.map(|(key, _)| key).collect();
            daemons.into_iter().for_each(|key| self.add(key));
            // What is free on a fleet matters to all of its account and region.
            let is_near = |key: &ServiceKey| match cluster.is_fleet() {
                false => key.0 == cluster,
                true => key.0.scope == cluster.scope,
            };
            let waits = self.roomless.iter().filter(|key| is_near(key)).cloned();
            let waits: Vec<ServiceKey> = waits.collect();
            waits.into_iter().for_each(|key| self.add(key));
        }
    }

    /// Adds the next services in the order of their keys.
    pub(super) fn sweep(&mut self, snapshot: &Snapshot, count: usize) {
        let from = self.swept.take().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = snapshot.range(&self.tables.services.rows, (from, Bound::Unbounded));
        let keys: Vec<(ServiceKey, ServiceStatus)> =
            rows.take(count).map(|(key, row)| (key, row.status)).collect();
        if keys.len() == count {
            self.swept = keys.last().map(|(key, _)| key.clone());
        }
        for (key, _) in keys.into_iter().filter(|(_, status)| *status != ServiceStatus::Inactive) {
            self.add(key);
        }
    }

    /// Adds what a commit is about.
    pub(super) fn see(&mut self, commit: &Commit, snapshot: &Snapshot) {
        let tables = self.tables;
        for change in commit.changes_of(&tables.tasks) {
            self.see_task(&change);
        }
        for change in commit.changes_of(&tables.services.rows) {
            self.add(change.key);
        }
        for change in commit.changes_of(&tables.services.deployments) {
            self.add(change.key.0);
        }
        for change in commit.changes_of(&tables.services.task_sets) {
            self.add(change.key.0);
        }
        for change in commit.changes_of(&tables.instances) {
            self.see_instance(&change, snapshot);
        }
    }

    /// Adds the services whose deployments the alarms of a commit may end.
    pub(super) fn see_alarms(
        &mut self,
        commit: &Commit,
        alarms: &cloudwatch::Tables,
        snapshot: &Snapshot,
    ) {
        for change in alarms.alarm_changes(commit) {
            let cloudwatch::Scope { account, region } = change.scope;
            let named = (Scope { account, region }, change.name);
            let services = snapshot.index(&self.tables.services.by_alarm, &named);
            let services: Vec<ServiceKey> = services.map(|(key, _)| key).collect();
            services.into_iter().for_each(|key| self.add(key));
        }
    }

    /// Adds the services whose tasks are targets that a commit changed.
    pub(super) fn see_targets(
        &mut self,
        commit: &Commit,
        balancers: &elbv2::Tables,
        snapshot: &Snapshot,
    ) {
        for change in balancers.target_changes(commit) {
            let target = (change.group, change.id, u32::from(change.port));
            let tasks = snapshot.index(&self.tables.services.by_target, &target);
            let services: Vec<ServiceKey> =
                tasks.filter_map(|(key, row)| service_of(&key, &row)).collect();
            services.into_iter().for_each(|key| self.add(key));
        }
    }

    fn see_task(&mut self, change: &Change<TaskKey, Task>) {
        let Some(row) = change.after.as_ref() else { return };
        if let Some(key) = service_of(&change.key, row) {
            self.add(key);
        }
        let had_stopped =
            change.before.as_ref().is_some_and(|row| row.status == TaskStatus::Stopped);
        if row.status == TaskStatus::Stopped && !had_stopped {
            self.free(&change.key, row);
        }
    }

    /// What instances are matters to those that wait for one; to those whose tasks are there only
    /// when it drains, or its agent goes away: it may be lost, and checks are heard of no more. That an agent is back changes nothing for them: when many come
    /// back at once, as after a start, not every service is looked at for each.
    fn see_instance(
        &mut self,
        change: &Change<InstanceKey, ContainerInstance>,
        snapshot: &Snapshot,
    ) {
        let relevant = |row: &ContainerInstance| {
            (row.status, row.agent.connected, row.attributes.clone(), row.capacity.clone())
        };
        let (before, after) = (change.before.as_deref(), change.after.as_deref());
        if before.map(relevant) == after.map(relevant) {
            return;
        }
        self.freed.insert(change.key.0.clone());
        let status = |row: &ContainerInstance| row.status;
        let is_away = |row: &ContainerInstance| !row.agent.connected;
        let is_left = after.is_none_or(is_away);
        if before.map(status) == after.map(status) && !is_left {
            return;
        }
        let tasks = snapshot.index(&self.tables.held, &change.key);
        let keys: BTreeSet<ServiceKey> =
            tasks.filter_map(|(key, row)| service_of(&key, &row)).collect();
        keys.into_iter().for_each(|key| self.add(key));
    }

    fn free(&mut self, key: &TaskKey, row: &Task) {
        let ground = ground_of(key, row);
        let is_fleet = ground.is_fleet();
        let waits = self.roomless.iter().any(|one| is_fleet || one.0 == ground);
        if waits {
            self.freed.insert(ground);
        }
    }
}
