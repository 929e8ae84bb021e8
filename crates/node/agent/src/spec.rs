//! From a task's container and its image to what the runtime is to create.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use agent_protocol::docker::{ContainerConfig, HostConfig};
use agent_protocol::task::{Container, Task, Volume};
use runtime::containers::{
    Device, Dns, HostEntry, Input, IpcMode, Mount, MountSource, Network, PidMode, Resources,
    Seccomp, UNLIMITED, Ulimit,
};
use runtime::images::{ImageConfig, RootFs};
use runtime::{
    Attachment, ContainerSpec, OwnNetwork, PortMapping, Protocol, TaskLimits, TaskNetwork,
};

use crate::awsvpc;
use crate::engine::{Creation, Failure, Sibling};
use crate::fargate;
use crate::gpus::{self, Gpu};
use crate::logs::values;
use crate::resources::Fetched;
use crate::volumes::{self, Places, Source};

const MIB: u64 = 1024 * 1024;
/// Docker takes no less (agent-protocol §2.6).
const MEMORY_MIN_BYTES: u64 = 4 * MIB;
/// The kernel takes no less.
const CPU_SHARES_MIN: u64 = 2;
/// The kernel takes no more.
const CPU_SHARES_MAX: u64 = 262_144;
/// The most ports that one range may have: each is published on its own.
const RANGE_PORTS_MAX: usize = 1024;

/// The network that a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// One of its own on the instance's bridge.
    Bridge,
    /// The instance's.
    Host,
    /// One of its own with nothing but loopback.
    None,
    /// The task's own interface.
    Awsvpc,
}

/// The network that was made for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// One of its own on the instance's bridge.
    Bridge(Attachment),
    /// Its task's.
    Task(TaskNetwork),
    /// The instance's: `None` is the host's own.
    Host(Option<OwnNetwork>),
    /// None but loopback.
    Nothing,
}

/// What Docker's `NetworkMode` says, else the task's mode, else bridge.
pub fn network_mode(task: &Task, container: &Container) -> NetworkMode {
    let docker = container.docker_config.host_config().ok().and_then(|host| host.network_mode);
    let disabled =
        container.docker_config.config().is_ok_and(|config| config.network_disabled == Some(true));
    if disabled {
        return NetworkMode::None;
    }
    let awsvpc = task.network_mode.as_deref() == Some("awsvpc");
    let mode = docker.filter(|mode| !mode.is_empty()).or_else(|| task.network_mode.clone());
    match mode.as_deref() {
        _ if awsvpc => NetworkMode::Awsvpc,
        Some("host") => NetworkMode::Host,
        Some("none") => NetworkMode::None,
        Some("awsvpc") => NetworkMode::Awsvpc,
        Some(_) | None => NetworkMode::Bridge,
    }
}

/// The ports that a container wants published, ranges taken apart.
pub fn port_mappings(container: &Container) -> Result<Vec<PortMapping>, Failure> {
    let wrong = |text: &str| {
        Failure::new("CannotCreateContainerError", format!("'{text}' is no range of ports"))
    };
    let mut mappings = Vec::new();
    for mapping in &container.port_mappings {
        let udp = mapping.protocol.as_deref() == Some("udp");
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        if let Some(range) = &mapping.container_port_range {
            let (first, last) = ends(range).ok_or_else(|| wrong(range))?;
            mappings.extend((first..=last).map(|container_port| PortMapping {
                container_port,
                host_port: 0,
                protocol,
            }));
        } else if let Some(container_port) = mapping.container_port.filter(|&port| port != 0) {
            let host_port = mapping.host_port.unwrap_or(0);
            mappings.push(PortMapping { container_port, host_port, protocol });
        }
    }
    Ok(mappings)
}

/// A range of a container's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// What travels over them.
    pub protocol: Protocol,
}

