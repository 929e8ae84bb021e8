//! What an outside checker reads: tasks, instances and services as plain values.
//!
//! For simulation and for checks of a store; nothing in here decides anything. What a task holds is
//! added up here again, apart from `decide/room`, so that a mistake there shows.

mod services;

use std::collections::BTreeSet;

use agent_protocol::FARGATE_FLEET;
use ledger::{Commit, Key, Record, Revision, Row, Snapshot, Table};
use terms::{ContainerInstanceArn, ContainerInstanceId, TaskArn, TaskDefinitionArn, Timestamp};

pub use self::services::{
    AuditedAlarms, AuditedBreaker, AuditedDeployment, AuditedEvent, AuditedRevision,
    AuditedService, AuditedShare, AuditedTaskSet,
};
use crate::EcsTables;
use crate::model::{
    Container, ContainerInstance, ContainerStatus, DesiredStatus, InstanceStatus, Protocol, Task,
    TaskStatus,
};

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedTask {
    /// Which.
    pub arn: TaskArn,
    /// The revision that wrote it last.
    pub version: Revision,
    /// Where it was placed.
    pub instance: ContainerInstanceId,
    /// What it runs.
    pub definition: TaskDefinitionArn,
    /// Who started it, as the caller said.
    pub started_by: Option<String>,
    /// Whether it is to run (or to stop).
    pub wants_running: bool,
    /// `lastStatus`.
    pub status: &'static str,
    /// The place of `status` in a task's life; it only grows.
    pub rank: u8,
    /// Whether its instance was taken away, so that its containers may outlive its record.
    pub abandoned: bool,
    /// CPU units that it reserves.
    pub cpu: u32,
    /// MiB that it reserves.
    pub memory: u32,
    /// TCP ports of the host: those asked for, and those that its agent reported.
    pub tcp: BTreeSet<u16>,
    /// UDP ports of the host.
    pub udp: BTreeSet<u16>,
    /// GPUs that it has to itself.
    pub gpus: Vec<String>,
    /// How many GPUs it asked for.
    pub gpu_count: u32,
    /// The address of its own interface, if it has one.
    pub interface: Option<String>,
    /// Its containers.
    pub containers: Vec<AuditedContainer>,
    /// The name of the service that started it, if one did.
    pub service: Option<String>,
    /// The deployment or task set that it is of, as in `ecs-svc/1234567890123456789`.
    pub deployment: Option<String>,
    /// The capacity provider that it went by, if it went by one.
    pub provider: Option<String>,
    /// Whether it was placed on a node of the operator's own, for Fargate.
    pub on_fargate: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its agent began to pull, if it did.
    pub pull_started_at: Option<Timestamp>,
    /// When it came to run, if it did.
    pub started_at: Option<Timestamp>,
    /// When it stopped, if it has.
    pub stopped_at: Option<Timestamp>,
    /// When it was asked to stop, if it was.
    pub stopping_at: Option<Timestamp>,
    /// `stopCode`, once it stops.
    pub stop_code: Option<&'static str>,
    /// `stoppedReason`, once it stops.
    pub stop_reason: Option<String>,
    /// Until when a service may not end it for being one too many.
    pub protected_until: Option<Timestamp>,
}

impl AuditedTask {
    /// Whether it holds its instance's resources: until it has stopped.
    pub fn holds(&self) -> bool {
        self.rank < TaskStatus::Stopped as u8
    }

    /// Whether it has come to run, and is not being stopped.
    pub fn is_running(&self) -> bool {
        self.rank == TaskStatus::Running as u8
    }
}

/// One container of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedContainer {
    /// Its name in the task definition.
    pub name: String,
    /// `lastStatus`.
    pub status: &'static str,
    /// The place of `status` in its life; it only grows.
    pub rank: u8,
    /// The runtime's id.
    pub runtime_id: Option<String>,
    /// How it ended.
    pub exit_code: Option<i32>,
    /// Whether its end is the task's end.
    pub essential: bool,
    /// What its health check says: `HEALTHY`, `UNHEALTHY` or `UNKNOWN`; none if it has no check.
    pub health: Option<&'static str>,
}

