//! One agent, from its start to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent_protocol::task::DesiredStatus;
use parking_lot::{Mutex, RwLock};
use runtime::ContainerId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::awsvpc;
use crate::config::{AgentError, AtEnd, Config, Parts};
use crate::core::{Core, Handle, merge};
use crate::effects::{Executor, Tools, place};
use crate::endpoints::{ControlPlane, Directory, Endpoints, Forwarder, Samples, Sources};
use crate::engine::{Engine, Event, Outcome};
use crate::house::Keeper;
use crate::logs::Logs;
use crate::orphans;
use crate::resources::Resources;
use crate::sessions::{self, Context};
use crate::update::Updates;
use crate::view::{CredentialStore, View};

/// Without the reports having been taken, remains are removed after this long at a clean end.
const REPORTS_AT_END: Duration = Duration::from_secs(5);

/// How long a clean end waits for the rest of containers' output to be sent.
const OUTPUT_AT_END: Duration = Duration::from_secs(2);

/// The file in the agent's folder that says where the introspection API is.
const INTROSPECTION: &str = "introspection";

/// A container agent.
#[derive(Debug)]
pub struct Agent;

impl Agent {
    /// Runs until `shutdown` is cancelled: joins the cluster, runs its tasks, reports. What it ran
    /// before a crash it takes up again. `directory` joins the agents of one process that share
    /// the host's network.
    ///
    /// # Errors
    /// When the control plane refuses the instance for good, or the journal cannot be written:
    /// the containers go on then.
    pub async fn run(
        config: Config,
        parts: Parts,
        directory: Directory,
        shutdown: CancellationToken,
    ) -> Result<(), AgentError> {
        let running = Running::start(config, parts, directory, &shutdown).await?;
        running.serve(shutdown).await
    }
}

/// The parts of a started agent.
struct Running {
    config: Config,
    core: Core,
    handle: Handle,
    tools: Arc<Tools>,
    effects: TaskTracker,
    ids: Arc<dyn terms::IdSource>,
    /// Ends the sessions.
    ended: CancellationToken,
    updates: Option<Arc<dyn Updates>>,
}

impl Running {
    /// Replays the journal and asks the runtime what is true.
    async fn start(
        config: Config,
        parts: Parts,
        directory: Directory,
        shutdown: &CancellationToken,
    ) -> Result<Self, AgentError> {
        let (view, credentials) = (Arc::new(View::default()), Arc::new(CredentialStore::default()));
        let sources = sources(&config, (&view, &credentials), &parts);
        let Parts { images, containers, networks, folders, transport, clock, ids, .. } = parts;
        let (mut journal, updates, peers) = (parts.journal, parts.updates, parts.peers);
        let records = journal.load().await?;
        let engine = Engine::replay(config.settings.clone(), config.capacity.clone(), records);
        check_cluster(&config, &engine)?;
        let forwarder =
            config.forwards_api.then(|| Forwarder::new(&config.server, config.tls.as_ref()));
        let logs = Logs::new(
            Arc::clone(&transport),
            Arc::clone(&credentials),
            Arc::clone(&folders),
            config.folder.join("firelens"),
        );
        let rate = config.house.request_rate;
        let endpoints = Endpoints::new(Arc::clone(&networks), directory, sources, forwarder, rate);
        let region = config.region.to_string();
        let resources = Resources::new(Arc::clone(&transport), Arc::clone(&credentials), region);
        let tools = Arc::new(Tools {
            logs,
            resources,
            images,
            containers,
            networks,
            transport,
            folders,
            endpoints: Arc::new(endpoints),
            clock: Arc::clone(&clock),
            volumes: config.folder.join("volumes"),
            stand_ins: config.stand_ins.clone(),
            gpus: config.gpus.clone(),
            registries: config.registries.clone(),
            cluster: config.cluster.to_string(),
            health_changed: Arc::new(Notify::new()),
            health: Arc::default(),
            pulled: Mutex::default(),
            pulls: Arc::default(),
            peers,
        });
        let (handle, inputs) = Handle::channel();
        let effects = TaskTracker::new();
        let executor = Executor::new(Arc::clone(&tools), handle.clone(), effects.clone());
        // Before the list: what ends between the two is told twice, not missed.
        let events = tools.containers.events();
        let core = Core {
            engine,
            journal,
            executor,
            view,
            credentials,
            clock,
            ids: Arc::clone(&ids),
            inputs,
            events,
            waits_for_empty: Vec::new(),
            waits_for_stopped: Vec::new(),
        };
        let ended = shutdown.child_token();
        let mut running = Self { config, core, handle, tools, effects, ids, ended, updates };
        running.restore().await?;
        Ok(running)
    }

