//! One life of a server: the real services over a ledger, with the real edge and gate in front.

mod alone;
mod several;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cloudwatch::{AlarmState, CloudWatch, StateValue};
use ecs::audit::{AuditedChange, Changed};
use ecs::{
    CredentialsRequest, Ecs, EcsSetup, EcsTables, Minted, ServiceRules, SessionSetup,
    TaskCredentials, TaskEndpointSetting, ThrottleCurve,
};
use ensemble::LedgerGate;
use ledger::{Commit, Ledger, Schema, View};
use parking_lot::Mutex;
use terms::{Clock, IdSource, Region, Timestamp};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vpc::Vpc;
use wire::{
    Ask, Authenticator, Caller, CallerKind, CredentialLookup, Edge, EdgeBuilder, Gate, Need,
    Passage, Secret,
};

use crate::alarms::ALARMS;
use crate::check::Rules;
use crate::life::Life;
use crate::mutation::Mutation;
use crate::plan::Plan;
use crate::world::World;

pub(crate) use alone::Alone;
pub(crate) use several::{Reference, Several};

/// The account of everybody.
pub(crate) const ACCOUNT: &str = "000000000000";
/// The region of everybody.
pub(crate) const REGION: &str = "us-east-1";
/// Everybody's secret key: who calls is told by the key's id.
pub(crate) const SECRET: &str = "simulated";
/// As the edge's: how long an upgrade may be held until it is known who leads.
const HOLD_MAX: Duration = Duration::from_secs(3);

/// Where the server with this number is reached.
pub(crate) fn url(number: usize) -> String {
    format!("http://s{number}.sim:4566")
}

/// The list of all servers, as agents and clients have it.
pub(crate) fn urls(count: usize) -> String {
    (0..count).map(url).collect::<Vec<_>>().join(",")
}

/// The number of the server that a URL leads to.
pub(crate) fn number_of(uri: &http::Uri) -> Option<usize> {
    uri.host()?.strip_prefix('s')?.strip_suffix(".sim")?.parse().ok()
}

/// One life of a server.
pub(crate) struct Server {
    /// Its name among the servers of its ledger: new with each life.
    pub(crate) name: String,
    pub(crate) life: Life,
    pub(crate) edge: Edge,
    pub(crate) ecs: Ecs,
    pub(crate) ledger: Ledger,
    pub(crate) tables: EcsTables,
    /// Says who answers, if there are several.
    gate: Option<Arc<LedgerGate>>,
    /// Asks it to end in an orderly way.
    stop: CancellationToken,
    jobs: Mutex<Vec<AbortHandle>>,
}

/// Where an agent's connection is served.
pub(crate) enum Onward {
    Here,
    /// By the server with this number, until `end`.
    To {
        server: usize,
        end: CancellationToken,
    },
    Nowhere,
}

/// Tables, declared before the ledger is opened.
struct Declared {
    schema: Schema,
    ecs: EcsTables,
    others: Others,
}

/// The tables of the services below ECS.
#[derive(Clone, Copy)]
struct Others {
    vpc: vpc::Tables,
    alarms: cloudwatch::Tables,
}

impl Declared {
    fn new() -> Self {
        let mut schema = Schema::new();
        let ecs = EcsTables::declare(&mut schema);
        let vpc = vpc::Tables::declare(&mut schema);
        let alarms = cloudwatch::Tables::declare(&mut schema);
        Self { schema, ecs, others: Others { vpc, alarms } }
    }
}

/// The services over a ledger, and the edge in front of them, to which a gate may come.
fn assemble(
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
    (ecs_tables, others): (EcsTables, Others),
    ledger: &Ledger,
    plan: &Plan,
) -> (Ecs, EdgeBuilder) {
    let setup = EcsSetup {
        ids: ids.clone(),
        agent_endpoint: None,
        stopped_task_retention: ecs::STOPPED_TASK_RETENTION_MIN,
        sessions: SessionSetup {
            task_endpoint: TaskEndpointSetting::None,
            credentials: Arc::new(NoCredentials),
            ecr_endpoint: None,
            registry: None,
        },
        services: service_rules(plan),
        vpc: others.vpc,
    };
    let ecs = Ecs::new(ecs_tables, ledger.clone(), setup);
    if let Mutation::Scheduler(mistake) = plan.mutation {
        ecs.err_on_purpose(mistake);
    }
    ecs.watch_alarms(others.alarms);
    let vpc = Vpc::new(others.vpc, ledger.clone());
    let alarms = CloudWatch::new(others.alarms, ledger.clone());
    let services = [ecs.service(), vpc.service(), alarms.service()];
    let edge = Edge::builder(Arc::new(Keys), clock, ids);
    let edge = services.into_iter().fold(edge, |edge, service| edge.service(service));
    let edge = ecs.routes().into_iter().fold(edge, |edge, route| edge.route(route));
    (ecs, edge)
}

