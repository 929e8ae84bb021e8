//! The rules of a single container, and those that look at all of them (ECS semantics §3.4).

use std::collections::BTreeSet;

use shapes_ecs as shapes;
use terms::{CpuUnits, MemoryMib};

use super::task::{Task, items, wrong};
use super::{environment, health, linux, logging, names, network, ports, resources};
use super::{system_controls, volumes};
use crate::error::Error;
use crate::model::ContainerSpec;

/// The smallest memory of a container that ECS takes; agents raise it to what their engine needs,
/// 6 MiB (ECS semantics §3.2).
pub(crate) const MIN_MEMORY_MIB: u32 = 4;
/// Bounds of `startTimeout` and `stopTimeout`, in seconds. The lower one was observed; the model
/// sets no upper one, so a day is ours.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<i32> = 2..=86_400;
/// Bounds of `restartAttemptPeriod`, in seconds.
const RESTART_PERIOD_SECONDS: std::ops::RangeInclusive<i32> = 60..=1800;
/// Most exit codes that a restart policy ignores.
const MAX_IGNORED_EXIT_CODES: usize = 50;
/// Most credential specifications of a container.
const MAX_CREDENTIAL_SPECS: usize = 1;

/// Checks a container and gives what the control plane needs of it.
pub(super) fn check(
    one: &shapes::ContainerDefinition,
    task: &Task<'_>,
) -> Result<ContainerSpec, Error> {
    let name = names::name("Container.name", one.name.as_deref())?;
    let image = names::image(one.image.as_deref())?;
    let cpu = one.cpu.unwrap_or(0);
    let cpu = u32::try_from(cpu).map_err(|_| wrong(name, "'cpu' must not be negative."))?;
    let (memory, memory_reservation) = memory(one, name, task)?;
    network::check(one, name, task)?;
    volumes::check_mounts(one, task)?;
    times(one, name)?;
    environment::check(one, name, task)?;
    let health_check = one.health_check.as_ref();
    health_check.map_or(Ok(()), |check| health::check(check, name))?;
    logging::check(one, task)?;
    linux::check(one, name, task)?;
    system_controls::check(one, name, task)?;
    resources::check(one, name)?;
    credential_specs(one, name)?;
    Ok(ContainerSpec {
        name: name.to_owned(),
        image: image.to_owned(),
        essential: one.essential.unwrap_or(true),
        cpu: CpuUnits::new(cpu),
        memory,
        memory_reservation,
        ports: ports::check(one, name, task.network_mode)?,
        health_check: health_check.is_some(),
    })
}

/// The rules that look at all containers.
pub(super) fn check_together(specs: &[ContainerSpec], task: &Task<'_>) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    if !specs.iter().all(|spec| names.insert(&spec.name)) {
        // Observed.
        return Err(Error::client("Container names must be unique within a task definition."));
    }
    if !specs.iter().any(|spec| spec.essential) {
        // Observed.
        return Err(Error::client("Task definition doesn't have any essential container."));
    }
    if let Some(limit) = task.cpu.map(CpuUnits::get) {
        let sum: u64 = specs.iter().map(|spec| u64::from(spec.cpu.get())).sum();
        if sum > limit.into() {
            // Observed.
            return Err(Error::client(
                "The sum of all container 'cpu' values cannot be greater than the value of the \
                 task 'cpu'.",
            ));
        }
    }
    check_memory(specs, task)?;
    ports::check_together(specs, task)
}

fn check_memory(specs: &[ContainerSpec], task: &Task<'_>) -> Result<(), Error> {
    let Some(limit) = task.memory.map(MemoryMib::get) else { return Ok(()) };
    if let Some(large) = specs.iter().find(|s| s.memory.is_some_and(|m| m.get() > limit)) {
        // Observed.
        return Err(Error::client(format!(
            "The 'memory' setting for container '{}' is greater than for the task.",
            large.name
        )));
    }
    let reserved = |spec: &ContainerSpec| spec.memory_reservation.or(spec.memory);
    let sum: u64 = specs.iter().filter_map(reserved).map(|mib| u64::from(mib.get())).sum();
    if sum > limit.into() {
        return Err(Error::client(
            "The sum of all container 'memory' values cannot be greater than the value of the \
             task 'memory'.",
        ));
    }
    Ok(())
}

