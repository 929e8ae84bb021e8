//! Containers of this host, each held by a shim.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use shim::cgroup::Hierarchies;
use shim::{Call, Exec, Holding, Message, PROTOCOL_VERSION, Reply, Status, file};
use terms::{Clock, Timestamp};
use tokio::sync::mpsc;

use crate::ContainerId;

use super::boot;
use super::bundle::{self, Surroundings};
use super::keeper::{Entry, Host, end_without_shim, kill_all};
use super::records::Directory;
use super::shared::{Meeting, Shared};
use super::socket::Socket;
use super::{
    CallError, ContainerEvent, ContainerSpec, ContainerState, ContainerStatus, Containers,
    CreateError, Created, EVENTS_MAX, ExecOutcome, IpcMode, MountSource, Network, PidMode, Seccomp,
    Signal, Stats, TaskLimits, Terminal, TerminalSize, cgroups, files, revive, rights, seccomp,
    shims, stats, terminal,
};

/// Why the runtime cannot start.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct OpenError {
    what: String,
    source: io::Error,
}

/// Containers of this host. Dropping it leaves them running.
pub struct LinuxContainers {
    folder: PathBuf,
    program: PathBuf,
    host: Host,
    entries: Mutex<BTreeMap<ContainerId, Entry>>,
    shared: Arc<Shared>,
}

impl LinuxContainers {
    /// Opens the containers of `node_folder` (`DATA/node`): installs the shim in `program_folder`
    /// (`DATA/bin`), and takes up again what an earlier process left. Containers whose shim is gone
    /// are killed and reported as ended, with a reason.
    ///
    /// # Errors
    /// Fails if a folder cannot be written or no cgroups are mounted.
    pub async fn open(
        node_folder: &Path,
        program_folder: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let folder = node_folder.join("containers");
        let fail = |what: String| move |source| OpenError { what, source };
        fs::create_dir_all(&folder).map_err(fail(format!("cannot make {}", folder.display())))?;
        let folder =
            folder.canonicalize().map_err(fail(format!("cannot find {}", folder.display())))?;
        let program = shims::install(program_folder)
            .and_then(|program| program.canonicalize())
            .map_err(fail(format!("cannot write the shim to {}", program_folder.display())))?;
        let hierarchies = Hierarchies::detect().map_err(fail("cannot find cgroups".to_owned()))?;
        let host = Host { hierarchies: Arc::new(hierarchies), clock, events: Arc::default() };
        let is_new_start = boot::is_new(&folder.with_file_name("boot"));
        let shared = folder.with_file_name("shared");
        let shared = Arc::new(Shared::new(shared, program.clone()));
        let containers = Self { folder, program, host, entries: Mutex::default(), shared };
        containers
            .take_up(is_new_start)
            .await
            .map_err(fail("cannot read the containers' folder".to_owned()))?;
        Ok(containers)
    }

    /// The tasks whose containers share namespaces, also if no container of theirs is there: a crash
    /// may come before the first, or after the last.
    pub(crate) fn sharing_tasks(&self) -> Result<Vec<String>, CallError> {
        let what = "cannot read which tasks share namespaces".to_owned();
        self.shared.tasks().map_err(|source| CallError::Io { what, source })
    }

    fn directory(&self, id: &ContainerId) -> Directory {
        Directory::new(&self.folder, id)
    }

    fn entry(&self, id: &ContainerId) -> Result<Entry, CallError> {
        self.entries.lock().get(id).cloned().ok_or_else(|| CallError::Unknown(id.clone()))
    }

    /// The cgroup of a container that runs, and its first process.
    fn running(&self, id: &ContainerId) -> Result<(String, i32), CallError> {
        let entry = self.entry(id)?;
        match *entry.state.borrow() {
            ContainerState::Created { pid } | ContainerState::Running { pid, .. } => {
                Ok((entry.record.cgroup.clone(), pid))
            }
            _ => Err(CallError::NotRunning(id.clone())),
        }
    }

    /// Finds what an earlier process left.
    async fn take_up(&self, is_new_start: bool) -> io::Result<()> {
        for found in fs::read_dir(&self.folder)? {
            let name = found?.file_name().to_string_lossy().into_owned();
            let Ok(id) = name.parse::<ContainerId>() else { continue };
            let directory = self.directory(&id);
            let Some(record) = directory.record() else { continue };
            let entry = match directory.exit() {
                Some(exit) if exit.restarts >= directory.restarts() => Entry::ended(record, exit),
                // One from before a restart that was begun: what lives counts.
                _ => match self.reconnect(&directory).await {
                    Ok((state, socket)) => {
                        Entry::live(record, directory, state, socket, self.host.clone())
                    }
                    // Its agent died before it started the shim: nothing was made of it yet.
                    Err(_) if !directory.was_launched() => {
                        self.undo(directory, record.cgroup).await;
                        continue;
                    }
                    Err(_) => {
                        let reason = match directory.failure() {
                            Some(failure) => failure,
                            None if is_new_start => {
                                "the container ended because the machine was started anew"
                                    .to_owned()
                            }
                            None => "the container was killed because its shim was".to_owned(),
                        };
                        // The end may have been put down just now.
                        let exit = directory.exit().unwrap_or_else(|| {
                            end_without_shim(&directory, &record, &self.host, &reason)
                        });
                        Entry::ended(record, exit)
                    }
                },
            };
            self.entries.lock().insert(id, entry);
        }
        Ok(())
    }

