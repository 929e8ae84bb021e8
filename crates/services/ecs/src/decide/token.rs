//! How long a client token of RunTask is good (ECS semantics §1.3).

use std::time::Duration;

use ledger::View;
use terms::Timestamp;

use crate::model::{Task, TaskStatus};
use crate::tables::{ClusterKey, RunToken, Tables};

/// How long a token lives if its tasks do.
const TOKEN_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it outlives the last of its tasks.
pub(crate) const TASKS_SEEN: Duration = Duration::from_secs(60 * 60);

/// Whether a token of `cluster` means nothing any more: it is a day old, or all of its tasks
/// stopped an hour ago.
pub(crate) fn is_spent(
    view: &impl View,
    tables: &Tables,
    cluster: &ClusterKey,
    row: &RunToken,
    now: Timestamp,
) -> bool {
    let seen = |task: &Task| is_seen(task, now);
    let task = |&id| view.get(&tables.tasks, &cluster.task(id));
    now.since(row.created_at) >= TOKEN_KEPT
        || row.tasks.iter().all(|id| !task(id).is_some_and(|task| seen(&task)))
}

/// Whether a repeated request is still told of this task.
pub(crate) fn is_seen(task: &Task, now: Timestamp) -> bool {
    let stopped_at = task.times.stopped_at.filter(|_| task.status == TaskStatus::Stopped);
    stopped_at.is_none_or(|at| now.since(at) < TASKS_SEEN)
}
