//! The sessions of one server: who is connected, and what a connection does from its first message
//! to the time after its end.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agent_protocol::{acs as acs_messages, node as node_messages, tcs as tcs_messages};
use ledger::{Ledger, Schema, Table, watch};
use parking_lot::Mutex;
use terms::{Clock, ContainerInstanceArn, IdSource, TaskArn};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acs::{self, Acs, AcsStart, CredentialsDesk, CredentialsRequest, Surroundings};
use super::agent_update::AgentPrograms;
use super::arrivals::{ArrivalLimits, Arriving, Gates, TooMany};
use super::exec::{CLIENTS_MAX, Meetings, SessionKey};
use super::ledger_view::{LedgerView, TaskEndpointSetting};
use super::node::{self, Streams};
use super::presence::Versions;
use super::registry::Registry;
use super::role_credentials::{TaskCredentials, credentials_id};
use super::router;
use super::sequence::{Sequence, SessionEpoch};
use super::tcs::{self, InstanceTelemetry, Telemetry, TelemetryReport};
use super::transport::{Close, Transport};
use crate::model::ExecSession;
use crate::tables::Tables;

/// How long an upgrade waits for the sessions to begin.
const START_MAX: Duration = Duration::from_secs(2);

/// How long a shutdown waits for sessions to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// The row that counts the starts of sessions.
const EPOCH_KEY: &str = "sessions";

/// What the operator decides about sessions.
#[derive(Clone)]
pub struct SessionSetup {
    /// What containers are told of the API's address.
    pub task_endpoint: TaskEndpointSetting,
    /// Who makes the credentials of tasks' roles.
    pub credentials: Arc<dyn TaskCredentials>,
    /// Where agents ask for the right to pull from ECR's registries (GetAuthorizationToken); none is
    /// the registry beside us for images of the task's account, and AWS's own for others.
    pub ecr_endpoint: Option<String>,
    /// The registry beside us, if there is one.
    pub registry: Option<OwnRegistry>,
}

/// A registry that is served where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRegistry {
    /// Where agents reach the API, and with it the registry.
    pub url: String,
    /// What images of it are named by, besides ECR's own names: `localhost:4566`.
    pub hosts: Vec<String>,
}

/// The tables of the sessions themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionTables {
    epochs: Table<String, SessionEpoch>,
    pub(super) execs: Table<SessionKey, ExecSession>,
}

impl SessionTables {
    /// Declares them.
    pub(crate) fn declare(schema: &mut Schema) -> Self {
        Self {
            epochs: schema.table("ecs.session_epochs"),
            execs: schema.table("ecs.exec_sessions"),
        }
    }
}

/// All sessions of one server. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    pub(super) hub: Arc<Hub>,
}

/// What the sessions share.
pub(super) struct Hub {
    pub(super) ledger: Ledger,
    pub(super) tables: Tables,
    pub(super) own_tables: SessionTables,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn IdSource>,
    setup: SessionSetup,
    /// What the present run began with; none while none is under way.
    started: watch::Sender<Option<Started>>,
    pub(super) control: Arc<Registry>,
    pub(super) telemetry_sessions: Arc<Registry>,
    pub(super) nodes: Arc<Registry<mpsc::Sender<node_messages::ServerMessage>>>,
    pub(super) telemetry: Telemetry,
    pub(super) streams: Arc<Streams>,
    pub(super) pulls: node::Pulls,
    pub(super) layers: node::Layers,
    pub(super) execs: Arc<Meetings>,
    pub(super) exec_clients: Arc<Semaphore>,
    pub(super) desks: Mutex<HashMap<ContainerInstanceArn, CredentialsDesk>>,
    pub(super) gates: Gates,
    pub(super) tasks: TaskTracker,
    programs: OnceLock<Arc<dyn AgentPrograms>>,
}

