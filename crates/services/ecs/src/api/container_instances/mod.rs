//! Container instances: register, deregister, describe, list, drain, DiscoverPollEndpoint
//! (ECS semantics §4, agent protocol §1).

mod deregister;
mod describe;
mod health;
mod identity;
mod list;
mod register;
mod resources;
mod shape;
mod state;
mod update_agent;

use ledger::View;
use shapes_ecs as shapes;
use terms::ContainerInstanceId;
use wire::{CallerKind, Context};

pub(super) use self::list::all;
use self::shape::{show, version};
use super::target::Target;
use super::{Api, target};
use crate::error::Error;
use crate::model::{ContainerInstance, InstanceStatus, Task};
use crate::tables::{ClusterKey, InstanceKey, Tables};

/// An instance as it is shown, without its tags, in this version; `tasks` are those on it that have
/// not stopped.
pub(crate) fn show_instance(
    row: &ContainerInstance,
    tasks: &[ledger::Row<Task>],
    version: ledger::Revision,
) -> shapes::ContainerInstance {
    show(row, tasks, false, Some(version))
}

impl Api {
    /// Tells an agent where its websockets go. Agents keep the answer for twelve hours.
    pub(crate) async fn discover_poll_endpoint(
        &self,
        context: Context,
        _: shapes::DiscoverPollEndpointRequest,
    ) -> Result<shapes::DiscoverPollEndpointResponse, Error> {
        let base = self.agent_endpoint.as_deref().unwrap_or(&context.endpoint);
        let base = base.trim_end_matches('/');
        Ok(shapes::DiscoverPollEndpointResponse {
            endpoint: Some(format!("{base}/acs")),
            telemetry_endpoint: Some(format!("{base}/tcs")),
            ..Default::default()
        })
    }
}

/// A node's key is good for the instance that it registered, and for no other.
pub(super) fn check_node(context: &Context, row: &ContainerInstance) -> Result<(), Error> {
    match &context.caller.kind {
        CallerKind::Node { name } if row.node.as_ref() != Some(name) => {
            let arn = &row.arn;
            Err(Error::AccessDenied(format!(
                "The key of node {name} is not that of instance {arn}."
            )))
        }
        _ => Ok(()),
    }
}

/// An instance that is known no more is nobody's.
pub(super) fn check_no_node(context: &Context) -> Result<(), Error> {
    match &context.caller.kind {
        CallerKind::Node { name } => Err(Error::AccessDenied(format!(
            "The instance is not known any more, so the key of node {name} is not its."
        ))),
        _ => Ok(()),
    }
}

/// The id that an operation on one instance names.
///
/// # Errors
/// When no instance of the cluster can have it.
fn one(cluster: &ClusterKey, text: &str) -> Result<ContainerInstanceId, Error> {
    match target::instance(cluster, text)? {
        Target::Id(id) => Ok(id),
        Target::Unknown => Err(unknown(text)),
    }
}

/// The instance of an operation on one, if it has not been deregistered.
fn registered(
    view: &impl View,
    tables: &Tables,
    key: &InstanceKey,
    text: &str,
) -> Result<ledger::Row<ContainerInstance>, Error> {
    let row = view.get(&tables.instances, key);
    row.filter(|row| row.status != InstanceStatus::Inactive).ok_or_else(|| unknown(text))
}

fn unknown(text: &str) -> Error {
    Error::invalid(format!("Referenced container instance {text} not found."))
}

/// The tasks on an instance that have not stopped.
fn held(view: &impl View, tables: &Tables, key: &InstanceKey) -> Vec<ledger::Row<Task>> {
    view.index(&tables.held, key).map(|(_, task)| task).collect()
}
