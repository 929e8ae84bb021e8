//! The nodes of the operator's own that Fargate tasks run on: shown, drained, taken out.
//!
//! They register as container instances do, under a name that no cluster can have, so no operation
//! of ECS's shows them.

use agent_protocol::{FARGATE_ATTRIBUTE, FARGATE_SPOT_ATTRIBUTE};
use ledger::{Row, Snapshot, Tx};
use serde::Serialize;
use terms::TaskId;
use wire::RouteRequest;

use crate::api::Api;
use crate::decide::{report, room};
use crate::error::Error;
use crate::model::{
    AgentInfo, ContainerInstance, InstanceStatus, Stop, StopCode, Task, TaskStatus,
};
use crate::tables::{InstanceKey, Scope, Tables};

/// Why a task stops whose Spot node drains (observed on ECS).
const INTERRUPTED: &str = "Your Spot Task was interrupted.";

/// One node as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    /// Its name on its machine; none if an operator's key registered it.
    name: Option<String>,
    /// Its id.
    id: String,
    zone: Option<String>,
    architecture: Option<String>,
    status: &'static str,
    connected: bool,
    /// Whether it takes tasks of `FARGATE`.
    on_demand: bool,
    /// Whether it takes tasks of `FARGATE_SPOT`.
    spot: bool,
    tasks: usize,
    running: usize,
    /// CPU units and MiB that it has, and that no task holds.
    cpu: u32,
    memory: u32,
    remaining_cpu: u32,
    remaining_memory: u32,
}

/// Whether who asks may see and change the fleet: operators, and nobody's task or node.
pub(crate) fn may_change(request: &RouteRequest) -> bool {
    request.caller.as_ref().is_some_and(|caller| caller.kind.operates())
}

/// The nodes of a scope.
pub(crate) fn nodes(snapshot: &Snapshot, tables: &Tables, scope: &Scope) -> Vec<Node> {
    let fleet = scope.fleet();
    let with = |status| snapshot.index(&tables.instances_by_status, &(fleet.clone(), status));
    let rows = with(InstanceStatus::Active).chain(with(InstanceStatus::Draining));
    rows.map(|(key, row)| {
        let tasks: Vec<_> = snapshot.index(&tables.held, &key).map(|(_, task)| task).collect();
        node(&row, &tasks)
    })
    .collect()
}

fn node(row: &ContainerInstance, tasks: &[Row<Task>]) -> Node {
    let attribute = |name: &str| row.attributes.get(name).cloned().flatten();
    let left = room::remaining(row, tasks.iter().map(|task| &**task));
    Node {
        name: row.node.clone(),
        id: row.arn.id.to_string(),
        zone: attribute(placement::ZONE),
        architecture: attribute("ecs.cpu-architecture"),
        status: row.status.as_str(),
        connected: row.agent.connected,
        on_demand: row.attributes.contains_key(FARGATE_ATTRIBUTE),
        spot: row.attributes.contains_key(FARGATE_SPOT_ATTRIBUTE),
        tasks: tasks.len(),
        running: tasks.iter().filter(|task| task.status == TaskStatus::Running).count(),
        cpu: row.capacity.cpu.get(),
        memory: row.capacity.memory.get(),
        remaining_cpu: left.cpu,
        remaining_memory: left.memory,
    }
}

