//! From the change feed to the sessions that a change concerns, and to no others.

use ledger::{Change, Commit};
use terms::ContainerInstanceArn;

use super::registry::Registry;
use crate::model::{ContainerInstance, InstanceStatus, Task};
use crate::tables::{InstanceKey, Tables, TaskKey, place_of};

/// Wakes the control sessions that the commit concerns: those of the instances of its tasks, and
/// of its instances. Costs what the commit changed, whatever the size of the cluster.
pub(crate) fn wake(commit: &Commit, tables: &Tables, control: &Registry) {
    for change in commit.changes_of(&tables.tasks) {
        wake_for_task(&change, control);
    }
    for change in commit.changes_of(&tables.instances) {
        wake_for_instance(&change, control);
    }
}

/// The instances that the commit took from their clusters: their other sessions end.
pub(crate) fn gone(commit: &Commit, tables: &Tables) -> Vec<ContainerInstanceArn> {
    let is_member = |row: &ContainerInstance| row.status != InstanceStatus::Inactive;
    let was_member = |change: &Change<InstanceKey, ContainerInstance>| {
        let before = change.before.as_deref().is_some_and(is_member);
        before && !change.after.as_deref().is_some_and(is_member)
    };
    let changes = commit.changes_of(&tables.instances).filter(was_member);
    changes.map(|change| change.key.0.instance_arn(change.key.1)).collect()
}

fn wake_for_task(change: &Change<TaskKey, Task>, control: &Registry) {
    let aim = |row: &Task| (row.desired, row.status);
    let (before, after) = (change.before.as_deref(), change.after.as_deref());
    // Most reports of agents change neither, and delivery looks at nothing else.
    if before.map(aim) == after.map(aim) {
        return;
    }
    let Some(task) = after.or(before) else { return };
    let (ground, instance) = place_of(&change.key, task);
    if let Some(mailbox) = control.mailbox(&ground.instance_arn(instance)) {
        mailbox.task_changed(change.key.1);
    }
}

fn wake_for_instance(change: &Change<InstanceKey, ContainerInstance>, control: &Registry) {
    let status = |row: &ContainerInstance| row.status;
    let (before, after) = (change.before.as_deref(), change.after.as_deref());
    if before.map(status) == after.map(status) {
        return;
    }
    let (cluster, id) = &change.key;
    if let Some(mailbox) = control.mailbox(&cluster.instance_arn(*id)) {
        mailbox.instance_changed();
    }
}
