//! Forgets services that have ended, and deployments of long ago (ECS semantics §7.11, §9).

use std::time::Duration;

use ledger::Tx;

use crate::api::forget_service;
use crate::tables::Tables;

/// How long a deployment that is over is kept, if its service lives on.
const DEPLOYMENTS_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How many services one transaction forgets, each with its deployments, revisions and events.
const SERVICES: usize = 20;

/// Forgets services that ended `inactive_kept` ago or earlier, and old deployments with what they
/// brought, at most `batch` of them. Gives how many rows it was, and `batch` if there are more.
pub(super) fn forget(
    tx: &mut Tx<'_>,
    tables: &Tables,
    inactive_kept: Duration,
    batch: usize,
) -> usize {
    let (now, of) = (tx.now(), &tables.services);
    let ended = tx.index_range(&of.gone, ..=(now - inactive_kept)).take(SERVICES);
    let ended: Vec<_> = ended.map(|(key, _)| key).collect();
    ended.iter().for_each(|key| forget_service(tx, tables, key));
    let old = tx.index_range(&of.finished, ..=(now - DEPLOYMENTS_KEPT)).take(batch);
    let old: Vec<_> = old.map(|(key, row)| (key, row.revision)).collect();
    for (key, revision) in &old {
        tx.delete(&of.revisions, &(key.0.clone(), *revision));
        tx.delete(&of.deployments, key);
    }
    if ended.len() == SERVICES { batch } else { old.len().max(ended.len()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::model::sample::{MADE, service};
    use crate::model::{DeploymentConfiguration, Service, ServiceStatus};
    use crate::tables::{sample, service_key};

    #[tokio::test]
    async fn a_service_is_forgotten_an_hour_after_its_end() {
        const HOUR: Duration = Duration::from_secs(3_600);
        let (ledger, tables) = sample::ledger();
        let row = service(DeploymentConfiguration::replica(), 1);
        let key = service_key(&row.arn);
        for (status, age, is_kept) in [
            (ServiceStatus::Active, HOUR * 2, true),
            (ServiceStatus::Draining, HOUR * 2, true),
            (ServiceStatus::Inactive, HOUR - Duration::from_secs(1), true),
            (ServiceStatus::Inactive, HOUR, false),
        ] {
            let done = ledger.transact("put and forget", |tx| {
                let changed_at = MADE - age;
                let row = Service { status, changed_at, ..row.clone() };
                tx.put(&tables.services.rows, key.clone(), row);
                Ok::<_, Error>(())
            });
            done.await.unwrap();
            let done = ledger.transact("forget", |tx| Ok::<_, Error>(forget(tx, &tables, HOUR, 9)));
            done.await.unwrap();
            let found = ledger.snapshot().get(&tables.services.rows, &key);
            assert_eq!(found.is_some(), is_kept, "{status:?} {age:?}");
        }
    }
}
