//! One cluster's fleet, kept from change to change.

mod asked;
mod reserved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::{Commit, Facts, Feed, Ledger, Revision};
use placement::{Demand, Fleet, Refusal, Request};
use terms::{ContainerInstanceId, ServiceName, TaskId};

use self::reserved::Reserved;

use crate::decide::{placing, room};
use crate::model::{ContainerInstance, InstanceStatus, Shared, Task, TaskStatus};
use crate::tables::{ClusterKey, Tables, TaskKey};

/// The fleet of a cluster as the feed last told it, with what running plans took besides.
///
/// **Invariant:** for each entry of `held` the fleet holds its demand on its instance once, and
/// nothing else. What is reserved stands there too, under ids that are no task's.
pub(super) struct Kept {
    cluster: ClusterKey,
    tables: Tables,
    feed: Feed,
    fleet: Fleet,
    held: BTreeMap<TaskId, Held>,
    /// The tasks of `held` by instance, sorted.
    on: BTreeMap<ContainerInstanceId, Vec<TaskId>>,
    /// The versions of instances' rows that the fleet shows.
    versions: BTreeMap<ContainerInstanceId, Revision>,
    /// What is reserved for services.
    reserved: BTreeMap<ServiceName, Reserved>,
    is_loaded: bool,
}

/// What one task holds. There are as many as tasks, so it is small.
#[derive(Clone)]
struct Held {
    instance: ContainerInstanceId,
    state: State,
    what: Shared<What>,
}

/// What many tasks hold alike.
#[derive(Clone, PartialEq, Eq, Hash)]
struct What {
    group: Arc<str>,
    demand: Demand,
}

/// What came of following the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// The fleet shows all that was committed.
    All,
    /// There is more to take in.
    Part,
    /// The feed was lost; the fleet stays as it was until it is loaded again.
    Lost,
}

/// Rows that are taken in between two pauses, while a fleet is loaded beside its use.
const ROWS_AT_ONCE: usize = 128;
/// Commits likewise.
pub(super) const COMMITS_AT_ONCE: usize = 64;

/// How sure it is that a task holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A plan that has not been committed.
    Planned,
    /// Committed, and the feed has yet to tell.
    Committed,
    /// The ledger has it.
    Told,
    /// No task does yet: it is kept free for one.
    Reserved,
}

impl State {
    /// Whether rows say nothing of it.
    const fn outlives_rows(self) -> bool {
        match self {
            Self::Planned | Self::Reserved => true,
            Self::Committed | Self::Told => false,
        }
    }
}

/// What a plan found.
pub(super) struct Found {
    /// Where each task goes.
    pub(super) placed: Vec<(TaskId, ContainerInstanceId)>,
    /// How many instances there were.
    pub(super) considered: usize,
    /// Why the first task that found no place found none; empty if all were placed.
    pub(super) shortage: Vec<Refusal>,
    /// How often a part of the choice was made again.
    pub(super) retries: u32,
}

/// What a plan rests on.
struct Ground<'a> {
    /// Those of the transaction that is to write it.
    facts: &'a Facts<'a>,
    /// Tasks that the same transaction has planned already.
    beside: &'a [TaskId],
}

impl Kept {
    /// The cluster's fleet, to be loaded when it first catches up.
    pub(super) fn new(ledger: &Ledger, tables: Tables, cluster: ClusterKey) -> Self {
        Self {
            cluster,
            tables,
            feed: ledger.subscribe(),
            fleet: Fleet::default(),
            held: BTreeMap::new(),
            on: BTreeMap::new(),
            versions: BTreeMap::new(),
            reserved: BTreeMap::new(),
            is_loaded: false,
        }
    }

    /// Takes in what was committed since the last time.
    pub(super) fn catch_up(&mut self) {
        if !self.is_loaded {
            self.load();
        }
        loop {
            match self.feed.try_next() {
                Ok(Some(commit)) => self.apply(&commit),
                Ok(None) => return,
                Err(ledger::Lagged) => {
                    tracing::debug!(cluster = %self.cluster.name, "the kept fleet starts again");
                    self.load();
                }
            }
        }
    }