    /// Tells the engine what the runtime knows, and removes containers of no task.
    async fn restore(&mut self) -> Result<(), AgentError> {
        let now = self.core.clock.now();
        let statuses = self.tools.containers.list().await;
        let attachments = self.tools.networks.list().await;
        let of_tasks = self.tools.networks.task_networks().await;
        let known = self.core.engine.container_ids();
        let mut out = Outcome::default();
        for id in &known {
            let status = statuses.iter().find(|status| status.id == *id);
            let attachment = attachments.iter().find(|attachment| attachment.container == *id);
            let event = Event::Found {
                id: id.clone(),
                state: status.map(|status| status.state.clone()),
                network: attachment.map(place).or_else(|| {
                    let task = self.core.engine.container(id)?.task.id.to_string();
                    of_tasks.iter().find(|network| network.task == task).map(awsvpc::place)
                }),
            };
            merge(&mut out, self.core.engine.handle(event, now));
            if let Some(status) = status {
                let ended = matches!(status.state, runtime::ContainerState::Exited(_));
                self.tools.logs.resume(id, self.tools.containers.log_path(id), ended).await;
            }
        }
        merge(&mut out, self.core.engine.handle(Event::Restored, now));
        let known: BTreeSet<&ContainerId> = known.iter().collect();
        let of_containers = statuses.iter().map(|status| &status.id);
        let of_networks = attachments.iter().map(|attachment| &attachment.container);
        let orphans: BTreeSet<_> =
            of_containers.chain(of_networks).filter(|id| !known.contains(id)).collect();
        let orphans = orphans.into_iter().cloned().collect();
        let ground = self.tools.ground();
        orphans::remove(&ground, orphans, &self.ended).await;
        let tasks: BTreeSet<String> =
            self.core.engine.tasks().map(|task| task.task.arn.id.to_string()).collect();
        for lost in of_tasks.iter().filter(|network| !tasks.contains(&network.task)) {
            self.tools.withdraw(&lost.task).await;
        }
        self.core.carry_out(out).await?;
        Ok(())
    }

    async fn serve(self, shutdown: CancellationToken) -> Result<(), AgentError> {
        let Self { config, core, handle, tools, effects, ids, ended, updates } = self;
        let saved = core.engine.registered().map(|(arn, _)| arn.to_owned());
        let (clock, view) = (Arc::clone(&core.clock), Arc::clone(&core.view));
        let credentials = Arc::clone(&core.credentials);
        let mut core = tokio::spawn(core.run());
        let keeper = keeper(&config, &tools, &handle, &view);
        let life = async {
            let found = tools.networks.is_found_from_host();
            let registered =
                sessions::register(&config, found, saved, &*tools.transport, &*ids, &ended);
            let Some(registered) = registered.await? else { return Ok(()) };
            let told = |name: &str| registered.attributes.get(name).cloned();
            let zone = told("ecs.availability-zone").or_else(|| config.zone.clone());
            let arn = registered.container_instance_arn;
            tools.endpoints.registered(&arn, zone, told("ecs.vpc-id"));
            handle.registered(&arn, config.cluster.as_str()).await;
            if let Some(updates) = &updates {
                updates.registered();
            }
            let context = Arc::new(Context {
                transport: Arc::clone(&tools.transport),
                containers: Arc::clone(&tools.containers),
                core: handle.clone(),
                view: Arc::clone(&view),
                credentials: Arc::clone(&credentials),
                clock: Arc::clone(&clock),
                ids: Arc::clone(&ids),
                cluster: config.cluster.to_string(),
                instance: arn,
                health: Arc::clone(&tools.health),
                health_changed: Arc::clone(&tools.health_changed),
                inactive: Arc::new(Notify::new()),
                endpoints: Mutex::default(),
                shutdown: ended.clone(),
                updates: updates.clone(),
                pulls: Arc::clone(&tools.pulls),
                peers: tools.peers.clone(),
            });
            hand_out(&tools, &ended);
            let node = sessions::node(Arc::clone(&context), config.server.clone());
            tokio::join!(sessions::acs(&context), sessions::tcs(&context), node);
            Ok(())
        };
        if let Some(at) = config.house.introspection {
            introspect(&tools, at, &config.folder).await;
        }
        let life = in_order(life, keeper.run(&ended));
        let lived: Result<(), AgentError> = tokio::select! {
            biased;
            ended = &mut core => return core_result(ended),
            lived = life => lived,
        };
        if config.at_end == AtEnd::StopAll && shutdown.is_cancelled() {
            tools.logs.close();
            tokio::select! {
                biased;
                ended = &mut core => return core_result(ended),
                () = stop_all(&handle, &view, config.stop_timeout_at_end) => {}
            }
        }
        // What is under way comes to its end; what follows from it does not begin.
        ended.cancel();
        tools.endpoints.end();
        core.abort();
        _ = core.await;
        effects.close();
        _ = tokio::time::timeout(REPORTS_AT_END, effects.wait()).await;
        tools.logs.end(OUTPUT_AT_END).await;
        lived
    }
}

