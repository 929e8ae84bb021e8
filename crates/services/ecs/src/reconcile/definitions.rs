//! Forgets deleted task definitions that nothing uses any more (ECS semantics §3.1).

use std::time::Duration;

use ledger::{Ledger, Snapshot, TransactError, Tx};
use terms::Timestamp;

use crate::error::Error;
use crate::model::{DefinitionStatus, FamilyCounter};
use crate::tables::{DefinitionKey, Tables};

/// How long a deleted definition is described as DELETE_IN_PROGRESS, at least: ECS says that
/// deleting takes up to an hour.
const DELETING: Duration = Duration::from_secs(60 * 60);
/// How many definitions one transaction forgets.
const BATCH: usize = 500;

/// Forgets those that were deleted an hour ago and that no task uses now.
///
/// # Errors
/// If the ledger does not commit.
pub(crate) async fn round(
    ledger: &Ledger,
    tables: &Tables,
    now: Timestamp,
) -> Result<(), TransactError<Error>> {
    // Chosen on a snapshot, so that those in use do not hold up those behind them.
    let unused = unused(&ledger.snapshot(), tables, now);
    for batch in unused.chunks(BATCH) {
        let forget = |tx: &mut Tx<'_>| {
            batch.iter().for_each(|key| forget(tx, tables, key));
            Ok(())
        };
        ledger.transact("forget task definitions", forget).await?;
    }
    Ok(())
}

fn unused(snapshot: &Snapshot, tables: &Tables, now: Timestamp) -> Vec<DefinitionKey> {
    let old = snapshot.index_range(&tables.deleted_definitions, ..=(now - DELETING));
    old.map(|(key, _)| key)
        .filter(|key| snapshot.index(&tables.live_by_definition, key).next().is_none())
        .collect()
}

/// Looks again, for a task may have been started by a request that found it ACTIVE long ago.
fn forget(tx: &mut Tx<'_>, tables: &Tables, key: &DefinitionKey) {
    let Some(row) = tx.get(&tables.definitions, key) else { return };
    if row.status != DefinitionStatus::DeleteInProgress
        || tx.index(&tables.live_by_definition, key).next().is_some()
    {
        return;
    }
    tx.delete(&tables.definitions, key);
    // The counter outlives its revisions, so that none is given out again.
    let family = (key.0.clone(), key.1.clone());
    let Some(counter) = tx.get(&tables.families, &family) else { return };
    let counter = FamilyCounter {
        deleting: counter.deleting.saturating_sub(1),
        ..FamilyCounter::clone(&counter)
    };
    tx.put(&tables.families, family, counter);
}
