//! The socket's messages and the files of a container's directory.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::LogOptions;

/// The version of the socket's messages. A shim answers only its own; the runtime, which may be
/// newer than a shim that still runs, must keep speaking every version it ever started.
pub const PROTOCOL_VERSION: u32 = 1;

/// The largest message in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The most bytes of a command's output that an exec keeps: Docker keeps 4,096 of a health check.
pub const EXEC_OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Connections that one shim serves at once.
pub const CONNECTIONS_MAX: usize = 8;

/// Commands that may run beside the container's own at once.
pub const EXECS_MAX: usize = 16;

/// The names of the files in a container's directory.
pub mod file {
    /// The shim's socket.
    pub const SOCKET: &str = "shim.sock";
    /// What the shim was asked to hold: [`super::Holding`].
    pub const HOLDING: &str = "holding.json";
    /// The OCI bundle's document.
    pub const BUNDLE: &str = "bundle/config.json";
    /// Which process runs: [`super::Running`], written once the container exists.
    pub const RUNNING: &str = "running.json";
    /// How it ended: [`super::Exit`], in place before anything is cleaned up.
    pub const EXIT: &str = "exit.json";
    /// Why it could not be created, in plain words.
    pub const FAILURE: &str = "failure.txt";
    /// libcontainer's own records.
    pub const STATE: &str = "state";
    /// The empty directory where the root file system is mounted, for the container alone.
    pub const ROOTFS: &str = "rootfs";
    /// The empty directory where what it sees of cgroups of version 1 is mounted, for the container alone.
    pub const CGROUPS: &str = "cgroup";
    /// The container's output; older parts are `output.json.1`, `.2`, ….
    pub const LOG: &str = "output.json";
    /// Up to where the output is sent on, if somebody sends it: written by who does.
    pub const SENT: &str = "output.sent";
    /// Where the container's launcher hands over the terminal.
    pub const CONSOLE: &str = "console.sock";
    /// What the shim itself had to say.
    pub const SHIM_LOG: &str = "shim.log";
}

/// What a shim is to hold: read once, at its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The protocol version of the runtime that wrote this.
    pub version: u32,
    /// The container's root file system, mounted in the container's own mount namespace only.
    pub rootfs: Overlay,
    /// `user[:group]` as Docker reads it, looked up in the container's own files.
    pub user: String,
    /// The filter of its system calls, a program for the kernel's own interpreter; none is no filter.
    pub filter: Option<PathBuf>,
    /// Whether the container gets a network namespace of its own with nothing but loopback.
    pub isolated_network: bool,
    /// How its output is kept.
    pub logs: LogOptions,
    /// The container's cgroup, as a path below each controller's root.
    pub cgroup: String,
    /// Whether the container has a process namespace of its own: if not, what it leaves behind is
    /// killed by its cgroup.
    pub own_pid_namespace: bool,
    /// How often it was restarted in place before this: its [`Exit`] says so.
    #[serde(default)]
    pub restarts: u32,
    /// What its standard descriptors are.
    #[serde(default)]
    pub input: Input,
}

/// What a container's standard input is, and with a terminal its outputs too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Nothing: it is at its end at once.
    #[default]
    Nothing,
    /// A pipe that nobody writes to, and that stays open.
    Open,
    /// A terminal of its own, which its outputs are as well.
    Terminal,
}

/// The name under which the container finds this program as its init: Docker's for the same.
/// Called by it, the program is an init for the command in its arguments behind `--`.
pub const INIT_PATH: &str = "/sbin/docker-init";

/// An overlay mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// The directories below, the topmost first.
    pub lower: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// The overlay's work directory, on the file system of `upper`.
    pub work: PathBuf,
}

/// The process of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its id on the host.
    pub pid: i32,
    /// When it was created: milliseconds since the epoch.
    pub created_ms: i64,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Whether the kernel killed something in it for want of memory.
    pub oom: bool,
    /// When it was seen: milliseconds since the epoch.
    pub at_ms: i64,
    /// When its command was started, if ever.
    pub started_ms: Option<i64>,
    /// Why, if it did not end by itself.
    pub reason: Option<String>,
    /// How often it had been restarted in place before.
    #[serde(default)]
    pub restarts: u32,
}

/// The runtime's side of the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`PROTOCOL_VERSION`] of the speaker.
    pub version: u32,
    /// Chosen by the runtime, echoed in the response.
    pub id: u64,
    /// What is asked.
    pub call: Call,
}

/// What the runtime may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Say how things are.
    Status,
    /// Run the container's command.
    Start,
    /// Send a signal to the container's first process.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// Run a command beside it.
    Exec(Exec),
}

/// A command to run in a running container, as its user, with its rights and environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The command.
    pub args: Vec<String>,
    /// Environment beyond the container's own.
    pub env: BTreeMap<String, String>,
    /// How long it may take: milliseconds.
    pub timeout_ms: u64,
}

/// A command with a terminal of its own, to run in a running container as root: ECS Exec. Read by the
/// program's `session`, which answers with the terminal's descriptor, or ends and says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The command.
    pub args: Vec<String>,
    /// Environment beyond the container's own.
    pub env: BTreeMap<String, String>,
    /// The terminal's width.
    pub columns: u16,
    /// The terminal's height.
    pub rows: u16,
}

/// The shim's side of the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// An answer.
    Response {
        /// The request's.
        id: u64,
        /// What came of it.
        reply: Reply,
    },
    /// The container has ended; its record is on disk.
    Exited(Exit),
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It was done.
    Done,
    /// How things are.
    Status(Status),
    /// The command ended.
    Exec(ExecReply),
    /// It could not be done, and why.
    Failed(String),
}

/// Where a container stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It exists; its command was not started.
    Created(Running),
    /// Its command runs, since `started_ms`.
    Running {
        /// Its process.
        process: Running,
        /// Milliseconds since the epoch.
        started_ms: i64,
    },
    /// It has ended.
    Exited(Exit),
}

/// How a command beside the container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecReply {
    /// Its exit code, or none if it ran out of time and was killed.
    pub code: Option<i32>,
    /// The first [`EXEC_OUTPUT_BYTES_MAX`] bytes of what it wrote to both outputs.
    pub output: String,
}

/// Writes one message: its length in four bytes, most significant first, then JSON.
///
/// # Errors
/// Fails as the writer does, or if the message is over [`MESSAGE_BYTES_MAX`].
pub fn write_message<T: Serialize>(writer: &mut impl Write, message: &T) -> io::Result<()> {
    writer.write_all(&encode(message)?)
}

/// The bytes of one message, its length before it.
///
/// # Errors
/// Fails if the message is over [`MESSAGE_BYTES_MAX`].
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    if length > MESSAGE_BYTES_MAX {
        return Err(too_long(length));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(bytes)
}

/// Reads one message; none if the other side has closed between two.
///
/// # Errors
/// Fails as the reader does, on a message over [`MESSAGE_BYTES_MAX`], and on one that is not of
/// this type.
pub fn read_message<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(too_long(length));
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a message of {length} bytes; the most is {MESSAGE_BYTES_MAX}"),
    )
}
