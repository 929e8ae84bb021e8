//! Events of container instances: their records change, and tasks take of them and give back (ECS
//! semantics §17, "sent for task placement").
//!
//! `detail.version` is a revision of the ledger, for an instance's record does not change when a
//! task comes or goes. So it grows with each event, over restarts and changes of leaders too, and
//! is what DescribeContainerInstances says (`api/container_instances/shape.rs`).

use std::collections::BTreeMap;

use ledger::{Commit, Revision, Row, Snapshot};

use super::Told;
use crate::model::{Task, TaskStatus};
use crate::tables::{InstanceKey, Tables, TaskKey, place_of};

/// The instances that a commit changes, or whose resources it takes and gives back, each once.
pub(super) fn of_commit(commit: &Commit, snapshot: &Snapshot, tables: &Tables) -> Vec<Told> {
    let mut news = News::default();
    let mut rows = BTreeMap::new();
    for change in commit.changes_of(&tables.instances) {
        if let Some(row) = change.after {
            news.note(change.key.clone(), row.version());
            rows.insert(change.key, row);
        }
    }
    for change in commit.changes_of(&tables.tasks) {
        let Some(after) = change.after else { continue };
        let held_before = change.before.as_deref().is_some_and(holds);
        let version = match (held_before, holds(&after)) {
            (false, true) => after.created(),
            (true, false) => after.version(),
            (true, true) | (false, false) => continue,
        };
        news.note(instance_of(&change.key, &after), version);
    }
    let told = news.0.into_iter().filter_map(|(key, version)| {
        let row = rows.remove(&key).or_else(|| snapshot.get(&tables.instances, &key))?;
        Some(Told::Instance(key, row, version))
    });
    told.collect()
}

/// The instances that changed after `revision`, or on which tasks came or ended, each once.
pub(super) fn found_after(
    snapshot: &Snapshot,
    tables: &Tables,
    revision: Revision,
) -> Vec<(Revision, Told)> {
    let mut news = News::default();
    for (key, row) in snapshot.prefix(&tables.instances, &()) {
        news.note(key, row.version());
    }
    for (key, row) in snapshot.prefix(&tables.tasks, &()) {
        let version = if holds(&row) { row.created() } else { row.version() };
        news.note(instance_of(&key, &row), version);
    }
    let newer = news.0.into_iter().filter(|(_, version)| *version > revision);
    let told = newer.filter_map(|(key, version)| {
        let row = snapshot.get(&tables.instances, &key)?;
        Some((version, Told::Instance(key, row, version)))
    });
    told.collect()
}

/// The newest version of each instance.
#[derive(Default)]
struct News(BTreeMap<InstanceKey, Revision>);

impl News {
    fn note(&mut self, key: InstanceKey, version: Revision) {
        // Nodes of the operator's own are no container instances.
        if key.0.is_fleet() {
            return;
        }
        let known = self.0.entry(key).or_default();
        *known = version.max(*known);
    }
}

/// Whether a task holds resources of its instance.
fn holds(task: &Task) -> bool {
    task.status != TaskStatus::Stopped
}

fn instance_of(key: &TaskKey, task: &Row<Task>) -> InstanceKey {
    place_of(key, task)
}
