//! Carries the engine's commands out, each on a task of its own, and tells the engine how it went.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use agent_protocol::task::Task;
use parking_lot::Mutex;
use runtime::images::RegistryAuth;
use runtime::{
    Attachment, ContainerId, ContainerState, Containers, CreateError, Image, Images, NetworkError,
    Networks, Signal, TaskNetwork,
};
use terms::{Clock, TaskArn, Timestamp};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::awsvpc;
use crate::core::Handle;
use crate::endpoints::Endpoints;
use crate::engine::{
    Command, ContainerRef, CreatedContainer, Creation, Delivery, Event, Failure, Place, Probe,
    StateChange,
};
use crate::folders::Folders;
use crate::gpus::Gpu;
use crate::logs::{Logs, firelens};
use crate::orphans::Ground;
use crate::peers::Exchange;
use crate::pulls::Pulls;
use crate::resources::Resources;
use crate::sessions::InstanceHealth;
use crate::spec::{self, Ingredients, Joined, NetworkMode};
use crate::steps;
use crate::transport::Transport;
use crate::volumes::{self, StandIns};

/// Exit code that stands for a check that could not be run.
const CANNOT_RUN: i32 = 126;

/// What effects work with.
pub(crate) struct Tools {
    pub(crate) images: Arc<dyn Images>,
    pub(crate) containers: Arc<dyn Containers>,
    pub(crate) networks: Arc<dyn Networks>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) folders: Arc<dyn Folders>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where volumes without a path of their own are.
    pub(crate) volumes: PathBuf,
    /// What stands in for AWS's storage.
    pub(crate) stand_ins: StandIns,
    /// The instance's GPUs.
    pub(crate) gpus: Vec<Gpu>,
    /// Credentials by registry; others are asked anonymously.
    pub(crate) registries: BTreeMap<String, RegistryAuth>,
    /// The cluster as configured.
    pub(crate) cluster: String,
    /// Secrets, files of variables, credentials for registries.
    pub(crate) resources: Resources,
    /// Told when a container's health changed.
    pub(crate) health_changed: Arc<Notify>,
    /// Log drivers.
    pub(crate) logs: Logs,
    /// What the instance says of itself.
    pub(crate) health: Arc<InstanceHealth>,
    /// Images by the container that they were pulled for.
    pub(crate) pulled: Mutex<BTreeMap<ContainerRef, Image>>,
    /// The pulls under way.
    pub(crate) pulls: Arc<Pulls>,
    /// Other nodes' layers.
    pub(crate) peers: Option<Exchange>,
}

/// Carries commands out.
pub(crate) struct Executor {
    tools: Arc<Tools>,
    core: Handle,
    running: TaskTracker,
    pulls: BTreeMap<ContainerRef, AbortHandle>,
}

impl Executor {
    pub(crate) fn new(tools: Arc<Tools>, core: Handle, running: TaskTracker) -> Self {
        Self { tools, core, running, pulls: BTreeMap::new() }
    }

    /// Forgets what was fetched for a task that is over.
    pub(crate) fn forget(&self, task: &TaskArn) {
        self.tools.resources.forget(task);
    }

    /// Begins to carry a command out.
    pub(crate) fn execute(&mut self, command: Command) {
        let tools = Arc::clone(&self.tools);
        let step = steps::of(&command);
        match command {
            Command::HealthChanged => tools.health_changed.notify_one(),
            Command::CancelPull { container } => {
                if let Some(pull) = self.pulls.remove(&container) {
                    pull.abort();
                }
            }
            Command::Pull { container, task } => {
                self.pulls.retain(|_, pull| !pull.is_finished());
                let core = self.core.clone();
                let key = container.clone();
                let pull = self.running.spawn(async move {
                    let pull = async {
                        let result = tools.pull(&container, &task, &core).await;
                        Some(Event::Pulled { container, result })
                    };
                    if let Some(event) = steps::carried_out(step, pull).await {
                        core.tell(event).await;
                    }
                });
                self.pulls.insert(key, pull.abort_handle());
            }
            command => {
                let core = self.core.clone();
                self.running.spawn(async move {
                    let answer = steps::carried_out(step, tools.answer(command));
                    if let Some(event) = answer.await {
                        core.tell(event).await;
                    }
                });
            }
        }
    }
}

