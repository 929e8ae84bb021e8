//! Overrides of RunTask (ECS semantics §5.4).

use shapes_ecs as shapes;
use terms::{CpuUnits, MemoryMib};

use super::super::{json_length, task_definitions};
use crate::error::Error;
use crate::model::{ContainerSpec, TaskDefinition};

/// Longest overrides, in characters of JSON (ECS semantics §3.2).
const MAX_CHARS: usize = 8192;

/// A definition with overrides applied, as far as the control plane itself is concerned.
pub(super) struct Merged {
    /// Task-level CPU.
    pub(super) cpu: Option<CpuUnits>,
    /// Task-level memory.
    pub(super) memory: Option<MemoryMib>,
    /// The containers.
    pub(super) containers: Vec<ContainerSpec>,
    /// The overrides as ECS shows them: one entry for each container.
    pub(super) shown: shapes::TaskOverride,
}

/// Applies overrides.
pub(super) fn merge(
    operation: &'static str,
    definition: &TaskDefinition,
    overrides: Option<&shapes::TaskOverride>,
) -> Result<Merged, Error> {
    let mut shown = overrides.cloned().unwrap_or_default();
    if json_length(&shown) > MAX_CHARS {
        return Err(Error::invalid(format!("Overrides are longer than {MAX_CHARS} characters.")));
    }
    if shown.ephemeral_storage.is_some() {
        return Err(Error::not_built(operation, "overrides.ephemeralStorage"));
    }
    if shown.inference_accelerator_overrides.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(Error::not_built(operation, "overrides.inferenceAcceleratorOverrides"));
    }
    let cpu = shown.cpu.as_deref().map(task_definitions::parse_cpu).transpose()?;
    let memory = shown.memory.as_deref().map(task_definitions::parse_memory).transpose()?;
    let mut containers = definition.containers.clone();
    let mut given = shown.container_overrides.take().unwrap_or_default();
    for one in &given {
        apply(operation, one, &mut containers)?;
    }
    given.retain(|one| one.name.is_some());
    for container in &containers {
        if !given.iter().any(|one| one.name.as_deref() == Some(&container.name)) {
            let name = Some(container.name.clone());
            given.push(shapes::ContainerOverride { name, ..Default::default() });
        }
    }
    shown.container_overrides = Some(given);
    shown.inference_accelerator_overrides = Some(Vec::new());
    let (cpu, memory) = (cpu.or(definition.cpu), memory.or(definition.memory));
    check(cpu, memory, &containers)?;
    Ok(Merged { cpu, memory, containers, shown })
}

fn apply(
    operation: &'static str,
    one: &shapes::ContainerOverride,
    containers: &mut [ContainerSpec],
) -> Result<(), Error> {
    let Some(name) = one.name.as_deref() else {
        if *one == shapes::ContainerOverride::default() {
            return Ok(());
        }
        return Err(Error::invalid("Container override needs the name of a container."));
    };
    let Some(spec) = containers.iter_mut().find(|spec| spec.name == name) else {
        return Err(Error::invalid(format!(
            "Override for container named {name} is not a container in the TaskDefinition."
        )));
    };
    if one.resource_requirements.as_ref().is_some_and(|list| !list.is_empty()) {
        let what = "overrides.containerOverrides.resourceRequirements";
        return Err(Error::not_built(operation, what));
    }
    let amount = |member: &str, value: Option<i32>, min: i32| match value {
        Some(value) if value < min => {
            let text = format!("Override for container {name}: '{member}' must be at least {min}.");
            Err(Error::invalid(text))
        }
        value => Ok(value.and_then(|value| u32::try_from(value).ok())),
    };
    if let Some(cpu) = amount("cpu", one.cpu, 0)? {
        spec.cpu = CpuUnits::new(cpu);
    }
    let least = i32::try_from(task_definitions::MIN_MEMORY_MIB).unwrap_or(i32::MAX);
    if let Some(memory) = amount("memory", one.memory, least)? {
        spec.memory = Some(MemoryMib::new(memory));
    }
    if let Some(reservation) = amount("memoryReservation", one.memory_reservation, least)? {
        spec.memory_reservation = Some(MemoryMib::new(reservation));
    }
    Ok(())
}

/// What must hold of the sums still holds.
fn check(
    cpu: Option<CpuUnits>,
    memory: Option<MemoryMib>,
    containers: &[ContainerSpec],
) -> Result<(), Error> {
    let sums = crate::model::Demand::of(None, None, containers);
    if cpu.is_some_and(|limit| sums.cpu > limit) {
        return Err(Error::invalid("The containers' cpu is more than the task's, with overrides."));
    }
    if memory.is_some_and(|limit| sums.memory > limit) {
        return Err(Error::invalid(
            "The containers' memory is more than the task's, with overrides.",
        ));
    }
    Ok(())
}
