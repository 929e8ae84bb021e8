//! Forgets what is old: stopped tasks, deregistered instances, deleted clusters, client tokens.
//!
//! The rows say when they stopped mattering, and indexes have them in that order, so a round
//! costs what it forgets.

use std::time::Duration;

use ledger::{Ledger, TransactError, Tx};
use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::model::TaskStatus;
use crate::tables::Tables;

/// How often the loop looks.
const ROUND: Duration = Duration::from_secs(60);
/// How long a stopped task is kept. ECS promises an hour (ECS semantics §5.1).
const STOPPED_TASK_KEPT: Duration = Duration::from_secs(60 * 60);
/// How many stopped tasks are kept, over all clusters, however young they are.
const STOPPED_TASKS_MAX: usize = 100_000;
/// How long a deregistered instance or a deleted cluster is described as INACTIVE.
const INACTIVE_KEPT: Duration = Duration::from_secs(60 * 60);
/// How long a client token lives if its tasks do (ECS semantics §1.3).
const TOKEN_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How many rows one transaction forgets.
const BATCH: usize = 500;

/// Runs the loop until `shutdown`. A round that the ledger refuses is left to the next one.
pub(crate) async fn run(ledger: &Ledger, tables: &Tables, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        if let Err(error) = round(ledger, tables, STOPPED_TASKS_MAX).await {
            tracing::warn!(%error, "old rows could not be forgotten");
        }
    }
}

/// Forgets everything that is old now; keeps at most `stopped_max` stopped tasks.
pub(crate) async fn round(
    ledger: &Ledger,
    tables: &Tables,
    stopped_max: usize,
) -> Result<(), TransactError<Error>> {
    loop {
        // Counted outside: a count inside would make every stopping task a conflict.
        let snapshot = ledger.snapshot();
        let many = snapshot.len(&tables.tasks) > stopped_max;
        let stopped = if many { snapshot.index(&tables.stopped, &()).count() } else { 0 };
        let surplus = stopped.saturating_sub(stopped_max);
        let forgotten = ledger.transact("sweep", |tx| Ok(forget(tx, tables, surplus))).await?;
        if forgotten.value < BATCH {
            return Ok(());
        }
    }
}

/// Forgets a batch, `surplus` stopped tasks even if they are young; gives how many rows it was.
fn forget(tx: &mut Tx<'_>, tables: &Tables, surplus: usize) -> usize {
    let now = tx.now();
    let old_tasks: Vec<_> = tx
        .index(&tables.stopped, &())
        .take(BATCH)
        .enumerate()
        .take_while(|(index, (_, row))| {
            *index < surplus || is_old(row.times.stopped_at, STOPPED_TASK_KEPT, now)
        })
        .map(|(_, (key, _))| key)
        .collect();
    old_tasks.iter().for_each(|key| tx.delete(&tables.tasks, key));
    let inactive = ..=(now - INACTIVE_KEPT);
    let instances: Vec<_> =
        tx.index_range(&tables.gone_instances, inactive).take(BATCH).map(|(key, _)| key).collect();
    instances.iter().for_each(|key| tx.delete(&tables.instances, key));
    let clusters: Vec<_> = tx
        .index_range(&tables.deleted_clusters, inactive)
        .take(BATCH)
        .map(|(key, _)| key)
        .collect();
    clusters.iter().for_each(|key| tx.delete(&tables.clusters, key));
    let tokens = old_tokens(tx, tables, now);
    tokens.iter().for_each(|key| tx.delete(&tables.run_tokens, key));
    old_tasks.len().max(instances.len()).max(clusters.len()).max(tokens.len())
}

/// Tokens that are a day old, or whose last task stopped an hour ago: those tasks are gone, or
/// all of them are that old.
fn old_tokens(tx: &Tx<'_>, tables: &Tables, now: Timestamp) -> Vec<crate::tables::TokenKey> {
    let an_hour_old = ..=(now - STOPPED_TASK_KEPT);
    let rows: Vec<_> = tx.index_range(&tables.run_tokens_by_age, an_hour_old).take(BATCH).collect();
    let is_spent = |cluster: &crate::tables::ClusterKey, row: &crate::tables::RunToken| {
        row.tasks.iter().all(|&id| match tx.get(&tables.tasks, &cluster.task(id)) {
            None => true,
            Some(task) => {
                task.status == TaskStatus::Stopped
                    && is_old(task.times.stopped_at, STOPPED_TASK_KEPT, now)
            }
        })
    };
    let old = rows.into_iter().filter(|((cluster, _), row)| {
        is_old(Some(row.created_at), TOKEN_KEPT, now) || is_spent(cluster, row)
    });
    old.map(|(key, _)| key).collect()
}

fn is_old(at: Option<Timestamp>, kept: Duration, now: Timestamp) -> bool {
    at.is_some_and(|at| now.since(at) >= kept)
}
