//! The server's parts joined: ledger, services, edge.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use balancer::Balancer;
use certificates::Certificates;
use cloudtrail::Trail;
use cloudwatch::{CloudWatch, Logs};
use ecr::Ecr;
use ecs::{Ecs, EcsSetup, IamCredentials, SessionSetup, TaskEndpointSetting};
use elbv2::Elb;
use ensemble::{LedgerGate, lead};
use events::Events;
use iam::Iam;
use ledger::{EmbeddedStore, EtcdSettings, Ledger, Member, Schema};
use secrets::Secrets;
use terms::{Clock, IdSource};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vpc::Vpc;
use wire::{Edge, EdgeBuilder, Route, Service};

use crate::access_logs::access_logs;
use crate::agent_program::AgentProgram;
use crate::archive_route;
use crate::audit;
use crate::balancing;
use crate::certifying;
use crate::clock::{RandomIds, SystemClock};
use crate::data_dir::{DataDir, Running};
use crate::deployment_hooks::DeploymentHooks;
use crate::ensemble::{Asking, Identity, Servers, ServersTable, StoreChoice, recovery_route};
use crate::event_parts::EventParts;
use crate::exec_parts::ExecParts;
use crate::known_resources::KnownResources;
use crate::observe;
use crate::registry;
use crate::security::Tls;
use crate::settings::{Auth, ServerSettings};
use crate::tables::Tables;
use crate::{names, routes, tls_upkeep};

/// A control plane that serves until it is told to stop.
pub struct ControlPlane {
    /// Where it is reached.
    pub running: Running,
    /// What its installation is known by.
    pub installation: String,
    /// Who may sign.
    pub iam: Iam,
    /// Clusters, tasks, agents.
    pub ecs: Ecs,
    /// What it shows, if it serves with TLS.
    pub tls: Option<Tls>,
    ledger: Ledger,
    /// What it runs with.
    settings: ServerSettings,
    data: DataDir,
    shutdown: CancellationToken,
    loops: JoinSet<Result<()>>,
}