impl Sessions {
    /// The sessions over a ledger; none is taken before [`Sessions::run`] has begun.
    pub(crate) fn new(
        ledger: Ledger,
        tables: Tables,
        own_tables: SessionTables,
        ids: Arc<dyn IdSource>,
        setup: SessionSetup,
    ) -> Self {
        let clock = ledger.clock().clone();
        let hub = Hub {
            ledger,
            tables,
            own_tables,
            clock,
            ids,
            setup,
            started: watch::Sender::new(None),
            control: Arc::default(),
            telemetry_sessions: Arc::default(),
            nodes: Arc::default(),
            telemetry: Telemetry::default(),
            streams: Arc::default(),
            pulls: node::Pulls::default(),
            layers: node::Layers::default(),
            execs: Arc::default(),
            exec_clients: Arc::new(Semaphore::new(CLIENTS_MAX)),
            desks: Mutex::default(),
            gates: Gates::default(),
            tasks: TaskTracker::new(),
            programs: OnceLock::new(),
        };
        Self { hub: Arc::new(hub) }
    }

    /// Takes sessions and feeds them changes, until `shutdown`; then ends them with 1001. May run
    /// again after that: a server that leads anew begins with nothing of its earlier time.
    ///
    /// # Errors
    /// If the ledger does not take the one write that a start needs.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ledger::LedgerError> {
        let mut feed = self.hub.ledger.subscribe();
        let epoch = self.hub.next_epoch().await?;
        let sequence = Arc::new(Sequence::of_epoch(&epoch));
        let (secret, stopping) = (epoch.secret.into(), CancellationToken::new());
        let started = Started { sequence, secret, stopping: stopping.clone() };
        self.hub.begin(started);
        let hub = self.hub.clone();
        self.hub.tasks.spawn(async move { hub.settle_absent(&stopping).await });
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                commit = feed.next() => match commit {
                    Ok(commit) => self.hub.route(&commit),
                    Err(ledger::Lagged) => {
                        feed.restart();
                        self.hub.control.wake_all();
                    }
                },
            }
        }
        self.hub.goodbye().await;
        Ok(())
    }

    /// Lets agents come by these limits, from now on.
    pub fn limit_arrivals(&self, limits: ArrivalLimits) {
        self.hub.gates.limit(limits);
    }

    /// Says what hands out agents' programs; without it, none is ever replaced. Once only.
    pub fn hand_out(&self, programs: Arc<dyn AgentPrograms>) {
        _ = self.hub.programs.set(programs);
    }

    /// What hands out agents' programs.
    pub(crate) fn programs(&self) -> Option<Arc<dyn AgentPrograms>> {
        self.hub.programs.get().cloned()
    }

    /// How many control sessions were refused because too many agents came at the time.
    pub fn refused_arrivals(&self) -> u64 {
        self.hub.gates.control.refused()
    }

    /// Lets a registration begin, if not too many come; it has ended when the guard is dropped.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(crate) fn registering(&self) -> Result<Arriving, TooMany> {
        self.hub.gates.registrations.admit(self.hub.clock.now())
    }

    /// How many instances have a control session.
    pub fn connected(&self) -> usize {
        self.hub.control.count()
    }

    /// Whether the instance has a control session now, ahead of its row's `agentConnected`.
    pub fn is_connected(&self, instance: &ContainerInstanceArn) -> bool {
        self.hub.control.is_connected(instance)
    }

    /// What the instance's agent last said of its tasks' use and of its own state; none if it has
    /// no telemetry session.
    pub fn telemetry(&self, instance: &ContainerInstanceArn) -> Option<InstanceTelemetry> {
        self.hub.telemetry.get(instance)
    }

    /// What an instance's agent last said of its checks; empty if it never did since this server
    /// started.
    pub(crate) fn checks(
        &self,
        instance: &ContainerInstanceArn,
    ) -> Vec<tcs_messages::InstanceStatus> {
        self.hub.telemetry.checks(instance)
    }

    /// The images that an instance's agent is pulling for a task.
    pub(crate) fn pulls(
        &self,
        instance: &ContainerInstanceArn,
        task: &TaskArn,
    ) -> Vec<node_messages::PullUnderWay> {
        self.hub.pulls.of_task(instance, task)
    }

    /// Serves a control connection over any transport: what an upgrade leads to, and how
    /// simulation connects an agent. Returns when the time after the connection is over too.
    pub async fn serve_control<T>(&self, transport: T, instance: ContainerInstanceArn, hello: Hello)
    where
        T: Transport<In = acs_messages::AgentMessage, Out = acs_messages::ServerMessage>,
    {
        self.hub.serve_control(transport, &instance, hello, None).await;
    }

    /// Serves a telemetry connection over any transport.
    pub async fn serve_telemetry<T>(&self, mut transport: T, instance: ContainerInstanceArn)
    where
        T: Transport<In = tcs_messages::AgentMessage, Out = tcs_messages::ServerMessage>,
    {
        let Ok(seat) = self.hub.telemetry_sessions.seat(&instance, ()) else {
            return transport.close(Close::going_away()).await;
        };
        let mut report = TelemetryReport { hub: self.hub.clone(), instance };
        tcs::serve(&mut transport, &mut report, seat.mailbox(), &self.hub.clock).await;
        drop(seat);
        if !self.hub.telemetry_sessions.is_connected(&report.instance) {
            self.hub.telemetry.forget(&report.instance);
        }
    }

    /// Serves a node channel over any transport.
    pub async fn serve_node<T>(&self, mut transport: T, instance: ContainerInstanceArn)
    where
        T: Transport<In = node_messages::AgentMessage, Out = node_messages::ServerMessage>,
    {
        let (sender, mut requests) = mpsc::channel(node::REQUESTS_MAX);
        let Ok(seat) = self.hub.nodes.seat(&instance, sender) else {
            return transport.close(Close::going_away()).await;
        };
        let hub = &self.hub;
        let told = node::Told { sessions: self, instance: &instance };
        node::serve(&mut transport, seat.mailbox(), &mut requests, &told, &hub.clock).await;
        drop(seat);
        if !hub.nodes.is_connected(&instance) {
            hub.pulls.forget(&instance);
            hub.send_all(hub.layers.gone(&instance, hub.clock.now()));
        }
    }
}

