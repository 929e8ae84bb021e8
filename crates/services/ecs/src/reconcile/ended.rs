//! Forgets services that have ended, and deployments of long ago (ECS semantics §7.11, §9).

use std::time::Duration;

use ledger::Tx;

use crate::api::forget_service;
use crate::tables::Tables;

/// How long a deployment that is over is kept, if its service lives on.
const DEPLOYMENTS_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How many services one transaction forgets, each with its deployments, revisions and events:
/// those are many rows.
const SERVICES: usize = 1;
/// How many deployments one transaction forgets, each with what it brought.
const DEPLOYMENTS: usize = 50;

/// Forgets some services that ended `inactive_kept` ago or earlier, and some old deployments with
/// what they brought. Gives how many it was, and `batch` if there may be more.
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
    let old = tx.index_range(&of.finished, ..=(now - DEPLOYMENTS_KEPT)).take(DEPLOYMENTS);
    let old: Vec<_> = old.map(|(key, row)| (key, row.revision)).collect();
    for (key, revision) in &old {
        tx.delete(&of.revisions, &(key.0.clone(), *revision));
        tx.delete(&of.deployments, key);
    }
    let has_more = ended.len() == SERVICES || old.len() == DEPLOYMENTS;
    if has_more { batch } else { old.len().max(ended.len()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::model::sample::{MADE, deployment, revision, service};
    use crate::model::{
        Deployment, DeploymentConfiguration, DeploymentStatus, Progress, Service, ServiceStatus,
    };
    use crate::tables::{sample, service_key};

    #[tokio::test]
    async fn a_deployment_that_is_over_is_kept_for_ninety_days() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let (ledger, tables) = sample::ledger();
        let row = service(DeploymentConfiguration::replica(), 1);
        let key = service_key(&row.arn);
        let of = &tables.services;
        for (status, progress, age, is_kept) in [
            (DeploymentStatus::Inactive, Progress::Successful, DAY * 89, true),
            (DeploymentStatus::Inactive, Progress::Stopped, DAY * 90, false),
            (DeploymentStatus::Inactive, Progress::RollbackSuccessful, DAY * 90, false),
            // It is what the service runs.
            (DeploymentStatus::Primary, Progress::Successful, DAY * 1_000, true),
            (DeploymentStatus::Active, Progress::Successful, DAY * 1_000, true),
        ] {
            let id = (key.clone(), deployment(7).id);
            let brought = (key.clone(), deployment(7).revision);
            let done = ledger.transact("put and forget", |tx| {
                let finished_at = Some(tx.now() - age);
                let one = Deployment { status, progress, finished_at, ..deployment(7) };
                tx.put(&of.revisions, brought.clone(), revision(7));
                tx.put(&of.deployments, id.clone(), one);
                Ok::<_, Error>(())
            });
            done.await.unwrap();
            let done = ledger.transact("forget", |tx| Ok::<_, Error>(forget(tx, &tables, DAY, 9)));
            done.await.unwrap();
            let snapshot = ledger.snapshot();
            assert_eq!(snapshot.get(&of.deployments, &id).is_some(), is_kept, "{progress:?}");
            assert_eq!(snapshot.get(&of.revisions, &brought).is_some(), is_kept, "{progress:?}");
        }
    }

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