type Memory = (Option<MemoryMib>, Option<MemoryMib>);

fn memory(one: &shapes::ContainerDefinition, name: &str, task: &Task<'_>) -> Result<Memory, Error> {
    let amount = |member: &str, value: Option<i32>| match value.map(u32::try_from) {
        None => Ok(None),
        Some(Ok(mib)) if mib >= MIN_MEMORY_MIB => Ok(Some(MemoryMib::new(mib))),
        Some(_) => Err(wrong(name, &format!("'{member}' must be at least {MIN_MEMORY_MIB} MiB."))),
    };
    let memory = amount("memory", one.memory)?;
    let reservation = amount("memoryReservation", one.memory_reservation)?;
    if let (Some(limit), Some(reserved)) = (memory, reservation)
        && limit < reserved
    {
        // Observed, though the API reference says that it must be greater.
        let text = "'memory' must be greater than or equal to 'memoryReservation'.";
        return Err(wrong(name, text));
    }
    if memory.is_none() && reservation.is_none() && task.memory.is_none() {
        // Observed, before what Fargate asks of the task itself too (getmoto/moto pull 7280).
        let text = "At least one of 'memory' or 'memoryReservation' must be specified.";
        return Err(wrong(name, text));
    }
    Ok((memory, reservation))
}

fn times(one: &shapes::ContainerDefinition, name: &str) -> Result<(), Error> {
    let (least, most) = (TIMEOUT_SECONDS.start(), TIMEOUT_SECONDS.end());
    for (what, value) in [("start", one.start_timeout), ("stop", one.stop_timeout)] {
        let Some(seconds) = value.filter(|seconds| !TIMEOUT_SECONDS.contains(seconds)) else {
            continue;
        };
        let bound = if seconds < *least { ("least", least) } else { ("most", most) };
        return Err(Error::client(format!(
            "Granular {what} timeout on container '{name}' must be at {} {} seconds.",
            bound.0, bound.1
        )));
    }
    let Some(policy) = &one.restart_policy else { return Ok(()) };
    if policy.restart_attempt_period.is_some_and(|s| !RESTART_PERIOD_SECONDS.contains(&s)) {
        // Observed.
        return Err(Error::client(format!(
            "The 'restartAttemptPeriod' setting for container '{name}' must be between 60 and 1800."
        )));
    }
    if items(&policy.ignored_exit_codes).len() > MAX_IGNORED_EXIT_CODES {
        return Err(Error::client(format!(
            "The 'ignoredExitCodes' setting for container '{name}' can have at most \
             {MAX_IGNORED_EXIT_CODES} exit codes."
        )));
    }
    Ok(())
}

/// `credentialspec:ARN` or `credentialspecdomainless:ARN`, at most one.
fn credential_specs(one: &shapes::ContainerDefinition, name: &str) -> Result<(), Error> {
    let specs = items(&one.credential_specs);
    if specs.len() > MAX_CREDENTIAL_SPECS {
        return Err(wrong(name, "At most one credential spec can be specified."));
    }
    let is_good = |spec: &String| {
        let kinds = ["credentialspecdomainless:", "credentialspec:"];
        kinds.iter().any(|kind| spec.strip_prefix(kind).is_some_and(|arn| !arn.is_empty()))
    };
    if !specs.iter().all(is_good) {
        let text = "A credential spec must begin with 'credentialspec:' or \
                    'credentialspecdomainless:'.";
        return Err(wrong(name, text));
    }
    Ok(())
}
