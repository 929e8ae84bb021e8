//! The OCI document of a container: what Docker would make of the same specification.

use std::collections::HashSet;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Capability;
use serde_json::{Value, json};
use shim::Input;
use shim::cgroup::Hierarchies;

use super::mounting::{self, Mounts};
use super::rights::{MASKED_PATHS, OPEN_FILES_HARD, OPEN_FILES_SOFT, READ_ONLY_PATHS, limit_type};
use super::{ContainerSpec, CreateError, IpcMode, Network, PidMode, Resources};

/// The cgroup under which every task has its own.
pub(super) const CGROUP_ROOT: &str = "/ecs";

/// `/dev/shm` in bytes if nothing is said: Docker's.
pub(super) const SHM_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// The scheduler's period in microseconds, as Docker sets it.
pub(super) const CPU_PERIOD_US: u64 = 100_000;
/// The smallest quota that the kernel takes, in microseconds.
const CPU_QUOTA_US_MIN: u64 = 1_000;

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the document needs to know beyond the specification.
pub(super) struct Surroundings<'a> {
    /// The container's directory.
    pub(super) directory: &'a Path,
    pub(super) hierarchies: &'a Hierarchies,
    pub(super) hostname: &'a str,
    pub(super) capabilities: &'a HashSet<Capability>,
    /// The file of the process namespace that its task shares.
    pub(super) pid_namespace: Option<&'a PathBuf>,
    /// The file of the namespace of shared memory that its task shares, and `/dev/shm`.
    pub(super) ipc: Option<(&'a PathBuf, &'a PathBuf)>,
    /// The shim's program, which is an init too.
    pub(super) program: &'a Path,
    /// Files of ours mounted over the image's.
    pub(super) files: Vec<(PathBuf, &'static str)>,
}

/// The cgroup of a task.
pub(super) fn task_cgroup(task: &str) -> String {
    format!("{CGROUP_ROOT}/{task}")
}

/// The cgroup of a container.
pub(super) fn cgroup(spec: &ContainerSpec) -> String {
    format!("{CGROUP_ROOT}/{}/{}", spec.task, spec.id)
}

/// The microseconds of each period that this much of a processor is.
pub(super) fn cpu_quota_us(units: u64) -> u64 {
    (units * CPU_PERIOD_US / 1024).max(CPU_QUOTA_US_MIN)
}

/// Builds the document. The user's ids are settled later, by the shim, from the image's files.
pub(super) fn document(
    spec: &ContainerSpec,
    around: &Surroundings<'_>,
) -> Result<Value, CreateError> {
    let mut process = json!({
        "terminal": spec.input == Input::Terminal,
        "user": {"uid": 0, "gid": 0},
        "args": with_init(spec, command(spec)?),
        "env": environment(spec, around.hostname),
        "cwd": workdir(spec)?,
        "capabilities": capability_sets(around.capabilities),
        "rlimits": rlimits(spec)?,
        "oomScoreAdj": 0,
    });
    // Absent, not false: libcontainer reads either as a wish to filter calls late.
    if spec.no_new_privileges {
        process["noNewPrivileges"] = json!(true);
    }
    let mut linux = json!({
        "cgroupsPath": cgroup(spec),
        "resources": resources(spec, around.hierarchies)?,
        "namespaces": namespaces(spec, around),
        "sysctl": spec.sysctls,
        "devices": devices(spec)?,
    });
    if !spec.privileged {
        linux["maskedPaths"] = json!(MASKED_PATHS);
        linux["readonlyPaths"] = json!(READ_ONLY_PATHS);
    }
    let root = around.directory.join(shim::file::ROOTFS);
    let Mounts { all, late } = mounting::mounts(spec, around)?;
    let mut document = json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": root, "readonly": spec.read_only_root},
        "hostname": around.hostname,
        "mounts": all,
        "linux": linux,
    });
    if !late.is_empty() {
        let arguments = json!(["longshore-shim", "mount", root, json!(late).to_string()]);
        let hook = json!({"path": around.program, "args": arguments});
        document["hooks"] = json!({ "createContainer": [hook] });
    }
    Ok(document)
}

