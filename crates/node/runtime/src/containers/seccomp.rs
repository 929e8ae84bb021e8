//! Docker's default profile of system calls, as data (`moby/profiles:seccomp/default.json`).

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use oci_spec::runtime::Capability;
use sha2::{Digest, Sha256};
use shim::{Compare, Condition, Profile, Rule};

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
pub(super) fn profile(capabilities: &HashSet<Capability>) -> Profile {
    let mut rules = vec![
        allow(ALLOWED.split_whitespace(), None),
        allow(ARCHITECTURE_CALLS.iter().copied(), None),
        allow(["socket"], Some(Compare::Below(SOCKET_FAMILIES_BELOW))),
    ];
    for (call, values) in [("socket", SOCKET_FAMILIES), ("personality", PERSONALITIES)] {
        rules.extend(values.iter().map(|value| allow([call], Some(Compare::Equal(*value)))));
    }
    for (capability, calls) in BY_CAPABILITY {
        if capabilities.contains(capability) {
            rules.push(allow(calls.iter().copied(), None));
        }
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        rules.push(allow(["clone"], Some(Compare::NoneOf(CLONE_NAMESPACES))));
        let names = vec!["clone3".to_owned()];
        rules.push(Rule { names, condition: None, errno: Some(NO_SUCH_CALL) });
    }
    Profile { default_errno: NOT_ALLOWED, rules }
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE_CALLS: &[&str] = &["arch_prctl", "modify_ldt"];

#[cfg(target_arch = "aarch64")]
const ARCHITECTURE_CALLS: &[&str] = &[
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "breakpoint",
    "cacheflush",
    "set_tls",
    "sync_file_range2",
];

/// Every condition of the profile is on a call's first argument.
fn allow<'a>(calls: impl IntoIterator<Item = &'a str>, compare: Option<Compare>) -> Rule {
    Rule {
        names: calls.into_iter().map(str::to_owned).collect(),
        condition: compare.map(|compare| Condition { argument: 0, compare }),
        errno: None,
    }
}

/// Counts the drafts of this process, so that each has a name of its own.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// The compiled filter for a container with these capabilities: a file in `folder`, named by what it
/// was made from, and made by the shim's program if it is not there yet. That takes some twenty
/// milliseconds, once.
pub(super) fn filter(
    folder: &Path,
    program: &Path,
    capabilities: &HashSet<Capability>,
) -> io::Result<PathBuf> {
    let profile = serde_json::to_vec(&profile(capabilities))?;
    let mut digest = Sha256::new();
    digest.update(&profile);
    digest.update(program.as_os_str().as_bytes());
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let file = folder.join(format!("seccomp-{digest}"));
    if file.exists() {
        return Ok(file);
    }
    // Several containers may be the first to need it, in this process and in others.
    let draft = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!("seccomp-{digest}.{}.{draft}", std::process::id()));
    let mut child = Command::new(program)
        .arg("filter")
        .arg(&temporary)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&profile)?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    fs::rename(&temporary, &file)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_follow_capabilities() {
        let allowed = |capabilities: &[Capability], call: &str| {
            let profile = profile(&capabilities.iter().copied().collect());
            profile.rules.iter().any(|rule| {
                rule.errno.is_none()
                    && rule.condition.is_none()
                    && rule.names.iter().any(|name| name == call)
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
