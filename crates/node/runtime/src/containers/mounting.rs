//! What is mounted in a container, and in which order: as Docker does it, so that a task may mount
//! what it likes over `/dev`, `/proc` and `/sys` (`moby/moby:daemon/oci_linux.go` `withMounts`).

use std::path::{Component, Path, PathBuf};

use rustix::fs::statfs;
use serde_json::{Value, json};
use shim::cgroup::Hierarchies;

use super::bundle::{SHM_BYTES_DEFAULT, Surroundings, wrong};
use super::{ContainerSpec, CreateError, IpcMode, Mount, MountSource};

/// Where a container finds its cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// What `statfs` says of a procfs (`man 2 statfs`).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// Files below `/proc` that may be mounted over, for those who emulate them
/// (`opencontainers/runc:libcontainer/rootfs_linux.go` `checkProcMount`).
const PROC_FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// The mounts of a container, as the OCI document has them.
pub(super) struct Mounts {
    /// What libcontainer mounts.
    pub(super) all: Vec<Value>,
    /// What is mounted after it has made the devices: a folder on `/dev` and what lies in it, for
    /// into a folder of the host no devices are made.
    pub(super) late: Vec<Value>,
}

/// What is mounted, in order: what every container has, but for what the task has its own of; the
/// task's mounts, those above before those below; our files.
pub(super) fn mounts(
    spec: &ContainerSpec,
    around: &Surroundings<'_>,
) -> Result<Mounts, CreateError> {
    let mut own: Vec<(PathBuf, Value, &MountSource)> = Vec::new();
    for mount in &spec.mounts {
        let target = normal(&mount.target);
        check(&target, mount)?;
        own.push((target.clone(), volume(mount, &target), &mount.source));
    }
    let has = |target: &str| own.iter().any(|(own, ..)| own == Path::new(target));
    let covers_devices = has("/dev");
    let is_folder_of_devices =
        own.iter().any(|(target, _, source)| target == Path::new("/dev") && is_bind(source));

    let mut all: Vec<Value> = usual(spec, around)
        .into_iter()
        .filter(|(target, _)| !(has(target) || covers_devices && target.starts_with("/dev/")))
        .map(|(_, mount)| mount)
        .collect();
    if is_folder_of_devices {
        all.push(devices());
    }
    let has_memory = spec.ipc_mode != IpcMode::None && !has("/dev/shm");
    let memory = has_memory.then(|| (PathBuf::from("/dev/shm"), memory(spec, around)));
    let mut sorted: Vec<(PathBuf, Value)> = memory.into_iter().collect();
    sorted.extend(own.iter().map(|(target, mount, _)| (target.clone(), mount.clone())));
    sorted.sort_by_key(|(target, _)| target.components().count());
    let of_files = around.files.iter().filter(|(_, target)| !has(target));
    sorted.extend(of_files.map(|(file, at)| (PathBuf::from(at), bind(file, at, false))));

    let is_late = |target: &Path| is_folder_of_devices && target.starts_with("/dev");
    let (late, early): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|(at, _)| is_late(at));
    all.extend(early.into_iter().map(|(_, mount)| mount));
    if spec.init {
        all.push(bind(around.program, shim::INIT_PATH, true));
    }
    Ok(Mounts { all, late: late.into_iter().map(|(_, mount)| mount).collect() })
}

fn is_bind(source: &MountSource) -> bool {
    matches!(source, MountSource::Bind(_))
}

/// A path without `.`, `..` and doubled slashes, as the container sees it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => _ = normal.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal
}

/// Refuses what would take a container's own processes out of its sight: what is set by way of
/// `/proc/self/attr` would be lost (runc's rule and texts).
fn check(target: &Path, mount: &Mount) -> Result<(), CreateError> {
    let refused =
        |why: &str| Err(wrong("mountPoints", format!("{:?} {why}", target.display().to_string())));
    if target == Path::new("/") {
        return Err(wrong("mountPoints", "destination can't be '/'"));
    }
    if target == Path::new("/proc") {
        let is_proc = match &mount.source {
            MountSource::Bind(source) => {
                statfs(source).is_ok_and(|found| found.f_type as u64 == PROC_SUPER_MAGIC)
            }
            MountSource::Tmpfs { .. } => false,
        };
        return match is_proc {
            true => Ok(()),
            false => refused("cannot be mounted because it is not of type proc"),
        };
    }
    if target.starts_with("/proc") && !PROC_FILES.iter().any(|file| target == Path::new(file)) {
        return refused("cannot be mounted because it is inside /proc");
    }
    Ok(())
}