    /// Takes in up to `most` of what was committed since the last time. A fleet that was never
    /// loaded is left alone.
    pub(super) fn follow(&mut self, most: usize) -> Followed {
        if !self.is_loaded {
            return Followed::All;
        }
        for _ in 0..most {
            match self.feed.try_next() {
                Ok(Some(commit)) => self.apply(&commit),
                Ok(None) => return Followed::All,
                Err(ledger::Lagged) => return Followed::Lost,
            }
        }
        Followed::Part
    }

    /// Whether it was loaded once.
    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// The cluster's fleet as it is now, loaded with pauses in which others run: nobody waits for
    /// it yet.
    pub(super) async fn load_aside(ledger: &Ledger, tables: Tables, cluster: ClusterKey) -> Self {
        let mut kept = Self::new(ledger, tables, cluster);
        kept.is_loaded = true;
        let snapshot = kept.feed.snapshot().clone();
        for status in [InstanceStatus::Active, InstanceStatus::Draining] {
            let key = (kept.cluster.clone(), status);
            for (number, (key, row)) in
                snapshot.index(&tables.instances_by_status, &key).enumerate()
            {
                kept.set_instance(key.1, Some((&row, row.version())));
                pause(number).await;
            }
        }
        for (number, (key, row)) in snapshot.index(&tables.held, &kept.cluster.clone()).enumerate()
        {
            kept.set_task(key.1, Some(&row));
            pause(number).await;
        }
        while kept.follow(COMMITS_AT_ONCE) == Followed::Part {
            tokio::task::yield_now().await;
        }
        kept
    }

    /// Takes the place of a fleet of the same cluster that lost the feed, with the plans that
    /// still run on it.
    pub(super) fn replace(mut self, older: &mut Self, ledger: &Ledger) {
        self.catch_up();
        let snapshot = ledger.snapshot();
        for (id, held) in std::mem::take(&mut older.held) {
            if held.state.outlives_rows()
                && !self.held.contains_key(&id)
                && snapshot.get(&self.tables.tasks, &self.key_of(id, &held)).is_none()
            {
                self.hold(id, held);
            }
        }
        self.reserved = std::mem::take(&mut older.reserved);
        *older = self;
    }

    /// Begins anew from a snapshot; only plans that still run, and what is reserved, are kept besides.
    fn load(&mut self) {
        self.is_loaded = true;
        self.held.retain(|_, held| held.state.outlives_rows());
        let planned = std::mem::take(&mut self.held);
        self.fleet = Fleet::default();
        self.on.clear();
        self.versions.clear();
        let snapshot = self.feed.restart().clone();
        for status in [InstanceStatus::Active, InstanceStatus::Draining] {
            let key = (self.cluster.clone(), status);
            for (key, row) in snapshot.index(&self.tables.instances_by_status, &key) {
                self.set_instance(key.1, Some((&row, row.version())));
            }
        }
        for (key, row) in snapshot.index(&self.tables.held, &self.cluster) {
            self.set_task(key.1, Some(&row));
        }
        for (id, held) in planned {
            if snapshot.get(&self.tables.tasks, &self.key_of(id, &held)).is_none() {
                self.hold(id, held);
            }
        }
    }

    fn apply(&mut self, commit: &Commit) {
        let tables = self.tables;
        for change in commit.changes_of(&tables.instances) {
            if change.key.0 == self.cluster {
                let row = change.after.as_ref().map(|row| (&**row, row.version()));
                self.set_instance(change.key.1, row);
            }
        }
        for change in commit.changes_of(&tables.tasks) {
            let row = change.after.as_deref().or(change.before.as_deref());
            if row.is_some_and(|row| self.cluster.is_under(&change.key, row)) {
                self.set_task(change.key.1, change.after.as_deref());
            }
        }
    }

    /// Shows an instance as its row is; one that is gone, or older than what is shown, changes
    /// nothing but its absence.
    fn set_instance(
        &mut self,
        id: ContainerInstanceId,
        row: Option<(&ContainerInstance, Revision)>,
    ) {
        let Some((row, version)) = row.filter(|(row, _)| row.status != InstanceStatus::Inactive)
        else {
            self.versions.remove(&id);
            self.fleet.remove(id);
            return;
        };
        if self.versions.get(&id).is_some_and(|&known| known >= version) {
            return;
        }
        self.versions.insert(id, version);
        let mut instance = room::instance(row, []);
        for task in self.on.get(&id).into_iter().flatten() {
            let held = &self.held[task];
            instance.hold(&held.what.group, &held.what.demand);
        }
        self.fleet.upsert(instance);
    }

