//! Cgroups of tasks, and the removal of any.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use shim::cgroup::Hierarchies;

use super::TaskLimits;
use super::bundle::{CPU_PERIOD_US, cpu_quota_us};

/// Whether this kernel has a swappiness for each group of processes: cgroup v1 has.
pub fn has_swappiness() -> bool {
    matches!(Hierarchies::detect(), Ok(Hierarchies::V1(_)))
}

/// How often a cgroup is tried to be removed: the kernel needs a moment after its last process.
const REMOVE_ROUNDS_MAX: u32 = 200;
const REMOVE_PAUSE: Duration = Duration::from_millis(5);

/// Makes a task's cgroup with its limits.
pub(super) fn prepare(
    hierarchies: &Hierarchies,
    cgroup: &str,
    limits: &TaskLimits,
) -> io::Result<()> {
    match hierarchies {
        Hierarchies::V1(_) => {
            for controller in ["cpu", "memory"] {
                if let Some(directory) = hierarchies.directory(controller, cgroup) {
                    fs::create_dir_all(directory)?;
                }
            }
        }
        Hierarchies::V2(mount) => make_v2(mount, cgroup)?,
    }
    let write = |controller: &str, name: &str, value: String| {
        let directory = hierarchies.directory(controller, cgroup).ok_or_else(|| {
            io::Error::other(format!("this kernel has no {controller} controller"))
        })?;
        fs::write(directory.join(name), value)
    };
    let v2 = matches!(hierarchies, Hierarchies::V2(_));
    if let Some(units) = limits.cpu_limit_units {
        let quota = cpu_quota_us(units);
        if v2 {
            write("cpu", "cpu.max", format!("{quota} {CPU_PERIOD_US}"))?;
        } else {
            write("cpu", "cpu.cfs_period_us", CPU_PERIOD_US.to_string())?;
            write("cpu", "cpu.cfs_quota_us", quota.to_string())?;
        }
    }
    if let Some(bytes) = limits.memory_limit_bytes {
        let name = if v2 { "memory.max" } else { "memory.limit_in_bytes" };
        write("memory", name, bytes.to_string())?;
    }
    Ok(())
}

/// Version 2 hands controllers down level by level.
fn make_v2(mount: &Path, cgroup: &str) -> io::Result<()> {
    let mut here = mount.to_owned();
    for part in cgroup.split('/').filter(|part| !part.is_empty()) {
        for controller in ["cpuset", "cpu", "io", "memory", "pids"] {
            // Those that the kernel does not have are done without.
            let _ = fs::write(here.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        here.push(part);
        fs::create_dir_all(&here)?;
    }
    Ok(())
}

/// Removes a cgroup, waiting for the kernel to let go of it. To be called where blocking is allowed.
pub(super) fn remove(hierarchies: &Hierarchies, cgroup: &str) -> io::Result<()> {
    let mut outcome = hierarchies.remove(cgroup);
    for _ in 0..REMOVE_ROUNDS_MAX {
        if outcome.is_ok() {
            break;
        }
        std::thread::sleep(REMOVE_PAUSE);
        outcome = hierarchies.remove(cgroup);
    }
    outcome
}
