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
        if requirement.sharing_strategy.is_some() {
            let what = "resourceRequirements sharingStrategy";
            return Err(Error::not_built("RegisterTaskDefinition", what));
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
