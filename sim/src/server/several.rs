//! Servers that share a ledger on an etcd: one leads, the others follow, each is started again
//! whenever it dies.

use std::sync::Arc;
use std::time::Duration;

use ensemble::{LedgerGate, lead};
use ledger::{EtcdSettings, Feed, Ledger, Member};
use parking_lot::Mutex;
use terms::Clock;
use tokio_util::sync::CancellationToken;

use super::{ACCOUNT, Declared, REGION, Server, alarming, assemble, check, url};
use crate::clock::SimClock;
use crate::etcd::{Onlooker, SharedEtcd};
use crate::life::Life;
use crate::network::{Channels, Wire};
use crate::node::CLUSTER;
use crate::world::World;

/// A server that does not end in an orderly way within this time is killed.
const STOP_MAX: Duration = Duration::from_secs(20);
/// After its resignation it answers what it was asked for so long.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The machine of one of the servers.
pub(crate) struct Several {
    pub(crate) number: usize,
    pub(crate) world: World,
    pub(crate) etcd: SharedEtcd,
    pub(crate) channels: Channels,
    pub(crate) clock: SimClock,
}

impl Several {
    /// Keeps a server running until the run ends.
    pub(crate) async fn run(self) {
        let mut starts = 0;
        loop {
            starts += 1;
            self.live(starts).await;
            let least = if self.world.faults_on() { 200 } else { 50 };
            let pause = self.world.draw(|chance| chance.millis(least, 6_000));
            tokio::time::sleep(pause).await;
        }
    }

    /// One life, from loading what etcd holds to its end.
    async fn live(&self, starts: u32) {
        let (world, life) = (&self.world, Life::default());
        let name = format!("s{}-{starts}", self.number);
        world.note(format!("{name} starts"));
        let started = tokio::select! {
            biased;
            () = life.over() => None,
            started = self.start(&name, &life) => started,
        };
        let Some(server) = started else { return life.kill() };
        world.server_begins(self.number, server.clone());
        let mut feed = server.ledger.subscribe();
        world.note(format!("{name} is up at revision {}", feed.position()));
        self.follow(&server, &mut feed).await;
        world.server_ends(self.number);
        world.tally("server ends", format!("{name} at revision {}", feed.position()));
        server.abort();
        self.channels.mourn(world);
    }

    /// Compares what the server shows with what etcd holds, until the server's end.
    async fn follow(&self, server: &Arc<Server>, feed: &mut Feed) {
        let (world, life) = (&self.world, &server.life);
        let mut is_stopping = false;
        loop {
            tokio::select! {
                biased;
                commit = feed.next() => match commit {
                    Ok(commit) => {
                        let changes = server.tables.audit_commit(&commit);
                        let shown =
                            world.checker.lock().shown(&server.name, commit.revision(), &changes);
                        world.judge(shown);
                    }
                    Err(_) => {
                        feed.restart();
                        world.tally("everything loaded again", &server.name);
                    }
                },
                () = life.over() => return,
                () = server.stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    let (ledger, life) = (server.ledger.clone(), life.clone());
                    server.spawn(async move {
                        let _ = tokio::time::timeout(STOP_MAX, ledger.resign()).await;
                        tokio::time::sleep(LAST_WORDS).await;
                        life.kill();
                    });
                }
            }
        }
    }

    async fn start(&self, name: &str, life: &Life) -> Option<Arc<Server>> {
        let (world, clock) = (&self.world, Arc::new(self.clock.clone()));
        let ids = world.ids();
        let Declared { schema, ecs: tables, others } = Declared::new();
        let etcd = self.etcd.seen_by(world, name, life, self.number);
        let settings = settings(world, Member { name: name.to_owned(), url: url(self.number) });
        let joined =
            Ledger::join_on(Arc::new(etcd), schema, settings, clock.clone(), ids.clone()).await;
        let ledger = match joined {
            Ok(ledger) => ledger,
            Err(error) => {
                world.note(format!("{name} does not come up: {error}"));
                return None;
            }
        };
        let (ecs, edge) = assemble((clock, ids), (tables, others), &ledger, &world.plan);
        let shutdown = CancellationToken::new();
        let gate = LedgerGate::new(ledger.clone(), name.to_owned(), shutdown.clone());
        let wire = Wire {
            world: world.clone(),
            name: name.to_owned(),
            life: life.clone(),
            roads: world.net.peers[self.number].clone(),
        };
        let edge = edge.gate_through(gate.clone(), Arc::new(wire)).build();
        let server = Server {
            name: name.to_owned(),
            life: life.clone(),
            edge,
            ecs,
            ledger,
            tables,
            gate: Some(gate.clone()),
            stop: CancellationToken::new(),
            jobs: Mutex::default(),
        };
        let server = Arc::new(server);
        server.spawn(async move { gate.watch().await });
        self.lead(&server, shutdown);
        Some(server)
    }

    /// What the leading server does, as `longshore server` has it.
    fn lead(&self, server: &Arc<Server>, shutdown: CancellationToken) {
        let (ecs, ledger, world) = (server.ecs.clone(), server.ledger.clone(), self.world.clone());
        let name = server.name.clone();
        server.spawn(async move {
            let account = ACCOUNT.parse().expect("an account");
            let region = REGION.parse().expect("a region");
            let cluster = CLUSTER.parse().expect("a cluster's name");
            let work = |term| {
                world.tally("leader changes", &name);
                let (ecs, account, region, cluster) = (&ecs, &account, &region, &cluster);
                async move {
                    ecs.ensure_cluster(account, region, cluster).await?;
                    ecs.run(term).await
                }
            };
            if let Err(error) = lead(&ledger, work, shutdown).await {
                world.violate("a server that leads goes on", format!("{name}: {error}"));
            }
        });
    }
}

fn settings(world: &World, member: Member) -> EtcdSettings {
    let endpoints = vec!["simulated".to_owned()];
    EtcdSettings { lease: world.plan.lease, ..EtcdSettings::new(endpoints, member) }
}

/// One who follows etcd without a fault on the way, and never leads: what it sees is what is so.
pub(crate) struct Reference {
    pub(crate) world: World,
    pub(crate) etcd: SharedEtcd,
    pub(crate) clock: SimClock,
}

impl Reference {
    /// Checks each commit, until the run ends.
    pub(crate) async fn run(self) {
        let (world, clock) = (&self.world, Arc::new(self.clock.clone()));
        let Declared { schema, ecs: tables, others } = Declared::new();
        let etcd = Arc::new(Onlooker::of(&self.etcd));
        let member = Member { name: "onlooker".to_owned(), url: url(usize::MAX) };
        let joined = Ledger::join_on(etcd, schema, settings(world, member), clock, world.ids());
        let ledger = match joined.await {
            Ok(ledger) => ledger,
            Err(error) => {
                return world.violate("what etcd holds can be read", error.to_string());
            }
        };
        let mut feed = ledger.subscribe();
        loop {
            match feed.next().await {
                Ok(commit) => check(world, (&tables, &others), &commit, self.clock.now()),
                Err(_) => {
                    let snapshot = feed.restart().clone();
                    let audit = tables.audit(&snapshot);
                    let alarms = alarming(&others.alarms, &snapshot);
                    world.checker.lock().alarms_loaded(alarms);
                    let found = world.checker.lock().loaded(&audit, snapshot.revision());
                    world.judge(found);
                }
            }
        }
    }
}
