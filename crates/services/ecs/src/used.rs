//! What tasks used of Fargate, read from a snapshot: those that stopped, those that run, and the days
//! before.

use std::collections::BTreeMap;

use ledger::Snapshot;
use terms::{TaskArn, Timestamp};

use crate::decide::usage::{self, Window};
use crate::model::{Amount, Task, TaskStatus, UseOf};
use crate::tables::{Scope, Tables, TaskKey};

/// One part of what was used.
pub(crate) struct Part {
    /// Of what.
    pub(crate) of: UseOf,
    /// By which task; none where only days are known.
    pub(crate) task: Option<TaskArn>,
    /// How much.
    pub(crate) amount: Amount,
}

/// What was used in a scope within a window, up to `now` of tasks that run. Of what stopped more
/// than a day ago whole days are known: those that begin within the window.
pub(crate) fn parts(
    snapshot: &Snapshot,
    tables: &Tables,
    scope: &Scope,
    window: Window,
    now: Timestamp,
) -> Vec<Part> {
    let days = snapshot.prefix(&tables.used_days, scope);
    let days = days.filter(|((_, day, _), _)| window.from <= *day && *day < window.until);
    let mut parts: Vec<Part> =
        days.map(|(_, row)| Part { of: row.of.clone(), task: None, amount: row.amount }).collect();
    for ((_, _, id), row) in snapshot.prefix(&tables.usage, scope) {
        let task = scope.cluster(row.of.cluster.clone()).task_arn(id);
        let amount = usage::within(&row, window);
        parts.push(Part { of: row.of.clone(), task: Some(task), amount });
    }
    for (_, row) in running(snapshot, tables, scope) {
        let Some(use_) = usage::of_task(&row, now) else { continue };
        let amount = usage::within(&use_, window);
        parts.push(Part { of: use_.of, task: Some(row.arn.clone()), amount });
    }
    parts.retain(|part| part.amount != Amount::default());
    parts
}

/// The tasks on the fleet of a scope that have not stopped.
fn running(
    snapshot: &Snapshot,
    tables: &Tables,
    scope: &Scope,
) -> impl Iterator<Item = (TaskKey, ledger::Row<Task>)> {
    let rows = snapshot.index(&tables.held, &scope.fleet());
    rows.filter(|(_, row)| row.status != TaskStatus::Stopped)
}

/// All that was used and is known of, in all scopes, by `FARGATE` and `FARGATE_SPOT`.
pub(crate) fn totals(
    snapshot: &Snapshot,
    tables: &Tables,
    now: Timestamp,
) -> BTreeMap<&'static str, Amount> {
    let mut totals = BTreeMap::from([("FARGATE", Amount::default())]);
    totals.insert("FARGATE_SPOT", Amount::default());
    let ever = Window { from: Timestamp::from_millis(0), until: Timestamp::from_millis(i64::MAX) };
    let mut scopes: Vec<Scope> =
        snapshot.prefix(&tables.clusters, &()).map(|(key, _)| key.scope).collect();
    scopes.dedup();
    for scope in scopes {
        for part in parts(snapshot, tables, &scope, ever, now) {
            let name = if part.of.spot.is_some() { "FARGATE_SPOT" } else { "FARGATE" };
            totals.entry(name).or_default().add(part.amount);
        }
    }
    totals
}