    /// Holds what a task holds by its row, in place of what it held so far.
    fn set_task(&mut self, id: TaskId, row: Option<&Task>) {
        let Some(row) = row.filter(|row| row.status != TaskStatus::Stopped) else {
            return self.release(id);
        };
        let demand = room::held(row);
        if let Some(held) = self.held.get_mut(&id)
            && held.instance == row.instance
            && held.what.demand == demand
            && *held.what.group == *row.spread_group()
        {
            held.state = State::Told;
            return;
        }
        self.release(id);
        let (instance, group) = (row.instance, row.spread_group());
        let what = What { group, demand }.into();
        self.hold(id, Held { instance, what, state: State::Told });
    }

    /// The key of a task that holds something: on a fleet its group tells its cluster.
    fn key_of(&self, id: TaskId, held: &Held) -> TaskKey {
        let group = held.what.group.split_once('/').filter(|_| self.cluster.is_fleet());
        let cluster = group.and_then(|(cluster, _)| cluster.parse().ok());
        match cluster {
            Some(name) => self.cluster.scope.cluster(name).task(id),
            None => self.cluster.task(id),
        }
    }

    fn hold(&mut self, id: TaskId, held: Held) {
        self.fleet.hold(held.instance, &held.what.group, &held.what.demand);
        self.note(id, held);
    }

    /// Remembers what the fleet holds already.
    fn note(&mut self, id: TaskId, held: Held) {
        let tasks = self.on.entry(held.instance).or_default();
        if let Err(place) = tasks.binary_search(&id) {
            tasks.insert(place, id);
        }
        self.held.insert(id, held);
    }

    fn release(&mut self, id: TaskId) {
        let Some(held) = self.held.remove(&id) else { return };
        if let Some(tasks) = self.on.get_mut(&held.instance) {
            if let Ok(place) = tasks.binary_search(&id) {
                tasks.remove(place);
            }
            if tasks.is_empty() {
                self.on.remove(&held.instance);
            }
        }
        self.fleet.release(held.instance, &held.what.group, &held.what.demand);
    }

    /// Finds a place for each of `tasks` and holds it as planned.
    ///
    /// If `facts` are ahead of the feed, each choice is checked against them; where it does not
    /// hold, the fleet is corrected and those tasks are placed again. What other running plans
    /// hold counts as taken, until something finds no place: then only what `facts` know does, and
    /// what the tasks of `beside` hold, which are planned already in the same transaction.
    pub(super) fn find(
        &mut self,
        facts: &Facts<'_>,
        request: &Request,
        (tasks, beside): (&[TaskId], &[TaskId]),
        seed: u64,
    ) -> Found {
        let mut found =
            Found { placed: Vec::new(), considered: 0, shortage: Vec::new(), retries: 0 };
        let mut waiting = tasks.to_vec();
        let ground = Ground { facts, beside };
        self.settle(&ground, request, &mut waiting, seed, &mut found);
        if !found.shortage.is_empty() {
            let aside = self.set_aside(&ground, tasks);
            if !aside.is_empty() {
                found.shortage.clear();
                self.settle(&ground, request, &mut waiting, seed, &mut found);
            }
            for (id, held) in aside {
                self.hold(id, held);
            }
        }
        found.considered = self.fleet.len();
        found
    }

    /// Places `waiting`, and again those whose instance turns out not to fit.
    fn settle(
        &mut self,
        ground: &Ground<'_>,
        request: &Request,
        waiting: &mut Vec<TaskId>,
        seed: u64,
        found: &mut Found,
    ) {
        // Each round but the last corrects an instance, and none needs it twice.
        for _ in 0..=self.fleet.len() {
            let count = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
            let placement = self.fleet.place(&Request { count, ..request.clone() }, seed);
            let placed = placement.placed;
            let chosen: Vec<_> = waiting.drain(..placed.len()).zip(placed).collect();
            let (group, demand) = (request.group.clone(), request.demand.clone());
            let what = Shared::from(What { group, demand });
            for &(task, instance) in &chosen {
                self.note(task, Held { instance, what: what.clone(), state: State::Planned });
            }
            found.placed.extend(chosen);
            let wrong = self.correct(ground, request, &found.placed);
            let (again, stay) = std::mem::take(&mut found.placed)
                .into_iter()
                .partition::<Vec<_>, _>(|(_, instance)| wrong.contains(instance));
            found.placed = stay;
            if again.is_empty() {
                found.shortage = placement.shortage;
                return;
            }
            found.retries += 1;
            waiting.extend(again.into_iter().map(|(task, _)| task));
        }
        found.shortage = self.fleet.refusals(request);
    }

