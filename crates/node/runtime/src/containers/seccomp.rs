//! Docker's default profile of system calls, as data (`moby/profiles:seccomp/default.json`).

use std::collections::HashSet;

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

/// What everyone may call, whatever the arguments.
const ALLOWED: &str = include_str!("seccomp_allowed.txt");

/// What only holders of a capability may call.
const BY_CAPABILITY: &[(Capability, &[&str])] = &[
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (
        Capability::SysAdmin,
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "lsm_get_self_attr",
            "lsm_list_modules",
            "lsm_set_self_attr",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    (Capability::SysBoot, &["reboot"]),
    (Capability::SysChroot, &["chroot"]),
    (Capability::SysModule, &["delete_module", "finit_module", "init_module"]),
    (Capability::SysPacct, &["acct"]),
    (Capability::SysPtrace, &["kcmp", "pidfd_getfd", "process_madvise"]),
    (Capability::SysRawio, &["ioperm", "iopl"]),
    (Capability::SysTime, &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    (Capability::SysTtyConfig, &["vhangup"]),
    (Capability::SysNice, &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    (Capability::Syslog, &["syslog"]),
    (Capability::Bpf, &["bpf"]),
    (Capability::Perfmon, &["perf_event_open"]),
];

/// Families of sockets beyond the first twelve; left out are those that have been trouble (38 is
/// the kernel's crypto, 40 reaches a virtual machine's host).
const SOCKET_FAMILIES: &[u64] = &[
    13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44,
    45,
];
/// Families below this one are all allowed.
const SOCKET_FAMILIES_BELOW: u64 = 12;

/// `personality` may ask and set these: Linux, its 32-bit form, and address randomisation off.
const PERSONALITIES: &[u64] = &[0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The bits of `clone` that make namespaces.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// `ENOSYS`: with it C libraries fall back from `clone3` to `clone`, whose flags can be looked at.
const NO_SUCH_CALL: u32 = 38;
/// `EPERM`.
const NOT_ALLOWED: u32 = 1;

/// The profile for a container with these capabilities.
pub(super) fn profile(capabilities: &HashSet<Capability>) -> Option<LinuxSeccomp> {
    let mut rules = vec![allow(ALLOWED.split_whitespace(), Vec::new())?];
    rules.push(allow(ARCHITECTURE_CALLS.iter().copied(), Vec::new())?);
    rules.push(allow(
        ["socket"],
        vec![argument(0, SOCKET_FAMILIES_BELOW, None, LinuxSeccompOperator::ScmpCmpLt)?],
    )?);
    for (call, values) in [("socket", SOCKET_FAMILIES), ("personality", PERSONALITIES)] {
        for value in values {
            let equal = argument(0, *value, None, LinuxSeccompOperator::ScmpCmpEq)?;
            rules.push(allow([call], vec![equal])?);
        }
    }
    for (capability, calls) in BY_CAPABILITY {
        if capabilities.contains(capability) {
            rules.push(allow(calls.iter().copied(), Vec::new())?);
        }
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        let operator = LinuxSeccompOperator::ScmpCmpMaskedEq;
        let no_namespace = argument(0, CLONE_NAMESPACES, Some(0), operator)?;
        rules.push(allow(["clone"], vec![no_namespace])?);
        let refused = LinuxSyscallBuilder::default()
            .names(["clone3".to_owned()])
            .action(LinuxSeccompAction::ScmpActErrno)
            .errno_ret(NO_SUCH_CALL);
        rules.push(refused.build().ok()?);
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(NOT_ALLOWED)
        .architectures(ARCHITECTURES.to_vec())
        .syscalls(rules)
        .build()
        .ok()
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: &[Arch] = &[Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32];
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE_CALLS: &[&str] = &["arch_prctl", "modify_ldt"];

#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: &[Arch] = &[Arch::ScmpArchAarch64, Arch::ScmpArchArm];
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE_CALLS: &[&str] = &[
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "breakpoint",
    "cacheflush",
    "set_tls",
    "sync_file_range2",
];

fn allow<'a>(
    calls: impl IntoIterator<Item = &'a str>,
    arguments: Vec<LinuxSeccompArg>,
) -> Option<LinuxSyscall> {
    let names: Vec<String> = calls.into_iter().map(str::to_owned).collect();
    let rule = LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow);
    match arguments.is_empty() {
        true => rule.build().ok(),
        false => rule.args(arguments).build().ok(),
    }
}

fn argument(
    index: usize,
    value: u64,
    second: Option<u64>,
    operator: LinuxSeccompOperator,
) -> Option<LinuxSeccompArg> {
    let argument = LinuxSeccompArgBuilder::default().index(index).value(value).op(operator);
    match second {
        Some(second) => argument.value_two(second).build().ok(),
        None => argument.build().ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_follow_capabilities() {
        let allowed = |capabilities: &[Capability], call: &str| {
            let profile = profile(&capabilities.iter().copied().collect()).unwrap();
            profile.syscalls().as_ref().unwrap().iter().any(|rule| {
                rule.action() == LinuxSeccompAction::ScmpActAllow
                    && rule.args().is_none()
                    && rule.names().iter().any(|name| name == call)
            })
        };
        assert!(allowed(&[], "read"));
        assert!(!allowed(&[], "mount"));
        assert!(allowed(&[Capability::SysAdmin], "mount"));
        assert!(!allowed(&[], "clone"));
        assert!(!allowed(&[], "keyctl"));
        assert!(!allowed(&[Capability::SysAdmin], "io_uring_setup"));
    }
}
