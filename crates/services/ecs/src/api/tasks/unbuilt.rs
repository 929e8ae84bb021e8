//! What RunTask does not do yet, and what does not go together.

use shapes_ecs as shapes;

use crate::error::Error;
use crate::model::{NetworkMode, TaskDefinition};

/// Refuses a request that asks for something that is not built: ignoring it would change what the
/// request means. What ECS itself refuses comes first, with its own texts.
pub(super) fn refuse(
    input: &shapes::RunTaskRequest,
    definition: &TaskDefinition,
) -> Result<(), Error> {
    launch(input)?;
    network(input, definition)?;
    let unbuilt = |what: &str| Err(Error::not_built("RunTask", what));
    if input.enable_execute_command == Some(true) {
        return unbuilt("enableExecuteCommand");
    }
    if input.volume_configurations.as_ref().is_some_and(|list| !list.is_empty()) {
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

fn launch(input: &shapes::RunTaskRequest) -> Result<(), Error> {
    let providers = input.capacity_provider_strategy.as_ref().is_some_and(|list| !list.is_empty());
    let launch_type = input.launch_type.map(|kind| kind.as_str());
    if providers && launch_type.is_some() {
        return Err(Error::invalid(
            "Specify either Launch Type or Capacity Provider Strategy, but not both.",
        ));
    }
    if providers {
        return Err(Error::not_built("RunTask", "capacityProviderStrategy"));
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

fn network(input: &shapes::RunTaskRequest, definition: &TaskDefinition) -> Result<(), Error> {
    match (definition.network_mode, &input.network_configuration) {
        (NetworkMode::Awsvpc, None) => Err(Error::invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        )),
        (NetworkMode::Awsvpc, Some(_)) => Err(Error::not_built("RunTask", "networkMode awsvpc")),
        (_, Some(_)) => Err(Error::invalid(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
        (_, None) => Ok(()),
    }
}