/// Lives while the house is kept. Whoever is refused has no house to keep; a round that is cut
/// short is begun again.
async fn in_order<T>(life: impl Future<Output = T>, keeping: impl Future<Output = ()>) -> T {
    tokio::pin!(life);
    tokio::select! {
        biased;
        lived = &mut life => return lived,
        () = keeping => {}
    }
    life.await
}

/// What keeps the agent's house. The disk that counts is the one with its folders and its images.
fn keeper(config: &Config, tools: &Arc<Tools>, core: &Handle, view: &Arc<View>) -> Keeper {
    let for_health = Arc::clone(tools);
    Keeper {
        house: config.house.clone(),
        images: Arc::clone(&tools.images),
        folders: Arc::clone(&tools.folders),
        view: Arc::clone(view),
        core: core.clone(),
        clock: Arc::clone(&tools.clock),
        watched: vec![config.folder.clone()],
        volumes: config.folder.join("volumes"),
        tell: Box::new(move |full| {
            for_health.health.disk(full, for_health.clock.now());
            for_health.health_changed.notify_one();
        }),
    }
}

/// Hands layers to other nodes until `end`, if the node takes part.
fn hand_out(tools: &Tools, end: &CancellationToken) {
    if let Some(peers) = tools.peers.clone() {
        tokio::spawn(peers.serve(Arc::clone(&tools.images), end.clone()));
    }
}

/// Serves the introspection API, and writes down where.
async fn introspect(tools: &Tools, at: std::net::SocketAddr, folder: &std::path::Path) {
    if let Some(at) = tools.endpoints.introspect(at).await {
        let written = tokio::fs::write(folder.join(INTROSPECTION), format!("{at}\n")).await;
        if let Err(error) = written {
            tracing::warn!(%error, "where the introspection API is cannot be written down");
        }
    }
}

/// What the local endpoints answer from.
fn sources(
    config: &Config,
    (view, credentials): (&Arc<View>, &Arc<CredentialStore>),
    parts: &Parts,
) -> Sources {
    Sources {
        view: Arc::clone(view),
        credentials: Arc::clone(credentials),
        containers: Arc::clone(&parts.containers),
        networks: Arc::clone(&parts.networks),
        transport: Arc::clone(&parts.transport),
        clock: Arc::clone(&parts.clock),
        samples: Arc::new(Samples::default()),
        cluster: config.cluster.to_string(),
        control_plane: ControlPlane {
            server: config.server.clone(),
            tls: config.tls.clone(),
            region: config.region.clone(),
            clock: Arc::clone(&parts.clock),
        },
        zone: RwLock::new(config.zone.clone()),
        vpc: RwLock::default(),
        instance: RwLock::default(),
    }
}

fn core_result(
    ended: Result<Result<(), crate::journal::JournalError>, tokio::task::JoinError>,
) -> Result<(), AgentError> {
    match ended {
        Ok(result) => Ok(result?),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}

fn check_cluster(config: &Config, engine: &Engine) -> Result<(), AgentError> {
    match engine.registered() {
        Some((_, cluster)) if cluster != config.cluster.as_str() => Err(AgentError::OtherCluster {
            name: config.name.clone(),
            saved: cluster.to_owned(),
            wanted: config.cluster.to_string(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Stops every task, reports, and removes what is left of each.
async fn stop_all(handle: &Handle, view: &View, stop_timeout_max: Duration) {
    handle.tell(Event::CleanUp { reports: true, stop_timeout_max }).await;
    for task in view.tasks() {
        if task.desired == DesiredStatus::Running {
            let task = task.task.arn.clone();
            handle.tell(Event::StopRequested { task }).await;
        }
    }
    handle.stopped().await;
    if tokio::time::timeout(REPORTS_AT_END, handle.empty()).await.is_err() {
        tracing::warn!(
            "the control plane did not take all reports; they are kept for the next start"
        );
        handle.tell(Event::CleanUp { reports: false, stop_timeout_max }).await;
        handle.empty().await;
    }
}
