//! What RegisterTaskDefinition refuses (ECS semantics §3), in ECS's order where it is known.

use shapes_ecs as shapes;
use terms::{CpuUnits, Family, MemoryMib};

use super::{containers, depends, sizes, volumes};
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
    /// Whether Fargate could run it.
    pub(crate) fits_fargate: bool,
}

/// Checks a request.
pub(crate) fn check(request: &shapes::RegisterTaskDefinitionRequest) -> Result<Checked, Error> {
    let family = family(&request.family)?;
    let definitions = &request.container_definitions;
    if definitions.is_empty() {
        return Err(Error::client("Container list cannot be empty."));
    }
    if definitions.len() > MAX_CONTAINERS {
        return Err(Error::client(format!(
            "A task definition can have at most {MAX_CONTAINERS} containers."
        )));
    }
    let network_mode = network_mode(request.network_mode.map(|mode| mode.as_str()));
    let cpu = request.cpu.as_deref().map(sizes::cpu).transpose()?;
    let memory = request.memory.as_deref().map(sizes::memory).transpose()?;
    let volumes = volumes::names(request.volumes.as_deref().unwrap_or_default())?;
    let context = containers::Task { network_mode, cpu, memory, volumes, all: definitions };
    let specs: Vec<_> =
        definitions.iter().map(|one| containers::check(one, &context)).collect::<Result<_, _>>()?;
    containers::check_together(&specs, &context)?;
    depends::check(definitions)?;
    constraints(request)?;
    let fits_fargate = network_mode == NetworkMode::Awsvpc
        && sizes::check_fargate(cpu, memory).is_ok()
        && definitions.iter().all(|one| one.privileged != Some(true));
    check_fargate(request, network_mode, cpu, memory)?;
    Ok(Checked { family, network_mode, cpu, memory, containers: specs, fits_fargate })
}

fn family(text: &str) -> Result<Family, Error> {
    if text.is_empty() {
        return Err(Error::client("Family should not be null or empty."));
    }
    text.parse().map_err(|_| {
        Error::client(format!(
            "Family contains invalid characters or is too long: '{text}'. \
             Up to 255 letters, digits, hyphens and underscores are allowed."
        ))
    })
}

fn network_mode(text: Option<&str>) -> NetworkMode {
    match text {
        Some("host") => NetworkMode::Host,
        Some("awsvpc") => NetworkMode::Awsvpc,
        Some("none") => NetworkMode::None,
        // Out of the model's enumeration only `bridge` is left.
        Some(_) | None => NetworkMode::Bridge,
    }
}

fn constraints(request: &shapes::RegisterTaskDefinitionRequest) -> Result<(), Error> {
    let constraints = request.placement_constraints.as_deref().unwrap_or_default();
    if constraints.len() > MAX_CONSTRAINTS {
        return Err(Error::client(format!(
            "A task definition can have at most {MAX_CONSTRAINTS} placement constraints."
        )));
    }
    for constraint in constraints {
        constraints::member_of(constraint.expression.as_deref()).map_err(Error::Client)?;
    }
    Ok(())
}

/// What Fargate asks for, if the definition requires it.
fn check_fargate(
    request: &shapes::RegisterTaskDefinitionRequest,
    network_mode: NetworkMode,
    cpu: Option<CpuUnits>,
    memory: Option<MemoryMib>,
) -> Result<(), Error> {
    let required = request.requires_compatibilities.as_deref().unwrap_or_default();
    if !required.iter().any(|one| one.as_str() == "FARGATE") {
        return Ok(());
    }
    if network_mode != NetworkMode::Awsvpc {
        return Err(Error::client("Fargate only supports network mode ‘awsvpc’."));
    }
    sizes::check_fargate(cpu, memory)?;
    if let Some(mode) = request.pid_mode.map(|mode| mode.as_str()).filter(|mode| *mode != "task") {
        return Err(Error::client(format!(
            "Tasks using the Fargate launch type do not support pidMode '{mode}'. \
             The supported value for pidMode is 'task'."
        )));
    }
    if request.ipc_mode.is_some() {
        return Err(Error::client("Tasks using the Fargate launch type do not support ipcMode."));
    }
    let privileged = |one: &shapes::ContainerDefinition| one.privileged == Some(true);
    if request.container_definitions.iter().any(privileged) {
        return Err(Error::client(
            "Tasks using the Fargate launch type do not support privileged containers.",
        ));
    }
    Ok(())
}
