//! The definition as ECS returns it: what was given, with the defaults that ECS fills in.

use shapes_ecs as shapes;
use terms::{TaskDefinitionArn, Timestamp};

use super::requires;
use super::rules::{self, Checked};
use crate::model::NetworkMode;

/// What the server adds to a definition.
pub(crate) struct Registration<'a> {
    /// Its ARN.
    pub(crate) arn: &'a TaskDefinitionArn,
    /// When it is registered.
    pub(crate) at: Timestamp,
    /// By whom.
    pub(crate) by: &'a str,
    /// The attributes that it requires.
    pub(crate) requires: &'a [(String, Option<String>)],
}

/// The whole definition.
pub(crate) fn document(
    request: &shapes::RegisterTaskDefinitionRequest,
    checked: &Checked,
    registration: &Registration<'_>,
) -> shapes::TaskDefinition {
    let containers = request.container_definitions.iter().cloned();
    let container = |one| container(one, checked.network_mode);
    let digits = |units: u32| units.to_string();
    shapes::TaskDefinition {
        task_definition_arn: Some(registration.arn.to_string()),
        container_definitions: Some(containers.map(container).collect()),
        family: Some(request.family.clone()),
        task_role_arn: request.task_role_arn.clone(),
        execution_role_arn: request.execution_role_arn.clone(),
        network_mode: request.network_mode,
        revision: i32::try_from(registration.arn.revision).ok(),
        volumes: Some(request.volumes.iter().flatten().cloned().map(volume).collect()),
        status: Some(shapes::TaskDefinitionStatus::Active),
        requires_attributes: attributes(registration.requires),
        placement_constraints: Some(request.placement_constraints.clone().unwrap_or_default()),
        compatibilities: Some(checked.compatibilities.clone()),
        runtime_platform: request.runtime_platform.clone(),
        requires_compatibilities: request.requires_compatibilities.clone(),
        cpu: checked.cpu.map(|cpu| digits(cpu.get())),
        memory: checked.memory.map(|memory| digits(memory.get())),
        inference_accelerators: request.inference_accelerators.clone(),
        pid_mode: request.pid_mode,
        ipc_mode: request.ipc_mode,
        proxy_configuration: request.proxy_configuration.clone(),
        registered_at: Some(registration.at),
        registered_by: Some(registration.by.to_owned()),
        ephemeral_storage: request.ephemeral_storage.clone(),
        enable_fault_injection: request.enable_fault_injection,
        trusted_execution_configuration: request.trusted_execution_configuration.clone(),
        ..Default::default()
    }
}

/// Those that ECS shows; absent if there are none, as on ECS.
fn attributes(requires: &[(String, Option<String>)]) -> Option<Vec<shapes::Attribute>> {
    let attribute = |(name, value): &(String, Option<String>)| shapes::Attribute {
        name: name.clone(),
        value: value.clone(),
        ..Default::default()
    };
    let shown = requires.iter().filter(|(name, _)| requires::is_shown(name));
    let shown: Vec<_> = shown.map(attribute).collect();
    (!shown.is_empty()).then_some(shown)
}

/// Lists that ECS shows although they are empty, and defaults.
fn container(
    mut one: shapes::ContainerDefinition,
    mode: NetworkMode,
) -> shapes::ContainerDefinition {
    one.cpu.get_or_insert(0);
    one.essential.get_or_insert(true);
    one.environment.get_or_insert_default();
    one.mount_points.get_or_insert_default();
    one.volumes_from.get_or_insert_default();
    one.system_controls.get_or_insert_default();
    if let Some(check) = &mut one.health_check {
        check.interval.get_or_insert(rules::DEFAULT_INTERVAL);
        check.timeout.get_or_insert(rules::DEFAULT_TIMEOUT);
        check.retries.get_or_insert(rules::DEFAULT_RETRIES);
    }
    for mapping in one.port_mappings.get_or_insert_default() {
        mapping.protocol.get_or_insert(shapes::TransportProtocol::Tcp);
        if mapping.container_port_range.is_some() {
            continue;
        }
        let same = mapping.container_port.filter(|_| mode != NetworkMode::Bridge);
        mapping.host_port = mapping.host_port.filter(|&port| port != 0).or(same).or(Some(0));
    }
    one
}

/// A volume without a configuration is one of the host.
fn volume(mut one: shapes::Volume) -> shapes::Volume {
    let configured = one.docker_volume_configuration.is_some()
        || one.efs_volume_configuration.is_some()
        || one.fsx_windows_file_server_volume_configuration.is_some()
        || one.s3files_volume_configuration.is_some()
        || one.configured_at_launch == Some(true);
    if !configured {
        one.host.get_or_insert_default();
    }
    one
}