pub(super) fn wrong(member: &'static str, message: impl Into<String>) -> CreateError {
    CreateError::Specification { member, message: message.into() }
}

fn command(spec: &ContainerSpec) -> Result<&[String], CreateError> {
    if spec.args.is_empty() {
        return Err(wrong("command", "no command specified: neither here nor in the image"));
    }
    if spec.args.iter().any(|arg| arg.contains('\0')) {
        return Err(wrong("command", "a zero byte is not allowed"));
    }
    Ok(&spec.args)
}

/// The command, behind the init if there is to be one.
fn with_init(spec: &ContainerSpec, command: &[String]) -> Vec<String> {
    let init = [shim::INIT_PATH.to_owned(), "--".to_owned()];
    init.into_iter().filter(|_| spec.init).chain(command.iter().cloned()).collect()
}

fn workdir(spec: &ContainerSpec) -> Result<PathBuf, CreateError> {
    let workdir = spec.workdir.clone().unwrap_or_default();
    if workdir.as_os_str().is_empty() {
        return Ok(PathBuf::from("/"));
    }
    match workdir.is_absolute() {
        true => Ok(workdir),
        false => Err(wrong(
            "workingDirectory",
            format!("{:?} is not an absolute path", workdir.display().to_string()),
        )),
    }
}

/// Docker's own two, then the caller's; of a name that comes twice the last one stays.
fn environment(spec: &ContainerSpec, hostname: &str) -> Vec<String> {
    let mut merged: Vec<String> = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    for entry in &spec.env {
        let Some((name, _)) = entry.split_once('=') else { continue };
        let same = |known: &&mut String| known.split_once('=').is_some_and(|(n, _)| n == name);
        match merged.iter_mut().find(same) {
            Some(known) => known.clone_from(entry),
            None => merged.push(entry.clone()),
        }
    }
    merged
}

/// Nothing is inheritable or ambient, as with Docker since CVE-2022-24769.
fn capability_sets(held: &HashSet<Capability>) -> Value {
    let names = json!(held);
    json!({"bounding": names, "effective": names, "permitted": names, "inheritable": [], "ambient": []})
}

