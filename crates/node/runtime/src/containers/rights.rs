//! Capabilities, devices, limits and hidden paths: Docker's defaults.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, PosixRlimitType};

use super::CreateError;

/// What a container may do unless told otherwise
/// (`moby/moby:daemon/pkg/oci/caps/defaults.go`).
const DEFAULT: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// Every capability there is, in the kernel's order.
const ALL: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// What containers may not look at.
pub(super) const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What containers may not change.
pub(super) const READ_ONLY_PATHS: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The number of open files a container gets if nothing is said: what ECS-optimised hosts give.
pub(super) const OPEN_FILES_SOFT: u64 = 1024;
/// … and what it may raise it to.
pub(super) const OPEN_FILES_HARD: u64 = 524_288;

/// The capabilities of a container: Docker's default set, or all, with changes. A drop wins over
/// an add, unless the add names it and the drop says `ALL`.
pub(super) fn capabilities(
    privileged: bool,
    add: &[String],
    drop: &[String],
) -> Result<HashSet<Capability>, CreateError> {
    if privileged {
        return Ok(supported().collect());
    }
    let add = parse("linuxParameters.capabilities.add", add)?;
    let drop = parse("linuxParameters.capabilities.drop", drop)?;
    let mut set: HashSet<Capability> = match (&add, &drop) {
        (Named::All, _) => supported().collect(),
        (_, Named::All) => HashSet::new(),
        _ => DEFAULT.iter().copied().collect(),
    };
    if let Named::These(add) = add {
        set.extend(add);
    }
    if let Named::These(drop) = drop {
        set.retain(|capability| !drop.contains(capability));
    }
    Ok(set)
}

/// Those that the running kernel knows and this process may hand on: others cannot be given.
fn supported() -> impl Iterator<Item = Capability> {
    let bounding = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(u64::MAX);
    (0..).zip(ALL).filter(move |(bit, _)| bounding >> bit & 1 == 1).map(|(_, held)| *held)
}

enum Named {
    All,
    These(Vec<Capability>),
}

fn parse(member: &'static str, names: &[String]) -> Result<Named, CreateError> {
    let mut these = Vec::new();
    for name in names {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            return Ok(Named::All);
        }
        let wanted = serde_json::Value::String(format!("CAP_{bare}"));
        let known = serde_json::from_value(wanted).map_err(|_| CreateError::Specification {
            member,
            message: format!("unknown capability {name:?}"),
        })?;
        these.push(known);
    }
    Ok(Named::These(these))
}

/// The resource limit that Docker calls `name`.
pub(super) fn limit_type(name: &str) -> Option<PosixRlimitType> {
    Some(match name {
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn capabilities_are_added_and_dropped() {
        let check = |add: &[&str], drop: &[&str], has: &[Capability], lacks: &[Capability]| {
            let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
            let set = capabilities(false, &words(add), &words(drop)).unwrap();
            assert!(has.iter().all(|c| set.contains(c)), "{add:?} {drop:?} {set:?}");
            assert!(!lacks.iter().any(|c| set.contains(c)), "{add:?} {drop:?} {set:?}");
        };
        check(&[], &[], &[Capability::Chown], &[Capability::SysAdmin]);
        check(&["net_admin"], &["CAP_CHOWN"], &[Capability::NetAdmin], &[Capability::Chown]);
        check(&["KILL"], &["ALL"], &[Capability::Kill], &[Capability::Chown]);
        check(&["ALL"], &["CHOWN"], &[Capability::SysAdmin], &[Capability::Chown]);
        let unknown = capabilities(false, &["NOPE".to_owned()], &[]).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "linuxParameters.capabilities.add: unknown capability \"NOPE\""
        );
    }
}
