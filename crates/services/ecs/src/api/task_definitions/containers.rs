//! The rules of a single container (ECS semantics §3.4).

use std::collections::BTreeSet;

use shapes_ecs as shapes;
use terms::{CpuUnits, MemoryMib};

use super::{health, ports};
use crate::error::Error;
use crate::model::{ContainerSpec, NetworkMode};

/// Docker's smallest memory limit (ECS semantics §3.2).
pub(crate) const MIN_MEMORY_MIB: u32 = 6;
/// Longest image name but for its digest, in characters.
const MAX_IMAGE_CHARS: usize = 255;
/// Longest time a container may take to start or to stop, in seconds: the model sets no bound, so
/// a day is ours.
const MAX_TIMEOUT_SECONDS: i32 = 86_400;
/// Bounds of `restartAttemptPeriod`, in seconds.
const RESTART_PERIOD_SECONDS: std::ops::RangeInclusive<i32> = 60..=1800;
/// Most exit codes that a restart policy ignores.
const MAX_IGNORED_EXIT_CODES: usize = 50;
/// Most environment files of a container.
const MAX_ENVIRONMENT_FILES: usize = 10;

/// What the rules of a container must know of its task.
pub(crate) struct Task<'a> {
    /// The network mode.
    pub(crate) network_mode: NetworkMode,
    /// Task-level CPU.
    pub(crate) cpu: Option<CpuUnits>,
    /// Task-level memory.
    pub(crate) memory: Option<MemoryMib>,
    /// The names of the volumes.
    pub(crate) volumes: BTreeSet<&'a str>,
    /// All containers.
    pub(crate) all: &'a [shapes::ContainerDefinition],
}

impl Task<'_> {
    fn has_container(&self, name: &str) -> bool {
        self.all.iter().any(|other| other.name.as_deref() == Some(name))
    }
}

/// Checks a container and gives what the control plane needs of it.
pub(crate) fn check(
    one: &shapes::ContainerDefinition,
    task: &Task<'_>,
) -> Result<ContainerSpec, Error> {
    let name = name(one.name.as_deref().unwrap_or(""))?;
    let image = image(one.image.as_deref().unwrap_or(""), name)?;
    let cpu = one.cpu.unwrap_or(0);
    let cpu = u32::try_from(cpu).map_err(|_| wrong(name, "'cpu' must not be negative."))?;
    let (memory, memory_reservation) = memory(one, name, task)?;
    network(one, name, task.network_mode)?;
    mounts(one, name, task)?;
    times(one, name)?;
    environment(one, name)?;
    let health_check = one.health_check.as_ref();
    health_check.map_or(Ok(()), |check| health::check(check, name))?;
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
pub(crate) fn check_together(specs: &[ContainerSpec], task: &Task<'_>) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    if let Some(twice) = specs.iter().find(|spec| !names.insert(&spec.name)) {
        let name = &twice.name;
        return Err(Error::client(format!(
            "Container names must be unique: '{name}' comes twice."
        )));
    }
    if !specs.iter().any(|spec| spec.essential) {
        return Err(Error::client("A task definition must have at least one essential container."));
    }
    let over = |what: &str, sum: u64, limit: u32| {
        Err(Error::client(format!(
            "The '{what}' of all containers, {sum}, is more than the task's, {limit}."
        )))
    };
    if let Some(limit) = task.cpu.map(CpuUnits::get) {
        let sum: u64 = specs.iter().map(|spec| u64::from(spec.cpu.get())).sum();
        if sum > limit.into() {
            return over("cpu", sum, limit);
        }
    }
    if let Some(limit) = task.memory.map(MemoryMib::get) {
        let reserved = |spec: &ContainerSpec| spec.memory_reservation.or(spec.memory);
        let sum: u64 = specs.iter().filter_map(reserved).map(|mib| u64::from(mib.get())).sum();
        if sum > limit.into() {
            return over("memory", sum, limit);
        }
        if let Some(large) = specs.iter().find(|s| s.memory.is_some_and(|m| m.get() > limit)) {
            let text = format!("'memory' is more than the task's, {limit}.");
            return Err(wrong(&large.name, &text));
        }
    }
    ports::check_together(specs)
}

/// `Invalid setting for container '<name>'. <text>`: the form of ECS's own texts.
pub(crate) fn wrong(name: &str, text: &str) -> Error {
    Error::client(format!("Invalid setting for container '{name}'. {text}"))
}

fn name(name: &str) -> Result<&str, Error> {
    if name.is_empty() {
        return Err(Error::client("Container.name should not be null or empty."));
    }
    let good = name.len() <= 255
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let text = "'name' may have up to 255 letters, digits, hyphens and underscores.";
    good.then_some(name).ok_or_else(|| wrong(name, text))
}