impl Tools {
    /// What works on the machine.
    pub(crate) fn ground(&self) -> Ground {
        Ground {
            images: Arc::clone(&self.images),
            containers: Arc::clone(&self.containers),
            networks: Arc::clone(&self.networks),
            folders: Arc::clone(&self.folders),
        }
    }

    /// Carries a command out that has one answer or none.
    async fn answer(&self, command: Command) -> Option<Event> {
        match command {
            Command::Prepare { task } => {
                let result = self.prepare(&task).await;
                Some(Event::Prepared { task: task.arn.clone(), result })
            }
            Command::Withdraw { task } => {
                self.withdraw(&task.arn.id.to_string()).await;
                None
            }
            Command::Create(creation) => {
                let result = self.create(&creation).await;
                Some(Event::Created { container: creation.container, result })
            }
            Command::Start { container, id } => {
                let result = self.start(&id).await;
                Some(Event::Started { container, result })
            }
            Command::Restart { container, id, count } => {
                let result = self.restart(&id, count).await;
                Some(Event::Restarted { container, result })
            }
            Command::Serve { container, id, task } => {
                self.serve(&container, &id, &task).await;
                None
            }
            Command::Signal { container, id, signal } => {
                let signal = signal.parse().unwrap_or(Signal::TERM);
                self.logs.before_signal(&id, &container.task.id.to_string()).await;
                match self.containers.signal(&id, signal).await {
                    Err(runtime::CallError::Unknown(_)) => Some(Event::Vanished { container }),
                    Err(error) => {
                        tracing::warn!(%id, %signal, %error, "a signal was not delivered");
                        None
                    }
                    Ok(()) => None,
                }
            }
            Command::Probe { container, id, args, timeout } => {
                let probe = match self.containers.exec(&id, args, timeout).await {
                    Ok(runtime::ExecOutcome::Exited { code, output }) => {
                        Probe { code: Some(code), output }
                    }
                    Ok(runtime::ExecOutcome::TimedOut { output }) => Probe { code: None, output },
                    Err(error) => Probe { code: Some(CANNOT_RUN), output: error.to_string() },
                };
                Some(Event::Probed { container, probe })
            }
            Command::Release { container, id } => {
                self.release(&container, &id).await;
                Some(Event::Released { container })
            }
            Command::Submit { change } => {
                let delivery = self.submit(&change).await;
                Some(Event::Submitted { task: change.task, delivery })
            }
            Command::Remove { task, containers } => {
                let result = self.remove(&task, &containers).await;
                Some(Event::Removed { task: task.arn.clone(), result })
            }
            Command::HealthChanged | Command::CancelPull { .. } | Command::Pull { .. } => None,
        }
    }

    async fn prepare(&self, task: &Task) -> Result<(), Failure> {
        let network = async {
            match awsvpc::is_awsvpc(task) {
                true => self.attach_task(task).await.map(drop),
                false => Ok(()),
            }
        };
        // Each to its end: what is half made could not be taken away.
        let (attached, fetched) = tokio::join!(network, self.resources.prepare(task));
        attached.and(fetched)?;
        let Some(limits) = spec::task_limits(task) else { return Ok(()) };
        let prepared = self.containers.prepare_task(&task.arn.id.to_string(), &limits).await;
        prepared.map_err(|error| {
            Failure::new("ResourceInitializationError", format!("task limits: {error}"))
        })
    }

    /// The network of an awsvpc task: made now, or before.
    async fn attach_task(&self, task: &Task) -> Result<TaskNetwork, Failure> {
        let interface = awsvpc::interface(task)?;
        let attached = self.networks.attach_task(&task.arn.id.to_string(), &interface).await;
        attached.map_err(|error| network_failure(&error))
    }

    /// Takes a task's network away.
    pub(crate) async fn withdraw(&self, task: &str) {
        if let Err(error) = self.networks.detach_task(task).await {
            tracing::warn!(%task, %error, "the task's network is left behind");
        }
    }