impl ControlPlane {
    /// Opens the ledger and serves the API on `listener`. The administrator's key is made at the
    /// first start and kept in the data folder.
    ///
    /// # Errors
    /// If the data folder cannot be used, or another server uses it.
    pub async fn start(
        settings: ServerSettings,
        data: DataDir,
        listener: TcpListener,
    ) -> Result<Self> {
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(RandomIds));
        let address = listener.local_addr()?;
        let tls = settings.security.tls()?;
        let running = running(&settings, tls.as_ref(), address);
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let makes_key = matches!(settings.store.choice, StoreChoice::Embedded);
        schema.seal_secrets(Arc::new(settings.security.secrets(&data, makes_key)?));
        let member = member(&settings, &running, &*ids)?;
        let ledger = open(schema, &settings, &data, &member, clock.clone(), ids.clone()).await?;
        let own = (tables.iam, tables.identity);
        let shared = (clock.clone() as Arc<dyn Clock>, ids.clone() as Arc<dyn IdSource>);
        let asking = |iam: &Iam| asking(&settings, iam, tls.as_ref(), &shared);
        let Identity { iam, installation } =
            Identity::settle(&ledger, own, &settings.account, &data, (&*ids, asking)).await?;
        let setup = ecs_setup(&settings, &running, &iam, tables.vpc, (&clock, &ids));
        let ecs = Ecs::new(tables.ecs, ledger.clone(), setup);
        ecs.watch_alarms(tables.cloudwatch);
        ecs.call_hooks_by(DeploymentHooks::new(data.hooks(), settings.region.to_string()));
        ecs.sessions().limit_arrivals(settings.limits.arrivals);
        iam.sessions().end_with_tasks(Arc::new(ecs.clone()));
        let vpc = Vpc::new(tables.vpc, ledger.clone());
        let cloudwatch = CloudWatch::new(tables.cloudwatch, ledger.clone());
        let elb = balancing::join(tables.elbv2, (tables.vpc, tables.certificates), &ledger, &ecs);
        let holder = (tls.as_ref(), &data);
        let certificates = certifying::join(tables.certificates, &ledger, holder, &elb);
        let trail = Trail::open(data.audit(), clock.clone())?;
        let secrets =
            Secrets::new(tables.secrets, ledger.clone(), ids.clone()).with_identities(iam.clone());
        let asked = (&iam, &trail, &secrets, installation.as_str());
        let ecr = registry::join(tables.ecr, &ledger, asked, &settings, &data, ids.clone()).await?;
        acquaint(&settings, (&secrets, &ecr), &iam, &ecs);
        let of_events = (tables.events, tables.cloudwatch);
        let EventParts { events, logs } =
            EventParts::join(of_events, &ledger, &data, (&ecs, &ecr), ids.clone());
        let inside = observe::Inside::open(&settings, &data, &ledger, (&ecs, &elb))?;
        let mut ours = routes::all(&settings, &installation, tls.as_ref(), &iam, &ecs, &ledger);
        let sharing = (&ledger, tables.servers, &member);
        let servers = sharing_servers(&settings, sharing, &trail, asking(&iam));
        ours.extend(inside.routes(&settings, &ledger, servers.as_ref()));
        ours.push(archive_route::export(ledger.clone()));
        ours.push(hand_out_agents(&settings, &ecs)?);
        ours.extend([audit::forgetting(servers.as_ref()), recovery_route(&iam)]);
        ours.extend(audit::routes(&trail, &iam));
        ours.extend(ecs.routes().into_iter().chain(vpc.routes()));
        ours.extend(events.routes().into_iter().chain(ecr.routes()).chain(elb.routes()));
        let shutdown = CancellationToken::new();
        let mut loops = JoinSet::new();
        let mut services = vec![ecs.service(), iam.sts(), vpc.service(), cloudwatch.service()];
        services.extend([events.service(), logs.service(), elb.service(), trail.service()]);
        services.extend([secrets.ssm(), secrets.secretsmanager()]);
        services.extend([certificates.service(), iam.service(), ecr.service()]);
        let edge = edge(&settings, tls.as_ref(), &iam, shared).auditor(Arc::new(trail.clone()));
        let edge = with_all(edge, services, ours);
        let sharing = (&settings, &ledger, member.name);
        let edge = gated(edge, sharing, tls.as_ref(), (&mut loops, &shutdown)).build();
        let metrics = inside.begin(&settings, &edge, &mut loops, &shutdown).await?;
        let dns = names::answer(settings.dns, elb.zones(), (&mut loops, &shutdown)).await?;
        let running = Running { metrics, dns, ..running };
        keep_certificates(tls.as_ref(), &clock, &shutdown, &mut loops);
        keep_trail(trail, &shutdown, &mut loops);
        let others = (events, logs, secrets, elb, certificates, iam.clone(), ecr, servers);
        let (of_term, token) = ((settings.clone(), data.objects()), shutdown.clone());
        loops.spawn(leading(ledger.clone(), ecs.clone(), others, of_term, token));
        let token = shutdown.clone();
        loops.spawn(async move { Ok(edge.serve(listener, token).await?) });
        Ok(Self { running, installation, iam, ecs, tls, ledger, settings, data, shutdown, loops })
    }

    /// Waits until this many instances of the cluster are ACTIVE and connected, then tells other
    /// commands where the server is.
    ///
    /// # Errors
    /// If the announcement cannot be written.
    pub async fn announce_when_ready(&self, instances: u32) -> Result<()> {
        let wanted = usize::try_from(instances).unwrap_or(usize::MAX);
        let mut rest = tokio::time::interval(Duration::from_millis(2));
        while self.connected() < wanted {
            rest.tick().await;
        }
        self.data.announce(&self.running)
    }

    fn connected(&self) -> usize {
        let ServerSettings { account, region, cluster, .. } = &self.settings;
        self.ecs.connected_instances(account, region, cluster)
    }

    /// Runs until `stop` ends or a part fails, whichever comes first; does not stop anything yet.
    ///
    /// # Errors
    /// What the part failed with.
    pub async fn serve(&mut self, stop: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = self.loops.join_next() => match ended {
                Some(outcome) => outcome.context("a part of the server panicked")?,
                None => Ok(()),
            },
        }
    }

    /// Lets what was acknowledged finish, and ends.
    ///
    /// # Errors
    /// What a part failed with on its way out.
    pub async fn stop(mut self) -> Result<()> {
        self.data.retract();
        // First: what comes until the last connection is closed goes to the server that leads then.
        self.ledger.resign().await;
        self.shutdown.cancel();
        while let Some(outcome) = self.loops.join_next().await {
            outcome.context("a part of the server panicked")??;
        }
        Ok(())
    }
}

