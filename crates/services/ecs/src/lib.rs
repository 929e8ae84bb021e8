//! Amazon ECS: clusters, task definitions, container instances, tasks and agents' sessions.
//!
//! - Tables: `tables.rs`; what their rows hold: `model/`.
//! - Operations: `api/`, one file a resource; `api/mod.rs` lists them.
//! - What is decided, and why: `decide/`, pure.
//! - Places for tasks: `placing/`; what would be if: `whatif/`.
//! - What must be so in stored rows: `check.rs`.
//! - Loops: `reconcile/` (what is old is forgotten), and those of `sessions/`.
//! - Who calls the functions of lifecycle hooks: `hooks.rs`.
//! - What EventBridge is told, and how its rules run tasks: `event_source.rs`, `run_target.rs`.
//! - What an outside checker reads: [`audit`].
//! - Agents: `sessions/`. Paths of our own under `/_longshore/`: `routes.rs` and there.
//!
//! **Invariant:** no instance holds more than it registered. Placement is planned on a fleet that
//! may be behind (`placing/`), and the commit that writes the tasks guards that they fit.
//!
//! **Invariant:** what is free on an instance is derived from the tasks on it (`decide/room.rs`)
//! and stored nowhere.
//!
//! **Invariant:** a task's status only moves forward, and a revision is never given out twice.

mod api;
pub mod audit;
mod census;
mod check;
mod decide;
mod error;
mod event_source;
mod fleet;
mod hooks;
mod model;
mod peer;
mod placing;
mod reconcile;
mod routes;
mod run_target;
mod sessions;
mod tables;
mod trace;
mod used;
mod whatif;

use std::sync::Arc;
use std::time::Duration;

use ledger::{Ledger, LedgerError, Schema};
use terms::IdSource;
use tokio_util::sync::CancellationToken;
use wire::{Route, Service};

pub use crate::census::{Count, Witness};
pub use crate::decide::history::{Happening, ResourceKind};
pub use crate::decide::service::{Mistake, ThrottleCurve};
pub use crate::hooks::{HookCaller, HookFailure};
use crate::placing::Placer;
use crate::sessions::SessionTables;
pub use crate::sessions::{
    AGENT_AWAY_AFTER, ArrivalLimits, Close, CredentialsRequest, Gone, Hello, IamCredentials,
    InstanceTelemetry, Minted, OwnRegistry, Received, SessionSetup, Sessions, TaskCredentials,
    TaskEndpointSetting, Transport,
};
pub use crate::sessions::{AGENT_PROGRAM_PATH, AgentPrograms};

/// The tables of this crate: declared before the ledger is opened, handed to [`Ecs::new`] after.
#[derive(Clone, Copy, Debug)]
pub struct EcsTables {
    rows: tables::Tables,
    sessions: SessionTables,
}

impl EcsTables {
    /// Declares them.
    pub fn declare(schema: &mut Schema) -> Self {
        Self { rows: tables::Tables::declare(schema), sessions: SessionTables::declare(schema) }
    }
}

/// The shortest time for which a stopped task is kept. ECS promises an hour (ECS semantics §5.1).
pub const STOPPED_TASK_RETENTION_MIN: Duration = Duration::from_secs(60 * 60);

/// What the operator decides.
pub struct EcsSetup {
    /// Where ids of sessions and seeds of placements come from.
    pub ids: Arc<dyn IdSource>,
    /// The base URL that agents connect to, such as `http://10.0.0.1:4566`; `None` means the one
    /// that they called DiscoverPollEndpoint at.
    pub agent_endpoint: Option<String>,
    /// How long stopped tasks are kept; [`STOPPED_TASK_RETENTION_MIN`] if it is less than that.
    pub stopped_task_retention: Duration,
    /// Sessions of agents.
    pub sessions: SessionSetup,
    /// How services are kept.
    pub services: ServiceRules,
    /// The networks that awsvpc tasks are in: tables of the same ledger.
    pub vpc: vpc::Tables,
}

/// What tasks used of one of Fargate's capacity providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FargateUse {
    /// `FARGATE`, with its launch type, or `FARGATE_SPOT`.
    pub provider: &'static str,
    /// Tasks.
    pub tasks: u64,
    /// CPU units times seconds.
    pub cpu_unit_seconds: u64,
    /// MiB times seconds.
    pub mib_seconds: u64,
    /// GiB of ephemeral storage beyond 20, times seconds.
    pub storage_gib_seconds: u64,
}

/// How services are kept, as far as the operator decides it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceRules {
    /// How long a task without health checks is RUNNING until it counts as healthy.
    pub settle: Duration,
    /// How starts are held back when tasks end before they run.
    pub throttle: ThrottleCurve,
    /// After which time without its agent the tasks of an instance are given up and replaced;
    /// never if none, as on ECS.
    pub lost_after: Option<Duration>,
}

/// ECS's own time until a task without health checks counts as healthy (ECS semantics §7.3).
pub const SETTLE: Duration = Duration::from_secs(40);

