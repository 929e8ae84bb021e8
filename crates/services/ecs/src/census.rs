//! How many tasks and instances there are, by cluster and state: kept from the feed, so that
//! asking costs nothing, whatever the number of tasks.

use std::collections::BTreeMap;

use ledger::{Commit, Snapshot};

use crate::decide::history::{self, Happening};
use crate::model::{ContainerInstance, Task};
use crate::tables::{ClusterKey, Tables};

/// A reader of commits that knows this crate's rows: counts, and tells what happened.
#[derive(Debug)]
pub struct Witness {
    tables: Tables,
    tasks: BTreeMap<(ClusterKey, &'static str), i64>,
    instances: BTreeMap<(ClusterKey, &'static str), i64>,
}

/// A number of tasks or instances of one cluster in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The cluster's name.
    pub cluster: String,
    /// The state, in the word of the API; instances whose agent is away are `DISCONNECTED`.
    pub status: &'static str,
    /// How many.
    pub number: i64,
}

impl Witness {
    pub(crate) fn new(tables: Tables) -> Self {
        Self { tables, tasks: BTreeMap::new(), instances: BTreeMap::new() }
    }

    /// Counts everything anew: the cost is that of looking at each task once.
    pub fn look_around(&mut self, snapshot: &Snapshot) {
        self.tasks.clear();
        self.instances.clear();
        for ((cluster, _), row) in snapshot.prefix(&self.tables.tasks, &()) {
            add(&mut self.tasks, &cluster, task_state(&row), 1);
        }
        for ((cluster, _), row) in snapshot.prefix(&self.tables.instances, &()) {
            add(&mut self.instances, &cluster, instance_state(&row), 1);
        }
    }

    /// What stands that was written after `revision`, of which the commits were missed.
    pub fn found_after(&self, snapshot: &Snapshot, revision: u64) -> Vec<Happening> {
        history::found_after(snapshot, &self.tables, revision)
    }

    /// Takes a commit into the counts, and tells what it did.
    pub fn see(&mut self, commit: &Commit) -> Vec<Happening> {
        for change in commit.changes_of(&self.tables.tasks) {
            let cluster = &change.key.0;
            if let Some(row) = &change.before {
                add(&mut self.tasks, cluster, task_state(row), -1);
            }
            if let Some(row) = &change.after {
                add(&mut self.tasks, cluster, task_state(row), 1);
            }
        }
        for change in commit.changes_of(&self.tables.instances) {
            let cluster = &change.key.0;
            if let Some(row) = &change.before {
                add(&mut self.instances, cluster, instance_state(row), -1);
            }
            if let Some(row) = &change.after {
                add(&mut self.instances, cluster, instance_state(row), 1);
            }
        }
        history::of_commit(commit, &self.tables)
    }

    /// Tasks by cluster and state, without those of which there are none.
    pub fn tasks(&self) -> Vec<Count> {
        counts(&self.tasks)
    }

    /// Instances by cluster and state, without those of which there are none.
    pub fn instances(&self) -> Vec<Count> {
        counts(&self.instances)
    }
}

type Counted = BTreeMap<(ClusterKey, &'static str), i64>;

fn add(counts: &mut Counted, cluster: &ClusterKey, state: &'static str, number: i64) {
    let key = (cluster.clone(), state);
    let count = counts.entry(key.clone()).or_default();
    *count += number;
    if *count == 0 {
        counts.remove(&key);
    }
}

fn counts(of: &Counted) -> Vec<Count> {
    let count = |((cluster, status), number): (&(ClusterKey, &'static str), &i64)| Count {
        cluster: cluster.name.to_string(),
        status,
        number: *number,
    };
    of.iter().map(count).collect()
}

fn task_state(task: &Task) -> &'static str {
    task.status.as_str()
}

fn instance_state(instance: &ContainerInstance) -> &'static str {
    use crate::model::InstanceStatus;
    match instance.status {
        InstanceStatus::Active if !instance.agent.connected => "DISCONNECTED",
        status => status.as_str(),
    }
}
