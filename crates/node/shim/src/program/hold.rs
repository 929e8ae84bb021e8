//! The shim itself: one loop over its descriptors, for one container.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2, setsid};
use shim::cgroup::Hierarchies;
use shim::{Call, Exit, Holding, Input, Reply, Running, Status, file};

use super::clock::Instant;
use super::connections::Connections;
use super::console;
use super::execs::Execs;
use super::last_record;
use super::launch::{INNER_ID, Outcome, read};
use super::logs::{Log, Stream};
use super::memory;

/// This program's file, whatever has become of its name.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// How much of one output is read at once: a pipe's default capacity is 64 KiB.
const READ_BYTES: usize = 16 * 1024;

/// How much is still read from an output after the container has ended, should something outside
/// of it hold the other end and keep writing.
const LAST_READ_BYTES_MAX: usize = 1024 * 1024;

/// After so long without anything to do, memory is given back: milliseconds.
const IDLE_AFTER_MS: i32 = 500;

/// While output waits until more of it may, there is a look for room this often: milliseconds.
const ROOM_LOOK_MS: i32 = 100;

/// How reluctantly the kernel kills the shim for memory: its container goes first.
const OOM_SCORE_ADJUSTMENT: &str = "-999";

enum State {
    /// `create` runs: its process, and the pipe on which it says what came of it.
    /// Others that end meanwhile may be the container's first process already.
    Creating {
        child: Pid,
        outcome: File,
        ended: Vec<(Pid, i32)>,
    },
    Created(Running),
    Running {
        process: Running,
        started_ms: i64,
    },
    Over,
}

struct Shim {
    holding: Holding,
    state: State,
    log: Log,
    outputs: [Option<File>; 2],
    /// Where its terminal is handed over, until it was.
    console: Option<UnixListener>,
    execs: Execs,
    /// Whether nothing has happened since memory was given back.
    idle: bool,
}

/// Holds the container of `directory` until it has ended.
pub(crate) fn hold(directory: &Path) -> io::Result<()> {
    std::env::set_current_dir(directory)?;
    let signals = become_independent()?;
    let holding: Holding = read(Path::new(file::HOLDING)).map_err(io::Error::other)?;
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let mut connections = Connections::new(listener);
    let mut shim = Shim::begin(holding)?;
    while !matches!(shim.state, State::Over) {
        shim.turn(&signals, &mut connections)?;
    }
    connections.close();
    Ok(())
}

/// Leaves the caller's session, so that neither Ctrl-C nor a terminal's end reach the container;
/// becomes the parent of what the container's creation leaves.
fn become_independent() -> io::Result<SignalFd> {
    // It fails only for the leader of a session, which is what it is to be.
    let _ = setsid();
    nix::sys::prctl::set_child_subreaper(true)?;
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJUSTMENT);
    let mut mask = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGPIPE,
    ] {
        mask.add(signal);
    }
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

impl Shim {
    fn begin(holding: Holding) -> io::Result<Self> {
        fs::create_dir_all(file::STATE)?;
        fs::create_dir_all(file::ROOTFS)?;
        fs::create_dir_all(file::CGROUPS)?;
        forget_earlier_run(&holding)?;
        last_record::reserve()?;
        let console = match holding.input {
            Input::Terminal => Some(console::listen()?),
            Input::Nothing | Input::Open => None,
        };
        let (stdout, stdout_in) = output_pipe()?;
        let (stderr, stderr_in) = output_pipe()?;
        let (outcome, outcome_in) = output_pipe()?;
        let child = Command::new(OWN_PROGRAM)
            .arg("create")
            .stdin(Stdio::from(outcome_in))
            .stdout(Stdio::from(stdout_in))
            .stderr(Stdio::from(stderr_in))
            .spawn()?;
        let child = Pid::from_raw(child.id() as i32);
        let log = Log::new(holding.logs.clone());
        let outputs = [Some(stdout), Some(stderr)];
        let state = State::Creating { child, outcome, ended: Vec::new() };
        Ok(Self { holding, state, log, outputs, console, execs: Execs::default(), idle: false })
    }