impl Default for ServiceRules {
    /// As ECS does it.
    fn default() -> Self {
        Self { settle: SETTLE, throttle: ThrottleCurve::default(), lost_after: None }
    }
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Ecs {
    api: Arc<api::Api>,
    sessions: Sessions,
    kept: reconcile::sweep::Kept,
    rules: ServiceRules,
}

impl Ecs {
    /// The service over a ledger that was opened with these tables.
    pub fn new(tables: EcsTables, ledger: Ledger, setup: EcsSetup) -> Self {
        let EcsSetup { ids, agent_endpoint, stopped_task_retention, sessions, services, vpc } =
            setup;
        let EcsTables { rows, sessions: own } = tables;
        let sessions = Sessions::new(ledger.clone(), rows, own, ids.clone(), sessions);
        let placer = Placer::new(ledger.clone(), rows);
        let api = api::Api {
            ledger,
            tables: rows,
            placer,
            sessions: sessions.clone(),
            ids,
            agent_endpoint,
            vpc,
            alarms: std::sync::OnceLock::new(),
            balancers: std::sync::OnceLock::new(),
            hooks: std::sync::OnceLock::new(),
            identities: std::sync::OnceLock::new(),
            mistake: std::sync::OnceLock::new(),
        };
        let api = Arc::new(api);
        let kept = reconcile::sweep::Kept::for_time(stopped_task_retention);
        Self { api, sessions, kept, rules: services }
    }

    /// Lets alarms end deployments: `alarms` are tables of the same ledger. Only the first call
    /// counts; without one no deployment watches alarms.
    pub fn watch_alarms(&self, alarms: cloudwatch::Tables) {
        let _ = self.api.alarms.set(alarms);
    }

    /// Lets services have load balancers: `balancers` are tables of the same ledger. Only the first
    /// call counts; without one no target group is known.
    pub fn balance(&self, balancers: elbv2::Tables) {
        let _ = self.api.balancers.set(balancers);
    }

    /// Lets lifecycle hooks of deployments call functions. Only the first call counts; without one
    /// every call fails.
    pub fn call_hooks_by(&self, caller: Arc<dyn HookCaller>) {
        let _ = self.api.hooks.set(caller);
    }

    /// Lets no task start with a role that does not trust tasks. Only the first call counts; without
    /// one, roles are not looked at when tasks start.
    pub fn check_roles_with(&self, identities: iam::Iam) {
        let _ = self.api.identities.set(identities);
    }

    /// Lets the scheduler of services make a mistake on purpose, so that a simulation shows that it
    /// finds such. Only the first call counts.
    pub fn err_on_purpose(&self, mistake: Mistake) {
        let _ = self.api.mistake.set(mistake);
    }

    /// Its operations.
    pub fn service(&self) -> Service {
        api::service(self.api.clone())
    }

    /// Its other paths: agents' websockets, streams of output, `/_longshore/why`.
    pub fn routes(&self) -> Vec<Route> {
        let mut routes = self.sessions.routes();
        routes.push(routes::why(self.api.clone()));
        routes.push(routes::plan(self.api.clone()));
        routes.push(routes::what_if(self.api.clone()));
        routes.push(routes::placements(self.api.clone()));
        routes.push(routes::usage(self.api.clone()));
        routes.push(routes::fleet(self.api.clone()));
        routes.push(routes::service_health(self.api.clone(), self.rules));
        routes
    }

    /// A reader of the ledger's commits that knows what they did to tasks and instances.
    pub fn witness(&self) -> Witness {
        Witness::new(self.api.tables)
    }

    /// What all tasks used of Fargate that is known of, by capacity provider.
    pub fn fargate_use(&self) -> Vec<FargateUse> {
        let api::Api { ledger, tables, .. } = &*self.api;
        let totals = used::totals(&ledger.snapshot(), tables, ledger.clock().now());
        let told = totals.into_iter().map(|(provider, amount)| FargateUse {
            provider,
            tasks: amount.tasks,
            cpu_unit_seconds: amount.cpu,
            mib_seconds: amount.memory,
            storage_gib_seconds: amount.storage,
        });
        told.collect()
    }

    /// The sessions of agents.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Runs the loops until `shutdown`.
    ///
    /// # Errors
    /// If the ledger fails.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), LedgerError> {
        let services = reconcile::services::run(&self.api, self.rules, shutdown.clone());
        let hooks = reconcile::hooks::run(&self.api, shutdown.clone());
        let ((), (), ended) = tokio::join!(services, hooks, self.run_at_rest(shutdown));
        ended
    }

    /// Runs all loops but the scheduler of services, until `shutdown`: services stay as their
    /// operations leave them. For tests that look at just that.
    ///
    /// # Errors
    /// If the ledger fails.
    pub async fn run_at_rest(&self, shutdown: CancellationToken) -> Result<(), LedgerError> {
        let api::Api { ledger, tables, vpc, .. } = &*self.api;
        let sweep = reconcile::sweep::run(ledger, tables, vpc, self.kept, shutdown.clone());
        let follow = self.api.placer.follow(&shutdown);
        let ((), (), ended) = tokio::join!(sweep, follow, self.sessions.run(shutdown.clone()));
        ended
    }
}
