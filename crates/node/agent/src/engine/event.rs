//! What the engine is told, and what it wants done.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use agent_protocol::task::Task;
use runtime::{ContainerId, ContainerState, Exit, PortBinding};
use serde::{Deserialize, Serialize};
use terms::{TaskArn, Timestamp};

use super::report::{Marks, StateChange};

/// One container of one task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerRef {
    /// The task.
    pub task: TaskArn,
    /// The container's place in the task, from 0.
    pub index: usize,
}

/// Why a container, or a task's preparation, failed: an error's name as ECS's agent gives it and
/// a text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Failure {
    /// `CannotPullContainerError`, ….
    pub name: String,
    /// What happened.
    pub message: String,
}

impl Failure {
    /// A failure of this name.
    pub fn new(name: &str, message: impl std::fmt::Display) -> Self {
        Self { name: name.to_owned(), message: message.to_string() }
    }
}

/// What an image pull found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledImage {
    /// The manifest's digest.
    pub digest: String,
    /// The configuration's digest.
    pub image_id: String,
    /// The image's own `STOPSIGNAL`.
    pub stop_signal: Option<String>,
    /// When a registry was asked; `None` if the image was in the store.
    pub pulled: Option<(Timestamp, Timestamp)>,
}

/// What the creation of a container gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreatedContainer {
    /// When.
    pub at: Timestamp,
    /// Its place in the network; `None` without one of its own.
    pub network: Option<Place>,
}

/// A container's place in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Length of its network's prefix.
    pub prefix: u8,
    /// The network's gateway.
    pub gateway: Ipv4Addr,
    /// Its published ports.
    pub bindings: Vec<PortBinding>,
}

/// How a health check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The exit code; `None` if it ran out of time or could not run.
    pub code: Option<i32>,
    /// The start of what it wrote, or why it could not run.
    pub output: String,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The server took it.
    Accepted,
    /// The server will never take it (`InvalidParameterException`): it counts as sent.
    Rejected,
    /// Anything else: again later.
    Failed,
}

/// What the engine is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A payload names the task; `ids` has one fresh id for each of its containers.
    Wanted {
        /// The task, without secrets.
        task: Arc<Task>,
        /// Ids for its containers, used if the task is new.
        ids: Vec<ContainerId>,
    },
    /// The task is to stop, whatever a payload said.
    StopRequested {
        /// The task.
        task: TaskArn,
    },
    /// The task holds more of the disk than it may: it is to stop.
    Outgrown {
        /// The task.
        task: TaskArn,
        /// What is told of it.
        reason: String,
    },
    /// A payload's task could not be read: it is reported STOPPED with this reason.
    Unreadable {
        /// The task.
        task: TaskArn,
        /// Why.
        reason: String,
    },
    /// What the runtime said about a container when the agent started again; `None`: unknown.
    Found {
        /// The container.
        id: ContainerId,
        /// How it stands.
        state: Option<ContainerState>,
        /// Its place in the network.
        network: Option<Place>,
    },
    /// All [`Event::Found`] were told: the engine may act.
    Restored,
    /// [`Command::Prepare`] ended.
    Prepared {
        /// The task.
        task: TaskArn,
        /// Whether it worked.
        result: Result<(), Failure>,
    },
    /// A registry named the manifest of the image being pulled.
    Resolved {
        /// The container.
        container: ContainerRef,
        /// The manifest's digest.
        digest: String,
    },
    /// [`Command::Pull`] ended.
    Pulled {
        /// The container.
        container: ContainerRef,
        /// The image.
        result: Result<PulledImage, Failure>,
    },
    /// [`Command::Create`] ended.
    Created {
        /// The container.
        container: ContainerRef,
        /// What it gave.
        result: Result<CreatedContainer, Failure>,
    },
    /// [`Command::Start`] ended.
    Started {
        /// The container.
        container: ContainerRef,
        /// When it started.
        result: Result<Timestamp, Failure>,
    },
    /// [`Command::Restart`] ended.
    Restarted {
        /// The container.
        container: ContainerRef,
        /// When it started.
        result: Result<Timestamp, Failure>,
    },
    /// A container ended.
    Exited {
        /// The container.
        id: ContainerId,
        /// How.
        exit: Exit,
    },
    /// [`Command::Signal`] could not be delivered since the runtime does not know the container.
    Vanished {
        /// The container.
        container: ContainerRef,
    },
    /// [`Command::Release`] ended.
    Released {
        /// The container.
        container: ContainerRef,
    },
    /// [`Command::Probe`] ended.
    Probed {
        /// The container.
        container: ContainerRef,
        /// How.
        probe: Probe,
    },
    /// [`Command::Submit`] ended.
    Submitted {
        /// The task.
        task: TaskArn,
        /// What became of it.
        delivery: Delivery,
    },
    /// [`Command::Remove`] ended.
    Removed {
        /// The task.
        task: TaskArn,
        /// Whether everything is gone.
        result: Result<(), Failure>,
    },
    /// The disk stands otherwise than before.
    Disk {
        /// Stopped tasks go as soon as the server knows of their end.
        is_low: bool,
        /// Why no new task begins; none if they do.
        full: Option<String>,
    },
    /// A deadline of [`super::Engine::next_deadline`] has come.
    Tick,
    /// From now on stopped tasks are removed as soon as their reports were taken, or at once when
    /// `reports` is false.
    CleanUp {
        /// Whether to wait for the reports.
        reports: bool,
        /// The longest time from a stop signal to SIGKILL from now on.
        stop_timeout_max: Duration,
    },
}

