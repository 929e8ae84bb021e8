//! Services as the API shows them.

use std::collections::BTreeMap;

use ledger::{Row, Snapshot};
use shapes_ecs as shapes;
use shapes_ecs::AvailabilityZoneRebalancing;
use wire::value::Enumeration;

use super::super::service_deployments::arn as deployment_arn;
use super::super::service_revisions::arn as revision_arn;
use super::super::{tags, task_sets};
use super::rules::balancers;
use super::{capacity, configuration, kind};
use crate::error::Error;
use crate::model::{
    Deployment, DeploymentId, DeploymentStatus, Revision, SchedulingStrategy, Service,
    ServiceStatus, TaskCounts, TaskStatus, ZoneRebalancing,
};
use crate::tables::{ServiceKey, Tables};

/// How many lines of `events` are shown, the newest first (ECS semantics §7.7).
const MAX_EVENTS: usize = 100;

/// How many tasks each deployment or task set of a service has.
pub(in crate::api) type Counts = BTreeMap<DeploymentId, TaskCounts>;

/// The service with this key as it is in a snapshot.
///
/// # Errors
/// When it is gone.
pub(super) fn now(
    view: &Snapshot,
    tables: &Tables,
    key: &ServiceKey,
    with_tags: bool,
) -> Result<shapes::Service, Error> {
    let row = view.get(&tables.services.rows, key).ok_or(Error::ServiceNotFound)?;
    Ok(service(view, tables, key, &row, with_tags))
}

/// Counts the tasks of a service that have not stopped.
pub(in crate::api) fn count(view: &Snapshot, tables: &Tables, key: &ServiceKey) -> Counts {
    let mut counts = Counts::new();
    for (_, task) in view.index(&tables.services.live_tasks, key) {
        let Some(of) = task.deployment else { continue };
        let one = counts.entry(of.id).or_default();
        match task.status {
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => {
                one.pending += 1;
            }
            TaskStatus::Running => one.running += 1,
            // They are neither, on their way out.
            TaskStatus::Deactivating
            | TaskStatus::Stopping
            | TaskStatus::Deprovisioning
            | TaskStatus::Stopped => {}
        }
    }
    counts
}

/// A service as the API shows it.
pub(super) fn service(
    view: &Snapshot,
    tables: &Tables,
    key: &ServiceKey,
    row: &Service,
    with_tags: bool,
) -> shapes::Service {
    let counts = count(view, tables, key);
    let is_active = row.status == ServiceStatus::Active;
    let shown = Shown { view, tables, key, counts: &counts, is_active };
    let deployments = shown.deployments();
    let primary = deployments.iter().find(|(one, _)| one.status == DeploymentStatus::Primary);
    let task_sets = task_sets::of_service(view, tables, key, row, with_tags);
    let primary_set = task_sets.iter().find(|set| set.status.as_deref() == Some("PRIMARY"));
    let (launch_type, strategy) = capacity::show(&row.capacity);
    let definition = primary.map(|(_, revision)| revision.workload.definition.to_string());
    let balanced = primary.map(|(_, revision)| balancers::show(&revision.workload.balanced));
    let balanced = balanced.unwrap_or_default();
    let network = primary.and_then(|(_, revision)| revision.workload.network.as_deref().cloned());
    let total = |of: fn(&TaskCounts) -> u32| number(counts.values().map(of).sum());
    let desired = match row.scheduling {
        SchedulingStrategy::Replica => row.desired,
        SchedulingStrategy::Daemon => primary.map_or(0, |(one, _)| one.desired),
    };
    let kept = deployments.iter().map(|(one, _)| shown.summary(one));
    let platform = primary.map(|(_, revision)| &revision.workload);
    let managed = Some(shapes::ResourceManagementType::Customer);
    shapes::Service {
        availability_zone_rebalancing: Some(show_rebalancing(row.rebalancing)),
        capacity_provider_strategy: strategy,
        cluster_arn: Some(key.0.arn().to_string()),
        created_at: Some(row.created_at),
        created_by: Some(row.created_by.clone()),
        current_service_deployment: primary
            .map(|(one, _)| deployment_arn(key, &one.service_deployment)),
        current_service_revisions: Some(kept.collect()),
        deployment_configuration: Some(configuration::show(kind(row), &row.configuration)),
        deployment_controller: Some(shapes::DeploymentController { type_: kind(row).controller }),
        deployments: Some(
            deployments.iter().map(|(one, rev)| shown.deployment(one, rev)).collect(),
        ),
        desired_count: Some(number(desired)),
        enable_ecs_managed_tags: Some(row.managed_tags),
        enable_execute_command: Some(row.execute_command),
        events: Some(shown.events()),
        health_check_grace_period_seconds: Some(number(row.grace_seconds.unwrap_or(0))),
        launch_type,
        load_balancers: Some(balanced),
        network_configuration: network,
        pending_count: Some(total(|one| one.pending)),
        placement_constraints: Some(row.constraints.iter().map(|one| (**one).clone()).collect()),
        placement_strategy: Some(row.strategies.iter().map(|one| (**one).clone()).collect()),
        platform_family: platform.and_then(|workload| capacity::show_platform(workload).0),
        platform_version: platform.and_then(|workload| workload.platform_version.clone()),
        propagate_tags: Some(propagate(row.propagate_tags.as_deref())),
        resource_management_type: managed,
        role_arn: row.role.clone(),
        running_count: Some(total(|one| one.running)),
        scheduling_strategy: Some(kind(row).scheduling),
        service_arn: Some(row.arn.to_string()),
        service_name: Some(row.arn.name.to_string()),
        service_registries: Some(Vec::new()),
        status: Some(row.status.as_str().to_owned()),
        tags: with_tags.then(|| tags::show(&row.tags)),
        task_definition: definition
            .or_else(|| primary_set.and_then(|set| set.task_definition.clone())),
        task_sets: kind(row).is_external().then_some(task_sets),
    }
}