impl Api {
    /// Drains a node, lets it take tasks again, or takes it out of the fleet. A node that drains takes
    /// no more tasks; those of FARGATE_SPOT on it are told to stop at once, and have their stop
    /// timeouts, two minutes at the most, to end: that is the warning (Developer Guide, "Fargate
    /// Spot termination notices"). Services replace those of FARGATE; others stay. Gives the tasks
    /// that were told to stop.
    ///
    /// # Errors
    /// When there is no such node, it has tasks and `force` is not said, or the status is none.
    pub(crate) async fn change_node(
        &self,
        scope: &Scope,
        name: &str,
        status: &str,
        force: bool,
    ) -> Result<Vec<TaskId>, Error> {
        let status = match status {
            "ACTIVE" => InstanceStatus::Active,
            "DRAINING" => InstanceStatus::Draining,
            "INACTIVE" => InstanceStatus::Inactive,
            _ => return Err(Error::invalid("The status is ACTIVE, DRAINING or INACTIVE.")),
        };
        let done = self.ledger.transact("change node", |tx| {
            let (key, row) = find(tx, &self.tables, scope, name)?;
            let stopped = match status {
                InstanceStatus::Active => Vec::new(),
                InstanceStatus::Draining => self.interrupt(tx, &key),
                InstanceStatus::Inactive => self.abandon(tx, &key, &row, force)?,
            };
            if row.status != status {
                let connected = row.agent.connected && status != InstanceStatus::Inactive;
                let next = ContainerInstance {
                    status,
                    changed_at: tx.now(),
                    agent: AgentInfo { connected, ..row.agent.clone() },
                    version: row.version + 1,
                    ..ContainerInstance::clone(&row)
                };
                tx.put(&self.tables.instances, key, next);
            }
            Ok(stopped)
        });
        Ok(done.await?.value)
    }

    /// Tells the tasks of FARGATE_SPOT on a node to stop.
    fn interrupt(&self, tx: &mut Tx<'_>, key: &InstanceKey) -> Vec<TaskId> {
        let tasks: Vec<_> = tx.index(&self.tables.held, key).collect();
        let mut stopped = Vec::new();
        for (key, task) in tasks {
            let is_spot = |name: &terms::CapacityProviderName| name.as_str() == "FARGATE_SPOT";
            if !task.capacity_provider.as_ref().is_some_and(is_spot) {
                continue;
            }
            let code = StopCode::SpotInterruption;
            let stop = Stop { code, reason: INTERRUPTED.to_owned() };
            if let Some(next) = report::request_stop(&task, stop, tx.now()) {
                stopped.push(key.1);
                self.put_task(tx, key, next);
            }
        }
        stopped
    }

    /// The tasks of a node that goes are STOPPED at once: nobody is left who could report on them.
    fn abandon(
        &self,
        tx: &mut Tx<'_>,
        key: &InstanceKey,
        row: &ContainerInstance,
        force: bool,
    ) -> Result<Vec<TaskId>, Error> {
        let tasks: Vec<_> = tx.index(&self.tables.held, key).collect();
        if !tasks.is_empty() && !force {
            return Err(Error::invalid("Found running tasks on the node."));
        }
        let mut stopped = Vec::new();
        for (key, task) in tasks {
            let reason = format!("Fargate node {} was taken out of the fleet.", row.arn.id);
            let stop = Stop { code: StopCode::TerminationNotice, reason };
            if let Some(next) = report::lose_instance(&task, stop, tx.now()) {
                stopped.push(key.1);
                self.put_task(tx, key, next);
            }
        }
        Ok(stopped)
    }
}

/// The node of this name or id.
fn find(
    tx: &Tx<'_>,
    tables: &Tables,
    scope: &Scope,
    name: &str,
) -> Result<(InstanceKey, Row<ContainerInstance>), Error> {
    let fleet = scope.fleet();
    let is_there = |row: &ContainerInstance| row.status != InstanceStatus::Inactive;
    let by_name = (fleet.clone(), name.to_owned());
    let mut named = tx.index(&tables.instances_by_node, &by_name);
    if let Some(found) = named.find(|(_, row)| is_there(row)) {
        return Ok(found);
    }
    let id = name.parse().ok().map(|id| fleet.instance(id));
    let by_id = id.and_then(|key| Some((key.clone(), tx.get(&tables.instances, &key)?)));
    by_id
        .filter(|(_, row)| is_there(row))
        .ok_or_else(|| Error::invalid(format!("The fleet has no node {name}.")))
}