/// What the engine wants done. Each may be repeated after a crash.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make what a task's containers share. Answer: [`Event::Prepared`].
    Prepare {
        /// The task.
        task: Arc<Task>,
    },
    /// Take an awsvpc task's network away: its containers have ended; no answer.
    Withdraw {
        /// The task.
        task: Arc<Task>,
    },
    /// Get a container's image. Answer: [`Event::Pulled`].
    Pull {
        /// The container.
        container: ContainerRef,
        /// Its task.
        task: Arc<Task>,
    },
    /// Give up a pull; no answer.
    CancelPull {
        /// The container.
        container: ContainerRef,
    },
    /// Give it its network and create it. Answer: [`Event::Created`].
    Create(Box<Creation>),
    /// Start a created container. Answer: [`Event::Started`].
    Start {
        /// The container.
        container: ContainerRef,
        /// Its id.
        id: ContainerId,
    },
    /// Open the local endpoints of a container found alive after a restart; no answer.
    Serve {
        /// The container.
        container: ContainerRef,
        /// Its id.
        id: ContainerId,
        /// Its task.
        task: Arc<Task>,
    },
    /// Start a container that has ended again, in place. Answer: [`Event::Restarted`].
    Restart {
        /// The container.
        container: ContainerRef,
        /// Its id.
        id: ContainerId,
        /// How often it was restarted, this time included.
        count: u32,
    },
    /// Send a signal; only failures answer, with [`Event::Vanished`].
    Signal {
        /// The container.
        container: ContainerRef,
        /// Its id.
        id: ContainerId,
        /// Which signal: the text of an image's STOPSIGNAL, or `SIGKILL`.
        signal: String,
    },
    /// Run a health check. Answer: [`Event::Probed`].
    Probe {
        /// The container.
        container: ContainerRef,
        /// Its id.
        id: ContainerId,
        /// The command with its arguments.
        args: Vec<String>,
        /// When to give up.
        timeout: Duration,
    },
    /// Take a stopped container's network and endpoints away. Answer: [`Event::Released`].
    Release {
        /// The container.
        container: ContainerRef,
        /// Its id.
        id: ContainerId,
    },
    /// Report a change. Answer: [`Event::Submitted`].
    Submit {
        /// What to report.
        change: StateChange,
    },
    /// Remove all that is left of a stopped task. Answer: [`Event::Removed`].
    Remove {
        /// The task.
        task: Arc<Task>,
        /// Its containers.
        containers: Vec<ContainerId>,
    },
    /// A container's health changed: telemetry should say so at once.
    HealthChanged,
}

/// A container to create.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// The container.
    pub container: ContainerRef,
    /// Its id.
    pub id: ContainerId,
    /// Its name for people: `ecs-<family>-<revision>-<container>-<20 hex>`.
    pub name: String,
    /// Its task.
    pub task: Arc<Task>,
    /// The other containers of the task, by name, that exist: their ids and addresses.
    pub siblings: Vec<Sibling>,
}

/// Another container of the same task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// Its name in the task.
    pub name: String,
    /// Its id.
    pub id: ContainerId,
    /// Its address, if it has one of its own.
    pub address: Option<Ipv4Addr>,
}

/// What the journal is to hold. Replaying them in order gives the engine's state back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The container instance as which the agent is registered.
    Registered {
        /// Its ARN.
        arn: String,
        /// The cluster as configured.
        cluster: String,
    },
    /// The highest number of payloads and manifests.
    Sequence(i64),
    /// A task was taken over.
    Accepted {
        /// The task, without secrets.
        task: Arc<Task>,
        /// Its containers' ids.
        ids: Vec<ContainerId>,
        /// When.
        at: Timestamp,
    },
    /// A task is to stop.
    Stopping {
        /// The task.
        task: TaskArn,
        /// Why, if not asked for from outside.
        reason: String,
    },
    /// A container's image is known.
    Image {
        /// The task.
        task: TaskArn,
        /// The container.
        index: usize,
        /// The image.
        image: PulledImage,
    },
    /// A container's health changed.
    Health {
        /// The task.
        task: TaskArn,
        /// The container.
        index: usize,
        /// What its check says.
        status: agent_protocol::tcs::HealthStatus,
        /// Since when.
        since: Timestamp,
    },
    /// A container has ended and is started again, in place.
    Restarting {
        /// The task.
        task: TaskArn,
        /// The container.
        index: usize,
        /// How often, this time included.
        count: u32,
        /// How it ended.
        end: End,
    },
    /// A container has ended, or never will run.
    Ended {
        /// The task.
        task: TaskArn,
        /// The container.
        index: usize,
        /// How.
        end: End,
    },
    /// What the server was told.
    Sent {
        /// The task.
        task: TaskArn,
        /// All that it was told so far.
        marks: Marks,
    },
    /// Nothing is left of a task.
    Removed {
        /// The task.
        task: TaskArn,
    },
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its exit code, if it ever ran.
    pub code: Option<i32>,
    /// Why, if something of ours or the kernel's went wrong.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// When its command was started, if ever.
    pub started_at: Option<Timestamp>,
}
