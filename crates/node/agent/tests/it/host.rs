//! A host in memory: images, containers and networks that outlive the agents which use them, and a
//! crash at any chosen effect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use runtime::images::{
    Held, ImageError, LoadError, Progress, Pruned, PullError, Pulled, RegistryAuth, SnapshotError,
};
use runtime::{
    Attachment, CallError, ContainerEvent, ContainerId, ContainerSpec, ContainerState,
    ContainerStatus, Containers, CreateError, Created, ExecOutcome, Exit, Image, ImageReference,
    Images, RootFs, Signal, Stats, TaskLimits, TaskNetwork, Terminal, TerminalSize,
};
use terms::{Clock, Timestamp};
use tokio::sync::{Notify, mpsc};

use crate::harness::PausedClock;
use crate::pulls::{self, image};
use crate::terminal::Echo;

/// When, around an effect, the agent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

#[derive(Default)]
pub struct State {
    pub containers: BTreeMap<ContainerId, Fake>,
    pub attachments: BTreeMap<ContainerId, Attachment>,
    pub networks: BTreeMap<String, TaskNetwork>,
    pub snapshots: BTreeSet<ContainerId>,
    pub tasks: BTreeSet<String>,
    /// How often each name was started.
    pub started: BTreeMap<String, usize>,
    /// What happened, in order.
    pub log: Vec<String>,
    events: Option<mpsc::Sender<ContainerEvent>>,
    generation: u64,
    effects: usize,
    crash: Option<(usize, Moment)>,
    /// What each container wrote into its root, in bytes.
    pub written: u64,
    /// So many removals of containers fail.
    pub removals_that_fail: usize,
    /// So many detachments fail.
    pub detachments_that_fail: usize,
    /// What a health check answers.
    pub probe: i32,
}

pub struct Fake {
    pub spec: ContainerSpec,
    pub restarts: u32,
    pub state: ContainerState,
}

/// The host, as all agents see it.
#[derive(Clone)]
pub struct Host {
    pub state: Arc<Mutex<State>>,
    pub crashed: Arc<Notify>,
    clock: Arc<PausedClock>,
}

/// The host as one agent sees it: once a later one has begun, its calls never come back.
#[derive(Clone)]
pub struct Seen {
    pub host: Host,
    generation: u64,
}

impl Host {
    pub fn new(clock: Arc<PausedClock>) -> Self {
        Self { state: Arc::default(), crashed: Arc::default(), clock }
    }

    /// The `number`th effect from now on is the last of this agent.
    pub fn crash_at(&self, number: usize, moment: Moment) {
        let mut state = self.state.lock();
        let at = state.effects + number;
        state.crash = Some((at, moment));
    }

    /// A view for a new agent; older ones are cut off.
    pub fn next(&self) -> Seen {
        let mut state = self.state.lock();
        state.generation += 1;
        state.crash = None;
        state.events = None;
        Seen { host: self.clone(), generation: state.generation }
    }

    /// Cuts the present agent off.
    pub fn cut(&self) {
        self.state.lock().generation += 1;
        self.crashed.notify_one();
    }

    pub fn effects(&self) -> usize {
        self.state.lock().effects
    }

    fn exit(&self, id: &ContainerId, code: i32) {
        let mut state = self.state.lock();
        let Some(fake) = state.containers.get_mut(id) else { return };
        let started_at = match fake.state {
            ContainerState::Running { started_at, .. } => Some(started_at),
            ContainerState::Created { .. } => None,
            ContainerState::Exited(_) => return,
        };
        let at = self.clock.now();
        let (oom, restarts) = (fake.spec.args[0] == "oom", fake.restarts);
        let exit = Exit { code, oom, at, started_at, reason: None, restarts };
        fake.state = ContainerState::Exited(exit.clone());
        let name = short(&fake.spec.name);
        state.log.push(format!("exited {name} {code}"));
        if let Some(events) = &state.events {
            events.try_send(ContainerEvent::Exited { id: id.clone(), exit }).unwrap();
        }
    }
}

/// The container's name in its task, of `ecs-<family>-<revision>-<name>-<hex>`.
pub fn short(name: &str) -> String {
    name.split('-').nth(3).unwrap_or(name).to_owned()
}

impl Seen {
    /// Passes while the agent lives; a crash, or a later agent, stops it for good.
    pub async fn pass(&self) {
        let dead = self.host.state.lock().generation != self.generation;
        if dead {
            std::future::pending::<()>().await;
        }
    }

