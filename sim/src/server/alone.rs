//! A server that keeps its ledger on a simulated disk, started again whenever it dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ecs::EcsTables;
use ledger::{Feed, Ledger};
use parking_lot::Mutex;
use terms::Clock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Declared, Others, Server, alarming, assemble, check};
use crate::clock::SimClock;
use crate::disk::Disk;
use crate::life::Life;
use crate::network::Channels;
use crate::world::World;

/// The machine that the control plane runs on.
pub(crate) struct Alone {
    pub(crate) world: World,
    pub(crate) disk: Disk,
    pub(crate) channels: Channels,
    pub(crate) clock: SimClock,
}

/// A server that has just been started.
struct Started {
    server: Arc<Server>,
    others: Others,
    /// Whether the ledger takes no more writes until the server is started again.
    store_failed: Arc<AtomicBool>,
}

impl Alone {
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
        let started = match self.start(&life) {
            Ok(started) => started,
            Err(error) => return world.violate("the server starts on its disk", error),
        };
        let (server, tables) = (&started.server, &started.server.tables);
        let mut feed = server.ledger.subscribe();
        let alarms = alarming(&started.others.alarms, feed.snapshot());
        world.checker.lock().alarms_loaded(alarms);
        let found = world.checker.lock().loaded(&tables.audit(feed.snapshot()), feed.position());
        world.judge(found);
        world.note(format!("the server is up at revision {}", feed.position()));
        let running = server.ecs.clone();
        let (token, wrong) = (server.stop.clone(), world.clone());
        server.spawn(async move {
            if let Err(error) = running.run(token).await {
                wrong.note(format!("the server's loops end: {error}"));
            }
        });
        world.server_begins(0, server.clone());
        self.follow(&started, &mut feed, tables).await;
        // What was published before the end counts: somebody may have seen it.
        while let Ok(Some(commit)) = feed.try_next() {
            check(world, (tables, &started.others), &commit, self.clock.now());
        }
        world.server_ends(0);
        world.tally("server ends", format!("at revision {}", feed.position()));
        server.abort();
        self.channels.mourn(world);
    }

    /// Checks each commit, until the server's end.
    async fn follow(&self, started: &Started, feed: &mut Feed, tables: &EcsTables) {
        let Started { server, others, store_failed } = started;
        let (world, life) = (&self.world, &server.life);
        // How long until somebody restarts a server whose store has failed.
        let tended = world.draw(|chance| chance.millis(1_000, 15_000));
        let (mut broken_since, mut stops_at) = (None, None);
        loop {
            tokio::select! {
                biased;
                commit = feed.next() => match commit {
                    Ok(commit) => check(world, (tables, others), &commit, self.clock.now()),
                    Err(_) => world.violate("the feed has no gap", "a reader that kept up lagged"),
                },
                () = life.over() => return,
                () = server.stop.cancelled(), if stops_at.is_none() => {
                    // Orderly: what was acknowledged is finished.
                    stops_at = Some(Instant::now() + Duration::from_millis(100));
                }
                () = until(stops_at) => life.kill(),
                () = tokio::time::sleep(Duration::from_millis(500)) => {
                    if store_failed.load(Ordering::Relaxed) {
                        let since = *broken_since.get_or_insert_with(Instant::now);
                        if since.elapsed() >= tended {
                            life.kill();
                        }
                    }
                }
            }
        }
    }

    fn start(&self, life: &Life) -> Result<Started, String> {
        let (world, clock) = (&self.world, Arc::new(self.clock.clone()));
        let ids = world.ids();
        let Declared { schema, ecs: tables, others } = Declared::new();
        let store_failed: Arc<AtomicBool> = Arc::default();
        let store = Box::new(self.disk.store(world, life, &store_failed));
        let ledger = Ledger::open(schema, store, clock.clone(), ids.clone());
        let ledger = ledger.map_err(|error| error.to_string())?;
        let (ecs, edge) = assemble((clock, ids), (tables, others), &ledger, &world.plan);
        let server = Server {
            name: "s0".to_owned(),
            life: life.clone(),
            edge: edge.build(),
            ecs,
            ledger,
            tables,
            gate: None,
            stop: CancellationToken::new(),
            jobs: Mutex::default(),
        };
        Ok(Started { server: Arc::new(server), others, store_failed })
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