/// One container instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedInstance {
    /// Which.
    pub arn: ContainerInstanceArn,
    /// The revision that wrote it last.
    pub version: Revision,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: &'static str,
    /// Whether it was deregistered: it never comes back from that.
    pub is_gone: bool,
    /// `agentConnected`.
    pub connected: bool,
    /// CPU units that it registered.
    pub cpu: u32,
    /// MiB that it registered.
    pub memory: u32,
    /// TCP ports that it keeps for itself.
    pub reserved_tcp: BTreeSet<u16>,
    /// UDP ports that it keeps for itself.
    pub reserved_udp: BTreeSet<u16>,
    /// Its GPUs.
    pub gpus: BTreeSet<String>,
    /// The node whose key registered it.
    pub node: Option<String>,
    /// Since when its agent is away, if it is.
    pub away_since: Option<Timestamp>,
    /// The capacity provider that it belongs to, if its agent named one.
    pub provider: Option<String>,
    /// Whether it is a node for Fargate's tasks, and in no cluster.
    pub is_of_fleet: bool,
}

/// A row before and after a commit.
#[derive(Clone, Debug)]
pub struct Changed<T> {
    /// Before; none if the commit made it.
    pub before: Option<Box<T>>,
    /// After; none if the commit removed it.
    pub after: Option<Box<T>>,
}

/// What a commit changed.
#[derive(Clone, Debug)]
pub enum AuditedChange {
    /// A task.
    Task(Changed<AuditedTask>),
    /// An instance.
    Instance(Changed<AuditedInstance>),
    /// A service.
    Service(Changed<AuditedService>),
    /// A deployment of a service.
    Deployment(Changed<AuditedDeployment>),
    /// A revision of a service.
    Revision(Changed<AuditedRevision>),
    /// A task set of a service.
    TaskSet(Changed<AuditedTaskSet>),
    /// What a service said.
    Event(Changed<AuditedEvent>),
}

/// Everything of a snapshot that a checker reads, each in the order of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Tasks.
    pub tasks: Vec<AuditedTask>,
    /// Container instances.
    pub instances: Vec<AuditedInstance>,
    /// Services.
    pub services: Vec<AuditedService>,
    /// Their deployments.
    pub deployments: Vec<AuditedDeployment>,
    /// Their revisions.
    pub revisions: Vec<AuditedRevision>,
    /// Their task sets.
    pub task_sets: Vec<AuditedTaskSet>,
    /// What they said.
    pub events: Vec<AuditedEvent>,
}

impl EcsTables {
    /// Everything that a checker reads of a snapshot.
    pub fn audit(&self, snapshot: &Snapshot) -> Audit {
        let (rows, of) = (&self.rows, &self.rows.services);
        Audit {
            tasks: all(snapshot, &rows.tasks, |_, row| task(row, row.version())),
            instances: all(snapshot, &rows.instances, |_, row| instance(row, row.version())),
            services: all(snapshot, &of.rows, |_, row| services::service(row, row.version())),
            deployments: all(snapshot, &of.deployments, |key, row| {
                services::deployment(key, row, row.version())
            }),
            revisions: all(snapshot, &of.revisions, |key, row| services::revision(key, row)),
            task_sets: all(snapshot, &of.task_sets, |key, row| {
                services::task_set(key, row, row.version())
            }),
            events: all(snapshot, &of.events, |key, row| services::event(key, row)),
        }
    }

    /// What a commit changed of all that.
    pub fn audit_commit(&self, commit: &Commit) -> Vec<AuditedChange> {
        use AuditedChange as One;
        let (rows, of) = (&self.rows, &self.rows.services);
        let mut changes = Vec::new();
        let found = &mut changes;
        read(found, commit, &rows.tasks, One::Task, |_, row| task(row, row.version()));
        read(found, commit, &rows.instances, One::Instance, |_, row| instance(row, row.version()));
        read(found, commit, &of.rows, One::Service, |_, row| services::service(row, row.version()));
        read(found, commit, &of.deployments, One::Deployment, |key, row| {
            services::deployment(key, row, row.version())
        });
        read(found, commit, &of.revisions, One::Revision, |key, row| services::revision(key, row));
        read(found, commit, &of.task_sets, One::TaskSet, |key, row| {
            services::task_set(key, row, row.version())
        });
        read(found, commit, &of.events, One::Event, |key, row| services::event(key, row));
        changes
    }
}

