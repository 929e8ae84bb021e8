//! `linuxParameters` and `ulimits` (ECS semantics §3.4).

use shapes_ecs as shapes;

use super::task::{Task, items, wrong};
use crate::error::Error;

/// Every capability that can be added or dropped (botocore's `KernelCapabilities`).
const CAPABILITIES: [&str; 38] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Mount options of a tmpfs that take no value (botocore's `Tmpfs`).
const TMPFS_FLAGS: &str = "defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync \
     remount mand nomand atime noatime diratime nodiratime bind rbind unbindable runbindable \
     private rprivate shared rshared slave rslave relatime norelatime strictatime nostrictatime";
/// Mount options of a tmpfs that may take a value, as in `mode=1777`.
const TMPFS_VALUES: [&str; 6] = ["mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];
/// Bounds of `swappiness`.
const SWAPPINESS: std::ops::RangeInclusive<i32> = 0..=100;

/// Checks them.
pub(super) fn check(
    one: &shapes::ContainerDefinition,
    name: &str,
    task: &Task<'_>,
) -> Result<(), Error> {
    ulimits(items(&one.ulimits), name)?;
    security_options(items(&one.docker_security_options), name)?;
    let Some(linux) = &one.linux_parameters else { return Ok(()) };
    if let Some(capabilities) = &linux.capabilities {
        let all = items(&capabilities.add).iter().chain(items(&capabilities.drop));
        let is_known = |name: &str| CAPABILITIES.contains(&name);
        if let Some(unknown) = all.into_iter().find(|name| !is_known(name)) {
            return Err(wrong(name, &format!("'{unknown}' is not a valid Linux capability.")));
        }
    }
    for device in items(&linux.devices) {
        let is_path = |path: &str| path.starts_with('/');
        if !is_path(&device.host_path)
            || device.container_path.as_deref().is_some_and(|path| !is_path(path))
        {
            let text = "'hostPath' and 'containerPath' of a device must be absolute paths.";
            return Err(wrong(name, text));
        }
    }
    if linux.shared_memory_size.is_some_and(|mib| mib <= 0) {
        return Err(wrong(name, "'sharedMemorySize' must be greater than 0."));
    }
    if linux.max_swap.is_some_and(|mib| mib < 0) {
        return Err(wrong(name, "'maxSwap' must be 0 or greater."));
    }
    if linux.max_swap.is_some() && one.memory.is_none() && task.memory.is_none() {
        // Docker: "You should always set the Memory limit when using Memoryswap limit".
        let text = "'maxSwap' needs a limit of memory: 'memory' of the container or of the task.";
        return Err(wrong(name, text));
    }
    if linux.swappiness.is_some_and(|percent| !SWAPPINESS.contains(&percent)) {
        return Err(wrong(name, "'swappiness' must be between 0 and 100."));
    }
    items(&linux.tmpfs).iter().try_for_each(|tmpfs| self::tmpfs(tmpfs, name))
}

fn tmpfs(tmpfs: &shapes::Tmpfs, name: &str) -> Result<(), Error> {
    if !tmpfs.container_path.starts_with('/') {
        return Err(wrong(name, "'containerPath' of a tmpfs must be an absolute path."));
    }
    if tmpfs.size <= 0 {
        return Err(wrong(name, "'size' of a tmpfs must be greater than 0."));
    }
    let is_known = |option: &str| {
        let word = option.split('=').next().unwrap_or("");
        TMPFS_FLAGS.split_whitespace().any(|flag| flag == option) || TMPFS_VALUES.contains(&word)
    };
    match items(&tmpfs.mount_options).iter().find(|option| !is_known(option)) {
        Some(unknown) => {
            Err(wrong(name, &format!("'{unknown}' is not a valid mount option of a tmpfs.")))
        }
        None => Ok(()),
    }
}

/// What agents know (API reference, `dockerSecurityOptions`); labels, profiles and credential specs
/// need an instance that has them, which placement sees to.
const SECURITY_OPTIONS: [&str; 3] = ["label", "apparmor", "credentialspec"];

/// Anything else would be ignored, or keep the container from being created.
fn security_options(options: &[String], name: &str) -> Result<(), Error> {
    let is_known = |option: &str| {
        let plain = option.replace('=', ":");
        let word = plain.split(':').next().unwrap_or("");
        SECURITY_OPTIONS.contains(&word)
            || matches!(
                plain.as_str(),
                "no-new-privileges"
                    | "no-new-privileges:true"
                    | "no-new-privileges:false"
                    | "seccomp:unconfined"
            )
    };
    match options.iter().find(|option| !is_known(option)) {
        Some(option) => {
            Err(wrong(name, &format!("'{option}' is not a supported Docker security option.")))
        }
        None => Ok(()),
    }
}

/// -1 means that there is no limit. Names were checked by the model.
fn ulimits(ulimits: &[shapes::Ulimit], name: &str) -> Result<(), Error> {
    for limit in ulimits {
        let word = limit.name.as_str();
        if ulimits.iter().filter(|other| other.name == limit.name).count() > 1 {
            return Err(wrong(name, &format!("The ulimit '{word}' can be set only once.")));
        }
        let endless = |value: i32| if value == -1 { i32::MAX } else { value };
        let (soft, hard) = (endless(limit.soft_limit), endless(limit.hard_limit));
        if soft < 0 || hard < 0 {
            let text = format!("The limits of the ulimit '{word}' must be -1 or greater.");
            return Err(wrong(name, &text));
        }
        if soft > hard {
            let text = format!("The soft limit of the ulimit '{word}' is above its hard limit.");
            return Err(wrong(name, &text));
        }
    }
    Ok(())
}