/// The ranges of ports that a container wants published; unreadable ones are left out.
pub fn port_ranges(container: &Container) -> Vec<PortRange> {
    let range = |mapping: &agent_protocol::task::PortMapping| {
        let (first, last) = ends(mapping.container_port_range.as_ref()?)?;
        let udp = mapping.protocol.as_deref() == Some("udp");
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        Some(PortRange { first, last, protocol })
    };
    container.port_mappings.iter().filter_map(range).collect()
}

/// First and last port of `first-last`.
fn ends(range: &str) -> Option<(u16, u16)> {
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let few = |first: u16, last: u16| usize::from(last - first) < RANGE_PORTS_MAX;
    (0 < first && first <= last && few(first, last)).then_some((first, last))
}

/// What all containers of a task may use together; `None` if it sets no limits.
pub fn task_limits(task: &Task) -> Option<TaskLimits> {
    let cpu_limit_units = task.cpu.map(|vcpus| (vcpus * 1024.0).round() as u64).filter(|&u| u > 0);
    let memory_limit_bytes = task.memory.map(|mib| u64::from(mib) * MIB).filter(|&b| b > 0);
    (cpu_limit_units.is_some() || memory_limit_bytes.is_some())
        .then_some(TaskLimits { cpu_limit_units, memory_limit_bytes })
}

/// Everything besides the definition that goes into a container.
pub struct Ingredients<'a> {
    /// The container, its task and its siblings.
    pub creation: &'a Creation,
    /// What the image's author configured.
    pub image: &'a ImageConfig,
    /// Its root file system.
    pub rootfs: RootFs,
    /// Its network.
    pub joined: &'a Joined,
    /// Variables that the agent adds; they win over the definition's.
    pub environment: &'a [(String, String)],
    /// What was fetched for it.
    pub fetched: &'a Fetched,
    /// Its volumes.
    pub volumes: &'a [Mounted],
    /// The GPUs of the instance.
    pub gpus: &'a [Gpu],
    /// The cluster as configured.
    pub cluster: &'a str,
}

/// What the runtime is to create.
pub fn container_spec(ingredients: Ingredients<'_>) -> Result<ContainerSpec, Failure> {
    let creation = ingredients.creation;
    let (task, index) = (&creation.task, creation.container.index);
    let container = &task.containers[index];
    let invalid = |error| Failure::new("HostConfigError", error);
    let config = container.docker_config.config().map_err(invalid)?;
    let host = container.docker_config.host_config().map_err(invalid)?;
    let args = command(container, &config, ingredients.image)?;
    let task_id = task.arn.id.to_string();
    let mut spec =
        ContainerSpec::new(creation.id.clone(), &task_id, ingredients.rootfs.clone(), args);
    spec.name.clone_from(&creation.name);
    spec.env = environment(container, &config, &ingredients);
    spec.user = config.user.clone().or_else(|| ingredients.image.user.clone());
    let workdir = config.working_dir.clone().or_else(|| ingredients.image.workdir.clone());
    spec.workdir = workdir.filter(|path| !path.is_empty()).map(PathBuf::from);
    spec.hostname = config.hostname.clone().or_else(|| host_name(task, ingredients.joined));
    spec.network = network(ingredients.joined);
    spec.extra_hosts = extra_hosts(container, &host, &creation.siblings)?;
    spec.dns = dns(task, &host)?;
    spec.pid_mode = pid_mode(task);
    spec.ipc_mode = ipc_mode(task);
    spec.mounts = mounts(ingredients.volumes);
    spec.mounts.extend(tmpfs(&host));
    spec.devices = host.devices.iter().map(device).collect();
    let gpus = gpus::of_container(task, container, ingredients.gpus)?;
    spec.devices.extend(gpus::devices(&gpus));
    spec.env.extend(gpus::variable(&gpus));
    spec.input = match (config.tty, config.open_stdin) {
        (Some(true), _) => Input::Terminal,
        (_, Some(true)) => Input::Open,
        _ => Input::Nothing,
    };
    spec.init = host.init == Some(true);
    spec.read_only_root = host.readonly_rootfs == Some(true);
    spec.privileged = host.privileged == Some(true);
    spec.cap_add.clone_from(&host.cap_add);
    spec.cap_drop.clone_from(&host.cap_drop);
    let security = security_options(&host.security_opt)?;
    spec.no_new_privileges = security.no_new_privileges;
    if spec.privileged || security.any_system_call {
        spec.seccomp = Seccomp::Unconfined;
    }
    spec.ulimits = host.ulimits.iter().map(ulimit).collect();
    spec.sysctls.clone_from(&host.sysctls);
    spec.shm_size_bytes = host.shm_size.and_then(|bytes| u64::try_from(bytes).ok());
    spec.resources = fargate::bounded(task, resources(container, &host));
    spec.machine = fargate::machine(task);
    spec.labels = labels(task, container, &config, ingredients.cluster);
    Ok(spec)
}

