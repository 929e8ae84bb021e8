//! Container instances as the API shows them.

use ledger::{Revision, Row};
use shapes_ecs as shapes;

use super::super::tags;
use super::resources;
use crate::decide::room;
use crate::model::{ContainerInstance, Task, TaskStatus};

/// The version of an instance, its `tasks` being those that have not stopped: the ledger's revision
/// of the last change of its record, or of the last of those tasks to come. EventBridge is told of
/// both (`decide/events.rs`), and with this number, so this is never more than it was told last. It
/// is less when tasks ended since: what an event said of that was newer.
pub(super) fn version(row: &Row<ContainerInstance>, tasks: &[Row<Task>]) -> Revision {
    tasks.iter().map(Row::created).fold(row.version(), Revision::max)
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
