//! A machine and the agents that live on it, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::engine::{Capacity, Settings};
use agent::journal::LineJournal;
use agent::transport::HttpTransport;
use agent::volumes::StandIns;
use agent::{
    Agent, AgentError, AtEnd, CAPACITY_PROVIDER_ATTRIBUTE, Config, Directory, FARGATE_ATTRIBUTE,
    FARGATE_FLEET, FARGATE_SPOT_ATTRIBUTE, House, Parts, Remains, STOP_TIMEOUT_AT_END,
};
use parking_lot::Mutex;
use terms::Clock;
use tokio_util::sync::CancellationToken;
use wire::Secret;
use wire::sigv4::Credentials;

use crate::host::{Host, JournalFile};
use crate::life::Life;
use crate::network::{AgentTransport, Channels, Roads, Wire};
use crate::server::{ACCOUNT, REGION, SECRET, urls};
use crate::world::World;

/// The cluster of every run.
pub(crate) const CLUSTER: &str = "default";
/// The providers that instances of a cluster may belong to.
pub(crate) const PROVIDERS: [&str; 2] = ["own", "spot"];
/// How long a stopped task's containers are kept: less than with ECS, so that a run sees them go.
pub(crate) const CLEANUP_WAIT: Duration = Duration::from_secs(60);

/// A machine. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) roads: Roads,
    pub(crate) capacity: Capacity,
    journal: JournalFile,
    channels: Channels,
    /// The present life of its agent.
    life: Arc<Mutex<Life>>,
    zone: &'static str,
    /// What it registers under: the cluster, or the fleet for Fargate's tasks.
    cluster: &'static str,
    attributes: BTreeMap<String, String>,
}

impl Node {
    pub(crate) fn new(world: &World, number: u64, channels: &Channels) -> Self {
        let size = |chance: &mut crate::chance::Chance| 1024 * (1 + chance.below(4));
        let (cpu, memory) = world.draw(|chance| (size(chance), size(chance)));
        let provider = PROVIDERS.get(usize::try_from(number % 3).unwrap_or(0));
        let provider = provider.filter(|_| world.plan.providers);
        let attribute = |name: &&str| (CAPACITY_PROVIDER_ATTRIBUTE.to_owned(), (*name).to_owned());
        let zones = ["us-east-1a", "us-east-1b", "us-east-1c"];
        Self {
            host: Host::new(world, format!("n{number}")),
            roads: Roads::to_servers(world.plan.servers),
            capacity: Capacity { cpu, memory, tcp: [22].into(), udp: BTreeSet::new() },
            journal: JournalFile::default(),
            channels: channels.clone(),
            life: Arc::default(),
            zone: zones[usize::try_from(number % 3).unwrap_or(0)],
            cluster: CLUSTER,
            attributes: provider.map(attribute).into_iter().collect(),
        }
    }

    /// One for Fargate's tasks, of both its providers.
    pub(crate) fn of_fleet(world: &World, number: u64, channels: &Channels) -> Self {
        let names = [FARGATE_ATTRIBUTE, FARGATE_SPOT_ATTRIBUTE];
        let attributes = names.map(|name| (name.to_owned(), "true".to_owned()));
        let node = Self::new(world, number, channels);
        // Subnets are looked for in its zone.
        Self { zone: "us-east-1a", cluster: FARGATE_FLEET, attributes: attributes.into(), ..node }
    }

    /// Keeps an agent running until the run ends.
    pub(crate) async fn run(self) {
        let world = self.host.world.clone();
        loop {
            self.live().await;
            let pause = world.draw(|chance| chance.millis(100, 8_000));
            tokio::time::sleep(pause).await;
        }
    }

    /// The agent dies now.
    pub(crate) fn kill(&self) {
        self.life.lock().kill();
    }

    /// The agent stands still for a time.
    pub(crate) fn pause(&self, time: Duration) {
        self.life.lock().pause(time);
    }

    /// Somebody starts the agent of a machine again that has been deregistered: it would wait for
    /// an hour.
    pub(crate) fn restart_if_gone(&self) {
        let checker = self.host.world.checker.lock();
        let mine = checker.instances.values();
        let mine = mine.filter(|row| row.node.as_deref() == Some(self.host.name.as_str()));
        // One that was never connected came of a registration that arrived twice.
        let has_one = mine.clone().any(|row| !row.is_gone && checker.was_connected(row.arn.id));
        let had_one = mine.clone().next().is_some();
        drop(checker);
        if had_one && !has_one {
            self.host.world.note(format!("{}: the agent is started again", self.host.name));
            self.kill();
        }
    }

