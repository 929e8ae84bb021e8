//! Processes that a benchmark starts, and ends by their ids.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// What was asked to end has this long before it is killed.
const GRACE: Duration = Duration::from_secs(20);
/// Ticks of `/proc/PID/stat` in a second, on every Linux that we know.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often a start is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// A child that is ended when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a program with its output in `log`, on `core` alone if one is given.
    pub fn start(mut command: Command, log: &Path, core: Option<usize>) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let out =
            std::fs::File::create(log).with_context(|| format!("making {}", log.display()))?;
        if let Some(core) = core {
            command = pinned(&command, core);
        }
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name })
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, but not longer than `limit`.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn wait_end(&mut self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while self.child.try_wait()?.is_none() && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Looks until `ready` says yes.
    ///
    /// # Errors
    /// If the process ends before, or `limit` is over.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + limit;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended before it was ready: {status}", self.name);
            }
            if Instant::now() > end {
                bail!("{} was not ready within {limit:?}", self.name);
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        let _ = kill(pid, Signal::SIGTERM);
        let end = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.child.kill();
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The same command, held to one core by `taskset`.
fn pinned(command: &Command, core: usize) -> Command {
    let mut outer = Command::new("taskset");
    outer.arg("-c").arg(core.to_string()).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        outer.env(name, value.unwrap_or(OsStr::new("")));
    }
    outer
}

/// How long this thread has had a processor.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("a thread may ask for its own time").into()
}

/// Holds this process to one core from here on.
pub fn pin_self(core: usize) -> Result<()> {
    let set = cores([core])?;
    sched_setaffinity(Pid::from_raw(0), &set).context("holding the load generator to one core")
}

/// Holds what threads a process has, and those that they start, to these cores from here on.
pub fn hold(process: u32, to: impl IntoIterator<Item = usize>) -> Result<()> {
    let set = cores(to)?;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let id = thread?.file_name().to_string_lossy().parse()?;
        // One that has ended since needs no core.
        match sched_setaffinity(Pid::from_raw(id), &set) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context("holding a server to cores"),
        }
    }
    Ok(())
}

fn cores(to: impl IntoIterator<Item = usize>) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    for core in to {
        set.set(core)?;
    }
    Ok(set)
}

/// A loopback port that nobody had a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Whether `GET path` answers 200 right now.
pub fn answers(port: u16, path: &str) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut head = [0; 12];
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut head).is_ok()
        && head.ends_with(b" 200")
}

/// Runs a program to its end and gives what it printed.
///
/// # Errors
/// If it cannot be started or fails; the text has what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("starting {name}"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What a process has used so far, from `/proc`; or between two looks.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    at: Instant,
    /// Seconds between two looks.
    pub seconds: f64,
    /// Seconds of processor time.
    pub processor_seconds: f64,
    /// Bytes that went to a disk.
    pub written_bytes: u64,
}

impl Usage {
    /// What the process has used until now.
    pub fn of(id: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        // After the name come the state and ten more, then utime and stime in ticks.
        let ticks: Vec<f64> = fields.skip(11).take(2).flat_map(str::parse).collect();
        let io = std::fs::read_to_string(format!("/proc/{id}/io"))?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(Self {
            at: Instant::now(),
            seconds: 0.0,
            processor_seconds: ticks.iter().sum::<f64>() / TICKS_PER_SECOND,
            written_bytes: written.and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
        })
    }

    /// What was used since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            at: self.at,
            seconds: (self.at - before.at).as_secs_f64(),
            processor_seconds: self.processor_seconds - before.processor_seconds,
            written_bytes: self.written_bytes - before.written_bytes,
        }
    }

    /// Cores that were busy on average.
    pub fn cores(&self) -> f64 {
        self.processor_seconds / self.seconds
    }
}
