//! Overrides of RunTask and StartTask (ECS semantics §5.4).

use std::collections::BTreeSet;

use shapes_ecs as shapes;
use terms::{CpuUnits, MemoryMib};

use super::super::{json_length, task_definitions};
use super::devices::{self, Gpus};
use super::fargate;
use super::launch::Launch;
use crate::error::Error;
use crate::model::{ContainerSpec, Demand, NetworkMode, TaskDefinition};

/// Longest overrides, in characters of JSON (ECS semantics §3.2).
const MAX_CHARS: usize = 8192;
/// Most files of variables of a container (ECS semantics §3.4).
const MAX_FILES: usize = 10;

/// A definition with overrides applied, as far as the control plane itself is concerned.
pub(super) struct Merged {
    /// Task-level CPU.
    pub(super) cpu: Option<CpuUnits>,
    /// Task-level memory.
    pub(super) memory: Option<MemoryMib>,
    /// The containers.
    pub(super) containers: Vec<ContainerSpec>,
    /// How many GPUs each of them wants.
    pub(super) gpus: Vec<Gpus>,
    /// What scheduling reserves for it all.
    pub(super) demand: Demand,
    /// The overrides as ECS shows them: one entry for each container.
    pub(super) shown: shapes::TaskOverride,
}

/// Applies overrides.
///
/// # Errors
/// For each rule of ECS that they break, and for what is not built.
pub(super) fn merge(launch: &Launch<'_>, definition: &TaskDefinition) -> Result<Merged, Error> {
    let operation = launch.operation;
    let mut shown = launch.overrides.cloned().unwrap_or_default();
    if json_length(&shown) > MAX_CHARS {
        // Observed on ECS, whatever part of the overrides is too long.
        let text = format!("Container Overrides length must be at most {MAX_CHARS}");
        return Err(Error::invalid(text));
    }
    if shown.inference_accelerator_overrides.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(Error::not_built(operation, "overrides.inferenceAcceleratorOverrides"));
    }
    task_definitions::check_role(shown.task_role_arn.as_deref())?;
    task_definitions::check_role(shown.execution_role_arn.as_deref())?;
    let cpu = shown.cpu.as_deref().map(task_definitions::parse_cpu).transpose()?;
    let memory = shown.memory.as_deref().map(task_definitions::parse_memory).transpose()?;
    let mut containers = definition.containers.clone();
    let mut given = shown.container_overrides.take().unwrap_or_default();
    let mut named = BTreeSet::new();
    for one in &given {
        apply(one, &mut containers)?;
        if one.name.as_ref().is_some_and(|name| !named.insert(name)) {
            let name = one.name.as_deref().unwrap_or_default();
            return Err(wrong(name, "The container is overridden more than once."));
        }
    }
    let gpus = gpus(definition, &given)?;
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
    check_sums(cpu, memory, &containers)?;
    let mut demand = demand(definition, cpu, memory, &containers);
    demand.gpus = gpus.iter().fold(0, |sum, one| sum.saturating_add(one.least()));
    let merged = Merged { cpu, memory, containers, gpus, demand, shown };
    fargate::check_overrides(launch, definition, &merged)?;
    Ok(merged)
}

fn apply(one: &shapes::ContainerOverride, containers: &mut [ContainerSpec]) -> Result<(), Error> {
    let Some(name) = one.name.as_deref().filter(|name| !name.is_empty()) else {
        if *one == shapes::ContainerOverride::default() {
            return Ok(());
        }
        // Observed on ECS (aws/aws-sdk-go issue 2553).
        return Err(Error::invalid("name cannot be blank."));
    };
    let Some(spec) = containers.iter_mut().find(|spec| spec.name == name) else {
        // Observed on ECS (azavea/django-ecsmanage issue 21).
        return Err(Error::invalid(format!(
            "Override for container named {name} is not a container in the TaskDefinition."
        )));
    };
    let amount = |member: &str, value: Option<i32>, min: i32| match value {
        Some(value) if value < min => {
            Err(wrong(name, &format!("'{member}' must be at least {min}.")))
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
    if let (Some(limit), Some(reservation)) = (spec.memory, spec.memory_reservation)
        && (one.memory.is_some() || one.memory_reservation.is_some())
        && limit <= reservation
    {
        return Err(wrong(name, "'memory' must be more than 'memoryReservation'."));
    }
    environment(one, name)
}

fn environment(one: &shapes::ContainerOverride, name: &str) -> Result<(), Error> {
    let variables = one.environment.iter().flatten();
    if variables.clone().any(|pair| pair.name.as_deref().unwrap_or_default().is_empty()) {
        return Err(wrong(name, "Each variable of 'environment' needs a name."));
    }
    let files = one.environment_files.as_deref().unwrap_or_default();
    if files.len() > MAX_FILES {
        return Err(Error::invalid(
            "The maximum number of environment files was exceeded. Specify ten or less and try \
             again.",
        ));
    }
    for file in files {
        let (bucket, key) = file.value.split_once('/').unwrap_or_default();
        if !bucket.starts_with("arn:") || !bucket.contains(":s3:::") || key.is_empty() {
            return Err(wrong(name, "'environmentFiles' takes ARNs of objects in S3."));
        }
        if !key.ends_with(".env") {
            return Err(Error::invalid("Environment files must have a .env file extension."));
        }
    }
    Ok(())
}

/// A rule that the override of one container breaks, in the form that ECS uses for definitions.
fn wrong(name: &str, text: &str) -> Error {
    Error::invalid(format!("Invalid setting for container '{name}'. {text}"))
}

/// How many GPUs each container wants: by its override, else by the definition.
fn gpus(
    definition: &TaskDefinition,
    given: &[shapes::ContainerOverride],
) -> Result<Vec<Gpus>, Error> {
    let containers = definition.document.container_definitions.as_deref().unwrap_or_default();
    let count = |container: &shapes::ContainerDefinition| {
        let name = container.name.as_deref().unwrap_or_default();
        let own = given.iter().find(|one| one.name.as_deref() == Some(name));
        let own = own.and_then(|one| one.resource_requirements.as_deref());
        if own.is_some_and(|own| !own.iter().all(devices::is_whole_gpu)) {
            let text = "'resourceRequirements' of an override can be whole GPUs alone.";
            return Err(wrong(name, text));
        }
        let wanted = own.or(container.resource_requirements.as_deref()).unwrap_or_default();
        devices::gpus(wanted, |text| wrong(name, text))
    };
    containers.iter().map(count).collect()
}

/// What the task takes of its instance: ports of the host only where they are the host's. (A range
/// of ports is known when the agent has chosen it.)
fn demand(
    definition: &TaskDefinition,
    cpu: Option<CpuUnits>,
    memory: Option<MemoryMib>,
    containers: &[ContainerSpec],
) -> Demand {
    let demand = Demand::of(cpu, memory, containers);
    match definition.network_mode {
        NetworkMode::Bridge | NetworkMode::Host => demand,
        NetworkMode::Awsvpc | NetworkMode::None => {
            Demand { tcp: BTreeSet::new(), udp: BTreeSet::new(), ..demand }
        }
    }
}

/// What must hold of the sums still holds.
fn check_sums(
    cpu: Option<CpuUnits>,
    memory: Option<MemoryMib>,
    containers: &[ContainerSpec],
) -> Result<(), Error> {
    let sums = Demand::of(None, None, containers);
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