/// What `dockerSecurityOptions` say.
#[derive(Default)]
struct SecurityOptions {
    no_new_privileges: bool,
    any_system_call: bool,
}

/// Labels and profiles of SELinux and AppArmor need an instance that says it has them, and no
/// instance here does; what else there is is refused, not ignored.
fn security_options(options: &[String]) -> Result<SecurityOptions, Failure> {
    let mut wanted = SecurityOptions::default();
    for option in options {
        match option.replace('=', ":").as_str() {
            "no-new-privileges" | "no-new-privileges:true" => wanted.no_new_privileges = true,
            "no-new-privileges:false" | "label:disable" | "apparmor:unconfined" => {}
            "seccomp:unconfined" => wanted.any_system_call = true,
            _ => {
                let what = format!("invalid --security-opt: \"{option}\" is not supported here");
                return Err(Failure::new("HostConfigError", what));
            }
        }
    }
    Ok(wanted)
}

/// Entry point and command: what the definition sets replaces the image's, and an entry point of
/// the definition drops the image's command (Docker's rule).
fn command(
    container: &Container,
    config: &ContainerConfig,
    image: &ImageConfig,
) -> Result<Vec<String>, Failure> {
    let given = |list: Option<Vec<String>>| list.filter(|list| !list.is_empty());
    let entrypoint = given(config.entrypoint.clone()).or(given(container.entry_point.clone()));
    let cmd = given(config.cmd.clone())
        .or(given(container.overridden_command()))
        .or(given(container.command.clone()));
    let args: Vec<String> = match (entrypoint, cmd) {
        (Some(entrypoint), cmd) => entrypoint.into_iter().chain(cmd.unwrap_or_default()).collect(),
        (None, cmd) => {
            let cmd = cmd.or_else(|| image.cmd.clone()).unwrap_or_default();
            image.entrypoint.clone().unwrap_or_default().into_iter().chain(cmd).collect()
        }
    };
    if args.is_empty() {
        let what = "no command: set 'command' or 'entryPoint', the image has none";
        return Err(Failure::new("CannotCreateContainerError", what));
    }
    Ok(args)
}

fn environment(
    container: &Container,
    config: &ContainerConfig,
    ingredients: &Ingredients<'_>,
) -> Vec<String> {
    let pair = |(name, value): (&String, &String)| format!("{name}={value}");
    let mut env = ingredients.image.env.clone();
    let fetched = ingredients.fetched;
    env.extend(fetched.from_files.iter().map(|(name, value)| pair((name, value))));
    match &config.env {
        Some(list) => env.extend(list.iter().cloned()),
        None => env.extend(container.environment.iter().map(pair)),
    }
    env.extend(fetched.secrets.iter().map(|(name, value)| pair((name, value))));
    env.extend(ingredients.environment.iter().map(|(name, value)| pair((name, value))));
    env
}

