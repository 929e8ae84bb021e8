//! What RegisterTaskDefinition refuses (ECS semantics §3), in ECS's order where it is known.
//!
//! Texts marked "observed" were seen from ECS itself; the others are in their style.

mod compatibility;
mod containers;
mod depends;
mod environment;
mod fargate;
mod firelens;
mod health;
mod linux;
mod log_options;
mod logging;
mod managed;
mod names;
mod network;
mod ports;
mod proxy;
mod resources;
mod sizes;
mod system_controls;
mod task;
mod trusted;
mod volumes;

pub(crate) use containers::MIN_MEMORY_MIB;
pub(super) use health::{DEFAULT_INTERVAL, DEFAULT_RETRIES, DEFAULT_TIMEOUT};
pub(crate) use names::role as check_role;
pub(crate) use sizes::{
    check_fargate as check_fargate_size, cpu as parse_cpu, memory as parse_memory,
};
pub(super) use trusted::is_sandboxed;

use shapes_ecs as shapes;
use terms::{CpuUnits, Family, MemoryMib};

use self::task::Task;
use crate::api::constraints;
use crate::error::Error;
use crate::model::{ContainerSpec, NetworkMode};

/// Most containers of a definition.
const MAX_CONTAINERS: usize = 10;
/// Most placement constraints of a definition.
const MAX_CONSTRAINTS: usize = 10;

/// What a request that was found good says to the control plane itself.
pub(crate) struct Checked {
    /// The family.
    pub(crate) family: Family,
    /// The network mode; the default of Linux on EC2 if none was given.
    pub(crate) network_mode: NetworkMode,
    /// Task-level CPU.
    pub(crate) cpu: Option<CpuUnits>,
    /// Task-level memory.
    pub(crate) memory: Option<MemoryMib>,
    /// The containers.
    pub(crate) containers: Vec<ContainerSpec>,
    /// Where it could run, in ECS's order.
    pub(crate) compatibilities: Vec<shapes::Compatibility>,
}

/// Checks a request.
///
/// # Errors
/// The first rule that is broken, as ECS tells it: mostly ClientException.
pub(crate) fn check(request: &shapes::RegisterTaskDefinitionRequest) -> Result<Checked, Error> {
    let family = names::family(&request.family)?;
    let definitions = &request.container_definitions;
    if definitions.is_empty() {
        return Err(Error::client("Container list cannot be empty."));
    }
    if definitions.len() > MAX_CONTAINERS {
        // Observed: aws/amazon-ecs-cli issue 184.
        return Err(Error::client("Too many containers."));
    }
    if request.inference_accelerators.as_ref().is_some_and(|list| !list.is_empty()) {
        // Observed: Elastic Inference is no more.
        return Err(Error::client("Unsupported field 'inferenceAccelerators'."));
    }
    names::role(request.task_role_arn.as_deref())?;
    names::role(request.execution_role_arn.as_deref())?;
    let task = Task {
        request,
        network_mode: network_mode(request.network_mode),
        cpu: request.cpu.as_deref().map(sizes::cpu).transpose()?,
        memory: request.memory.as_deref().map(sizes::memory).transpose()?,
        volumes: volumes::names(request.volumes.as_deref().unwrap_or_default())?,
    };
    let specs: Vec<_> =
        definitions.iter().map(|one| containers::check(one, &task)).collect::<Result<_, _>>()?;
    containers::check_together(&specs, &task)?;
    depends::check(definitions)?;
    firelens::check(&task)?;
    resources::check_together(definitions)?;
    trusted::check(request)?;
    constraints(request)?;
    proxy::check(&task)?;
    ephemeral_storage(request)?;
    let compatibilities = compatibility::check(&task)?;
    let Task { network_mode, cpu, memory, .. } = task;
    Ok(Checked { family, network_mode, cpu, memory, containers: specs, compatibilities })
}

fn network_mode(mode: Option<shapes::NetworkMode>) -> NetworkMode {
    match mode {
        Some(shapes::NetworkMode::Host) => NetworkMode::Host,
        Some(shapes::NetworkMode::Awsvpc) => NetworkMode::Awsvpc,
        Some(shapes::NetworkMode::None) => NetworkMode::None,
        Some(shapes::NetworkMode::Bridge) | None => NetworkMode::Bridge,
    }
}

fn constraints(request: &shapes::RegisterTaskDefinitionRequest) -> Result<(), Error> {
    let given = request.placement_constraints.as_deref().unwrap_or_default();
    if given.len() > MAX_CONSTRAINTS {
        return Err(Error::client(format!(
            "A task definition can have at most {MAX_CONSTRAINTS} placement constraints."
        )));
    }
    for constraint in given {
        if constraint.type_.is_none() {
            return Err(Error::client("constraint.type should not be null or empty."));
        }
        constraints::member_of(constraint.expression.as_deref()).map_err(Error::Client)?;
    }
    Ok(())
}

/// Bounds of `ephemeralStorage`, in GiB.
const EPHEMERAL_GIB: std::ops::RangeInclusive<i32> = 21..=200;

/// Observed texts, both.
fn ephemeral_storage(request: &shapes::RegisterTaskDefinitionRequest) -> Result<(), Error> {
    let Some(storage) = &request.ephemeral_storage else { return Ok(()) };
    let (least, most) = (EPHEMERAL_GIB.start(), EPHEMERAL_GIB.end());
    if storage.size_in_gi_b < *least {
        return Err(Error::client(format!("EphemeralStorage size should be at least {least}")));
    }
    if storage.size_in_gi_b > *most {
        return Err(Error::client(format!("EphemeralStorage size should be at most {most}")));
    }
    Ok(())
}