/// Lets services ask those that stand above them.
fn acquaint(settings: &ServerSettings, (secrets, ecr): (&Secrets, &Ecr), iam: &Iam, ecs: &Ecs) {
    if settings.auth == Auth::Open {
        iam.open_unknown_roles();
    }
    ecs.check_roles_with(iam.clone());
    secrets.ask_for_sessions(Arc::new(ExecParts(ecs.clone())));
    let (ecs, secrets, ecr) = (ecs.clone(), secrets.clone(), ecr.clone());
    iam.know_resources(Arc::new(KnownResources { ecs, secrets, ecr }));
}

/// The path at which agents fetch the program that they are replaced by.
fn hand_out_agents(settings: &ServerSettings, ecs: &Ecs) -> Result<Route> {
    let program = AgentProgram::new(settings.agent_binary.clone())?;
    let route = program.route();
    ecs.sessions().hand_out(Arc::new(program));
    Ok(route)
}

fn ecs_setup(
    settings: &ServerSettings,
    running: &Running,
    iam: &Iam,
    vpc: vpc::Tables,
    (clock, ids): (&Arc<SystemClock>, &Arc<RandomIds>),
) -> EcsSetup {
    let credentials = IamCredentials::new(iam.sessions().clone(), clock.clone(), ids.clone());
    let task_endpoint = task_endpoint(settings, running);
    EcsSetup {
        ids: ids.clone(),
        agent_endpoint: settings.agent_endpoint.clone(),
        stopped_task_retention: settings.stopped_task_retention.duration(),
        sessions: SessionSetup {
            task_endpoint,
            credentials: Arc::new(credentials),
            ecr_endpoint: settings.ecr_endpoint.clone(),
            registry: registry::beside(settings, running),
        },
        services: settings.services,
        vpc,
    }
}

/// The edge with all services and all paths of our own.
fn with_all(edge: EdgeBuilder, services: Vec<Service>, ours: Vec<Route>) -> EdgeBuilder {
    let edge = services.into_iter().fold(edge, EdgeBuilder::service);
    ours.into_iter().fold(edge, EdgeBuilder::route)
}

/// Writes the trail of calls.
fn keep_trail(trail: Trail, shutdown: &CancellationToken, loops: &mut JoinSet<Result<()>>) {
    let token = shutdown.clone();
    loops.spawn(async move {
        trail.run(token).await;
        Ok(())
    });
}

/// Looks after the certificates that the server shows, if it has some.
fn keep_certificates(
    tls: Option<&Tls>,
    clock: &Arc<SystemClock>,
    shutdown: &CancellationToken,
    loops: &mut JoinSet<Result<()>>,
) {
    if let Some(tls) = tls {
        let (tls, clock, token) = (tls.server.clone(), clock.clone(), shutdown.clone());
        loops.spawn(async move { tls_upkeep::keep(tls, &*clock, token).await });
    }
}

/// How this server asks others of its ledger.
fn asking(
    settings: &ServerSettings,
    iam: &Iam,
    tls: Option<&Tls>,
    shared: &(Arc<dyn Clock>, Arc<dyn IdSource>),
) -> Asking {
    let home = (settings.account.clone(), settings.region.clone());
    Asking::new(iam, home, shared.clone(), tls.map(|tls| tls.server.peers()))
}

