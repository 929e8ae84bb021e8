//! What a container is to be.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shim::{Input, LogOptions, Overlay};

use crate::ContainerId;

/// A limit that is none, in [`Ulimit`].
pub const UNLIMITED: u64 = u64::MAX;

/// Everything that [`Containers::create`](super::Containers::create) needs to know. The image's
/// configuration is already merged in by the caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The container's id; chosen by the caller.
    pub id: ContainerId,
    /// Its name, for people.
    pub name: String,
    /// The task's id; its containers share the cgroup `/ecs/<task>`.
    pub task: String,
    /// Its root file system.
    pub rootfs: Overlay,
    /// The command with its arguments: entry point, then command.
    pub args: Vec<String>,
    /// Environment, `NAME=value`, later ones win; `PATH` and `HOSTNAME` are added if absent.
    pub env: Vec<String>,
    /// `user`, `user:group`, names or numbers, as Docker reads them; none or empty is root.
    pub user: Option<String>,
    /// Where the command starts; made if absent; none is `/`.
    pub workdir: Option<PathBuf>,
    /// Host name; none is the id's first twelve digits, or the host's in its network.
    pub hostname: Option<String>,
    /// The network it is in.
    pub network: Network,
    /// Lines added to `/etc/hosts`.
    pub extra_hosts: Vec<HostEntry>,
    /// Name servers.
    pub dns: Dns,
    /// Whose processes it sees.
    pub pid_mode: PidMode,
    /// Whose shared memory it sees.
    pub ipc_mode: IpcMode,
    /// Volumes and tmpfs, in the order in which they are mounted.
    pub mounts: Vec<Mount>,
    /// Host devices.
    pub devices: Vec<Device>,
    /// Whether its root cannot be written.
    pub read_only_root: bool,
    /// Whether it has every right, as Docker's `--privileged`.
    pub privileged: bool,
    /// Capabilities beyond Docker's default ones, with or without `CAP_`; `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// Whether programs may not gain rights by set-user-id.
    pub no_new_privileges: bool,
    /// Which system calls it may make.
    pub seccomp: Seccomp,
    /// Resource limits of its processes.
    pub ulimits: Vec<Ulimit>,
    /// Kernel settings of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Size of `/dev/shm` in bytes; none is 64 MiB.
    pub shm_size_bytes: Option<u64>,
    /// What it may use.
    pub resources: Resources,
    /// What `/proc` tells it of the machine; none is the machine itself.
    #[serde(default)]
    pub machine: Option<MachineView>,
    /// How its output is kept.
    pub logs: LogOptions,
    /// Labels, for people.
    pub labels: BTreeMap<String, String>,
    /// What its standard input is, and whether it has a terminal.
    #[serde(default)]
    pub input: Input,
    /// Whether its first process is an init that hands signals on and reaps orphans.
    #[serde(default)]
    pub init: bool,
}

impl ContainerSpec {
    /// A container that runs `args` as root in `rootfs`, in a network of its own with nothing but
    /// loopback, without limits.
    pub fn new(id: ContainerId, task: &str, rootfs: Overlay, args: Vec<String>) -> Self {
        Self {
            name: id.short().to_owned(),
            id,
            task: task.to_owned(),
            rootfs,
            args,
            env: Vec::new(),
            user: None,
            workdir: None,
            hostname: None,
            network: Network::None,
            extra_hosts: Vec::new(),
            dns: Dns::default(),
            pid_mode: PidMode::Own,
            ipc_mode: IpcMode::Own,
            mounts: Vec::new(),
            devices: Vec::new(),
            read_only_root: false,
            privileged: false,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            no_new_privileges: false,
            seccomp: Seccomp::Default,
            ulimits: Vec::new(),
            sysctls: BTreeMap::new(),
            shm_size_bytes: None,
            resources: Resources::default(),
            machine: None,
            logs: LogOptions::default(),
            labels: BTreeMap::new(),
            input: Input::Nothing,
            init: false,
        }
    }
}

/// The network a container is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// One of its own, with nothing but loopback.
    None,
    /// The host's.
    Host,
    /// The one at this path, usually an attachment's.
    Namespace {
        /// The namespace's file.
        path: PathBuf,
        /// The container's address there, for `/etc/hosts`.
        address: Option<Ipv4Addr>,
    },
}

/// A name in `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// The name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// The container's `/etc/resolv.conf`; what is empty comes from the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
}

/// Whose processes a container sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidMode {
    /// Its own only.
    Own,
    /// The host's.
    Host,
    /// Those of its task's containers of this mode.
    Task,
}

/// Whose shared memory a container sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpcMode {
    /// Its own only.
    Own,
    /// Its own only, without `/dev/shm`.
    None,
    /// The host's.
    Host,
    /// That of its task's containers of this mode, `/dev/shm` included.
    Task,
}

/// Something mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What.
    pub source: MountSource,
    /// Where: an absolute path; made if absent.
    pub target: PathBuf,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A directory or file of the host, which must exist.
    Bind(PathBuf),
    /// Memory.
    Tmpfs {
        /// Its size; none is the kernel's default.
        size_bytes: Option<u64>,
        /// Further mount options (`mode=1777`, `noexec`, …).
        options: Vec<String>,
    },
}

/// A host device in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its path on the host.
    pub host_path: PathBuf,
    /// Its path in the container.
    pub container_path: PathBuf,
    /// What may be done with it: some of `rwm`.
    pub permissions: String,
}

/// Which system calls a container may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// Those of Docker's default profile.
    Default,
    /// All.
    Unconfined,
}

/// A resource limit of a container's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Docker's name for it: `nofile`, `core`, `nproc`, ….
    pub name: String,
    /// What holds now; [`UNLIMITED`] is none.
    pub soft: u64,
    /// What it may be raised to.
    pub hard: u64,
}

/// What a container may use; none is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Its share of the processor against others: 2 to 262,144; 1,024 is usual for one vCPU.
    pub cpu_shares: Option<u64>,
    /// A ceiling on the processor, in 1,024ths of one.
    pub cpu_limit_units: Option<u64>,
    /// Memory at which it is killed, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Memory it is left when the host has little, in bytes.
    pub memory_reservation_bytes: Option<u64>,
    /// Memory and swap together, in bytes, as Docker's `MemorySwap`: -1 is no limit, none is twice
    /// the memory limit.
    pub memory_swap_bytes: Option<i64>,
    /// 0 to 100; only cgroup v1 knows it.
    pub memory_swappiness: Option<u64>,
    /// The most processes.
    pub pids_limit: Option<i64>,
}

/// What all containers of a task may use together; none is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLimits {
    /// A ceiling on the processor, in 1,024ths of one.
    pub cpu_limit_units: Option<u64>,
    /// Memory, in bytes.
    pub memory_limit_bytes: Option<u64>,
}

/// The machine that a container takes itself to be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineView {
    /// Its processors; no more than there are.
    pub cpus: usize,
    /// Its memory in bytes.
    pub memory_bytes: u64,
}