    /// One effect: `work` happens unless the agent dies before it.
    pub async fn effect<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        self.pass().await;
        tokio::task::yield_now().await;
        self.pass().await;
        let (result, dies) = {
            let mut state = self.host.state.lock();
            let number = state.effects;
            state.effects += 1;
            let crash = state.crash.filter(|(at, _)| *at == number).map(|(_, moment)| moment);
            let result = (crash != Some(Moment::Before)).then(|| work(&mut state));
            (result, crash.is_some())
        };
        if dies {
            self.host.cut();
        }
        match result {
            Some(result) if !dies => result,
            _ => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Images for Seen {
    async fn pull(
        &self,
        reference: &ImageReference,
        auth: &RegistryAuth,
        progress: Progress,
    ) -> Result<Pulled, PullError> {
        let with = match auth {
            RegistryAuth::Anonymous => String::new(),
            known => format!(" with {known:?}"),
        };
        let line = format!("pull {}{with}", reference.familiar());
        self.effect(|state| state.log.push(line.clone())).await;
        if reference.repository().ends_with("missing") {
            let message = "no such image".to_owned();
            return Err(PullError::NotFound { reference: reference.clone(), message });
        }
        pulls::tell(reference, &progress).await;
        Ok(Pulled { image: image(reference), was_cached: true })
    }

    async fn find(&self, reference: &ImageReference) -> Result<Option<Image>, ImageError> {
        self.pass().await;
        Ok(Some(image(reference)))
    }

    async fn list(&self) -> Result<Vec<Image>, ImageError> {
        Ok(Vec::new())
    }

    async fn load(&self, _: &Path, _: Option<&ImageReference>) -> Result<Vec<Image>, LoadError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &ImageReference) -> Result<bool, ImageError> {
        Ok(false)
    }

    async fn snapshot(&self, _: &Image, id: &ContainerId) -> Result<RootFs, SnapshotError> {
        self.effect(|state| _ = state.snapshots.insert(id.clone())).await;
        Ok(RootFs::default())
    }

    async fn release(&self, id: &ContainerId) -> Result<(), SnapshotError> {
        self.effect(|state| _ = state.snapshots.remove(id)).await;
        Ok(())
    }

    async fn written(&self, _: &ContainerId) -> Result<u64, SnapshotError> {
        Ok(self.host.state.lock().written)
    }

    async fn snapshots(&self) -> Result<Vec<ContainerId>, SnapshotError> {
        Ok(self.host.state.lock().snapshots.iter().cloned().collect())
    }

    async fn inventory(&self) -> Result<Vec<Held>, ImageError> {
        Ok(Vec::new())
    }

    async fn keep(&self, _: &[ImageReference]) -> Result<(), ImageError> {
        Ok(())
    }

    async fn prune(&self) -> Result<Pruned, ImageError> {
        Ok(Pruned::default())
    }
}

/// Commands that the host understands: `run` (ends on SIGTERM with 143), `stubborn` (ends on
/// SIGKILL only), `exit CODE MILLISECONDS`, `oom MILLISECONDS`, `broken` (cannot start).
#[async_trait]
impl Containers for Seen {
    async fn prepare_task(&self, task: &str, _: &TaskLimits) -> Result<(), CallError> {
        self.effect(|state| _ = state.tasks.insert(task.to_owned())).await;
        Ok(())
    }

    async fn remove_task(&self, task: &str) -> Result<(), CallError> {
        self.effect(|state| _ = state.tasks.remove(task)).await;
        Ok(())
    }

    async fn create(&self, spec: ContainerSpec) -> Result<Created, CreateError> {
        let at = self.host.clock.now();
        self.effect(|state| {
            if state.containers.contains_key(&spec.id) {
                return Err(CreateError::Exists(spec.id.clone()));
            }
            state.log.push(format!("create {}", short(&spec.name)));
            let state_of = ContainerState::Created { pid: 1 };
            let fake = Fake { state: state_of, spec: spec.clone(), restarts: 0 };
            state.containers.insert(spec.id.clone(), fake);
            Ok(Created { pid: 1, at })
        })
        .await
    }

