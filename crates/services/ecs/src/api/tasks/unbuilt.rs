//! What RunTask does not do yet, and what does not go together.

use shapes_ecs as shapes;

use super::super::strategy;
use super::launch::Launch;
use crate::error::Error;
use crate::model::{Cluster, TaskDefinition};

/// Refuses a request that asks for something that is not built: ignoring it would change what the
/// request means. What ECS itself refuses comes first, with its own texts.
pub(super) fn refuse(launch: &Launch<'_>, definition: &TaskDefinition) -> Result<(), Error> {
    let unbuilt = |what: &str| Err(Error::not_built(launch.operation, what));
    if launch.execute_command {
        return unbuilt("enableExecuteCommand");
    }
    if !launch.volumes.is_empty() {
        return unbuilt("volumeConfigurations");
    }
    let document = &definition.document;
    if document.inference_accelerators.as_ref().is_some_and(|list| !list.is_empty()) {
        return unbuilt("a task definition's inferenceAccelerators");
    }
    let containers = || document.container_definitions.iter().flatten();
    let has_devices = |one: &shapes::ContainerDefinition| {
        one.resource_requirements.as_ref().is_some_and(|list| !list.is_empty())
    };
    if containers().any(has_devices) {
        return unbuilt("a container definition's resourceRequirements");
    }
    if document.volumes.iter().flatten().any(|one| one.configured_at_launch == Some(true)) {
        return unbuilt("a volume that is configuredAtLaunch");
    }
    Ok(())
}

/// The launch types and strategies that are built, and what goes with them.
pub(super) fn launch(input: &shapes::RunTaskRequest, cluster: &Cluster) -> Result<(), Error> {
    let items = input.capacity_provider_strategy.as_deref().unwrap_or_default();
    let providers = !items.is_empty();
    let launch_type = input.launch_type.map(|kind| kind.as_str());
    if providers && launch_type.is_some() {
        return Err(Error::invalid(
            "Specify either Launch Type or Capacity Provider Strategy, but not both.",
        ));
    }
    if providers {
        let given = strategy::read(items.to_vec())?;
        strategy::check(&given, &cluster.capacity_providers)?;
        strategy::check_weights(&given)?;
        return Err(Error::not_built("RunTask", "capacityProviderStrategy"));
    }
    if launch_type.is_none() && !cluster.default_strategy.is_empty() {
        strategy::check_default_weights(&cluster.default_strategy)?;
        let what = "the cluster's default capacity provider strategy (name a launchType)";
        return Err(Error::not_built("RunTask", what));
    }
    if let Some(kind) = launch_type.filter(|kind| *kind != "EC2") {
        return Err(Error::not_built("RunTask", format!("launchType {kind}")));
    }
    if input.platform_version.is_some() {
        return Err(Error::invalid(
            "The platform version must be null when specifying an EC2 launch type.",
        ));
    }
    Ok(())
}
