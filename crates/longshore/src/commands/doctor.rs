//! `longshore doctor`: what this machine lacks, and how to mend it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use terms::Clock;

use crate::clock::SystemClock;
use crate::instances::InstanceFlags;
use crate::output::{self, Format};
use crate::settings::{ServerFlags, ServerSettings};
use crate::tls_upkeep;

/// Kernels from 5.6 on have all that the node uses (openat2, pidfd, time-safe overlayfs).
const KERNEL_MIN: (u32, u32) = (5, 6);

/// Free space under which pulls and writes soon fail, in MiB.
const FREE_MIB_MIN: u64 = 1024;

/// Flags of `longshore doctor`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  longshore doctor\n  longshore doctor --listen 0.0.0.0:4566 --output json"
)]
pub struct Doctor {
    #[command(flatten)]
    server: ServerFlags,
}

/// The answer to one question about the machine.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    found: String,
    /// What to do; empty if nothing has to be done.
    mend: String,
}

impl Finding {
    fn new(check: &'static str, ok: bool, found: impl Into<String>, mend: &str) -> Self {
        let mend = if ok { String::new() } else { mend.to_owned() };
        Self { check, ok, found: found.into(), mend }
    }
}

impl Doctor {
    /// Asks everything, prints the answers.
    ///
    /// # Errors
    /// If something is missing, after the answers have been printed.
    pub fn run(self, format: Format) -> Result<()> {
        let settings = ServerSettings::resolve(&self.server, &InstanceFlags::default())?;
        let around = [space(&settings.data_dir), port(settings.listen)];
        let findings = containers().into_iter().chain(around).chain(certificate(&settings));
        let findings: Vec<Finding> = findings.collect();
        match format {
            Format::Json => output::json(&findings)?,
            Format::Text => print(&findings)?,
        }
        match findings.iter().filter(|finding| !finding.ok).count() {
            0 => Ok(()),
            missing => bail!("{missing} of {} checks failed", findings.len()),
        }
    }
}

/// What this machine has and lacks, for the bundle.
pub fn findings() -> impl Serialize {
    containers()
}

/// What it takes to run containers at all.
fn containers() -> [Finding; 7] {
    let overlay = file_system("overlay");
    [root(), kernel(), overlay, cgroups(), namespaces(), firewall(), forwarding()]
}

/// Refuses to begin on a machine that cannot run containers, naming what is missing.
///
/// # Errors
/// If anything is missing; the text says what, and how to mend it.
pub fn require_containers() -> Result<()> {
    refuse_missing(&containers())
}

fn refuse_missing(findings: &[Finding]) -> Result<()> {
    let missing = findings.iter().filter(|finding| !finding.ok);
    let told: Vec<_> = missing.map(|f| format!("{}: {}; {}", f.check, f.found, f.mend)).collect();
    if told.is_empty() {
        return Ok(());
    }
    bail!("this machine cannot run containers yet\n  {}", told.join("\n  "))
}

fn print(findings: &[Finding]) -> Result<()> {
    let row = |finding: &Finding| {
        let mark = if finding.ok { "ok" } else { "MISSING" };
        vec![mark.into(), finding.check.into(), finding.found.clone(), finding.mend.clone()]
    };
    output::table(&["", "check", "found", "to mend it"], findings.iter().map(row).collect())?;
    Ok(())
}

fn root() -> Finding {
    let uid = nix::unistd::geteuid();
    let mend = "run as root (sudo): containers, mounts and networks need it";
    Finding::new("root rights", uid.is_root(), format!("user {uid}"), mend)
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim().to_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let mend = format!("use a kernel from {}.{} on", KERNEL_MIN.0, KERNEL_MIN.1);
    Finding::new("kernel", version >= KERNEL_MIN, release, &mend)
}

fn file_system(name: &'static str) -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let ok = known.lines().any(|line| line.split_whitespace().last() == Some(name));
    let found = if ok { "overlay is known to the kernel" } else { "no overlay file system" };
    Finding::new("overlayfs", ok, found, "modprobe overlay")
}

