//! Interfaces of abandoned tasks are given back.

use std::time::Duration;

use ledger::Tx;

use super::sweep::BATCH;
use crate::tables::Tables;

/// Gives back a batch of the interfaces that were orphaned `kept` ago or earlier; gives how many
/// it was.
pub(super) fn give_back(
    tx: &mut Tx<'_>,
    tables: &Tables,
    vpc: &vpc::Tables,
    kept: Duration,
) -> usize {
    let old = ..=(tx.now() - kept);
    let orphans = tx.index_range(&tables.orphans_by_age, old).take(BATCH);
    let orphans: Vec<_> = orphans.map(|(key, _)| key).collect();
    for key in &orphans {
        let (scope, interface) = key;
        let scope = vpc::Scope { account: scope.account.clone(), region: scope.region.clone() };
        vpc.release(tx, &scope, interface);
        tx.delete(&tables.orphans, key);
    }
    orphans.len()
}