    async fn create(&self, creation: &Creation) -> Result<CreatedContainer, Failure> {
        let creation = &self.resources.completed(creation).await?;
        let task = &creation.task;
        let definition = &task.containers[creation.container.index];
        let mode = spec::network_mode(task, definition);
        let image = self.image(&creation.container, task).await?;
        let join = async {
            Ok(match mode {
                NetworkMode::Bridge => Joined::Bridge(self.attach(&creation.id, definition).await?),
                NetworkMode::Awsvpc => Joined::Task(self.attach_task(task).await?),
                NetworkMode::Host => Joined::Host(self.networks.own()),
                NetworkMode::None => Joined::Nothing,
            })
        };
        let join = join.instrument(tracing::info_span!(target: meters::TRACE, "network"));
        let snapshot = self.images.snapshot(&image, &creation.id);
        let snapshot = snapshot.instrument(tracing::info_span!(target: meters::TRACE, "snapshot"));
        let (joined, rootfs) = tokio::join!(join, snapshot);
        let joined: Joined = joined?;
        let rootfs = rootfs.map_err(|error| Failure::new("CannotCreateContainerError", error))?;
        let fetched = self.resources.of(task, creation.container.index).await?;
        let mut environment = self.endpoints.environment(&creation.id, task);
        environment.extend(firelens::environment(creation));
        let mut volumes = spec::volumes(task, creation.container.index, self.places())?;
        self.make_volumes(task, &mut volumes).await?;
        let mut spec = spec::container_spec(Ingredients {
            creation,
            image: &image.config,
            rootfs,
            joined: &joined,
            environment: &environment,
            fetched: &fetched,
            volumes: &volumes,
            gpus: &self.gpus,
            cluster: &self.cluster,
        })?;
        self.route(creation, &mut spec).await?;
        let wanted = self.log_driver(creation, &image, &mut spec)?;
        let open = self.endpoints.open(mode);
        let create = async {
            match self.containers.create(spec).await {
                Ok(created) => Ok(created.at),
                Err(CreateError::Exists(id)) => self.created_before(&id).await,
                Err(error) => Err(create_failure(&error)),
            }
        };
        let (opened, at) = tokio::join!(open, create);
        opened.map_err(|error| network_failure(&error))?;
        // Its folder is not there if it was not created: that is to be told first.
        let at = at?;
        if let Some(wanted) = wanted {
            let log = self.containers.log_path(&creation.id);
            let written = wanted.write(&*self.folders, &log).await;
            written.map_err(|error| Failure::new("CannotCreateContainerError", error))?;
        }
        let network = match &joined {
            Joined::Bridge(attachment) => Some(place(attachment)),
            Joined::Task(network) => Some(awsvpc::place(network)),
            Joined::Host(_) | Joined::Nothing => None,
        };
        Ok(CreatedContainer { at, network })
    }

    /// A container that an earlier try made, before a crash.
    async fn created_before(&self, id: &ContainerId) -> Result<Timestamp, Failure> {
        match self.containers.status(id).await.map(|status| status.state) {
            Some(ContainerState::Created { .. } | ContainerState::Running { .. }) => {
                Ok(self.clock.now())
            }
            Some(ContainerState::Exited(_)) | None => Err(Failure::new(
                "CannotCreateContainerError",
                "a container of that id is left from before",
            )),
        }
    }

    async fn attach(
        &self,
        id: &ContainerId,
        definition: &agent_protocol::task::Container,
    ) -> Result<Attachment, Failure> {
        let ports = spec::port_mappings(definition)?;
        let attached = self.networks.attach(id, &ports).await;
        attached.map_err(|error| network_failure(&error))
    }

    async fn start(&self, id: &ContainerId) -> Result<Timestamp, Failure> {
        let logging = self.logs.start(id, self.containers.log_path(id)).await;
        logging.map_err(|error| {
            let what = format!("failed to initialize logging driver: {error}");
            Failure::new("CannotStartContainerError", what)
        })?;
        let started = self.containers.start(id).await;
        started.map_err(|error| Failure::new("CannotStartContainerError", error))?;
        Ok(self.clock.now())
    }