    /// Waits for something to happen, and does what it asks for.
    fn turn(&mut self, signals: &SignalFd, connections: &mut Connections) -> io::Result<()> {
        let creating = matches!(self.state, State::Creating { .. });
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let reads = self.log.has_room();
        if reads {
            let outputs = self.outputs.iter().flatten();
            fds.extend(outputs.map(|f| PollFd::new(f.as_fd(), PollFlags::POLLIN)));
        }
        fds.extend(self.execs.descriptors().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // Until the container exists there is nothing to say: callers wait.
        if !creating {
            connections.watch(&mut fds);
        }
        let deadline = self.execs.next_deadline_ms();
        let idle_after = (!creating && !self.idle).then_some(IDLE_AFTER_MS);
        let look_for_room = (!reads).then_some(ROOM_LOOK_MS);
        let wait = deadline.into_iter().chain(idle_after).chain(look_for_room).min();
        let timeout = wait
            .map_or(PollTimeout::NONE, |ms| PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX));
        let happened = match poll(&mut fds, timeout) {
            Ok(count) => count > 0,
            Err(Errno::EINTR) => true,
            Err(error) => return Err(error.into()),
        };
        drop(fds);
        if !happened && wait == idle_after {
            memory::give_back();
        }
        self.idle = !happened;
        if reads {
            self.read_outputs();
        }
        self.execs.advance();
        while let Ok(Some(_)) = signals.read_signal() {}
        self.reap(connections);
        if !matches!(self.state, State::Creating { .. } | State::Over) {
            for (connection, request) in connections.serve() {
                self.answer(connections, connection, request.id, request.call);
            }
        }
        for (connection, id, reply) in self.execs.finished() {
            connections.reply(connection, id, Reply::Exec(reply));
        }
        Ok(())
    }

    fn read_outputs(&mut self) {
        for (slot, stream) in [(0, Stream::Stdout), (1, Stream::Stderr)] {
            self.read_output(slot, stream, READ_BYTES);
        }
    }

    /// Reads what there is, up to about `most` bytes.
    fn read_output(&mut self, slot: usize, stream: Stream, most: usize) {
        let mut buffer = [0; READ_BYTES];
        let mut total = 0;
        while total < most {
            let Some(pipe) = self.outputs[slot].as_mut() else { return };
            match pipe.read(&mut buffer) {
                Ok(0) => self.outputs[slot] = None,
                Ok(count) => {
                    total += count;
                    self.log.take(stream, &buffer[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.outputs[slot] = None,
            }
        }
    }

    /// Takes the exit statuses of all children: the container's first process, our helpers, and
    /// whatever was left to us as the nearest reaper.
    fn reap(&mut self, connections: &mut Connections) {
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Err(Errno::EINTR) => continue,
                _ => return,
            };
            self.execs.ended(pid, code);
            match &mut self.state {
                State::Creating { child, .. } if *child == pid => self.created(connections),
                State::Creating { ended, .. } => ended.push((pid, code)),
                State::Created(process) if process.pid == pid.as_raw() => {
                    self.exited(code, None, connections);
                }
                State::Running { process, started_ms } if process.pid == pid.as_raw() => {
                    let started_ms = *started_ms;
                    self.exited(code, Some(started_ms), connections);
                }
                _ => {}
            }
        }
    }

    /// `create` has ended: takes over what it made.
    fn created(&mut self, connections: &mut Connections) {
        let State::Creating { outcome, ended, .. } = &mut self.state else { return };
        let ended = std::mem::take(ended);
        let mut text = Vec::new();
        let _ = outcome.read_to_end(&mut text);
        match serde_json::from_slice(&text) {
            Ok(Outcome::Created(pid)) => {
                let process = Running { pid, created_ms: Instant::now().millis() };
                let taken = self.take_terminal();
                match taken.and_then(|()| store(file::RUNNING, &process)) {
                    Ok(()) => self.state = State::Created(process),
                    Err(error) => {
                        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                        self.fail(&format!("cannot write {}: {error}", file::RUNNING));
                    }
                }
            }
            Ok(Outcome::Failed(message)) => self.fail(&message),
            Err(_) => {
                let said = self.last_words();
                self.fail(&format!("the container could not be created: its launcher died{said}"));
            }
        }
        if let State::Created(process) = &self.state
            && let Some((_, code)) = ended.iter().find(|(pid, _)| pid.as_raw() == process.pid)
        {
            self.exited(*code, None, connections);
        }
    }

    /// With a terminal, it is all that the container writes to.
    fn take_terminal(&mut self) -> io::Result<()> {
        if let Some(listener) = self.console.take() {
            let terminal = console::accept(&listener)?;
            set_nonblocking(terminal.as_fd())?;
            self.outputs = [Some(File::from(terminal)), None];
        }
        Ok(())
    }

    /// What the launcher wrote to the container's standard error before it died.
    fn last_words(&mut self) -> String {
        let mut said = Vec::new();
        if let Some(pipe) = self.outputs[1].as_mut() {
            let _ = pipe.read_to_end(&mut said);
        }
        let said = String::from_utf8_lossy(&said);
        if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) }
    }

    fn fail(&mut self, message: &str) {
        if let Err(error) = fs::write(file::FAILURE, message) {
            eprintln!("longshore-shim: {message}; and that could not be written: {error}");
        }
        self.state = State::Over;
    }

    /// The container has ended: keeps its last words and its status, then tells.
    fn exited(&mut self, code: i32, started_ms: Option<i64>, connections: &mut Connections) {
        let cgroup = &self.holding.cgroup;
        let hierarchies = Hierarchies::detect().ok();
        let oom = hierarchies.as_ref().is_some_and(|h| h.oom_kills(cgroup) > 0);
        if !self.holding.own_pid_namespace
            && let Some(hierarchies) = &hierarchies
        {
            let kill_one = |pid| {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            };
            let reap_one = || {
                let _ = waitpid(None, Some(WaitPidFlag::WNOHANG));
            };
            hierarchies.kill_all(cgroup, kill_one, reap_one);
        }
        self.read_output(0, Stream::Stdout, LAST_READ_BYTES_MAX);
        self.read_output(1, Stream::Stderr, LAST_READ_BYTES_MAX);
        self.log.finish();
        let (at_ms, restarts) = (Instant::now().millis(), self.holding.restarts);
        let exit = Exit { code, oom, at_ms, started_ms, reason: None, restarts };
        if let Err(error) = last_record::write(&exit) {
            eprintln!("longshore-shim: cannot write {}: {error}", file::EXIT);
        }
        self.state = State::Over;
        connections.announce(&exit);
    }

    fn answer(&mut self, connections: &mut Connections, connection: u64, id: u64, call: Call) {
        let reply = match call {
            Call::Status => self.status(),
            Call::Start => or_failed(self.start()),
            Call::Signal { signal } => or_failed(self.signal(signal)),
            Call::Exec(exec) => match &self.state {
                State::Running { process, .. } => {
                    match self.execs.begin(connection, id, process.pid, &exec) {
                        Ok(()) => return,
                        Err(error) => Reply::Failed(format!("cannot run a command: {error}")),
                    }
                }
                _ => Reply::Failed("the container is not running".to_owned()),
            },
        };
        connections.reply(connection, id, reply);
    }

    fn status(&self) -> Reply {
        match &self.state {
            State::Created(process) => Reply::Status(Status::Created(process.clone())),
            State::Running { process, started_ms } => {
                Reply::Status(Status::Running { process: process.clone(), started_ms: *started_ms })
            }
            State::Creating { .. } | State::Over => {
                Reply::Failed("the container is not there".to_owned())
            }
        }
    }

    /// Lets the container's first process go on to its command.
    fn start(&mut self) -> io::Result<()> {
        let State::Created(process) = &self.state else { return Ok(()) };
        let socket = format!("{}/{INNER_ID}/notify.sock", file::STATE);
        let started_ms = Instant::now().millis();
        UnixStream::connect(socket)?.write_all(b"start container")?;
        self.state = State::Running { process: process.clone(), started_ms };
        Ok(())
    }

    fn signal(&self, signal: i32) -> io::Result<()> {
        let (State::Created(process) | State::Running { process, .. }) = &self.state else {
            return Ok(());
        };
        // It is our child and not reaped yet, so its id is still its own.
        send_signal(process.pid, signal)
    }
}

