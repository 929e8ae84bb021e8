//! Containers: their life, from a specification to an exit status.

mod boot;
mod bundle;
mod cgroups;
mod files;
mod keeper;
mod linux;
mod machine;
mod mounting;
mod records;
mod revive;
mod rights;
mod seccomp;
mod shared;
mod shims;
mod socket;
mod spec;
mod stats;
mod status;
mod terminal;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::ContainerId;

pub use cgroups::has_swappiness;
pub use linux::{LinuxContainers, OpenError};
pub use shim::file::SENT as SENT_FILE;
pub use shim::{Input, Keep, LogOptions, Unsent, WhenFull};
pub use spec::{
    ContainerSpec, Device, Dns, HostEntry, IpcMode, MachineView, Mount, MountSource, Network,
    PidMode, Resources, Seccomp, TaskLimits, UNLIMITED, Ulimit,
};
pub use status::{
    CallError, ContainerEvent, ContainerState, ContainerStatus, CreateError, Created, ExecOutcome,
    Exit, InterfaceStats, ParseSignalError, Signal, Stats,
};
pub use terminal::{Terminal, TerminalSize};

/// Exits that wait to be taken from [`Containers::events`]; further ones wait in their shims.
pub const EVENTS_MAX: usize = 1024;

/// Runs containers.
///
/// Each call may be repeated after a crash of the caller: what is already so is success.
#[async_trait]
pub trait Containers: Send + Sync + 'static {
    /// Makes the cgroup that a task's containers share, and sets its limits. To be called before
    /// the first of them is created, if the task has limits of its own.
    async fn prepare_task(&self, task: &str, limits: &TaskLimits) -> Result<(), CallError>;

    /// Removes what [`Containers::prepare_task`] made, and the namespaces that its containers
    /// shared. They must be gone.
    async fn remove_task(&self, task: &str) -> Result<(), CallError>;

    /// Creates a container without starting its command.
    async fn create(&self, spec: ContainerSpec) -> Result<Created, CreateError>;

    /// Makes a container that has ended ready to be started again, in place: what it wrote, its
    /// network and its volumes stay. `restarts` counts how often this was done, this time included;
    /// the end that follows tells it ([`Exit::restarts`]). One that has not ended is success.
    async fn revive(&self, id: &ContainerId, restarts: u32) -> Result<Created, CreateError>;

    /// Starts the command of a created container.
    async fn start(&self, id: &ContainerId) -> Result<(), CallError>;

    /// Sends a signal to the container's first process. A container that has ended is success.
    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), CallError>;

    /// Runs a command in a running container, as its user, with its environment and rights.
    async fn exec(
        &self,
        id: &ContainerId,
        args: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutcome, CallError>;

    /// Runs a command with a terminal in a running container, as root, with its environment and
    /// rights (ECS semantics §19).
    async fn open_terminal(
        &self,
        id: &ContainerId,
        args: Vec<String>,
        size: TerminalSize,
    ) -> Result<Box<dyn Terminal>, CallError> {
        let _ = (args, size);
        Err(CallError::Refused(format!("no terminals here, so none for container {}", id.short())))
    }

    /// Removes a container: kills it if it still runs, then takes away its cgroup, its directory
    /// and, unless `keep_logs`, its output. One that is unknown is success.
    async fn remove(&self, id: &ContainerId, keep_logs: bool) -> Result<(), CallError>;

    /// Every container that this runtime knows, those included that it found at its start.
    async fn list(&self) -> Vec<ContainerStatus>;

    /// How one container stands.
    async fn status(&self, id: &ContainerId) -> Option<ContainerStatus>;

    /// What a running container uses.
    async fn stats(&self, id: &ContainerId) -> Result<Stats, CallError>;

    /// What each of them uses, in the same order; nothing for one that does not run.
    async fn stats_of(&self, ids: &[ContainerId]) -> Vec<Option<Stats>> {
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            all.push(self.stats(id).await.ok());
        }
        all
    }

    /// What happens from now on; what happened before stands in [`Containers::list`]. One reader:
    /// a second call takes over from the first.
    fn events(&self) -> mpsc::Receiver<ContainerEvent>;

    /// The current file of the container's output, lines of JSON as Docker's json-file driver
    /// writes them (`{"log","stream","time"}`); older ones have `.1`, `.2`, … added.
    fn log_path(&self, id: &ContainerId) -> PathBuf;
}
