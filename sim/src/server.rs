//! The control plane: the real services on a simulated disk, started again whenever it dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ecs::{
    CredentialsRequest, Ecs, EcsSetup, EcsTables, Minted, SessionSetup, TaskCredentials,
    TaskEndpointSetting,
};
use ledger::{Commit, Feed, Ledger, Schema};
use parking_lot::Mutex;
use terms::{Clock, Region, Timestamp};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vpc::Vpc;
use wire::{Authenticator, Caller, CallerKind, CredentialLookup, Edge, Secret};

use crate::clock::SimClock;
use crate::disk::Disk;
use crate::life::Life;
use crate::network::Channels;
use crate::world::World;

/// Where callers reach it.
pub(crate) const ENDPOINT: &str = "http://longshore.sim:4566";
/// The account of everybody.
pub(crate) const ACCOUNT: &str = "000000000000";
/// The region of everybody.
pub(crate) const REGION: &str = "us-east-1";
/// Everybody's secret key: who calls is told by the key's id.
pub(crate) const SECRET: &str = "simulated";

/// One life of the server.
pub(crate) struct Server {
    pub(crate) life: Life,
    pub(crate) edge: Edge,
    pub(crate) ecs: Ecs,
    shutdown: CancellationToken,
    /// The ledger takes no more writes until the server is started again.
    store_failed: Arc<AtomicBool>,
    jobs: Mutex<Vec<AbortHandle>>,
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
}

/// The machine that the control plane runs on.
pub(crate) struct Plane {
    pub(crate) world: World,
    pub(crate) disk: Disk,
    pub(crate) channels: Channels,
    pub(crate) clock: SimClock,
}

impl Plane {
    /// Keeps a server running until the run ends.
    pub(crate) async fn run(self) {
        loop {
            self.live().await;
            let least = if self.world.faults_on() { 200 } else { 50 };
            let pause = self.world.draw(|chance| chance.millis(least, 6_000));
            tokio::time::sleep(pause).await;
        }
    }

    /// One life, from loading the disk to its end.
    async fn live(&self) {
        let world = &self.world;
        let life = Life::default();
        let (server, ledger, tables) = match self.start(&life) {
            Ok(started) => started,
            Err(error) => return world.violate("the server starts on its disk", error),
        };
        let mut feed = ledger.subscribe();
        let found = world.checker.lock().loaded(&tables.audit(feed.snapshot()), feed.position());
        world.judge(found);
        world.note(format!("the server is up at revision {}", feed.position()));
        let running = server.ecs.clone();
        let (token, wrong) = (server.shutdown.clone(), world.clone());
        server.spawn(async move {
            if let Err(error) = running.run(token).await {
                wrong.note(format!("the server's loops end: {error}"));
            }
        });
        *world.server.lock() = Some(server.clone());
        self.follow(&server, &mut feed, &tables).await;
        // What was published before the end counts: somebody may have seen it.
        while let Ok(Some(commit)) = feed.try_next() {
            self.check(&tables, &commit);
        }
        *world.server.lock() = None;
        world.tally("server ends", format!("at revision {}", feed.position()));
        server.abort();
        self.channels.mourn(world);
    }

    /// Checks each commit, until the server's end.
    async fn follow(&self, server: &Server, feed: &mut Feed, tables: &EcsTables) {
        let (world, life) = (&self.world, &server.life);
        // How long until somebody restarts a server whose store has failed.
        let tended = world.draw(|chance| chance.millis(1_000, 15_000));
        let (mut broken_since, mut stops_at) = (None, None);
        loop {
            tokio::select! {
                biased;
                commit = feed.next() => match commit {
                    Ok(commit) => self.check(tables, &commit),
                    Err(_) => world.violate("the feed has no gap", "a reader that kept up lagged"),
                },
                () = life.over() => return,
                () = server.shutdown.cancelled(), if stops_at.is_none() => {
                    // Orderly: what was acknowledged is finished.
                    stops_at = Some(Instant::now() + Duration::from_millis(100));
                }
                () = until(stops_at) => life.kill(),
                () = tokio::time::sleep(Duration::from_millis(500)) => {
                    if server.store_failed.load(Ordering::Relaxed) {
                        let since = *broken_since.get_or_insert_with(Instant::now);
                        if since.elapsed() >= tended {
                            life.kill();
                        }
                    }
                }
            }
        }
    }

    fn check(&self, tables: &EcsTables, commit: &Commit) {
        let (changes, now) = (tables.audit_commit(commit), self.clock.now());
        let mut checker = self.world.checker.lock();
        let found = checker.commit(commit.revision(), commit.name(), changes, now);
        drop(checker);
        self.world.judge(found);
    }

    fn start(&self, life: &Life) -> Result<(Arc<Server>, Ledger, EcsTables), String> {
        let (world, clock) = (&self.world, Arc::new(self.clock.clone()));
        let ids = world.ids();
        let mut schema = Schema::new();
        let tables = EcsTables::declare(&mut schema);
        let vpc_tables = vpc::Tables::declare(&mut schema);
        let store_failed: Arc<AtomicBool> = Arc::default();
        let store = Box::new(self.disk.store(world, life, &store_failed));
        let ledger = Ledger::open(schema, store, clock.clone(), ids.clone());
        let ledger = ledger.map_err(|error| error.to_string())?;
        let setup = EcsSetup {
            ids: ids.clone(),
            agent_endpoint: None,
            stopped_task_retention: ecs::STOPPED_TASK_RETENTION_MIN,
            sessions: SessionSetup {
                task_endpoint: TaskEndpointSetting::None,
                credentials: Arc::new(NoCredentials),
            },
            vpc: vpc_tables,
        };
        let ecs = Ecs::new(tables, ledger.clone(), setup);
        let vpc = Vpc::new(vpc_tables, ledger.clone());
        let edge =
            Edge::builder(Arc::new(Keys), clock, ids).service(ecs.service()).service(vpc.service());
        let edge = ecs.routes().into_iter().fold(edge, |edge, route| edge.route(route)).build();
        let server = Server {
            life: life.clone(),
            edge,
            ecs,
            shutdown: CancellationToken::new(),
            store_failed,
            jobs: Mutex::default(),
        };
        Ok((Arc::new(server), ledger, tables))
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Server {
    /// Asks it to end in an orderly way.
    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
    }
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
