//! What the rules of a container must know of its task.

use std::collections::BTreeSet;

use shapes_ecs as shapes;
use terms::{CpuUnits, MemoryMib};

use crate::error::Error;
use crate::model::NetworkMode;

/// A definition while it is being checked.
pub(super) struct Task<'a> {
    /// The request.
    pub(super) request: &'a shapes::RegisterTaskDefinitionRequest,
    /// The network mode.
    pub(super) network_mode: NetworkMode,
    /// Task-level CPU.
    pub(super) cpu: Option<CpuUnits>,
    /// Task-level memory.
    pub(super) memory: Option<MemoryMib>,
    /// The names of the volumes.
    pub(super) volumes: BTreeSet<&'a str>,
}

impl<'a> Task<'a> {
    /// All containers.
    pub(super) fn containers(&self) -> &'a [shapes::ContainerDefinition] {
        &self.request.container_definitions
    }

    /// Whether a container is called `name`.
    pub(super) fn has_container(&self, name: &str) -> bool {
        self.containers().iter().any(|other| other.name.as_deref() == Some(name))
    }

    /// Whether its containers run on Windows.
    pub(super) fn is_windows(&self) -> bool {
        let platform = self.request.runtime_platform.as_ref();
        let family = platform.and_then(|platform| platform.operating_system_family);
        family.is_some_and(|family| family.as_str().starts_with("WINDOWS"))
    }

    /// Whether it has a role that agents fetch secrets, logs and images with.
    pub(super) fn has_execution_role(&self) -> bool {
        self.request.execution_role_arn.as_deref().is_some_and(|role| !role.is_empty())
    }
}

/// The items of a list that may be absent.
pub(super) fn items<T>(list: &Option<Vec<T>>) -> &[T] {
    list.as_deref().unwrap_or_default()
}

/// `Invalid setting for container '<name>'. <text>`: a form of ECS's own texts.
pub(super) fn wrong(name: &str, text: &str) -> Error {
    Error::client(format!("Invalid setting for container '{name}'. {text}"))
}