/// What every container has, and where.
fn usual(spec: &ContainerSpec, around: &Surroundings<'_>) -> Vec<(&'static str, Value)> {
    let access = if spec.privileged { "rw" } else { "ro" };
    let mount = |target: &'static str, kind: &str, options: &[&str]| {
        (target, of_kind(target, kind, options))
    };
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        ("/dev", devices()),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", access]),
        (CGROUPS, cgroups(spec, around)),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ]
}

/// `/sys/fs/cgroup`: of version 1 what the shim mounts in the container's directory.
fn cgroups(spec: &ContainerSpec, around: &Surroundings<'_>) -> Value {
    let access = if spec.privileged { "rw" } else { "ro" };
    if matches!(around.hierarchies, Hierarchies::V2(_)) {
        return of_kind(CGROUPS, "cgroup", &[access, "nosuid", "noexec", "nodev"]);
    }
    let source = around.directory.join(shim::file::CGROUPS);
    // Each of the trees is a mount of its own.
    let access = format!("r{access}");
    let options = ["rbind", "rprivate", "rnosuid", "rnoexec", "rnodev", &access];
    json!({"destination": CGROUPS, "type": "bind", "source": source, "options": options})
}

fn devices() -> Value {
    of_kind("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])
}

/// `/dev/shm`.
fn memory(spec: &ContainerSpec, around: &Surroundings<'_>) -> Value {
    if spec.ipc_mode == IpcMode::Host {
        return bind(Path::new("/dev/shm"), "/dev/shm", false);
    }
    if let Some((_, memory)) = around.ipc {
        return bind(memory, "/dev/shm", false);
    }
    let size = format!("size={}", spec.shm_size_bytes.unwrap_or(SHM_BYTES_DEFAULT));
    of_kind("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &size])
}

fn of_kind(target: &str, kind: &str, options: &[&str]) -> Value {
    json!({"destination": target, "type": kind, "source": kind, "options": options})
}

fn bind(source: &Path, target: &str, read_only: bool) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", "rprivate", access]})
}

fn volume(mount: &Mount, target: &Path) -> Value {
    let target = target.to_string_lossy();
    match &mount.source {
        MountSource::Bind(source) => bind(source, &target, mount.read_only),
        MountSource::Tmpfs { size_bytes, options } => {
            let mut all: Vec<String> =
                ["nosuid", "nodev", "noexec"].iter().map(|o| (*o).to_owned()).collect();
            // A later word undoes an earlier one (`exec` after `noexec`).
            all.extend(options.iter().cloned());
            all.extend(size_bytes.map(|bytes| format!("size={bytes}")));
            if mount.read_only {
                all.push("ro".to_owned());
            }
            json!({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": all})
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{ContainerId, RootFs};

    fn targets(spec: &ContainerSpec) -> Vec<String> {
        let (hierarchies, capabilities) = (Hierarchies::V2(PathBuf::new()), HashSet::new());
        let around = Surroundings {
            directory: Path::new("/nonexistent"),
            hierarchies: &hierarchies,
            hostname: "h",
            capabilities: &capabilities,
            pid_namespace: None,
            ipc: None,
            program: Path::new("/nonexistent/shim"),
            files: Vec::new(),
        };
        let all = mounts(spec, &around).unwrap().all;
        all.iter().map(|mount| mount["destination"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn without_shared_memory_there_is_none_but_the_tasks_own() {
        let id: ContainerId = "a".repeat(64).parse().unwrap();
        let mut spec = ContainerSpec::new(id, "t", RootFs::default(), Vec::new());
        let count = |spec: &ContainerSpec| {
            targets(spec).iter().filter(|target| *target == "/dev/shm").count()
        };
        assert_eq!(count(&spec), 1);
        spec.ipc_mode = IpcMode::None;
        assert_eq!(count(&spec), 0);
        let source = MountSource::Bind(PathBuf::from("/volume"));
        spec.mounts = vec![Mount { source, target: "/dev/shm".into(), read_only: false }];
        assert_eq!(count(&spec), 1);
    }
}