/// The servers that share the ledger, if it can be shared: whose trails are asked as well.
fn sharing_servers(
    settings: &ServerSettings,
    (ledger, table, member): (&Ledger, ServersTable, &Member),
    trail: &Trail,
    asking: Asking,
) -> Option<Servers> {
    let StoreChoice::Etcd(_) = settings.store.choice else { return None };
    let servers = Servers::new((ledger.clone(), table), member.clone(), asking);
    trail.know_others(Arc::new(servers.clone()));
    Some(servers)
}

/// The edge of one of several servers: what the leader has to answer goes there.
fn gated(
    edge: EdgeBuilder,
    (settings, ledger, name): (&ServerSettings, &Ledger, String),
    tls: Option<&Tls>,
    (loops, shutdown): (&mut JoinSet<Result<()>>, &CancellationToken),
) -> EdgeBuilder {
    let StoreChoice::Etcd(_) = settings.store.choice else { return edge };
    let gate = LedgerGate::new(ledger.clone(), name, shutdown.clone());
    let watching = gate.clone();
    loops.spawn(async move {
        watching.watch().await;
        Ok(())
    });
    let peers = tls.map(|tls| tls.server.peers());
    edge.gate(gate, peers.as_ref())
}

fn edge(
    settings: &ServerSettings,
    tls: Option<&Tls>,
    iam: &Iam,
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
) -> EdgeBuilder {
    Edge::builder(Arc::new(iam.clone()), clock, ids)
        .home(settings.account.clone(), settings.region.clone())
        .open(settings.auth == Auth::Open)
        .limits(settings.limits.edge.clone())
        .tls(tls.map(|tls| tls.server.clone()))
        .client_certificates(settings.security.client_certificates())
}

/// The ledger that the settings name.
async fn open(
    schema: Schema,
    settings: &ServerSettings,
    data: &DataDir,
    member: &Member,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
) -> Result<Ledger> {
    match &settings.store.choice {
        StoreChoice::Embedded => {
            let store = EmbeddedStore::open(&data.ledger())?;
            Ok(Ledger::open(schema, Box::new(store), clock, ids)?)
        }
        StoreChoice::Etcd(etcd) => {
            let etcd = EtcdSettings { member: member.clone(), ..(**etcd).clone() };
            Ok(Ledger::join(schema, etcd, clock, ids).await?)
        }
    }
}

/// Who this server is among those of its store. The name is new with each start: what an earlier
/// process was asked is none of this one's.
fn member(settings: &ServerSettings, running: &Running, ids: &dyn IdSource) -> Result<Member> {
    let url = match &settings.store.advertise {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => running.endpoint.clone(),
    };
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let start = terms::Uuid::from_random(ids.next()).to_string();
    Ok(Member { name: format!("{host}-{}", &start[..8]), url })
}

/// The services that have loops of their own.
type OfTerm = (Events, Logs, Secrets, Elb, Certificates, Iam, Ecr, Option<Servers>);

/// What only the server that leads does.
async fn leading(
    ledger: Ledger,
    ecs: Ecs,
    (events, logs, secrets, elb, certificates, iam, ecr, servers): OfTerm,
    (settings, objects): (ServerSettings, PathBuf),
    shutdown: CancellationToken,
) -> Result<()> {
    let ServerSettings { account, region, cluster, .. } = &settings;
    let is_shared = matches!(settings.store.choice, StoreChoice::Etcd(_));
    let work = |term: CancellationToken| {
        let (ecs, ledger, events, logs) = (&ecs, &ledger, &events, &logs);
        let (secrets, elb, certificates) = (&secrets, &elb, &certificates);
        let (iam, ecr, objects, servers) = (&iam, &ecr, &objects, &servers);
        async move {
            ledger.reseal().await?;
            if is_shared {
                logs.warn_of_others();
            }
            ecs.ensure_cluster(account, region, cluster).await?;
            if let Err(iam::IamError::Ledger(error)) = iam.ensure_service_role().await {
                return Err(error);
            }
            let telling = term.child_token();
            let work = async {
                let ended = ecs.run(term).await;
                telling.cancel();
                ended
            };
            let (logs, writer) = access_logs(objects.clone(), ledger.clock().clone(), &RandomIds);
            let balancer = Balancer::beside_others(ledger.clock().clone(), logs);
            let noting = async {
                if let Some(servers) = servers {
                    servers.keep(telling.clone()).await;
                }
            };
            let (ended, (), (), (), (), (), (), ()) = tokio::join!(
                work,
                events.run(telling.clone()),
                secrets.run(telling.clone()),
                elb.run(&balancer, telling.clone()),
                certificates.run(telling.clone()),
                ecr.run(telling.clone()),
                writer.run(telling.clone()),
                noting,
            );
            ended
        }
    };
    Ok(lead(&ledger, work, shutdown).await?)
}