/// By number, because real-time signals have no name in the enum.
fn send_signal(pid: i32, signal: i32) -> io::Result<()> {
    let target = Pid::from_raw(pid);
    if let Ok(signal) = Signal::try_from(signal) {
        return Ok(kill(target, signal)?);
    }
    raw_signal(pid, signal)
}

#[allow(unsafe_code)]
fn raw_signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two numbers and touches no memory of ours.
    match unsafe { nix::libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn or_failed(outcome: io::Result<()>) -> Reply {
    match outcome {
        Ok(()) => Reply::Done,
        Err(error) => Reply::Failed(error.to_string()),
    }
}

/// Takes the record away of how the container ended before it was restarted. Not earlier: as long
/// as no shim lives, that record is what is true.
fn forget_earlier_run(holding: &Holding) -> io::Result<()> {
    match read::<Exit>(Path::new(file::EXIT)) {
        Ok(exit) if exit.restarts < holding.restarts => fs::remove_file(file::EXIT),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Puts a record in place whole or not at all. It is not synced: a container does not outlive the
/// host, so its records need not either.
fn store<T: serde::Serialize>(name: &str, record: &T) -> io::Result<()> {
    let temporary = format!("{name}.new");
    fs::write(&temporary, serde_json::to_vec(record)?)?;
    fs::rename(temporary, name)
}

/// A pipe whose reading end does not block.
pub(crate) fn output_pipe() -> io::Result<(File, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    set_nonblocking(reader.as_fd())?;
    Ok((File::from(reader), writer))
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    debug_assert!(fd.as_raw_fd() > 2, "the standard descriptors are shared with others");
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}