fn network(joined: &Joined) -> Network {
    let (path, address) = match joined {
        Joined::Bridge(attachment) => (&attachment.namespace, attachment.address),
        Joined::Task(network) => (&network.namespace, network.interface.address),
        Joined::Host(Some(own)) => (&own.namespace, own.address),
        Joined::Host(None) => return Network::Host,
        Joined::Nothing => return Network::None,
    };
    Network::Namespace { path: path.clone(), address: Some(address) }
}

/// The name that goes with a network that several containers share.
fn host_name(task: &Task, joined: &Joined) -> Option<String> {
    match joined {
        Joined::Task(network) => Some(awsvpc::host_name(task, network)),
        Joined::Host(Some(own)) => Some(awsvpc::private_name(own.address)),
        Joined::Host(None) | Joined::Bridge(_) | Joined::Nothing => None,
    }
}

fn extra_hosts(
    container: &Container,
    host: &HostConfig,
    siblings: &[Sibling],
) -> Result<Vec<HostEntry>, Failure> {
    let mut entries = Vec::new();
    for line in &host.extra_hosts {
        let entry = line.split_once(':').and_then(|(name, address)| {
            Some(HostEntry { name: name.to_owned(), address: address.trim().parse().ok()? })
        });
        let wrong = || {
            let what = format!("extraHosts: '{line}' is not of the form name:address");
            Failure::new("HostConfigError", what)
        };
        entries.push(entry.ok_or_else(wrong)?);
    }
    for link in &container.links {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        let sibling = siblings.iter().find(|sibling| sibling.name == name);
        let Some(address) = sibling.and_then(|sibling| sibling.address) else { continue };
        let mut names = vec![alias, name];
        names.dedup();
        let entry = |name: &str| HostEntry { name: name.to_owned(), address: address.into() };
        entries.extend(names.into_iter().map(entry));
    }
    Ok(entries)
}

fn dns(task: &Task, host: &HostConfig) -> Result<Dns, Failure> {
    let parse = |text: &String| {
        text.parse::<IpAddr>().map_err(|_| {
            Failure::new("HostConfigError", format!("dnsServers: '{text}' is no IP address"))
        })
    };
    let servers: Vec<_> = host.dns.iter().map(parse).collect::<Result<_, _>>()?;
    let of_task = if awsvpc::is_awsvpc(task) { awsvpc::dns(task) } else { Dns::default() };
    Ok(Dns {
        servers: if servers.is_empty() { of_task.servers } else { servers },
        search: if host.dns_search.is_empty() { of_task.search } else { host.dns_search.clone() },
    })
}

fn pid_mode(task: &Task) -> PidMode {
    match task.pid_mode.as_deref() {
        Some("host") => PidMode::Host,
        Some("task") => PidMode::Task,
        _ => PidMode::Own,
    }
}

fn ipc_mode(task: &Task) -> IpcMode {
    match task.ipc_mode.as_deref() {
        Some("host") => IpcMode::Host,
        Some("task") => IpcMode::Task,
        Some("none") => IpcMode::None,
        _ => IpcMode::Own,
    }
}

/// Of two volumes at one path the first one counts.
fn mounts(volumes: &[Mounted]) -> Vec<Mount> {
    let mut mounts: BTreeMap<PathBuf, Mount> = BTreeMap::new();
    for Mounted { target, source, read_only, .. } in volumes {
        let source = MountSource::Bind(source.path().to_owned());
        let mount = Mount { source, target: target.clone(), read_only: *read_only };
        mounts.entry(target.clone()).or_insert(mount);
    }
    // A mount below another one must come after it: the paths' order sees to that.
    mounts.into_values().collect()
}

/// A volume in a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Mounted {
    /// Which of the task's volumes.
    pub volume: Volume,
    /// What is behind it.
    pub source: Source,
    /// Where it is in the container.
    pub target: PathBuf,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// The volumes of a container: its own mount points, then those of `volumesFrom`.