    /// Checks what was chosen against the facts, if they are ahead of the feed. Where it does not
    /// hold, releases it and shows the instance as it is; gives those instances.
    fn correct(
        &mut self,
        ground: &Ground<'_>,
        request: &Request,
        placed: &[(TaskId, ContainerInstanceId)],
    ) -> BTreeSet<ContainerInstanceId> {
        let facts = ground.facts;
        if facts.revision() <= self.feed.position() {
            return BTreeSet::new();
        }
        let mut tasks: BTreeMap<ContainerInstanceId, Vec<TaskId>> = BTreeMap::new();
        for &(task, instance) in placed {
            tasks.entry(instance).or_default().push(task);
        }
        let known = |id| {
            let (tables, cluster) = (&self.tables, &self.cluster);
            let mut instance = placing::look_for(facts, tables, cluster, id, [request])?;
            let beside = ground.beside.iter().filter_map(|task| self.held.get(task));
            for held in beside.filter(|held| held.instance == id) {
                instance.hold(&held.what.group, &held.what.demand);
            }
            Some(instance)
        };
        tasks.retain(|&id, tasks| {
            !known(id).is_some_and(|mut one| placing::takes(&mut one, request, tasks.len()))
        });
        for (&id, tasks) in &tasks {
            tasks.iter().for_each(|&task| self.release(task));
            self.look_again(facts, id);
        }
        tasks.into_keys().collect()
    }

    /// Shows an instance and its tasks as `facts`, which are ahead of the feed, have them.
    fn look_again(&mut self, facts: &Facts<'_>, id: ContainerInstanceId) {
        let known: Vec<TaskId> = self.on.get(&id).into_iter().flatten().copied().collect();
        for task in known {
            let row = facts.get(&self.tables.tasks, &self.key_of(task, &self.held[&task]));
            if row.is_some() || self.held[&task].state == State::Told {
                self.set_task(task, row.as_deref());
            }
        }
        let key = self.cluster.instance(id);
        for (key, row) in facts.index(&self.tables.held, &key) {
            self.set_task(key.1, Some(&row));
        }
        let row = facts.get(&self.tables.instances, &key);
        self.set_instance(id, row.as_ref().map(|row| (&**row, row.version())));
    }

    /// Takes out what plans of other transactions hold, as far as the facts do not know of it: such
    /// a plan may come to nothing. Gives what has to be held again.
    fn set_aside(&mut self, ground: &Ground<'_>, own: &[TaskId]) -> Vec<(TaskId, Held)> {
        let Ground { facts, beside } = ground;
        let is_known =
            |id, held: &Held| facts.get(&self.tables.tasks, &self.key_of(id, held)).is_some();
        let planned = self.held.iter().filter(|(_, held)| held.state == State::Planned);
        let others = planned.filter(|&(&id, held)| {
            !own.contains(&id) && !beside.contains(&id) && !is_known(id, held)
        });
        let aside: Vec<_> = others.map(|(&id, held)| (id, held.clone())).collect();
        aside.iter().for_each(|&(id, _)| self.release(id));
        aside
    }

    /// The plan was committed: the feed will tell of its tasks, or has.
    pub(super) fn commit(&mut self, tasks: &[TaskId]) {
        for task in tasks {
            if let Some(held) = self.held.get_mut(task)
                && held.state == State::Planned
            {
                held.state = State::Committed;
            }
        }
    }

    /// The plan came to nothing.
    pub(super) fn give_back(&mut self, tasks: &[TaskId]) {
        for &task in tasks {
            if self.held.get(&task).is_some_and(|held| held.state == State::Planned) {
                self.release(task);
            }
        }
    }

    /// The fleet, for a look.
    #[cfg(test)]
    pub(super) fn fleet(&self) -> &Fleet {
        &self.fleet
    }
}

/// Lets others run after every so many rows.
async fn pause(number: usize) {
    if number % ROWS_AT_ONCE == ROWS_AT_ONCE - 1 {
        tokio::task::yield_now().await;
    }
}