    /// Starts a container that has ended again, in place.
    async fn restart(&self, id: &ContainerId, count: u32) -> Result<Timestamp, Failure> {
        let revived = self.containers.revive(id, count).await;
        revived.map_err(|error| create_failure(&error))?;
        self.start(id).await
    }

    /// Opens the endpoints of a container that outlived an earlier agent.
    async fn serve(&self, container: &ContainerRef, id: &ContainerId, task: &Task) {
        let definition = &task.containers[container.index];
        if firelens::router(definition).is_some() {
            self.logs.routes(id);
        }
        let mode = spec::network_mode(task, definition);
        if let Err(error) = self.endpoints.open(mode).await {
            tracing::warn!(%id, %error, "the container's local endpoints are not served");
        }
    }

    async fn release(&self, container: &ContainerRef, id: &ContainerId) {
        self.pulled.lock().remove(container);
        self.kill_leftover(id).await;
        self.logs.ended(id);
        if let Err(error) = self.networks.detach(id).await {
            tracing::warn!(%id, %error, "the container's network is left behind");
        }
    }

    /// One that was created, but could not be started, is of no use to anybody.
    async fn kill_leftover(&self, id: &ContainerId) {
        let state = self.containers.status(id).await.map(|status| status.state);
        if let Some(ContainerState::Created { .. } | ContainerState::Running { .. }) = state
            && let Err(error) = self.containers.signal(id, Signal::KILL).await
        {
            tracing::warn!(%id, %error, "the container was not killed");
        }
    }

    async fn submit(&self, change: &StateChange) -> Delivery {
        match self.transport.submit(&self.cluster, change).await {
            Ok(()) => Delivery::Accepted,
            Err(error) if error.code() == "InvalidParameterException" => {
                tracing::warn!(task = %change.task, %error, "a report was refused for good");
                Delivery::Rejected
            }
            Err(error) => {
                tracing::warn!(task = %change.task, %error, "a report is tried again later");
                Delivery::Failed
            }
        }
    }

    async fn remove(&self, task: &Task, containers: &[ContainerId]) -> Result<(), Failure> {
        let failed =
            |what: &dyn std::fmt::Display| Failure::new("CannotRemoveContainerError", what);
        for id in containers {
            if !self.logs.may_go(id).await {
                return Err(failed(&"its output is not sent yet"));
            }
            self.containers.remove(id, false).await.map_err(|error| failed(&error))?;
            self.networks.detach(id).await.map_err(|error| failed(&error))?;
            self.images.release(id).await.map_err(|error| failed(&error))?;
        }
        let task_id = task.arn.id.to_string();
        self.networks.detach_task(&task_id).await.map_err(|error| failed(&error))?;
        self.pulled.lock().retain(|container, _| container.task != task.arn);
        self.resources.forget(&task.arn);
        self.containers.remove_task(&task_id).await.map_err(|error| failed(&error))?;
        let of_router = self.folders.remove(&self.logs.router_folder(&task_id)).await;
        of_router.map_err(|error| failed(&error))?;
        for remains in volumes::remains(task, self.places()) {
            self.folders.remove(&remains).await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

/// What the engine keeps of an attachment.
pub(crate) fn place(attachment: &Attachment) -> Place {
    Place {
        address: attachment.address,
        mac: attachment.mac,
        prefix: attachment.prefix,
        gateway: attachment.gateway,
        bindings: attachment.bindings.clone(),
    }
}

/// A taken port is found when Docker starts a container; its users look for that name.
fn network_failure(error: &NetworkError) -> Failure {
    match error {
        NetworkError::PortTaken { .. } | NetworkError::NoFreePort { .. } => {
            Failure::new("CannotStartContainerError", error)
        }
        error => Failure::new("ContainerNetworkingError", error),
    }
}

/// What the kernel or the image would not have is found when Docker starts a container.
fn create_failure(error: &CreateError) -> Failure {
    match error {
        CreateError::Launch(_) => Failure::new("CannotStartContainerError", error),
        error => Failure::new("CannotCreateContainerError", error),
    }
}
