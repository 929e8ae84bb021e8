//! `resourceRequirements`: GPUs (ECS semantics §3.4).

use shapes_ecs as shapes;

use super::task::{items, wrong};
use crate::error::Error;

/// All GPUs of the instance.
const ALL: &str = "ALL";

/// Checks a container's requirements.
pub(super) fn check(one: &shapes::ContainerDefinition, name: &str) -> Result<(), Error> {
    let mut seen = false;
    for requirement in items(&one.resource_requirements) {
        if let Some(strategy) = &requirement.sharing_strategy {
            sharing(requirement, strategy, name)?;
            if std::mem::replace(&mut seen, true) {
                return Err(wrong(name, "A resource type can be required only once."));
            }
            continue;
        }
        let value = requirement.value.as_deref().unwrap_or_default();
        match requirement.type_ {
            shapes::ResourceType::Gpu => {}
            shapes::ResourceType::NeuronDevice if value == ALL => {}
            shapes::ResourceType::NeuronDevice => {
                let text = "The value of a NeuronDevice requirement must be ALL.";
                return Err(wrong(name, text));
            }
            shapes::ResourceType::InferenceAccelerator => {
                // There are no accelerators that it could name any more.
                let text = "Unsupported resource requirement type 'InferenceAccelerator'.";
                return Err(Error::client(text));
            }
        }
        if std::mem::replace(&mut seen, true) {
            return Err(wrong(name, "A resource type can be required only once."));
        }
        if value != ALL && !value.parse::<u32>().is_ok_and(|count| count > 0) {
            let text = "The value of a GPU requirement must be a positive integer.";
            return Err(wrong(name, text));
        }
    }
    Ok(())
}

/// A share of a GPU (API reference, `ResourceRequirement`).
fn sharing(
    requirement: &shapes::ResourceRequirement,
    strategy: &shapes::SharingStrategy,
    name: &str,
) -> Result<(), Error> {
    if requirement.type_ != shapes::ResourceType::Gpu {
        return Err(wrong(name, "Only a GPU requirement can have a 'sharingStrategy'."));
    }
    if requirement.value.is_some() {
        let text = "A GPU requirement has either a 'value' or a 'sharingStrategy'.";
        return Err(wrong(name, text));
    }
    match strategy.nvidia_mps {
        Some(_) => Ok(()),
        None => Err(wrong(name, "A 'sharingStrategy' must have exactly one member.")),
    }
}

/// The rules that look at all containers: those that want GPUs want them the same way, and only one
/// can have all.
pub(super) fn check_together(all: &[shapes::ContainerDefinition]) -> Result<(), Error> {
    let of_gpu = |one: &&shapes::ResourceRequirement| one.type_ == shapes::ResourceType::Gpu;
    let requirements = all.iter().flat_map(|one| items(&one.resource_requirements));
    let (mut whole, mut shared, mut of_all) = (0, 0, 0);
    for requirement in requirements.filter(of_gpu) {
        match requirement.sharing_strategy {
            Some(_) => shared += 1,
            None => whole += 1,
        }
        of_all += i32::from(requirement.value.as_deref() == Some(ALL));
    }
    if whole > 0 && shared > 0 {
        return Err(Error::client(
            "The containers of a task that require GPUs must all use 'value', or all use \
             'sharingStrategy'.",
        ));
    }
    if of_all > 1 {
        let text = "Only one container of a task can require ALL GPUs.";
        return Err(Error::client(text));
    }
    Ok(())
}

/// Whether any container wants what only Managed Instances have: Neuron devices.
pub(super) fn has_neuron(all: &[shapes::ContainerDefinition]) -> bool {
    let mut requirements = all.iter().flat_map(|one| items(&one.resource_requirements));
    requirements.any(|one| one.type_ == shapes::ResourceType::NeuronDevice)
}

/// Whether any container wants a share of a GPU.
pub(super) fn has_shared_gpu(all: &[shapes::ContainerDefinition]) -> bool {
    let mut requirements = all.iter().flat_map(|one| items(&one.resource_requirements));
    requirements.any(|one| one.sharing_strategy.is_some())
}
