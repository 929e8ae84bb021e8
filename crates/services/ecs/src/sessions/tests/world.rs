//! A ledger with one cluster and one instance, and the sessions over it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use agent_protocol::acs::{AgentMessage, ServerMessage};
use agent_protocol::task::Credentials;
use ledger::{Ledger, MemoryStore, Schema};
use shapes_ecs as shapes;
use terms::{ClusterName, ContainerInstanceArn, Timestamp, Uuid};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::super::acs::{CredentialsRequest, Minted};
use super::super::hub::{Hello, SessionSetup, SessionTables, Sessions};
use super::super::ledger_view::TaskEndpointSetting;
use super::super::role_credentials::TaskCredentials;
use super::super::testing::{CountedIds, Peer, TokioClock, instance_arn, task_arn, wire};
use crate::model::{
    AgentInfo, Capacity, Cluster, Container, ContainerInstance, ContainerStatus, DefinitionStatus,
    Demand, DesiredStatus, Document, Explanation, Health, InstanceStatus, NetworkMode, Task,
    TaskDefinition, TaskStatus, TaskTimes,
};
use crate::tables::{Tables, definition_key, instance_key, task_key};

pub(in super::super) type Agent = Peer<AgentMessage, ServerMessage>;

pub(in super::super) struct World {
    pub(in super::super) ledger: Ledger,
    pub(in super::super) tables: Tables,
    pub(in super::super) sessions: Sessions,
    pub(in super::super) shutdown: CancellationToken,
    pub(in super::super) running: AbortOnDropHandle<Result<(), ledger::LedgerError>>,
}

/// Mints keys that tell how many were minted before.
#[derive(Default)]
pub(in super::super) struct CountedKeys(std::sync::atomic::AtomicU32);

impl TaskCredentials for CountedKeys {
    fn mint(
        &self,
        request: CredentialsRequest,
    ) -> Pin<Box<dyn Future<Output = Result<Minted, String>> + Send + '_>> {
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        Box::pin(async move {
            let expires = Timestamp::from_millis(1_795_226_828_000 + 6 * 3_600_000);
            let credentials = Credentials {
                access_key_id: format!("ASIA{number}"),
                expiration: expires.to_string(),
                role_arn: request.role_arn,
                ..Credentials::default()
            };
            Ok(Minted { credentials, expires })
        })
    }
}

impl World {
    /// A world whose sessions run.
    pub(in super::super) async fn start() -> Self {
        let world = Self::over(MemoryStore::new());
        world.put_instance(instance(InstanceStatus::Active)).await;
        world.put_definition(definition()).await;
        assert!(world.sessions.hub.is_ready().await);
        world
    }

    /// A world over what an earlier one stored.
    pub(in super::super) fn over(store: MemoryStore) -> Self {
        let clock = Arc::new(TokioClock(tokio::time::Instant::now()));
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let own = SessionTables::declare(&mut schema);
        let ids = Arc::new(CountedIds::default());
        let ledger = Ledger::open(schema, Box::new(store), clock, ids.clone()).expect("a ledger");
        let setup = SessionSetup {
            task_endpoint: TaskEndpointSetting::Automatic {
                advertised: "http://192.0.2.1:4566".to_owned(),
            },
            credentials: Arc::new(CountedKeys::default()),
            ecr_endpoint: None,
            registry: None,
        };
        let sessions = Sessions::new(ledger.clone(), tables, own, ids, setup);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (sessions, shutdown) = (sessions.clone(), shutdown.clone());
            async move { sessions.run(shutdown).await }
        });
        Self { ledger, tables, sessions, shutdown, running: AbortOnDropHandle::new(running) }
    }

    /// Lets other tasks work until it is so.
    pub(in super::super) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if is_so(self) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it never came to pass");
    }

    /// Connects an agent.
    pub(in super::super) fn connect(&self, hello: Hello) -> Agent {
        let (transport, peer) = wire();
        let sessions = self.sessions.clone();
        tokio::spawn(async move {
            sessions.serve_control(transport, instance_arn(), hello).await;
        });
        peer
    }

    pub(in super::super) fn instance(&self) -> ContainerInstance {
        let row =
            self.ledger.snapshot().get(&self.tables.instances, &instance_key(&instance_arn()));
        (*row.expect("the instance")).clone()
    }

    pub(in super::super) fn task(&self, number: u32) -> Task {
        let row = self.ledger.snapshot().get(&self.tables.tasks, &task_key(&task_arn(number)));
        (*row.expect("the task")).clone()
    }

    pub(in super::super) async fn put_instance(&self, row: ContainerInstance) {
        let key = instance_key(&row.arn);
        let cluster = Cluster::new(ClusterName::default(), Timestamp::default());
        let write = |tx: &mut ledger::Tx<'_>| {
            tx.put(&self.tables.clusters, key.0.clone(), cluster.clone());
            tx.put(&self.tables.instances, key.clone(), row.clone());
            Ok::<_, std::convert::Infallible>(())
        };
        self.ledger.transact("test", write).await.expect("written");
    }

    pub(in super::super) async fn put_definition(&self, row: TaskDefinition) {
        let key = definition_key(&row.arn);
        let write = |tx: &mut ledger::Tx<'_>| {
            tx.put(&self.tables.definitions, key.clone(), row.clone());
            Ok::<_, std::convert::Infallible>(())
        };
        self.ledger.transact("test", write).await.expect("written");
    }

    pub(in super::super) async fn put_task(&self, row: Task) {
        let key = task_key(&row.arn);
        let write = |tx: &mut ledger::Tx<'_>| {
            tx.put(&self.tables.tasks, key.clone(), row.clone());
            Ok::<_, std::convert::Infallible>(())
        };
        self.ledger.transact("test", write).await.expect("written");
    }
}