    async fn reconnect(&self, directory: &Directory) -> io::Result<(ContainerState, Socket)> {
        let mut socket = Socket::new(shims::connect(directory)?)?;
        let state = ask_state(&mut socket).await?;
        Ok((state, socket))
    }

    /// Writes everything that the shim reads.
    fn prepare(
        &self,
        spec: &ContainerSpec,
        meeting: Option<&Meeting>,
        directory: &Directory,
    ) -> Result<(), CreateError> {
        let io = |what: &'static str| {
            move |source| CreateError::Io {
                what: format!("cannot write the container's {what}"),
                source,
            }
        };
        let cgroup = bundle::cgroup(spec);
        directory.create(spec, &cgroup).map_err(io("directory"))?;
        for mount in &spec.mounts {
            make_source(mount)?;
        }
        let hostname = hostname(spec);
        let files = files::write(directory.path(), spec, &hostname).map_err(io("files"))?;
        let held = rights::capabilities(spec.privileged, &spec.cap_add, &spec.cap_drop)?;
        let around = Surroundings {
            capabilities: &held,
            directory: directory.path(),
            hierarchies: &self.host.hierarchies,
            hostname: &hostname,
            pid_namespace: meeting.filter(|_| spec.pid_mode == PidMode::Task).map(|m| &m.pid),
            ipc: meeting.filter(|_| spec.ipc_mode == IpcMode::Task).map(|m| (&m.ipc, &m.memory)),
            files,
            program: &self.program,
        };
        let document = bundle::document(spec, &around)?;
        directory.write(file::BUNDLE, &document).map_err(io("bundle"))?;
        let filter = match spec.seccomp {
            Seccomp::Default if !spec.privileged => {
                let folder = self.program.parent().unwrap_or(Path::new("/"));
                let made = seccomp::filter(folder, &self.program, &held);
                Some(made.map_err(io("filter of system calls"))?)
            }
            Seccomp::Default | Seccomp::Unconfined => None,
        };
        let holding = Holding {
            filter,
            version: PROTOCOL_VERSION,
            rootfs: spec.rootfs.clone(),
            user: spec.user.clone().unwrap_or_default(),
            isolated_network: spec.network == Network::None,
            logs: spec.logs.clone(),
            cgroup,
            own_pid_namespace: spec.pid_mode == PidMode::Own,
            restarts: 0,
            input: spec.input,
        };
        directory.write(file::HOLDING, &holding).map_err(io("instructions for its shim"))
    }

    /// Where the container meets the others of its task, if it does.
    async fn meeting(&self, spec: &ContainerSpec) -> Result<Option<Meeting>, CreateError> {
        if spec.pid_mode != PidMode::Task && spec.ipc_mode != IpcMode::Task {
            return Ok(None);
        }
        let (shared, task) = (Arc::clone(&self.shared), spec.task.clone());
        let memory_bytes = spec.shm_size_bytes.unwrap_or(bundle::SHM_BYTES_DEFAULT);
        let made = blocking(move || {
            shared.of_task(&task, memory_bytes).map_err(|source| CallError::Io {
                what: format!("cannot make the namespaces that task {task} shares"),
                source,
            })
        });
        made.await.map(Some).map_err(|error| CreateError::Launch(terms::with_causes(&error)))
    }

    async fn launch(&self, directory: &Directory) -> Result<(ContainerState, Socket), CreateError> {
        let io = |source| CreateError::Io { what: "cannot start the shim".to_owned(), source };
        let (stream, mut child) = shims::start(&self.program, directory).map_err(io)?;
        tokio::spawn(async move { child.wait().await });
        let mut socket = Socket::new(stream).map_err(io)?;
        match ask_state(&mut socket).await {
            Ok(state) => Ok((state, socket)),
            Err(error) => Err(CreateError::Launch(directory.failure().unwrap_or_else(|| {
                match fs::read_to_string(directory.file(file::SHIM_LOG)) {
                    Ok(said) if !said.trim().is_empty() => said.trim().to_owned(),
                    _ => format!("the shim ended: {error}"),
                }
            }))),
        }
    }

    /// Takes away what a failed creation left.
    async fn undo(&self, directory: Directory, cgroup: String) {
        let hierarchies = Arc::clone(&self.host.hierarchies);
        let undone = tokio::task::spawn_blocking(move || {
            cgroups::remove(&hierarchies, &cgroup)?;
            directory.remove(false)
        });
        if let Ok(Err(error)) = undone.await {
            tracing::warn!(%error, "something of a container that failed is left");
        }
    }
}

