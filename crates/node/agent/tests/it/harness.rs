//! Starts agents over the stand-ins, under a clock that stands still while anybody works.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent::engine::{Capacity, Record, Settings};
use agent::journal::{Journal, JournalError, MemoryJournal};
use agent::{Agent, AtEnd, Config, Directory, House, Parts, STOP_TIMEOUT_AT_END};
use agent_protocol::docker::{ContainerConfig, HealthCheck, HostConfig};
use agent_protocol::task::{
    Container, Dependency, DependencyCondition, DesiredStatus, DockerConfig, Ipv4Address,
    NetworkInterface, Task,
};
use async_trait::async_trait;
use terms::{Clock, IdSource, TaskArn, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::host::{Host, Seen, epoch};
use crate::server::Server;

/// Goes with tokio's paused time.
pub struct PausedClock {
    began: tokio::time::Instant,
    ahead_ms: AtomicU64,
}

impl PausedClock {
    fn new() -> Self {
        Self { began: tokio::time::Instant::now(), ahead_ms: AtomicU64::new(0) }
    }

    /// From now on the clock is ahead of the true time by this.
    pub fn set_ahead(&self, time: std::time::Duration) {
        self.ahead_ms.store(time.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let ahead = std::time::Duration::from_millis(self.ahead_ms.load(Ordering::Relaxed));
        epoch() + self.began.elapsed() + ahead
    }
}

/// Counts.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl IdSource for Counter {
    fn next(&self) -> [u8; 16] {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes
    }
}

/// A journal whose writes are effects: the agent may die around each.
struct SeenJournal {
    journal: MemoryJournal,
    host: Seen,
}

#[async_trait]
impl Journal for SeenJournal {
    async fn load(&mut self) -> Result<Vec<Record>, JournalError> {
        self.journal.load().await
    }

    async fn append(&mut self, records: Vec<Record>, durable: bool) -> Result<(), JournalError> {
        self.host
            .effect(|_| {
                // The memory journal never waits.
                let append = self.journal.append(records, durable);
                futures_util::FutureExt::now_or_never(append).unwrap()
            })
            .await
    }

    fn wants_compaction(&self) -> bool {
        false
    }

    async fn compact(&mut self, records: Vec<Record>) -> Result<(), JournalError> {
        self.journal.compact(records).await
    }
}

/// One host, one server, and agents that come and go.
pub struct World {
    pub host: Host,
    pub server: Server,
    pub journal: MemoryJournal,
    pub settings: Settings,
    pub at_end: AtEnd,
    pub capacity: Capacity,
    pub clock: Arc<PausedClock>,
    /// The agents' own folder: none that is there, unless a test has one.
    pub folder: PathBuf,
    ids: Arc<Counter>,
}

/// A running agent.
pub struct Running {
    pub shutdown: CancellationToken,
    pub task: JoinHandle<Result<(), agent::AgentError>>,
}

impl World {
    /// Must be made inside a runtime with paused time.
    pub fn new() -> Self {
        let clock = Arc::new(PausedClock::new());
        let capacity = Capacity { cpu: 4096, memory: 4096, tcp: [22].into(), udp: [].into() };
        Self {
            host: Host::new(Arc::clone(&clock)),
            server: Server::default(),
            journal: MemoryJournal::default(),
            settings: Settings {
                cleanup_wait: std::time::Duration::from_secs(60),
                ..Settings::default()
            },
            at_end: AtEnd::LeaveRunning,
            capacity,
            clock,
            folder: PathBuf::from("/nonexistent/agent"),
            ids: Arc::default(),
        }
    }

    /// Starts an agent; an older one is cut off.
    pub fn start(&self) -> Running {
        let host = self.host.next();
        let parts = Parts {
            images: Arc::new(host.clone()),
            containers: Arc::new(host.clone()),
            networks: Arc::new(host.clone()),
            folders: Arc::new(agent::HostFolders),
            transport: Arc::new(self.server.seen_by(&host)),
            journal: Box::new(SeenJournal { journal: self.journal.clone(), host }),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            ids: Arc::clone(&self.ids) as Arc<dyn IdSource>,
            updates: None,
            peers: None,
        };
        let config = Config {
            server: "http://127.0.0.1:1".to_owned(),
            cluster: "default".parse().unwrap(),
            name: "i1".to_owned(),
            zone: Some("us-east-1a".to_owned()),
            instance_type: None,
            attributes: BTreeMap::new(),
            address: None,
            folder: self.folder.clone(),
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            capacity: self.capacity.clone(),
            settings: self.settings.clone(),
            stand_ins: agent::volumes::StandIns::default(),
            gpus: Vec::new(),
            registries: [("private.test:5000".to_owned(), registry_auth())].into(),
            tls: None,
            forwards_api: false,
            at_end: self.at_end,
            stop_timeout_at_end: STOP_TIMEOUT_AT_END,
            house: House::default(),
        };
        let shutdown = CancellationToken::new();
        let run = Agent::run(config, parts, Directory::default(), shutdown.clone());
        Running { shutdown, task: tokio::spawn(run) }
    }

    /// Whether nothing is left on the host.
    pub fn is_clean(&self) -> bool {
        let state = self.host.state.lock();
        state.containers.is_empty()
            && state.attachments.is_empty()
            && state.networks.is_empty()
            && state.snapshots.is_empty()
            && state.tasks.is_empty()
    }

    pub fn log(&self) -> Vec<String> {
        self.host.state.lock().log.clone()
    }
}

/// A task of containers.
pub fn task(number: u32, containers: Vec<Container>) -> Task {
    let arn: TaskArn =
        format!("arn:aws:ecs:us-east-1:000000000000:task/default/{number:032x}").parse().unwrap();
    Task {
        family: "web".to_owned(),
        version: "7".to_owned(),
        containers,
        network_mode: Some("bridge".to_owned()),
        ..Task::new(arn, DesiredStatus::Running)
    }
}

/// The task, with an interface of its own.
pub fn awsvpc(task: Task) -> Task {
    let interface = NetworkInterface {
        ec2_id: "eni-1".to_owned(),
        mac_address: "0a:58:0a:00:00:02".to_owned(),
        ipv4_addresses: vec![Ipv4Address { primary: true, private_address: "10.0.1.7".to_owned() }],
        subnet_gateway_ipv4_address: "10.0.1.1/24".to_owned(),
        private_dns_name: "ip-10-0-1-7.ec2.internal".to_owned(),
        ..NetworkInterface::default()
    };
    Task {
        network_mode: Some("awsvpc".to_owned()),
        elastic_network_interfaces: vec![interface],
        ..task
    }
}

/// An essential container that runs a command of the stand-in host.
pub fn container(name: &str, command: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: "busybox".to_owned(),
        essential: true,
        cpu: 10,
        memory: 64,
        command: Some(command.split(' ').map(str::to_owned).collect()),
        ..Container::default()
    }
}

/// The same, not essential.
pub fn sidecar(name: &str, command: &str) -> Container {
    Container { essential: false, ..container(name, command) }
}

/// The container, waiting for another.
pub fn after(mut container: Container, other: &str, condition: DependencyCondition) -> Container {
    container.depends_on.push(Dependency { container_name: other.to_owned(), condition });
    container
}

/// The container, with a health check every five seconds.
pub fn checked(container: Container) -> Container {
    let check = HealthCheck {
        test: vec!["CMD".to_owned(), "true".to_owned()],
        interval: 5_000_000_000,
        retries: 2,
        ..HealthCheck::default()
    };
    let config = ContainerConfig { healthcheck: Some(check), ..ContainerConfig::default() };
    Container {
        health_check_type: Some("docker".to_owned()),
        docker_config: DockerConfig::new("1.24", &config, &HostConfig::default()),
        ..container
    }
}

/// What the agent is given for the registry `private.test:5000`.
pub fn registry_auth() -> runtime::images::RegistryAuth {
    runtime::images::RegistryAuth::Basic { username: "me".into(), password: "secret".into() }
}
