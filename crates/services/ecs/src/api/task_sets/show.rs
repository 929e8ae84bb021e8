//! Task sets as the API shows them.

use ledger::Snapshot;
use shapes_ecs as shapes;
use wire::value::Enumeration;

use super::super::services::rules::balancers;
use super::super::services::{capacity, show as services};
use super::super::tags;
use super::arn;
use crate::error::Error;
use crate::model::{DeploymentController, Service, TaskCounts, TaskSet};
use crate::tables::{ServiceKey, Tables, TaskSetKey};

/// All task sets of a service, the oldest first.
pub(in crate::api) fn of_service(
    view: &Snapshot,
    tables: &Tables,
    key: &ServiceKey,
    service: &Service,
    with_tags: bool,
) -> Vec<shapes::TaskSet> {
    if service.controller != DeploymentController::External {
        return Vec::new();
    }
    let counts = services::count(view, tables, key);
    let mut rows: Vec<_> = view.prefix(&tables.services.task_sets, key).collect();
    rows.sort_by_key(|(key, row)| (row.created_at, key.1));
    let show = |(key, row): &(TaskSetKey, ledger::Row<TaskSet>)| {
        let counts = counts.get(&row.id).copied().unwrap_or_default();
        one(key, row, counts, with_tags)
    };
    rows.iter().map(show).collect()
}

/// The task set with this key as it is in a snapshot.
///
/// # Errors
/// When it is gone.
pub(super) fn now(
    view: &Snapshot,
    tables: &Tables,
    key: &TaskSetKey,
    with_tags: bool,
) -> Result<shapes::TaskSet, Error> {
    let row = view.get(&tables.services.task_sets, key).ok_or(Error::TaskSetNotFound)?;
    Ok(shown(view, tables, (key, &row), with_tags))
}

/// A task set, with the counts of a snapshot.
pub(super) fn shown(
    view: &Snapshot,
    tables: &Tables,
    (key, row): (&TaskSetKey, &TaskSet),
    with_tags: bool,
) -> shapes::TaskSet {
    let counts = services::count(view, tables, &key.0);
    one(key, row, counts.get(&row.id).copied().unwrap_or_default(), with_tags)
}

fn one(key: &TaskSetKey, row: &TaskSet, counts: TaskCounts, with_tags: bool) -> shapes::TaskSet {
    let (launch_type, capacity_provider_strategy) = capacity::show(&row.workload.capacity);
    let (platform_family, platform_version) = capacity::show_platform(&row.workload);
    let (cluster, name) = &key.0;
    shapes::TaskSet {
        capacity_provider_strategy,
        cluster_arn: Some(cluster.arn().to_string()),
        computed_desired_count: Some(services::number(row.computed_desired)),
        created_at: Some(row.created_at),
        external_id: row.external_id.clone(),
        id: Some(row.id.to_string()),
        launch_type,
        load_balancers: Some(balancers::show(&row.workload.balanced)),
        network_configuration: row.workload.network.as_deref().cloned(),
        pending_count: Some(services::number(counts.pending)),
        platform_family,
        platform_version,
        running_count: Some(services::number(counts.running)),
        scale: Some(shapes::Scale {
            unit: Some(shapes::ScaleUnit::Percent),
            value: Some(row.scale_percent),
        }),
        service_arn: Some(cluster.service_arn(name.clone()).to_string()),
        service_registries: Some(Vec::new()),
        stability_status: shapes::StabilityStatus::parse(row.stability.as_str()),
        stability_status_at: Some(row.stability_at),
        status: Some(row.status.as_str().to_owned()),
        tags: with_tags.then(|| tags::show(&row.tags)),
        task_definition: Some(row.workload.definition.to_string()),
        task_set_arn: Some(arn(&key.0, row.id)),
        updated_at: Some(row.updated_at),
        ..Default::default()
    }
}
