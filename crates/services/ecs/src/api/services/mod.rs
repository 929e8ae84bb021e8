//! Services: create, update, delete, describe, list (ECS semantics §7).
//!
//! What is written here is rows alone: a service, the deployment that begins, and the revision that
//! it brings. The scheduler's loop does the rest.

pub(super) mod capacity;
pub(super) mod configuration;
mod create;
mod delete;
pub(super) mod deploy;
mod describe;
mod list;
pub(super) mod rules;
pub(super) mod show;
mod update;
mod workload;

use ledger::{Row, Tx, View};

use self::rules::Kind;
pub(super) use self::workload::Wanted;
use super::target;
use crate::error::Error;
use crate::model::{DeploymentController, SchedulingStrategy, Service, ServiceStatus};
use crate::tables::{ClusterKey, ServiceKey, Tables};

/// REPLICA or DAEMON, ECS or EXTERNAL.
pub(super) fn kind(service: &Service) -> Kind {
    Kind {
        scheduling: match service.scheduling {
            SchedulingStrategy::Replica => shapes_ecs::SchedulingStrategy::Replica,
            SchedulingStrategy::Daemon => shapes_ecs::SchedulingStrategy::Daemon,
        },
        controller: match service.controller {
            DeploymentController::Ecs => shapes_ecs::DeploymentControllerType::Ecs,
            DeploymentController::External => shapes_ecs::DeploymentControllerType::External,
        },
    }
}

/// The service that a request names in a cluster that is there.
///
/// # Errors
/// When the cluster or the service is not there.
pub(super) fn find(
    view: &impl View,
    tables: &Tables,
    cluster: &ClusterKey,
    text: &str,
) -> Result<(ServiceKey, Row<Service>), Error> {
    target::active_cluster(view, tables, cluster)?;
    let key = target::service(cluster, text)?.ok_or(Error::ServiceNotFound)?;
    let row = view.get(&tables.services.rows, &key).ok_or(Error::ServiceNotFound)?;
    Ok((key, row))
}

/// The same, if it is ACTIVE.
///
/// # Errors
/// When it is not, or the cluster or the service is not there.
pub(super) fn find_active(
    view: &impl View,
    tables: &Tables,
    cluster: &ClusterKey,
    text: &str,
) -> Result<(ServiceKey, Row<Service>), Error> {
    let (key, row) = find(view, tables, cluster, text)?;
    match row.status {
        ServiceStatus::Active => Ok((key, row)),
        ServiceStatus::Draining | ServiceStatus::Inactive => Err(Error::ServiceNotActive),
    }
}

/// Forgets a service that has ended, with all that belongs to it.
pub(crate) fn forget(tx: &mut Tx<'_>, tables: &Tables, key: &ServiceKey) {
    let of = &tables.services;
    let deployments: Vec<_> = tx.prefix(&of.deployments, key).map(|(key, _)| key).collect();
    deployments.iter().for_each(|row| tx.delete(&of.deployments, row));
    let revisions: Vec<_> = tx.prefix(&of.revisions, key).map(|(key, _)| key).collect();
    revisions.iter().for_each(|row| tx.delete(&of.revisions, row));
    let events: Vec<_> = tx.prefix(&of.events, key).map(|(key, _)| key).collect();
    events.iter().for_each(|row| tx.delete(&of.events, row));
    let sets: Vec<_> = tx.prefix(&of.task_sets, key).map(|(key, _)| key).collect();
    sets.iter().for_each(|row| tx.delete(&of.task_sets, row));
    tx.delete(&of.rows, key);
}