    /// The machine goes down, with everything that runs on it.
    pub(crate) fn lose_power(&self) {
        self.kill();
        self.host.lose_power();
        self.journal.lose_power(&self.host.world);
    }

    async fn live(&self) {
        let (world, name) = (&self.host.world, &self.host.name);
        let life = Life::default();
        *self.life.lock() = life.clone();
        world.note(format!("{name}: the agent starts"));
        let shutdown = CancellationToken::new();
        let agent = Agent::run(self.config(), self.parts(&life), Directory::default(), shutdown);
        let mut agent = tokio::spawn(agent);
        let ended = tokio::select! {
            biased;
            () = life.over() => None,
            ended = &mut agent => Some(ended),
        };
        life.kill();
        agent.abort();
        self.channels.mourn(world);
        match ended {
            None => world.tally("agent dies", name),
            Some(Err(panicked)) => world.violate("no agent panics", panicked.to_string()),
            Some(Ok(Ok(()))) => world.tally("agent ends", name),
            Some(Ok(Err(error))) => {
                world.tally("agent gives up", format!("{name}: {error}"));
                if matches!(error, AgentError::Deregistered { .. }) {
                    // As `longshore up` does: the machine joins as a new instance.
                    self.leave().await;
                }
            }
        }
    }

    /// The instance is no more: all that it left goes. Faults may meet this, too.
    async fn leave(&self) {
        let life = Life::default();
        *self.life.lock() = life.clone();
        let seen = self.host.seen_by(&life);
        let remains = Remains {
            images: Arc::new(seen.clone()),
            containers: Arc::new(seen.clone()),
            networks: Arc::new(seen.clone()),
            folders: Arc::new(seen.clone()),
            stand_ins: StandIns::default(),
            clock: Arc::new(self.host.clock.clone()),
        };
        let journal = Box::new(LineJournal::on(self.journal.written_by(&seen)));
        let folder = self.config().folder;
        let world = &self.host.world;
        tokio::select! {
            biased;
            () = life.over() => world.tally("agent dies leaving", &self.host.name),
            left = agent::leave(journal, remains, &folder) => match left {
                Ok(()) => world.tally("instance leaves", &self.host.name),
                Err(error) => world.note(format!("{}: {error}", self.host.name)),
            }
        }
    }

    fn parts(&self, life: &Life) -> Parts {
        let (world, name) = (&self.host.world, &self.host.name);
        let seen = self.host.seen_by(life);
        let clock: Arc<dyn Clock> = Arc::new(self.host.clock.clone());
        let wire = Wire {
            world: world.clone(),
            name: name.clone(),
            life: life.clone(),
            roads: self.roads.clone(),
        };
        let credentials = credentials(&format!("node-{name}"));
        let region = REGION.parse().expect("a region");
        let calls =
            HttpTransport::new(&urls(world.plan.servers), credentials, region, clock.clone())
                .with_exchange(Arc::new(wire.clone()));
        let channels = self.channels.clone();
        let transport = AgentTransport { calls, wire, channels, node: name.clone() };
        Parts {
            images: Arc::new(seen.clone()),
            containers: Arc::new(seen.clone()),
            networks: Arc::new(seen.clone()),
            folders: Arc::new(seen.clone()),
            transport: Arc::new(transport),
            journal: Box::new(LineJournal::on(self.journal.written_by(&seen))),
            clock,
            ids: world.ids(),
            updates: None,
            peers: None,
        }
    }

    fn config(&self) -> Config {
        Config {
            server: urls(self.host.world.plan.servers),
            tls: None,
            cluster: self.cluster.parse().expect("a cluster's name"),
            name: self.host.name.clone(),
            zone: Some(self.zone.to_owned()),
            instance_type: None,
            attributes: self.attributes.clone(),
            address: None,
            folder: PathBuf::from("/nonexistent").join(&self.host.name),
            account: ACCOUNT.parse().expect("an account"),
            region: REGION.parse().expect("a region"),
            capacity: self.capacity.clone(),
            settings: Settings { cleanup_wait: CLEANUP_WAIT, ..Settings::default() },
            stand_ins: StandIns::default(),
            gpus: Vec::new(),
            registries: BTreeMap::new(),
            forwards_api: false,
            at_end: AtEnd::LeaveRunning,
            stop_timeout_at_end: STOP_TIMEOUT_AT_END,
            house: House::default(),
        }
    }
}

/// The key of somebody.
pub(crate) fn credentials(name: &str) -> Credentials {
    Credentials { access_key_id: name.to_owned(), secret: Secret::new(SECRET), session_token: None }
}
