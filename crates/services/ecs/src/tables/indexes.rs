//! What each index has of a row: none, one or several keys.

use ledger::{Schema, Table};
use terms::{CapacityProviderName, ContainerInstanceId, Family, Timestamp, Uuid};

use super::{
    ClusterKey, DefinitionKey, FamilyKey, InstanceKey, InterfaceKey, OrphanedInterface,
    ProviderKey, RunToken, Scope, TaskKey, TasksByText, TokenKey, UsageKey, UsedDay, UsedDayKey,
    ZoneOf, definition_key, place_of,
};
use crate::model::{
    CapacityProvider, Cluster, ClusterStatus, ContainerInstance, DefinitionStatus, DesiredStatus,
    FamilyCounter, FamilyListing, InstanceStatus, ProviderStatus, Task, TaskDefinition, TaskStatus,
    Usage, group_name,
};

pub(super) fn deleted_clusters(_: &ClusterKey, row: &Cluster) -> Vec<Timestamp> {
    once_if(row.status == ClusterStatus::Inactive, row.changed_at)
}

pub(super) fn clusters_by_provider(
    key: &ClusterKey,
    row: &Cluster,
) -> Vec<(Scope, CapacityProviderName)> {
    let active = row.capacity_providers.iter().filter(|_| row.status == ClusterStatus::Active);
    active.map(|provider| (key.scope.clone(), provider.clone())).collect()
}

pub(super) fn providers_by_group(
    key: &ProviderKey,
    row: &CapacityProvider,
) -> Vec<(Scope, String)> {
    let group = (key.0.clone(), group_name(&row.group).to_owned());
    once_if(row.status == ProviderStatus::Active, group)
}

pub(super) fn deleted_providers(_: &ProviderKey, row: &CapacityProvider) -> Vec<Timestamp> {
    once_if(row.status == ProviderStatus::Inactive, row.changed_at)
}

pub(super) fn instances_by_status(
    key: &InstanceKey,
    row: &ContainerInstance,
) -> Vec<(ClusterKey, InstanceStatus, ContainerInstanceId)> {
    vec![(key.0.clone(), row.status, key.1)]
}

pub(super) fn instances_by_zone(key: &InstanceKey, row: &ContainerInstance) -> Vec<ZoneOf> {
    let zone = row.attributes.get(placement::ZONE).and_then(Option::as_deref);
    let zone = zone.filter(|_| row.status == InstanceStatus::Active && row.agent.connected);
    let providers = [Some(String::new()), row.provider().map(|name| name.to_string())];
    let of = |provider| Some((key.0.clone(), provider, zone?.to_owned()));
    providers.into_iter().flatten().filter_map(of).collect()
}

pub(super) fn instances_by_node(
    key: &InstanceKey,
    row: &ContainerInstance,
) -> Vec<(ClusterKey, String)> {
    Vec::from_iter(row.node.iter().map(|node| (key.0.clone(), node.clone())))
}

pub(super) fn gone_instances(_: &InstanceKey, row: &ContainerInstance) -> Vec<Timestamp> {
    once_if(row.status == InstanceStatus::Inactive, row.changed_at)
}

pub(super) fn families_by_listing(
    key: &FamilyKey,
    row: &FamilyCounter,
) -> Vec<(Scope, FamilyListing, Family)> {
    let of = |listing| (key.0.clone(), listing, key.1.clone());
    row.listings().into_iter().map(of).collect()
}

pub(super) fn definitions_by_status(
    key: &DefinitionKey,
    row: &TaskDefinition,
) -> Vec<(Scope, DefinitionStatus, Family, u32)> {
    vec![(key.0.clone(), row.status, key.1.clone(), key.2)]
}

pub(super) fn deleted_definitions(_: &DefinitionKey, row: &TaskDefinition) -> Vec<Timestamp> {
    match row.status {
        DefinitionStatus::Active | DefinitionStatus::Inactive => Vec::new(),
        DefinitionStatus::DeleteInProgress => Vec::from_iter(row.delete_requested_at),
    }
}

pub(super) fn live_by_definition(_: &TaskKey, row: &Task) -> Vec<DefinitionKey> {
    once_if(is_live(row), definition_key(&row.definition))
}

pub(super) fn held(key: &TaskKey, row: &Task) -> Vec<(ClusterKey, ContainerInstanceId)> {
    once_if(is_live(row), place_of(key, row))
}

pub(super) fn live(key: &TaskKey, row: &Task) -> Vec<(ClusterKey, TaskStatus)> {
    once_if(is_live(row), (key.0.clone(), row.status))
}

pub(super) fn tasks_by_desired(key: &TaskKey, row: &Task) -> Vec<(ClusterKey, DesiredStatus)> {
    vec![(key.0.clone(), row.desired)]
}

pub(super) fn tasks_by_provider(
    key: &TaskKey,
    row: &Task,
) -> Vec<(ClusterKey, CapacityProviderName)> {
    let provider = row.capacity_provider.iter().filter(|_| is_live(row));
    provider.map(|provider| (key.0.clone(), provider.clone())).collect()
}

pub(super) fn tasks_by_instance(
    key: &TaskKey,
    row: &Task,
) -> Vec<(ClusterKey, ContainerInstanceId, DesiredStatus)> {
    let (ground, instance) = place_of(key, row);
    vec![(ground, instance, row.desired)]
}

pub(super) fn tasks_by_attachment(_: &TaskKey, row: &Task) -> Vec<Uuid> {
    let live = row.network.iter().filter(|_| row.status != TaskStatus::Stopped);
    live.map(|network| network.attachment).collect()
}

pub(super) fn stopped(_: &TaskKey, row: &Task) -> Vec<Timestamp> {
    Vec::from_iter(row.times.stopped_at)
}

pub(super) fn orphans_by_age(_: &InterfaceKey, row: &OrphanedInterface) -> Vec<Timestamp> {
    vec![row.since]
}

pub(super) fn usage_by_age(key: &UsageKey, _: &Usage) -> Vec<Timestamp> {
    vec![key.1]
}

pub(super) fn used_days_by_age(key: &UsedDayKey, _: &UsedDay) -> Vec<Timestamp> {
    vec![key.1]
}

pub(super) fn run_tokens_by_age(_: &TokenKey, row: &RunToken) -> Vec<Timestamp> {
    vec![row.created_at]
}

/// Declares an index of tasks by a text that some of them have.
pub(super) fn by_text(
    schema: &mut Schema,
    tasks: &Table<TaskKey, Task>,
    name: &'static str,
    text: fn(&Task) -> Option<&str>,
) -> TasksByText {
    schema.index(tasks, name, move |key: &TaskKey, row: &Task| {
        let key_of = |text: &str| (key.0.clone(), text.to_owned(), row.desired);
        Vec::from_iter(text(row).map(key_of))
    })
}

fn is_live(row: &Task) -> bool {
    row.status != TaskStatus::Stopped
}

fn once_if<K>(wanted: bool, key: K) -> Vec<K> {
    if wanted { vec![key] } else { Vec::new() }
}