fn service_rules(plan: &Plan) -> ServiceRules {
    let Some(services) = &plan.services else { return ServiceRules::default() };
    let Rules { settle, lost_after } = services.rules;
    let throttle = ThrottleCurve { longest: services.throttle, ..ThrottleCurve::default() };
    ServiceRules { settle, throttle, lost_after }
}

impl Server {
    /// Runs something in the server's process: a crash ends it.
    pub(crate) fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(job).abort_handle();
        let mut jobs = self.jobs.lock();
        jobs.retain(|job| !job.is_finished());
        jobs.push(handle);
    }

    fn abort(&self) {
        for job in self.jobs.lock().drain(..) {
            job.abort();
        }
    }

    /// Asks it to end in an orderly way.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Where an upgrade is served that came through servers of these names: what the edge does
    /// with its gate before it opens a tunnel.
    pub(crate) async fn onward(&self, through: &[&str]) -> Onward {
        let Some(gate) = &self.gate else { return Onward::Here };
        let until = Instant::now() + HOLD_MAX;
        let ask = Ask { need: Need::Lead, through, unreachable: None, until };
        match gate.pass(ask).await {
            Passage::Here => Onward::Here,
            Passage::Shut(_) => Onward::Nowhere,
            Passage::Onward { url, end } => {
                let server = url.parse().ok().and_then(|uri| number_of(&uri));
                server.map_or(Onward::Nowhere, |server| Onward::To { server, end })
            }
        }
    }
}

/// The alarms that are in ALARM.
fn alarming(tables: &cloudwatch::Tables, view: &impl View) -> BTreeSet<String> {
    let scope = cloudwatch::Scope {
        account: ACCOUNT.parse().expect("an account"),
        region: REGION.parse().expect("a region"),
    };
    let states = tables.alarm_states(view, &scope, &ALARMS.map(str::to_owned));
    let is_on = |state: &Option<AlarmState>| {
        state.as_ref().is_some_and(|state| state.value == StateValue::Alarm)
    };
    states.into_iter().filter(|(_, state)| is_on(state)).map(|(name, _)| name).collect()
}

/// Checks a commit that was published.
fn check(world: &World, (tables, others): (&EcsTables, &Others), commit: &Commit, now: Timestamp) {
    let changed = others.alarms.alarm_changes(commit).into_iter();
    let is_on = |state: Option<AlarmState>| state.is_some_and(|one| one.value == StateValue::Alarm);
    let changed = changed.map(|change| (change.name, is_on(change.state))).collect();
    world.checker.lock().alarms_change(changed);
    let changes = tables.audit_commit(commit);
    for change in &changes {
        if let AuditedChange::Event(Changed { after: Some(event), .. }) = change {
            world.note(format!("{} {}", event.number, event.message));
        }
    }
    let found = world.checker.lock().commit(commit.revision(), commit.name(), changes, now);
    world.judge(found);
}

/// Who somebody is: their key's id says it.
pub(crate) fn caller(kind: CallerKind) -> Caller {
    let name = match &kind {
        CallerKind::Node { name } => format!("node-{name}"),
        _ => "operator".to_owned(),
    };
    Caller {
        account: ACCOUNT.parse().expect("an account"),
        region: REGION.parse().expect("a region"),
        arn: format!("arn:aws:iam::{ACCOUNT}:user/{name}"),
        user_id: name.clone(),
        access_key_id: name,
        kind,
    }
}

/// Every key is good; one that begins with `node-` is a node's.
struct Keys;

impl Authenticator for Keys {
    fn find(&self, id: &str, _: Option<&str>, _: &Region, _: Timestamp) -> CredentialLookup {
        let kind = match id.strip_prefix("node-") {
            Some(name) => CallerKind::Node { name: name.to_owned() },
            None => CallerKind::Operator,
        };
        CredentialLookup::Found { secret: Secret::new(SECRET), caller: Arc::new(caller(kind)) }
    }
}

/// No task of a simulation has a role.
struct NoCredentials;

impl TaskCredentials for NoCredentials {
    fn mint(
        &self,
        _: CredentialsRequest,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Minted, String>> + Send + '_>> {
        Box::pin(async { Err("there are no roles".to_owned()) })
    }
}