/// Where clients reach a server that listens on `address`.
fn running(settings: &ServerSettings, tls: Option<&Tls>, address: SocketAddr) -> Running {
    let host = match address.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let shown = tls.map(|tls| tls.server.certificate());
    let other = shown.filter(|shown| !shown.is_for(&host));
    let other = other.and_then(|shown| name_for(address.ip(), shown.names));
    let host = other.unwrap_or(host);
    let scheme = if tls.is_some() { "https" } else { "http" };
    Running {
        endpoint: format!("{scheme}://{host}:{}", address.port()),
        ca: tls.and_then(|tls| tls.authority_file.clone()),
        pid: std::process::id(),
        account: settings.account.clone(),
        region: settings.region.clone(),
        metrics: None,
        dns: None,
    }
}

/// The host of a certificate that leads to `address`, for which the certificate itself is not: `localhost` where
/// that is the address, else the first that may be it. A server that listens everywhere has all of them.
fn name_for(address: IpAddr, names: Vec<String>) -> Option<String> {
    let local = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let is_everywhere = address.is_unspecified();
    let wants_local = is_everywhere || local.contains(&address);
    let host = |name: String| match name.parse::<IpAddr>() {
        Ok(other) if !is_everywhere && other != address => None,
        Ok(IpAddr::V6(address)) => Some(format!("[{address}]")),
        _ => Some(name).filter(|name| wants_local || name != "localhost"),
    };
    let hosts = names.into_iter().filter(|name| !name.starts_with('*')).filter_map(host);
    hosts.reduce(|found, name| if name == "localhost" { name } else { found })
}

fn task_endpoint(settings: &ServerSettings, running: &Running) -> TaskEndpointSetting {
    let advertised = || settings.agent_endpoint.clone().unwrap_or_else(|| running.endpoint.clone());
    match settings.task_endpoint.as_deref() {
        None => TaskEndpointSetting::Automatic { advertised: advertised() },
        Some("none") => TaskEndpointSetting::None,
        Some(url) => TaskEndpointSetting::Url(url.trim_end_matches('/').to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificates_name_leads_to_the_address() {
        let check = |address: [u8; 4], names: &[&str], expected: Option<&str>| {
            let named = names.iter().map(|name| (*name).to_owned()).collect();
            let found = name_for(IpAddr::from(address), named);
            assert_eq!(found.as_deref(), expected, "{address:?} {names:?}");
        };
        let all = ["*.example", "plane.example", "localhost", "127.0.0.1", "::1"];
        check([127, 0, 0, 1], &all, Some("localhost"));
        check([0, 0, 0, 0], &all, Some("localhost"));
        check([0, 0, 0, 0], &all[..2], Some("plane.example"));
        check([127, 0, 0, 77], &all, Some("plane.example"));
        check([10, 0, 0, 1], &["localhost", "plane.example"], Some("plane.example"));
        check([10, 0, 0, 1], &all[2..], None);
        check([10, 0, 0, 1], &["10.0.0.9", "plane.example"], Some("plane.example"));
        check([0, 0, 0, 0], &["fd00::7"], Some("[fd00::7]"));
    }
}
