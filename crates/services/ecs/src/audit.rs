//! What an outside checker reads: tasks and instances as plain values.
//!
//! For simulation and for checks of a store; nothing in here decides anything. What a task holds is
//! added up here again, apart from `decide/room`, so that a mistake there shows.

use std::collections::BTreeSet;

use ledger::{Commit, Revision, Snapshot};
use terms::{ContainerInstanceArn, ContainerInstanceId, TaskArn, TaskDefinitionArn};

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
}

/// A row before and after a commit.
#[derive(Clone, Debug)]
pub enum AuditedChange {
    /// A task's.
    Task {
        /// Before; none if the commit made it.
        before: Option<Box<AuditedTask>>,
        /// After; none if the commit removed it.
        after: Option<Box<AuditedTask>>,
    },
    /// An instance's.
    Instance {
        /// Before; none if the commit made it.
        before: Option<Box<AuditedInstance>>,
        /// After; none if the commit removed it.
        after: Option<Box<AuditedInstance>>,
    },
}

impl EcsTables {
    /// Every task and every instance of a snapshot, in the order of their keys.
    pub fn audit(&self, snapshot: &Snapshot) -> (Vec<AuditedTask>, Vec<AuditedInstance>) {
        let tasks = snapshot.range(&self.rows.tasks, ..).map(|(_, row)| task(&row, row.version()));
        let instances = snapshot.range(&self.rows.instances, ..);
        let instances = instances.map(|(_, row)| instance(&row, row.version()));
        (tasks.collect(), instances.collect())
    }

    /// What a commit changed of them.
    pub fn audit_commit(&self, commit: &Commit) -> Vec<AuditedChange> {
        let tasks = commit.changes_of(&self.rows.tasks).map(|change| AuditedChange::Task {
            before: change.before.map(|row| Box::new(task(&row, row.version()))),
            after: change.after.map(|row| Box::new(task(&row, row.version()))),
        });
        let instances = commit.changes_of(&self.rows.instances);
        let instances = instances.map(|change| AuditedChange::Instance {
            before: change.before.map(|row| Box::new(instance(&row, row.version()))),
            after: change.after.map(|row| Box::new(instance(&row, row.version()))),
        });
        tasks.chain(instances).collect()
    }
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
    }
}