fn rlimits(spec: &ContainerSpec) -> Result<Vec<Value>, CreateError> {
    let mut limits = Vec::new();
    if !spec.ulimits.iter().any(|limit| limit.name == "nofile") {
        let hard = OPEN_FILES_HARD.min(own_open_files());
        let soft = OPEN_FILES_SOFT.min(hard);
        limits.push(json!({"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard}));
    }
    for limit in &spec.ulimits {
        let kind = limit_type(&limit.name)
            .ok_or_else(|| wrong("ulimits", format!("unknown name {:?}", limit.name)))?;
        if limit.soft > limit.hard {
            let message = format!("{}: the soft limit is above the hard one", limit.name);
            return Err(wrong("ulimits", message));
        }
        limits.push(json!({"type": kind, "soft": limit.soft, "hard": limit.hard}));
    }
    Ok(limits)
}

/// What this process may raise it to, which without CAP_SYS_RESOURCE nobody below it may pass.
fn own_open_files() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

fn resources(spec: &ContainerSpec, hierarchies: &Hierarchies) -> Result<Value, CreateError> {
    let Resources { cpu_shares, cpu_limit_units, memory_limit_bytes, .. } = spec.resources;
    let mut resources = json!({ "devices": device_rules(spec)? });
    if cpu_shares.is_some() || cpu_limit_units.is_some() {
        let mut cpu = json!({});
        if let Some(shares) = cpu_shares {
            cpu["shares"] = json!(shares);
        }
        if let Some(units) = cpu_limit_units {
            cpu["quota"] = json!(cpu_quota_us(units));
            cpu["period"] = json!(CPU_PERIOD_US);
        }
        resources["cpu"] = cpu;
    }
    let mut memory = json!({});
    if let Some(limit) = memory_limit_bytes {
        memory["limit"] = json!(limit);
        if counts_swap(hierarchies) {
            let twice = i64::try_from(limit.saturating_mul(2)).unwrap_or(i64::MAX);
            memory["swap"] = json!(spec.resources.memory_swap_bytes.unwrap_or(twice));
        }
    }
    if let Some(reservation) = spec.resources.memory_reservation_bytes {
        memory["reservation"] = json!(reservation);
    }
    if let (Some(swappiness), Hierarchies::V1(_)) = (spec.resources.memory_swappiness, hierarchies)
    {
        memory["swappiness"] = json!(swappiness);
    }
    if memory.as_object().is_some_and(|memory| !memory.is_empty()) {
        resources["memory"] = memory;
    }
    if let Some(limit) = spec.resources.pids_limit {
        resources["pids"] = json!({ "limit": limit });
    }
    Ok(resources)
}

/// Whether the kernel can limit swap: version 1 must be told to at boot.
fn counts_swap(hierarchies: &Hierarchies) -> bool {
    match hierarchies {
        Hierarchies::V2(_) => true,
        Hierarchies::V1(_) => hierarchies
            .directory("memory", "/")
            .is_some_and(|root| root.join("memory.memsw.limit_in_bytes").exists()),
    }
}

fn namespaces(spec: &ContainerSpec, around: &Surroundings<'_>) -> Vec<Value> {
    let mut all = vec![json!({"type": "mount"}), json!({"type": "uts"})];
    let mut add = |kind: &str, path: Option<&PathBuf>| match path {
        Some(path) => all.push(json!({"type": kind, "path": path})),
        None => all.push(json!({ "type": kind })),
    };
    if spec.pid_mode != PidMode::Host {
        add("pid", around.pid_namespace);
    }
    if spec.ipc_mode != IpcMode::Host {
        add("ipc", around.ipc.map(|(namespace, _)| namespace));
    }
    if let Network::Namespace { path, .. } = &spec.network {
        add("network", Some(path));
    }
    // Docker's default on version 2; on version 1 containers see the host's tree.
    if matches!(around.hierarchies, Hierarchies::V2(_)) && !spec.privileged {
        add("cgroup", None);
    }
    all
}

/// Devices made in `/dev`; the usual ones (`null`, `zero`, …) libcontainer adds itself.
fn devices(spec: &ContainerSpec) -> Result<Vec<Value>, CreateError> {
    let mut all = Vec::new();
    if spec.privileged {
        collect_devices(Path::new("/dev"), &mut all);
    }
    for device in &spec.devices {
        let node = inspect(&device.host_path, &device.container_path).ok_or_else(|| {
            let path = device.host_path.display();
            wrong("linuxParameters.devices", format!("{path} is not a device of this host"))
        })?;
        all.push(node);
    }
    Ok(all)
}

fn device_rules(spec: &ContainerSpec) -> Result<Vec<Value>, CreateError> {
    if spec.privileged {
        return Ok(vec![json!({"allow": true, "access": "rwm"})]);
    }
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    for (device, node) in spec.devices.iter().zip(devices(spec)?) {
        if device.permissions.is_empty() || !device.permissions.chars().all(|c| "rwm".contains(c)) {
            let message = format!("permissions {:?} are not some of rwm", device.permissions);
            return Err(wrong("linuxParameters.devices", message));
        }
        rules.push(json!({
            "allow": true, "type": node["type"], "major": node["major"], "minor": node["minor"],
            "access": device.permissions,
        }));
    }
    Ok(rules)
}

fn inspect(host: &Path, container: &Path) -> Option<Value> {
    let metadata = std::fs::metadata(host).ok()?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => "c",
        kind if kind.is_block_device() => "b",
        _ => return None,
    };
    let number = metadata.st_rdev();
    Some(json!({
        "path": container, "type": kind,
        "major": nix::sys::stat::major(number), "minor": nix::sys::stat::minor(number),
        "fileMode": metadata.st_mode() & 0o7777, "uid": metadata.st_uid(), "gid": metadata.st_gid(),
    }))
}

/// Names in `/dev` that the container has of its own.
const OWN_DEVICES: &[&str] = &[
    "console", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
    "stdout", "tty", "urandom", "zero",
];

fn collect_devices(directory: &Path, all: &mut Vec<Value>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if OWN_DEVICES.iter().any(|own| name == *own) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect_devices(&path, all),
            Ok(kind) if !kind.is_symlink() => all.extend(inspect(&path, &path)),
            _ => {}
        }
    }
}