/// Asks a shim how its container stands; it answers once the container is created.
async fn ask_state(socket: &mut Socket) -> io::Result<ContainerState> {
    let asked = socket.send(Call::Status).await?;
    loop {
        match socket.receive().await? {
            Some(Message::Response { id, reply: Reply::Status(status) }) if id == asked => {
                return match status {
                    Status::Created(process) => Ok(ContainerState::Created { pid: process.pid }),
                    Status::Running { process, started_ms } => Ok(ContainerState::Running {
                        pid: process.pid,
                        started_at: Timestamp::from_millis(started_ms),
                    }),
                    Status::Exited(_) => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
            Some(Message::Response { reply: Reply::Failed(message), .. }) => {
                return Err(io::Error::other(message));
            }
            Some(Message::Response { .. }) => {}
            Some(Message::Exited(_)) | None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Docker makes the directory of a bind mount that is not there.
fn make_source(mount: &super::Mount) -> Result<(), CreateError> {
    let MountSource::Bind(source) = &mount.source else { return Ok(()) };
    if !source.is_absolute() || !mount.target.is_absolute() {
        return Err(CreateError::Specification {
            member: "mountPoints",
            message: format!(
                "{} on {}: both must be absolute",
                source.display(),
                mount.target.display()
            ),
        });
    }
    if source.exists() {
        return Ok(());
    }
    fs::create_dir_all(source).map_err(|error| CreateError::Io {
        what: format!("cannot make the volume's directory {}", source.display()),
        source: error,
    })
}

fn hostname(spec: &ContainerSpec) -> String {
    match (&spec.hostname, &spec.network) {
        (Some(name), _) if !name.is_empty() => name.clone(),
        (_, Network::Host) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        _ => spec.id.short().to_owned(),
    }
}

#[async_trait]
impl Containers for LinuxContainers {
    async fn prepare_task(&self, task: &str, limits: &TaskLimits) -> Result<(), CallError> {
        let cgroup = bundle::task_cgroup(task);
        cgroups::prepare(&self.host.hierarchies, &cgroup, limits).map_err(|source| CallError::Io {
            what: format!("cannot make cgroup {cgroup}"),
            source,
        })
    }

    async fn remove_task(&self, task: &str) -> Result<(), CallError> {
        let (cgroup, task) = (bundle::task_cgroup(task), task.to_owned());
        let hierarchies = Arc::clone(&self.host.hierarchies);
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            shared.remove(&task).map_err(|source| CallError::Io {
                what: format!("cannot remove the namespaces that task {task} shared"),
                source,
            })?;
            cgroups::remove(&hierarchies, &cgroup).map_err(|source| CallError::Io {
                what: format!("cannot remove cgroup {cgroup}"),
                source,
            })
        })
        .await
    }

    async fn create(&self, spec: ContainerSpec) -> Result<Created, CreateError> {
        let id = spec.id.clone();
        let directory = self.directory(&id);
        if directory.record().is_some() {
            return Err(CreateError::Exists(id));
        }
        let meeting = self.meeting(&spec).await?;
        let launched = match self.prepare(&spec, meeting.as_ref(), &directory) {
            Ok(()) => self.launch(&directory).await,
            Err(error) => Err(error),
        };
        let (state, socket) = match launched {
            Ok(launched) => launched,
            Err(error) => {
                self.undo(directory, bundle::cgroup(&spec)).await;
                return Err(error);
            }
        };
        let (ContainerState::Created { pid } | ContainerState::Running { pid, .. }) = state else {
            return Err(CreateError::Launch("the container ended at once".to_owned()));
        };
        let Some(record) = directory.record() else {
            return Err(CreateError::Launch("the container's record is gone".to_owned()));
        };
        let entry = Entry::live(record, directory, state, socket, self.host.clone());
        self.entries.lock().insert(id, entry);
        Ok(Created { pid, at: self.host.clock.now() })
    }

    async fn revive(&self, id: &ContainerId, restarts: u32) -> Result<Created, CreateError> {
        let directory = self.directory(id);
        let gone = || CreateError::Launch(CallError::Unknown(id.clone()).to_string());
        let entry = self.entry(id).map_err(|_| gone())?;
        let at = self.host.clock.now();
        let state = entry.state.borrow().clone();
        if let ContainerState::Created { pid } | ContainerState::Running { pid, .. } = state {
            return Ok(Created { pid, at });
        }
        revive::clear(&directory, &entry.record.cgroup, &self.host, restarts).await?;
        let (state, socket) = self.launch(&directory).await?;
        let (ContainerState::Created { pid } | ContainerState::Running { pid, .. }) = state else {
            return Err(CreateError::Launch("the container ended at once".to_owned()));
        };
        let entry = Entry::live(entry.record, directory, state, socket, self.host.clone());
        self.entries.lock().insert(id.clone(), entry);
        Ok(Created { pid, at })
    }

    async fn start(&self, id: &ContainerId) -> Result<(), CallError> {
        self.entry(id)?.call(Call::Start).await.map(|_| ())
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), CallError> {
        match self.entry(id)?.call(Call::Signal { signal: signal.number() }).await {
            Ok(_) | Err(CallError::NotRunning(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn exec(
        &self,
        id: &ContainerId,
        args: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutcome, CallError> {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let exec = Exec { args, env: BTreeMap::new(), timeout_ms };
        match self.entry(id)?.call(Call::Exec(exec)).await? {
            Reply::Exec(reply) => Ok(match reply.code {
                Some(code) => ExecOutcome::Exited { code, output: reply.output },
                None => ExecOutcome::TimedOut { output: reply.output },
            }),
            other => Err(CallError::Refused(format!("an answer to something else: {other:?}"))),
        }
    }

    async fn open_terminal(
        &self,
        id: &ContainerId,
        args: Vec<String>,
        size: TerminalSize,
    ) -> Result<Box<dyn Terminal>, CallError> {
        let ContainerState::Running { pid, .. } = *self.entry(id)?.state.borrow() else {
            return Err(CallError::NotRunning(id.clone()));
        };
        let directory = self.directory(id);
        let opened = terminal::open(&self.program, directory.path(), pid, args, size).await?;
        Ok(Box::new(opened))
    }

    async fn remove(&self, id: &ContainerId, keep_logs: bool) -> Result<(), CallError> {
        let directory = self.directory(id);
        let cgroup = match self.entry(id) {
            Ok(entry) => {
                self.signal(id, Signal::KILL).await?;
                entry.exited().await;
                Some(entry.record.cgroup)
            }
            Err(_) => directory.record().map(|record| record.cgroup),
        };
        let hierarchies = Arc::clone(&self.host.hierarchies);
        let failed = id.clone();
        blocking(move || {
            if let Some(cgroup) = cgroup {
                kill_all(&hierarchies, &cgroup);
                cgroups::remove(&hierarchies, &cgroup)
                    .map_err(|source| io_error("cannot remove the cgroup", &failed, source))?;
            }
            directory
                .remove(keep_logs)
                .map_err(|source| io_error("cannot remove the files", &failed, source))
        })
        .await?;
        self.entries.lock().remove(id);
        Ok(())
    }

    async fn list(&self) -> Vec<ContainerStatus> {
        self.entries.lock().values().map(Entry::status).collect()
    }

    async fn status(&self, id: &ContainerId) -> Option<ContainerStatus> {
        self.entries.lock().get(id).map(Entry::status)
    }

    async fn stats(&self, id: &ContainerId) -> Result<Stats, CallError> {
        self.running(id)?;
        let mut read = self.stats_of(std::slice::from_ref(id)).await;
        read.pop().flatten().ok_or_else(|| CallError::NotRunning(id.clone()))
    }

    /// One piece of blocking work: each wakes the idlest thread, and hundreds would keep all alive.
    async fn stats_of(&self, ids: &[ContainerId]) -> Vec<Option<Stats>> {
        let running: Vec<_> = ids.iter().map(|id| self.running(id).ok()).collect();
        let hierarchies = Arc::clone(&self.host.hierarchies);
        let read = move |(cgroup, pid): (String, i32)| stats::read(&hierarchies, &cgroup, pid);
        let all =
            blocking(move || Ok(running.into_iter().map(|one| one.and_then(&read)).collect()));
        all.await.unwrap_or_else(|_| vec![None; ids.len()])
    }

    fn events(&self) -> mpsc::Receiver<ContainerEvent> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        *self.host.events.lock() = Some(sender);
        receiver
    }

    fn log_path(&self, id: &ContainerId) -> PathBuf {
        self.directory(id).file(file::LOG)
    }
}

fn io_error(what: &str, id: &ContainerId, source: io::Error) -> CallError {
    CallError::Io { what: format!("{what} of container {}", id.short()), source }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(CallError::Refused(format!("the work was given up: {error}"))),
    }
}