pub(in super::super) fn instance(status: InstanceStatus) -> ContainerInstance {
    ContainerInstance {
        arn: instance_arn(),
        status,
        ec2_instance_id: None,
        attributes: BTreeMap::new(),
        capacity: Capacity::default(),
        registered: Vec::new(),
        agent: AgentInfo::default(),
        node: Some("node-1".to_owned()),
        registered_at: Timestamp::default(),
        changed_at: Timestamp::default(),
        tags: Vec::new(),
        version: 1,
    }
}

pub(in super::super) fn definition() -> TaskDefinition {
    let container = shapes::ContainerDefinition {
        name: Some("main".to_owned()),
        image: Some("busybox:latest".to_owned()),
        ..shapes::ContainerDefinition::default()
    };
    TaskDefinition {
        arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/hello:1"
            .parse()
            .expect("a task definition's ARN"),
        status: DefinitionStatus::Active,
        registered_at: Timestamp::default(),
        registered_by: String::new(),
        deregistered_at: None,
        delete_requested_at: None,
        document: Document::new(shapes::TaskDefinition {
            container_definitions: Some(vec![container]),
            ..shapes::TaskDefinition::default()
        }),
        network_mode: NetworkMode::Bridge,
        cpu: None,
        memory: None,
        containers: Vec::new(),
        requires: Vec::new(),
        tags: Vec::new(),
    }
}

pub(in super::super) fn task(number: u32, status: TaskStatus, desired: DesiredStatus) -> Task {
    Task {
        arn: task_arn(number),
        definition: definition().arn.into(),
        group: "family:hello".into(),
        started_by: None,
        instance: instance_of(&instance_arn()),
        capacity_provider: None,
        zone: Some("us-east-1a".into()),
        architecture: None,
        demand: Demand::default().into(),
        cpu: None,
        memory: None,
        overrides: Document::default(),
        desired,
        status,
        stop: None,
        containers: vec![container("main")],
        created_at: Timestamp::default(),
        times: TaskTimes::default(),
        tags: Vec::new(),
        network: None,
        disk: None,
        fargate: None,
        protected_until: None,
        abandoned: false,
        targets: Box::default(),
        deployment: None,
        execute_command: false,
        explanation: Explanation::default().into(),
        version: 1,
    }
}

fn instance_of(arn: &ContainerInstanceArn) -> terms::ContainerInstanceId {
    arn.id
}

pub(in super::super) fn container(name: &str) -> Container {
    Container {
        id: Uuid::from_random([7; 16]),
        name: name.into(),
        image: "busybox:latest".into(),
        essential: true,
        health_check: false,
        cpu: 0,
        memory: None,
        memory_reservation: None,
        status: ContainerStatus::Pending,
        image_digest: None,
        pinned: false,
        runtime_id: None,
        exit_code: None,
        reason: None,
        bindings: Vec::new(),
        health: Health::Unknown,
        gpu_ids: Vec::new(),
        exec_agent: None,
    }
}