fn cgroups() -> Finding {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let v1 = |controller: &str| {
        mounts.lines().any(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            fields.get(2) == Some(&"cgroup")
                && fields.get(3).is_some_and(|options| options.split(',').any(|o| o == controller))
        })
    };
    let v2 = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let lacks = |controller: &&&str| {
        !v1(controller) && !v2.split_whitespace().any(|known| known == **controller)
    };
    let missing: Vec<_> = ["cpu", "memory", "pids"].iter().filter(lacks).copied().collect();
    let found = match (missing.is_empty(), v2.is_empty()) {
        (true, true) => "version 1 (or hybrid), with cpu, memory and pids".to_owned(),
        (true, false) => "version 2, with cpu, memory and pids".to_owned(),
        (false, _) => format!("no controller for {}", missing.join(", ")),
    };
    let mend = "mount the missing controllers below /sys/fs/cgroup (or boot with \
                systemd.unified_cgroup_hierarchy=1)";
    Finding::new("cgroups", missing.is_empty(), found, mend)
}

fn namespaces() -> Finding {
    let kinds = ["mnt", "pid", "net", "ipc", "uts"];
    let lacks = |kind: &&&str| !Path::new("/proc/self/ns").join(kind).exists();
    let missing: Vec<_> = kinds.iter().filter(lacks).copied().collect();
    let found = match missing.is_empty() {
        true => kinds.join(", "),
        false => format!("none of kind {}", missing.join(", ")),
    };
    Finding::new("namespaces", missing.is_empty(), found, "use a kernel with namespaces built in")
}

fn firewall() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let nft = places.map(|folder| folder.join("nft")).find(|program| program.exists());
    let found = nft.as_ref().map_or("no nft program".into(), |path| path.display().to_string());
    Finding::new("nftables", nft.is_some(), found, "apt-get install nftables")
}

fn forwarding() -> Finding {
    let file = "/proc/sys/net/ipv4/ip_forward";
    let writable = fs::OpenOptions::new().write(true).open(file).is_ok();
    let found = if writable { "can be switched on" } else { "cannot be switched on" };
    let mend = "let this process write /proc/sys/net (in a container: --privileged)";
    Finding::new("IP forwarding", writable, found, mend)
}

fn space(data_dir: &Path) -> Finding {
    let existing = data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let free_mib = nix::sys::statvfs::statvfs(existing)
        .map(|stat| stat.blocks_available() * stat.fragment_size() / (1024 * 1024))
        .unwrap_or(0);
    let found = format!("{free_mib} MiB free for {}", data_dir.display());
    let mend = format!("free {FREE_MIB_MIN} MiB there, or choose another --data-dir");
    Finding::new("disk space", free_mib >= FREE_MIB_MIN, found, &mend)
}

fn port(listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::new("API port", true, format!("{listen} is free"), ""),
        Err(error) => {
            let mend = "stop what holds it (a running longshore is fine), or use --listen";
            Finding::new("API port", false, format!("{listen}: {error}"), mend)
        }
    }
}

/// The server's certificate, if it is to serve with one.
fn certificate(settings: &ServerSettings) -> Option<Finding> {
    let mend = "'longshore init --renew' makes a new one; servers take it up by themselves";
    let finding = |ok, found: String| Finding::new("certificate", ok, found, mend);
    let tls = match settings.security.tls() {
        Ok(tls) => tls?.server,
        Err(error) => return Some(finding(false, format!("{error:#}"))),
    };
    let now = SystemClock.now();
    let ending: Vec<_> = tls_upkeep::ending(&tls, now)
        .into_iter()
        .map(|(what, ends_at)| match ends_at <= now {
            true => format!("the {what} ended at {ends_at}"),
            false => format!("the {what} ends at {ends_at}"),
        })
        .collect();
    Some(match ending.is_empty() {
        true => finding(true, format!("valid until {}", tls.certificate().ends_at)),
        false => finding(false, ending.join("; ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_its_remedy() {
        let there = Finding::new("overlayfs", true, "known", "modprobe overlay");
        let missing = Finding::new("nftables", false, "no nft program", "apt-get install nftables");
        assert!(refuse_missing(std::slice::from_ref(&there)).is_ok());
        let error = refuse_missing(&[there, missing]).map_err(|error| error.to_string());
        let expected = "this machine cannot run containers yet\n  \
                        nftables: no nft program; apt-get install nftables";
        assert_eq!(error, Err(expected.to_owned()));
    }
}