fn image<'a>(image: &'a str, name: &str) -> Result<&'a str, Error> {
    if image.is_empty() {
        return Err(Error::client("Container.image should not be null or empty."));
    }
    let (reference, digest) = match image.split_once('@') {
        Some((reference, digest)) => (reference, Some(digest)),
        None => (image, None),
    };
    if reference.chars().count() > MAX_IMAGE_CHARS {
        return Err(wrong(name, "'image' may have up to 255 characters before its digest."));
    }
    if image.chars().any(char::is_whitespace) || reference.is_empty() {
        return Err(wrong(name, "'image' is no image reference."));
    }
    let is_sha256 = |digest: &str| {
        let hex = digest.strip_prefix("sha256:");
        hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if digest.is_some_and(|digest| !is_sha256(digest)) {
        return Err(wrong(
            name,
            "The digest of 'image' must be sha256: and 64 hexadecimal digits.",
        ));
    }
    Ok(image)
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
        && limit <= reserved
    {
        return Err(wrong(name, "'memory' must be more than 'memoryReservation'."));
    }
    if memory.is_none() && reservation.is_none() && task.memory.is_none() {
        let text = "At least one of 'memory' or 'memoryReservation' must be specified.";
        return Err(wrong(name, text));
    }
    Ok((memory, reservation))
}

fn network(one: &shapes::ContainerDefinition, name: &str, mode: NetworkMode) -> Result<(), Error> {
    let given = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let word = mode.as_str();
    if given(&one.links) && mode != NetworkMode::Bridge {
        return Err(Error::client(format!("Links are not supported when networkMode={word}.")));
    }
    if mode != NetworkMode::Awsvpc {
        return Ok(());
    }
    if one.hostname.is_some() {
        return Err(wrong(name, "'hostname' is not supported when networkMode=awsvpc."));
    }
    if one.extra_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty()) {
        return Err(wrong(name, "'extraHosts' is not supported when networkMode=awsvpc."));
    }
    Ok(())
}

fn mounts(one: &shapes::ContainerDefinition, name: &str, task: &Task<'_>) -> Result<(), Error> {
    for mount in one.mount_points.iter().flatten() {
        let volume = mount.source_volume.as_deref().unwrap_or("");
        if !task.volumes.contains(volume) {
            return Err(wrong(name, &format!("Unknown volume '{volume}'.")));
        }
        if !mount.container_path.as_deref().is_some_and(|path| path.starts_with('/')) {
            return Err(wrong(name, "'containerPath' of a mount point must be an absolute path."));
        }
    }
    for from in one.volumes_from.iter().flatten() {
        let source = from.source_container.as_deref().unwrap_or("");
        if source == name || !task.has_container(source) {
            return Err(wrong(name, &format!("Unknown container '{source}' in 'volumesFrom'.")));
        }
    }
    for link in one.links.iter().flatten() {
        let target = link.split(':').next().unwrap_or("");
        if target == name || !task.has_container(target) {
            return Err(wrong(name, &format!("Unknown container '{target}' in 'links'.")));
        }
    }
    Ok(())
}

fn times(one: &shapes::ContainerDefinition, name: &str) -> Result<(), Error> {
    for (member, value) in [("startTimeout", one.start_timeout), ("stopTimeout", one.stop_timeout)]
    {
        if value.is_some_and(|seconds| !(0..=MAX_TIMEOUT_SECONDS).contains(&seconds)) {
            let text = format!("'{member}' must be 0 to {MAX_TIMEOUT_SECONDS} seconds.");
            return Err(wrong(name, &text));
        }
    }
    let Some(policy) = &one.restart_policy else { return Ok(()) };
    if policy.restart_attempt_period.is_some_and(|s| !RESTART_PERIOD_SECONDS.contains(&s)) {
        return Err(wrong(name, "'restartAttemptPeriod' must be 60 to 1800 seconds."));
    }
    if policy.ignored_exit_codes.as_ref().is_some_and(|codes| codes.len() > MAX_IGNORED_EXIT_CODES)
    {
        return Err(wrong(name, "'ignoredExitCodes' may have at most 50 entries."));
    }
    Ok(())
}

fn environment(one: &shapes::ContainerDefinition, name: &str) -> Result<(), Error> {
    if one.environment.iter().flatten().any(|pair| pair.name.as_deref().unwrap_or("").is_empty()) {
        return Err(wrong(name, "An environment variable needs a name."));
    }
    let files = one.environment_files.as_deref().unwrap_or_default();
    if files.len() > MAX_ENVIRONMENT_FILES {
        return Err(wrong(name, "'environmentFiles' may have at most 10 entries."));
    }
    if files.iter().any(|file| !file.value.ends_with(".env")) {
        return Err(wrong(name, "The name of an environment file must end in '.env'."));
    }
    let mut secrets = BTreeSet::new();
    match one.secrets.iter().flatten().find(|secret| !secrets.insert(&secret.name)) {
        Some(twice) => {
            Err(wrong(name, &format!("The secret name must be unique: '{}'.", twice.name)))
        }
        None => Ok(()),
    }
}