/// What the parts of a service are read from.
struct Shown<'a> {
    view: &'a Snapshot,
    tables: &'a Tables,
    key: &'a ServiceKey,
    counts: &'a Counts,
    is_active: bool,
}

impl Shown<'_> {
    /// The deployments that are shown, the newest first, with what they bring.
    fn deployments(&self) -> Vec<(Row<Deployment>, Row<Revision>)> {
        let of = &self.tables.services;
        let rows = self.view.index(&of.open_deployments, self.key).map(|(_, row)| row);
        let open = rows.filter(|row| row.status != DeploymentStatus::Inactive);
        let with_revision = |row: Row<Deployment>| {
            let revision = self.view.get(&of.revisions, &(self.key.clone(), row.revision))?;
            Some((row, revision))
        };
        let mut deployments: Vec<_> = open.filter_map(with_revision).collect();
        deployments.sort_by_key(|(row, _)| (row.status, std::cmp::Reverse(row.created_at)));
        deployments
    }

    fn of(&self, deployment: &Deployment) -> TaskCounts {
        let known = self.counts.get(&deployment.id).copied().unwrap_or_default();
        // Nothing is wanted of a service that was deleted.
        let requested = if self.is_active { deployment.desired } else { 0 };
        TaskCounts { requested, ..known }
    }

    fn deployment(&self, row: &Deployment, revision: &Revision) -> shapes::Deployment {
        let counts = self.of(row);
        let (launch_type, capacity_provider_strategy) = capacity::show(&revision.workload.capacity);
        let (platform_family, platform_version) = capacity::show_platform(&revision.workload);
        shapes::Deployment {
            capacity_provider_strategy,
            created_at: Some(row.created_at),
            desired_count: Some(number(counts.requested)),
            failed_tasks: Some(number(row.failed_tasks)),
            id: Some(row.id.to_string()),
            launch_type,
            network_configuration: revision.workload.network.as_deref().cloned(),
            volume_configurations: revision.workload.volume.as_deref().map(|one| vec![one.clone()]),
            pending_count: Some(number(counts.pending)),
            platform_family,
            platform_version,
            rollout_state: shapes::DeploymentRolloutState::parse(row.rollout.as_str()),
            rollout_state_reason: Some(row.rollout_reason.clone()),
            running_count: Some(number(counts.running)),
            status: Some(row.status.as_str().to_owned()),
            task_definition: Some(revision.workload.definition.to_string()),
            updated_at: Some(row.updated_at),
            ..Default::default()
        }
    }

    fn summary(&self, row: &Deployment) -> shapes::ServiceCurrentRevisionSummary {
        let counts = self.of(row);
        shapes::ServiceCurrentRevisionSummary {
            arn: Some(revision_arn(self.key, row.revision)),
            pending_task_count: Some(number(counts.pending)),
            requested_task_count: Some(number(counts.requested)),
            running_task_count: Some(number(counts.running)),
        }
    }

    fn events(&self) -> Vec<shapes::ServiceEvent> {
        let rows = self.view.prefix(&self.tables.services.events, self.key).rev();
        let event = |(_, row): (_, Row<crate::model::ServiceEvent>)| shapes::ServiceEvent {
            created_at: Some(row.created_at),
            id: Some(row.id.to_string()),
            message: Some(row.message.clone()),
        };
        let lines = rows.filter(|(_, row)| row.kind.is_line());
        lines.take(MAX_EVENTS).map(event).collect()
    }
}

/// Where tags come from; nowhere if nothing was said.
fn propagate(text: Option<&str>) -> shapes::PropagateTags {
    text.and_then(shapes::PropagateTags::parse).unwrap_or(shapes::PropagateTags::None)
}

/// Rebalancing as a record has it.
pub(super) fn rebalancing(shape: AvailabilityZoneRebalancing) -> ZoneRebalancing {
    match shape {
        AvailabilityZoneRebalancing::Enabled => ZoneRebalancing::Enabled,
        AvailabilityZoneRebalancing::Disabled => ZoneRebalancing::Disabled,
    }
}

/// Rebalancing as a shape has it.
pub(super) fn show_rebalancing(record: ZoneRebalancing) -> AvailabilityZoneRebalancing {
    match record {
        ZoneRebalancing::Enabled => AvailabilityZoneRebalancing::Enabled,
        ZoneRebalancing::Disabled => AvailabilityZoneRebalancing::Disabled,
    }
}

/// A count as shapes have it.
pub(in crate::api) fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
