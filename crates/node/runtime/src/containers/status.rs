//! What is true of a container, and what can go wrong.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use crate::ContainerId;

/// A container that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its first process, as the host sees it.
    pub pid: i32,
    /// When it was created.
    pub at: Timestamp,
}

/// How one container stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// Its task.
    pub task: String,
    /// Its state.
    pub state: ContainerState,
}

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// It exists; its command was not started.
    Created {
        /// Its first process.
        pid: i32,
    },
    /// Its command runs.
    Running {
        /// Its first process.
        pid: i32,
        /// Since when.
        started_at: Timestamp,
    },
    /// It has ended.
    Exited(Exit),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Whether the kernel killed something in it for want of memory.
    pub oom: bool,
    /// When.
    pub at: Timestamp,
    /// When its command was started, if ever.
    pub started_at: Option<Timestamp>,
    /// Why, if not by itself: its shim was killed, the host went down.
    pub reason: Option<String>,
    /// How often it had been restarted in place before ([`super::Containers::revive`]).
    #[serde(default)]
    pub restarts: u32,
}

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerEvent {
    /// It ended.
    Exited {
        /// Which.
        id: ContainerId,
        /// How.
        exit: Exit,
    },
}

/// How a command beside the container's own ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutcome {
    /// By itself.
    Exited {
        /// Its exit code; 128 + n if signal n ended it, 126 if it cannot be run, 127 if it is not
        /// there.
        code: i32,
        /// The start of what it wrote to both outputs.
        output: String,
    },
    /// It ran out of time and was killed.
    TimedOut {
        /// The start of what it wrote to both outputs.
        output: String,
    },
}

/// What a running container uses; counters since its creation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time, in nanoseconds.
    pub cpu_usage_ns: u64,
    /// … of it in user mode.
    pub cpu_user_ns: u64,
    /// … of it in kernel mode.
    pub cpu_kernel_ns: u64,
    /// … of it on each processor, where the kernel tells it (cgroup version 1).
    pub cpu_of_each_ns: Vec<u64>,
    /// Processor time of the whole machine until then, idle or not, in nanoseconds.
    pub system_cpu_ns: u64,
    /// Scheduling periods under a quota, and those in which it was used up.
    pub cpu_periods: u64,
    /// Periods in which the quota was used up.
    pub cpu_throttled_periods: u64,
    /// How long it was held back, in nanoseconds.
    pub cpu_throttled_ns: u64,
    /// Memory, in bytes, the page cache included.
    pub memory_usage_bytes: u64,
    /// The most it ever was; 0 if the kernel does not say.
    pub memory_peak_bytes: u64,
    /// Its limit; [`UNLIMITED`](super::UNLIMITED) if none.
    pub memory_limit_bytes: u64,
    /// Page cache that can go at once: what Docker takes off the usage.
    pub memory_inactive_file_bytes: u64,
    /// Further counters of `memory.stat`.
    pub memory: Vec<(String, u64)>,
    /// Processes and threads.
    pub pids: u64,
    /// So many there may be; none if there is no limit.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub block_read_bytes: u64,
    /// Bytes written to block devices.
    pub block_write_bytes: u64,
    /// Reads from block devices.
    pub block_read_operations: u64,
    /// Writes to block devices.
    pub block_write_operations: u64,
    /// Its network interfaces but loopback; empty in the host's network.
    pub interfaces: Vec<InterfaceStats>,
}

/// The counters of one network interface, as the container sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStats {
    /// Its name.
    pub name: String,
    /// Bytes in.
    pub rx_bytes: u64,
    /// Packets in.
    pub rx_packets: u64,
    /// Errors in.
    pub rx_errors: u64,
    /// Packets dropped on the way in.
    pub rx_dropped: u64,
    /// Bytes out.
    pub tx_bytes: u64,
    /// Packets out.
    pub tx_packets: u64,
    /// Errors out.
    pub tx_errors: u64,
    /// Packets dropped on the way out.
    pub tx_dropped: u64,
}

/// Why a container could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The specification cannot be met: the text names the member.
    #[error("{member}: {message}")]
    Specification {
        /// The member of the task definition.
        member: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// There is one of that id.
    #[error("container {0} exists already")]
    Exists(ContainerId),
    /// The kernel or the image would not have it.
    #[error("{0}")]
    Launch(String),
    /// A file of ours could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was done to which file.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Why something could not be done with a container.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is none of that id.
    #[error("there is no container {0}")]
    Unknown(ContainerId),
    /// It does not run.
    #[error("container {0} is not running")]
    NotRunning(ContainerId),
    /// The shim said why not.
    #[error("{0}")]
    Refused(String),
    /// The shim is gone.
    #[error("the shim of container {0} is gone")]
    ShimGone(ContainerId),
    /// A file could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was done to which file.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// A signal's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// Asks a process to end.
    pub const TERM: Self = Self(15);
    /// Ends a process.
    pub const KILL: Self = Self(9);

    /// Its number.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => write!(f, "SIG{name}"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A text that names no signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a signal: a name such as SIGTERM, or a number from 1 to 64")]
pub struct ParseSignalError(String);

/// `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`: what an image's STOPSIGNAL may be.
impl FromStr for Signal {
    type Err = ParseSignalError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseSignalError(text.to_owned());
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((number, _)) = NAMES.iter().find(|(_, known)| *known == name) {
            return Ok(Self(*number));
        }
        let number = match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
            (Some(above), _) => REALTIME_MIN.checked_add(above.parse().map_err(|_| wrong())?),
            (_, Some(below)) => REALTIME_MAX.checked_sub(below.parse().map_err(|_| wrong())?),
            _ => Some(name.parse().map_err(|_| wrong())?),
        };
        number.filter(|number| (1..=REALTIME_MAX).contains(number)).map(Self).ok_or_else(wrong)
    }
}

/// glibc's first real-time signal, which Docker means too.
const REALTIME_MIN: i32 = 34;
const REALTIME_MAX: i32 = 64;

const NAMES: &[(i32, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (5, "TRAP"),
    (6, "ABRT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (12, "USR2"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
    (16, "STKFLT"),
    (17, "CHLD"),
    (18, "CONT"),
    (19, "STOP"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (23, "URG"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (28, "WINCH"),
    (29, "IO"),
    (30, "PWR"),
    (31, "SYS"),
    (34, "RTMIN"),
    (64, "RTMAX"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn signals_are_read_as_docker_reads_them() {
        let check = |text: &str, expected: Option<i32>| {
            assert_eq!(text.parse::<Signal>().ok().map(Signal::number), expected, "{text}");
        };
        check("SIGTERM", Some(15));
        check("quit", Some(3));
        check("9", Some(9));
        check("SIGRTMIN+3", Some(37));
        check("SIGRTMAX-1", Some(63));
        check("SIGRTMIN+99999999999", None);
        check("0", None);
        check("65", None);
        check("SIGNOPE", None);
        check("", None);
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
    }
}