pub fn volumes(task: &Task, index: usize, places: Places<'_>) -> Result<Vec<Mounted>, Failure> {
    let container = &task.containers[index];
    let mut all = Vec::new();
    let mut add = |from: &Container, read_only: bool| -> Result<(), Failure> {
        for point in &from.mount_points {
            let volume = task.volumes.iter().find(|volume| volume.name == point.source_volume);
            let volume = volume.ok_or_else(|| {
                let what = format!("the task has no volume '{}'", point.source_volume);
                Failure::new("InvalidVolumeError", what)
            })?;
            all.push(Mounted {
                volume: volume.clone(),
                source: volumes::source(task, volume, places)?,
                target: PathBuf::from(&point.container_path),
                read_only: read_only || point.read_only,
            });
        }
        Ok(())
    };
    add(container, false)?;
    for other in &container.volumes_from {
        let from = task.containers.iter().find(|from| from.name == other.source_container);
        from.map_or(Ok(()), |from| add(from, other.read_only))?;
    }
    Ok(all)
}

fn tmpfs(host: &HostConfig) -> impl Iterator<Item = Mount> + '_ {
    host.tmpfs.iter().map(|(path, options)| {
        let mut size_bytes = None;
        let mut rest = Vec::new();
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.strip_prefix("size=").and_then(values::size) {
                Some(bytes) => size_bytes = Some(bytes),
                None => rest.push(option.to_owned()),
            }
        }
        Mount {
            source: MountSource::Tmpfs { size_bytes, options: rest },
            target: PathBuf::from(path),
            read_only: false,
        }
    })
}

fn device(device: &agent_protocol::docker::Device) -> Device {
    let or = |text: &str, default: &str| {
        if text.is_empty() { default.to_owned() } else { text.to_owned() }
    };
    Device {
        host_path: PathBuf::from(&device.path_on_host),
        container_path: PathBuf::from(or(&device.path_in_container, &device.path_on_host)),
        permissions: or(&device.cgroup_permissions, "rwm"),
    }
}

fn ulimit(limit: &agent_protocol::docker::Ulimit) -> Ulimit {
    let value = |value: i64| u64::try_from(value).unwrap_or(UNLIMITED);
    Ulimit { name: limit.name.clone(), soft: value(limit.soft), hard: value(limit.hard) }
}

fn resources(container: &Container, host: &HostConfig) -> Resources {
    let positive = |value: Option<i64>| {
        value.and_then(|value| u64::try_from(value).ok()).filter(|&value| value > 0)
    };
    let shares = positive(host.cpu_shares).unwrap_or(u64::from(container.cpu));
    let memory = positive(host.memory).or(match container.memory {
        0 => None,
        mib => Some(u64::from(mib) * MIB),
    });
    Resources {
        cpu_shares: Some(shares.clamp(CPU_SHARES_MIN, CPU_SHARES_MAX)),
        cpu_limit_units: None,
        memory_limit_bytes: memory.map(|bytes| bytes.max(MEMORY_MIN_BYTES)),
        memory_reservation_bytes: positive(host.memory_reservation),
        memory_swap_bytes: host.memory_swap.filter(|&bytes| bytes != 0),
        memory_swappiness: host.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        pids_limit: None,
    }
}

/// The labels that ECS's agent sets, and the definition's own.
pub fn labels(
    task: &Task,
    container: &Container,
    config: &ContainerConfig,
    cluster: &str,
) -> BTreeMap<String, String> {
    let label = |name: &str, value: &str| (format!("com.amazonaws.ecs.{name}"), value.to_owned());
    let own = [
        label("cluster", fargate::cluster_of(task, cluster)),
        label("container-name", &container.name),
        label("task-arn", &task.arn.to_string()),
        label("task-definition-family", &task.family),
        label("task-definition-version", &task.version),
    ];
    config.labels.clone().into_iter().chain(own).collect()
}