    async fn revive(&self, id: &ContainerId, restarts: u32) -> Result<Created, CreateError> {
        let at = self.host.clock.now();
        self.effect(|state| {
            let unknown = || CreateError::Launch(CallError::Unknown(id.clone()).to_string());
            let fake = state.containers.get_mut(id).ok_or_else(unknown)?;
            if fake.spec.args[0] == "once" {
                return Err(CreateError::Launch("the host has had enough".to_owned()));
            }
            if let ContainerState::Exited(_) = fake.state {
                fake.state = ContainerState::Created { pid: 1 };
                fake.restarts = restarts;
                let name = short(&fake.spec.name);
                state.log.push(format!("revive {name} {restarts}"));
            }
            Ok(Created { pid: 1, at })
        })
        .await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), CallError> {
        let started_at = self.host.clock.now();
        self.effect(|state| {
            let fake = state.containers.get_mut(id).ok_or(CallError::Unknown(id.clone()))?;
            match fake.state {
                ContainerState::Created { .. } => {}
                // What is already so is success.
                ContainerState::Running { .. } => return Ok(()),
                ContainerState::Exited(_) => return Err(CallError::NotRunning(id.clone())),
            }
            if fake.spec.args[0] == "broken" {
                return Err(CallError::Refused("no such program".to_owned()));
            }
            fake.state = ContainerState::Running { pid: 1, started_at };
            let (name, args) = (short(&fake.spec.name), fake.spec.args.clone());
            state.log.push(format!("start {name}"));
            *state.started.entry(name).or_default() += 1;
            self.plan_exit(id, &args);
            Ok(())
        })
        .await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), CallError> {
        self.effect(|state| {
            let Some(fake) = state.containers.get(id) else {
                return Err(CallError::Unknown(id.clone()));
            };
            state.log.push(format!("{signal} {}", short(&fake.spec.name)));
            let stubborn = fake.spec.args[0] == "stubborn";
            if signal == Signal::KILL || !stubborn {
                self.exit_soon(id, 128 + signal.number(), Duration::ZERO);
            }
            Ok(())
        })
        .await
    }

    async fn exec(
        &self,
        _: &ContainerId,
        _: Vec<String>,
        _: Duration,
    ) -> Result<ExecOutcome, CallError> {
        let code = self.effect(|state| state.probe).await;
        Ok(ExecOutcome::Exited { code, output: String::new() })
    }

    async fn open_terminal(
        &self,
        id: &ContainerId,
        args: Vec<String>,
        _: TerminalSize,
    ) -> Result<Box<dyn Terminal>, CallError> {
        self.effect(|state| {
            let name = short(&state.containers.get(id).unwrap().spec.name);
            state.log.push(format!("open {} in {name}", args.join(" ")));
        })
        .await;
        Ok(Box::new(Echo::new(self.host.clone())))
    }

    async fn remove(&self, id: &ContainerId, _: bool) -> Result<(), CallError> {
        self.effect(|state| {
            if state.removals_that_fail > 0 {
                state.removals_that_fail -= 1;
                return Err(CallError::Refused("device or resource busy".to_owned()));
            }
            state.containers.remove(id);
            Ok(())
        })
        .await
    }

    async fn list(&self) -> Vec<ContainerStatus> {
        self.pass().await;
        let state = self.host.state.lock();
        let status = |(id, fake): (&ContainerId, &Fake)| ContainerStatus {
            id: id.clone(),
            name: fake.spec.name.clone(),
            task: fake.spec.task.clone(),
            state: fake.state.clone(),
        };
        state.containers.iter().map(status).collect()
    }

    async fn status(&self, id: &ContainerId) -> Option<ContainerStatus> {
        Containers::list(self).await.into_iter().find(|status| status.id == *id)
    }

    async fn stats(&self, _: &ContainerId) -> Result<Stats, CallError> {
        Ok(Stats::default())
    }

    fn events(&self) -> mpsc::Receiver<ContainerEvent> {
        let (sender, receiver) = mpsc::channel(1024);
        let mut state = self.host.state.lock();
        if state.generation == self.generation {
            state.events = Some(sender);
        }
        receiver
    }

    fn log_path(&self, id: &ContainerId) -> PathBuf {
        PathBuf::from("/nonexistent").join(id.as_str())
    }
}

impl Seen {
    fn plan_exit(&self, id: &ContainerId, args: &[String]) {
        let after = |index: usize| {
            Duration::from_millis(args.get(index).and_then(|text| text.parse().ok()).unwrap_or(0))
        };
        let (code, wait) = match args[0].as_str() {
            "exit" | "once" => (args[1].parse().unwrap(), after(2)),
            "oom" => (137, after(1)),
            _ => return,
        };
        self.exit_soon(id, code, wait);
    }

    /// The process ends whether or not the agent lives to hear of it.
    fn exit_soon(&self, id: &ContainerId, code: i32, wait: Duration) {
        let (host, id) = (self.host.clone(), id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            host.exit(&id, code);
        });
    }
}

/// When the paused clock begins.
pub fn epoch() -> Timestamp {
    Timestamp::from_millis(1_795_230_000_000)
}