/// What a run began with, and what ends with it.
#[derive(Clone)]
struct Started {
    sequence: Arc<Sequence>,
    secret: Arc<[u8]>,
    /// Ends the time after sessions; sessions themselves are ended by their mailboxes.
    stopping: CancellationToken,
}

/// What an agent says when it opens its control connection (the query of the upgrade).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// Its own versions.
    pub(crate) versions: Versions,
    /// Whether it wants the credentials of all its tasks.
    pub(crate) sends_credentials: bool,
}

impl Hello {
    /// What the query says; `get` gives a parameter's value.
    pub fn from_query(get: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| get(name).filter(|value| !value.is_empty());
        let versions = Versions {
            agent: given("agentVersion"),
            hash: given("agentHash"),
            docker: given("dockerVersion"),
        };
        Self { versions, sends_credentials: given("sendCredentials").as_deref() == Some("true") }
    }
}

impl Hub {
    pub(super) fn view(&self, instance: &ContainerInstanceArn) -> LedgerView<'_> {
        LedgerView::new(self.ledger.snapshot(), &self.tables, &self.setup, instance)
    }

    /// Sends on node channels. Whoever has no room, or has just gone, asks again if it wants.
    pub(super) fn send_all(&self, letters: node::Letters) {
        for (instance, message) in letters {
            if let Some(channel) = self.nodes.handle(&instance) {
                _ = channel.try_send(message);
            }
        }
    }

    /// Waits, but not for long, until [`Sessions::run`] has begun: agents of the same process
    /// come at once, and one that is refused comes back only after its back-off.
    pub(super) async fn is_ready(&self) -> bool {
        let mut started = self.started.subscribe();
        let begun = started.wait_for(Option::is_some);
        tokio::time::timeout(START_MAX, begun).await.is_ok_and(|begun| begun.is_ok())
    }

    /// Takes sessions from now on; what an earlier run left in memory is forgotten.
    fn begin(&self, started: Started) {
        self.desks.lock().clear();
        self.telemetry.forget_all();
        self.pulls.forget_all();
        self.layers.forget_all();
        self.control.open();
        self.telemetry_sessions.open();
        self.nodes.open();
        self.tasks.reopen();
        self.started.send_replace(Some(started));
    }

    fn route(&self, commit: &ledger::Commit) {
        router::wake(commit, &self.tables, &self.control);
        for instance in router::gone(commit, &self.tables) {
            let close = Close::inactive_instance("the container instance was deregistered");
            self.telemetry_sessions.end(&instance, close.clone());
            self.nodes.end(&instance, close);
            self.desks.lock().remove(&instance);
            self.telemetry.forget_instance(&instance);
        }
    }

    pub(super) async fn serve_control<T>(
        self: &Arc<Self>,
        mut transport: T,
        instance: &ContainerInstanceArn,
        hello: Hello,
        arriving: Option<Arriving>,
    ) where
        T: Transport<In = acs_messages::AgentMessage, Out = acs_messages::ServerMessage>,
    {
        let seat = self.control.seat(instance, ());
        let started = self.started.borrow().clone();
        let (Ok(seat), Some(started)) = (seat, started) else {
            return transport.close(Close::going_away()).await;
        };
        let desk = self.desks.lock().remove(instance).unwrap_or_default();
        let sends_credentials = hello.sends_credentials;
        let start = AcsStart { instance: instance.clone(), sends_credentials, desk };
        let (ids, sequence) = (self.ids.clone(), started.sequence.clone());
        let mut acs = Acs::new(start, ids, sequence, self.clock.now());
        let around = Surroundings {
            clock: self.clock.clone(),
            view: || self.view(instance),
            fetch: self.fetcher(&started.secret),
            updated: self.updater(instance),
        };
        meters::ecs().sessions_begun.get_or_create(&meters::Session { session: "acs" }).inc();
        tracing::info!(%instance, "an agent connected");
        let session = acs::serve(&mut transport, &mut acs, seat.mailbox(), &around);
        let settled = async {
            self.settle(instance, Some(&hello.versions)).await;
            drop(arriving);
        };
        let (ended, ()) = tokio::join!(session, settled);
        drop(seat);
        drop(transport);
        tracing::info!(%instance, ?ended, "an agent's session ended");
        self.after(instance, acs.into_desk(), &started.stopping).await;
    }

    fn updater(self: &Arc<Self>, instance: &ContainerInstanceArn) -> acs::Updated {
        let (hub, instance) = (Arc::clone(self), instance.clone());
        Arc::new(move |event| {
            let (hub, instance) = (Arc::clone(&hub), instance.clone());
            Box::pin(async move { hub.update_went(&instance, event).await })
        })
    }

    fn fetcher(&self, secret: &Arc<[u8]>) -> acs::Fetcher {
        let (credentials, secret) = (self.setup.credentials.clone(), secret.clone());
        Arc::new(move |request: CredentialsRequest| {
            let (credentials, secret) = (credentials.clone(), secret.clone());
            Box::pin(async move {
                let mut result = credentials.mint(request.clone()).await;
                if let Ok(minted) = &mut result {
                    minted.credentials.credentials_id = credentials_id(&secret, &request);
                }
                (request, result)
            })
        })
    }

    async fn next_epoch(&self) -> Result<SessionEpoch, ledger::LedgerError> {
        let epochs = self.own_tables.epochs;
        let key = EPOCH_KEY.to_owned();
        let next = |tx: &mut ledger::Tx<'_>| {
            let epoch = match tx.get(&epochs, &key) {
                Some(row) => SessionEpoch { number: row.number + 1, secret: row.secret.clone() },
                None => SessionEpoch { number: 1, secret: [tx.next_id(), tx.next_id()].concat() },
            };
            tx.put(&epochs, key.clone(), epoch.clone());
            Ok::<_, std::convert::Infallible>(epoch)
        };
        match self.ledger.transact("ecs.session_epoch", next).await {
            Ok(committed) => Ok(committed.value),
            Err(ledger::TransactError::Ledger(error)) => Err(error),
            Err(ledger::TransactError::Rejected(never)) => match never {},
        }
    }

    /// Cancelled when the sessions of the present run are to end; none if none is under way.
    pub(super) fn stopping(&self) -> Option<CancellationToken> {
        self.started.borrow().as_ref().map(|started| started.stopping.clone())
    }

    /// Ends all sessions and waits for them, but not for long.
    async fn goodbye(&self) {
        if let Some(started) = self.started.send_replace(None) {
            started.stopping.cancel();
        }
        self.control.drain();
        self.telemetry_sessions.drain();
        self.nodes.drain();
        self.tasks.close();
        if tokio::time::timeout(GOODBYE_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "some agents' sessions did not end in time");
        }
    }
}
