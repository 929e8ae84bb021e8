//! Container instances as the API shows them.

use ledger::{Revision, Row, View};
use shapes_ecs as shapes;
use wire::value::Enumeration;

use super::super::tags;
use super::resources;
use crate::decide::room;
use crate::model::{ContainerInstance, Task, TaskStatus};
use crate::tables::{Tables, instance_key};

/// The version of an instance, its `tasks` being those that have not stopped: the ledger's revision
/// of the last change of its record, of the last of those tasks to come, or of the last task to give
/// back what it held. EventBridge is told of each with this number (`decide/events/instances.rs`).
pub(super) fn version(
    view: &impl View,
    tables: &Tables,
    row: &Row<ContainerInstance>,
    tasks: &[Row<Task>],
) -> Revision {
    let released = view.get(&tables.releases, &instance_key(&row.arn));
    let released = released.map_or(0, |row| row.version());
    tasks.iter().map(Row::created).fold(row.version().max(released), Revision::max)
}

/// An instance as the API shows it; `tasks` are those on it that have not stopped. The version is
/// none while the transaction that makes it is not done.
pub(super) fn show(
    row: &ContainerInstance,
    tasks: &[Row<Task>],
    with_tags: bool,
    version: Option<Revision>,
) -> shapes::ContainerInstance {
    let count = |wanted: fn(TaskStatus) -> bool| {
        i32::try_from(tasks.iter().filter(|task| wanted(task.status)).count()).ok()
    };
    let attribute = |(name, value): (&String, &Option<String>)| shapes::Attribute {
        name: name.clone(),
        value: value.clone(),
        ..Default::default()
    };
    let remaining = room::remaining(row, tasks.iter().map(|task| &**task));
    shapes::ContainerInstance {
        container_instance_arn: Some(row.arn.to_string()),
        ec2_instance_id: row.ec2_instance_id.clone(),
        version: version.and_then(|version| i64::try_from(version).ok()),
        version_info: Some(shapes::VersionInfo {
            agent_version: row.agent.version.clone(),
            agent_hash: row.agent.hash.clone(),
            docker_version: row.agent.docker_version.clone(),
        }),
        remaining_resources: Some(resources::remaining(row, &remaining)),
        registered_resources: Some(resources::registered(row)),
        status: Some(row.status.as_str().to_owned()),
        agent_connected: Some(row.agent.connected),
        agent_update_status: row
            .agent
            .update
            .as_ref()
            .and_then(|update| Enumeration::parse(update.status.as_str())),
        running_tasks_count: count(|status| status == TaskStatus::Running),
        pending_tasks_count: count(|status| status < TaskStatus::Running),
        attributes: Some(row.attributes.iter().map(attribute).collect()),
        registered_at: Some(row.registered_at),
        attachments: Some(Vec::new()),
        capacity_provider_name: row.provider().map(|name| name.to_string()),
        tags: Some(if with_tags { tags::show(&row.tags) } else { Vec::new() }),
        ..Default::default()
    }
}
