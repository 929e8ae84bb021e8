//! One machine: what runs on it outlives the agents that come and go.

mod containers;
mod images;
mod journal;
mod networks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::{Folders, Room};
use async_trait::async_trait;
use parking_lot::Mutex;
use runtime::mounts::{Disk, FileSystem};
use runtime::{
    Attachment, ContainerEvent, ContainerId, ContainerSpec, ContainerState, Exit, TaskNetwork,
};
use terms::Clock;
use tokio::sync::mpsc;

use crate::clock::SimClock;
use crate::life::Life;
use crate::world::World;

pub(crate) use journal::JournalFile;

/// How long an effect on the host takes at most on a good day.
const EFFECT: Duration = Duration::from_millis(30);

/// A container on the machine.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) spec: ContainerSpec,
    pub(crate) state: ContainerState,
    pub(crate) restarts: u32,
}

impl Container {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }
}

/// What is on the machine, whoever looks at it.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    pub(crate) attachments: BTreeMap<ContainerId, Attachment>,
    pub(crate) networks: BTreeMap<String, TaskNetwork>,
    pub(crate) snapshots: BTreeSet<ContainerId>,
    pub(crate) tasks: BTreeSet<String>,
    pub(crate) images: BTreeSet<String>,
    events: Option<mpsc::Sender<ContainerEvent>>,
}

impl State {
    /// What is left of tasks, for people; empty if nothing is.
    pub(crate) fn leftovers(&self) -> String {
        let Self { containers, attachments, networks, snapshots, tasks, .. } = self;
        let counts = [
            ("containers", containers.len()),
            ("attachments", attachments.len()),
            ("task networks", networks.len()),
            ("snapshots", snapshots.len()),
            ("cgroups of tasks", tasks.len()),
        ];
        let some = counts.iter().filter(|(_, count)| *count > 0);
        let mut text = some.map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>();
        text.extend(snapshots.iter().take(3).map(|id| id.short().to_owned()));
        text.join(", ")
    }
}

/// A machine. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) world: World,
    pub(crate) clock: SimClock,
    pub(crate) state: Arc<Mutex<State>>,
}

impl Host {
    pub(crate) fn new(world: &World, name: String) -> Self {
        let (world, clock) = (world.clone(), world.clock());
        Self { name, world, clock, state: Arc::default() }
    }

    /// The machine as one life of its agent sees it.
    pub(crate) fn seen_by(&self, life: &Life) -> Seen {
        Seen { host: self.clone(), life: life.clone() }
    }

    /// The processes of all containers end: the machine has lost power.
    pub(crate) fn lose_power(&self) {
        let running: Vec<ContainerId> = {
            let mut state = self.state.lock();
            state.events = None;
            let alive = |c: &&Container| !matches!(c.state, ContainerState::Exited(_));
            state.containers.values().filter(alive).map(|c| c.spec.id.clone()).collect()
        };
        for id in running {
            self.exit(&id, 137, Some("the machine went down"));
        }
    }

    /// A container ends, whether or not an agent lives to hear of it.
    fn exit(&self, id: &ContainerId, code: i32, reason: Option<&str>) {
        let mut state = self.state.lock();
        let Some(container) = state.containers.get_mut(id) else { return };
        let started_at = match container.state {
            ContainerState::Running { started_at, .. } => Some(started_at),
            ContainerState::Created { .. } => None,
            ContainerState::Exited(_) => return,
        };
        let (at, reason) = (self.clock.now(), reason.map(str::to_owned));
        let restarts = container.restarts;
        let exit = Exit { code, oom: false, at, started_at, reason, restarts };
        container.state = ContainerState::Exited(exit.clone());
        let name = container.spec.name.clone();
        self.world.note(format!("{}: {name} exits with {code}", self.name));
        if let Some(events) = &state.events {
            let _ = events.try_send(ContainerEvent::Exited { id: id.clone(), exit });
        }
    }

    fn exit_later(&self, id: &ContainerId, code: i32, wait: Duration) {
        let (host, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            host.exit(&id, code, None);
        });
    }

    /// Everything that has not ended, by its task.
    pub(crate) fn running(&self) -> Vec<(String, ContainerId)> {
        let state = self.state.lock();
        let running = state.containers.values().filter(|container| container.is_running());
        running.map(|container| (container.spec.task.clone(), container.spec.id.clone())).collect()
    }
}

/// The machine as one life of an agent sees it: once that is over, its calls never come back.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) host: Host,
    pub(crate) life: Life,
}

impl Seen {
    /// One effect on the machine. It takes its time; around it the agent may die, so that the
    /// effect has happened or not, and nobody heard of it.
    async fn effect<T>(&self, what: &str, work: impl FnOnce(&mut State) -> T) -> T {
        let Self { host, life } = self;
        let world = &host.world;
        life.pass().await;
        world.note(format!("{}: begins: {what}", host.name));
        tokio::time::sleep(world.delay(EFFECT)).await;
        life.pass().await;
        if world.strikes(|faults| faults.crash_before_effect) {
            world.tally("agent dies before", format!("{} {what}", host.name));
            life.kill();
            return std::future::pending().await;
        }
        world.note(format!("{}: {what}", host.name));
        let done = work(&mut host.state.lock());
        if world.strikes(|faults| faults.crash_after_effect) {
            world.tally("agent dies after", format!("{} {what}", host.name));
            life.kill();
            return std::future::pending().await;
        }
        done
    }
}

/// Folders of volumes: only that they can be asked for.
#[async_trait]
impl Folders for Seen {
    async fn make(&self, path: &Path) -> std::io::Result<()> {
        self.effect(&format!("makes {}", path.display()), |_| ()).await;
        Ok(())
    }

    async fn expect(&self, _: &Path) -> std::io::Result<()> {
        self.life.pass().await;
        Ok(())
    }

    async fn mount(&self, _: &FileSystem, at: &Path) -> std::io::Result<()> {
        self.effect(&format!("mounts {}", at.display()), |_| ()).await;
        Ok(())
    }

    async fn mount_disk(&self, _: &Disk, at: &Path) -> std::io::Result<()> {
        self.effect(&format!("mounts {}", at.display()), |_| ()).await;
        Ok(())
    }

    async fn keep(&self, _: &Path, text: &str) -> std::io::Result<String> {
        self.life.pass().await;
        Ok(text.to_owned())
    }

    async fn put(&self, _: &Path, _: &str) -> std::io::Result<()> {
        self.life.pass().await;
        Ok(())
    }

    async fn kept(&self, _: &Path) -> std::io::Result<Option<String>> {
        self.life.pass().await;
        Ok(None)
    }

    async fn remove(&self, _: &Path) -> std::io::Result<()> {
        self.life.pass().await;
        Ok(())
    }

    async fn used(&self, _: &Path) -> std::io::Result<u64> {
        Ok(0)
    }

    async fn room(&self, _: &Path) -> std::io::Result<Room> {
        self.life.pass().await;
        Ok(Room { total_bytes: 1 << 40, free_bytes: 1 << 39, inodes: 0, free_inodes: 0 })
    }
}