fn all<K: Key, V: Record, T>(
    snapshot: &Snapshot,
    table: &Table<K, V>,
    read: impl Fn(&K, &Row<V>) -> T,
) -> Vec<T> {
    snapshot.range(table, ..).map(|(key, row)| read(&key, &row)).collect()
}

fn read<K: Key, V: Record, T>(
    found: &mut Vec<AuditedChange>,
    commit: &Commit,
    table: &Table<K, V>,
    kind: impl Fn(Changed<T>) -> AuditedChange,
    read: impl Fn(&K, &Row<V>) -> T,
) {
    found.extend(commit.changes_of(table).map(|change| {
        let key = change.key;
        let audited = |row: Option<Row<V>>| row.map(|row| Box::new(read(&key, &row)));
        kind(Changed { before: audited(change.before), after: audited(change.after) })
    }));
}

fn task(row: &Task, version: Revision) -> AuditedTask {
    let ports = |wanted: &BTreeSet<u16>, protocol: Protocol| {
        let bindings = row.containers.iter().flat_map(|container| &container.bindings);
        let bound = bindings.filter(|binding| binding.protocol == protocol);
        wanted.iter().copied().chain(bound.filter_map(|binding| binding.host_port)).collect()
    };
    AuditedTask {
        arn: row.arn.clone(),
        version,
        instance: row.instance,
        definition: TaskDefinitionArn::clone(&row.definition),
        started_by: row.started_by.as_ref().map(Into::into),
        wants_running: row.desired == DesiredStatus::Running,
        status: row.status.as_str(),
        rank: row.status as u8,
        abandoned: row.abandoned,
        cpu: row.demand.cpu.get(),
        memory: row.demand.memory.get(),
        tcp: ports(&row.demand.tcp, Protocol::Tcp),
        udp: ports(&row.demand.udp, Protocol::Udp),
        gpus: row.containers.iter().flat_map(|container| container.gpu_ids.clone()).collect(),
        gpu_count: row.demand.gpus,
        interface: row.network.as_ref().map(|network| network.address.to_string()),
        containers: row.containers.iter().map(container).collect(),
        service: row.service_name().filter(|_| row.deployment.is_some()).map(str::to_owned),
        deployment: row.deployment.map(|of| of.id.to_string()),
        provider: row.capacity_provider.as_ref().map(ToString::to_string),
        on_fargate: row.fargate.is_some(),
        created_at: row.created_at,
        pull_started_at: row.times.pull_started_at,
        started_at: row.times.started_at,
        stopped_at: row.times.stopped_at,
        stopping_at: row.times.stopping_at,
        stop_code: row.stop.as_ref().map(|stop| stop.code.as_str()),
        stop_reason: row.stop.as_ref().map(|stop| stop.reason.clone()),
        protected_until: row.protected_until,
    }
}

fn container(row: &Container) -> AuditedContainer {
    let rank = match row.status {
        ContainerStatus::Pending => 0,
        ContainerStatus::Running => 1,
        ContainerStatus::Stopped => 2,
    };
    AuditedContainer {
        name: row.name.to_string(),
        status: row.status.as_str(),
        rank,
        runtime_id: row.runtime_id.clone(),
        exit_code: row.exit_code,
        essential: row.essential,
        health: row.health_check.then(|| row.health.as_str()),
    }
}

fn instance(row: &ContainerInstance, version: Revision) -> AuditedInstance {
    AuditedInstance {
        arn: row.arn.clone(),
        version,
        status: row.status.as_str(),
        is_gone: row.status == InstanceStatus::Inactive,
        connected: row.agent.connected,
        cpu: row.capacity.cpu.get(),
        memory: row.capacity.memory.get(),
        reserved_tcp: row.capacity.reserved_tcp.clone(),
        reserved_udp: row.capacity.reserved_udp.clone(),
        gpus: row.capacity.gpus.clone(),
        node: row.node.clone(),
        away_since: row.agent.away_since.filter(|_| !row.agent.connected),
        provider: row.provider().map(|name| name.to_string()),
        is_of_fleet: row.arn.cluster.as_str() == FARGATE_FLEET,
    }
}
