//! Container instances: register, deregister, describe, list, DiscoverPollEndpoint
//! (ECS semantics §4, agent protocol §1).

mod identity;
mod register;
mod resources;

use std::ops::Bound;

use ledger::View;
use placement::query::Expression;
use shapes_ecs as shapes;
use terms::ContainerInstanceId;
use wire::{CallerKind, Context};

use super::target::Target;
use super::{Api, missing, page::Page, tags, target};
use crate::decide::subject::Asked;
use crate::decide::{report, room};
use crate::error::Error;
use crate::model::{
    AgentInfo, ContainerInstance, InstanceStatus, Stop, StopCode, Task, TaskStatus,
};
use crate::tables::{InstanceKey, Tables};

/// Most instances that one request may describe.
const MAX_DESCRIBED: usize = 100;

impl Api {
    /// Takes an instance out of its cluster. With `force` its tasks are STOPPED at once in our
    /// records (ECS semantics §4): nobody is left who could report on them.
    pub(crate) async fn deregister_container_instance(
        &self,
        context: Context,
        input: shapes::DeregisterContainerInstanceRequest,
    ) -> Result<shapes::DeregisterContainerInstanceResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let unknown = || {
            let id = &input.container_instance;
            Error::invalid(format!("Referenced container instance {id} not found."))
        };
        let Target::Id(id) = target::instance(&cluster, &input.container_instance)? else {
            return Err(unknown());
        };
        let (tables, force) = (self.tables, input.force.unwrap_or(false));
        let key = cluster.instance(id);
        let done = self.ledger.transact("deregister container instance", |tx| {
            target::active_cluster(tx, &tables, &cluster)?;
            let row = tx.get(&tables.instances, &key).ok_or_else(unknown)?;
            if row.status == InstanceStatus::Inactive {
                return Err(unknown());
            }
            check_node(&context, &row)?;
            let tasks: Vec<_> = tx.index(&tables.held, &key).collect();
            if !tasks.is_empty() && !force {
                return Err(Error::invalid("Found running tasks on the instance."));
            }
            let now = tx.now();
            for (task_key, task) in tasks {
                let reason = format!("Container instance {} was deregistered.", row.arn);
                let stop = Stop { code: StopCode::TerminationNotice, reason };
                if let Some(stopped) = report::lose_instance(&task, stop, now) {
                    self.put_task(tx, task_key, stopped);
                }
            }
            let gone = ContainerInstance {
                status: InstanceStatus::Inactive,
                changed_at: now,
                agent: AgentInfo { connected: false, ..row.agent.clone() },
                version: row.version + 1,
                ..ContainerInstance::clone(&row)
            };
            let shown = show(&gone, &[], true);
            tx.put(&tables.instances, key.clone(), gone);
            Ok(shown)
        });
        let container_instance = Some(done.await?.value);
        Ok(shapes::DeregisterContainerInstanceResponse { container_instance })
    }

    /// Describes instances; unknown ones are failures.
    pub(crate) async fn describe_container_instances(
        &self,
        context: Context,
        input: shapes::DescribeContainerInstancesRequest,
    ) -> Result<shapes::DescribeContainerInstancesResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let wanted = &input.container_instances;
        if wanted.is_empty() {
            return Err(Error::client("Container Instances cannot be empty."));
        }
        if wanted.len() > MAX_DESCRIBED {
            return Err(Error::invalid("Container instances can have at most 100 items."));
        }
        let asked = |word: &str| input.include.iter().flatten().any(|one| one.as_str() == word);
        if asked("CONTAINER_INSTANCE_HEALTH") {
            let what = "include CONTAINER_INSTANCE_HEALTH";
            return Err(Error::not_built("DescribeContainerInstances", what));
        }
        let (mut instances, mut failures) = (Vec::new(), Vec::new());
        for text in wanted {
            let row = match target::instance(&cluster, text)? {
                Target::Id(id) => snapshot.get(&self.tables.instances, &cluster.instance(id)),
                Target::Unknown => None,
            };
            match row {
                Some(row) => {
                    let tasks = held(&snapshot, &self.tables, &cluster.instance(row.arn.id));
                    instances.push(show(&row, &tasks, asked("TAGS")));
                }
                None => failures.push(missing(super::arn_of(&cluster, "container-instance", text))),
            }
        }
        Ok(shapes::DescribeContainerInstancesResponse {
            container_instances: Some(instances),
            failures: Some(failures),
        })
    }

    /// Lists the ARNs of instances; those deregistered are not among them.
    pub(crate) async fn list_container_instances(
        &self,
        context: Context,
        input: shapes::ListContainerInstancesRequest,
    ) -> Result<shapes::ListContainerInstancesResponse, Error> {
        let filter = filter(input.filter.as_deref())?;
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let status = input.status.map(|status| status.as_str());
        let token = input.next_token.as_deref();
        let filters = (&cluster, status, &filter);
        let page = Page::open("ListContainerInstances", &filters, input.max_results, token)?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let from = match page.after_as::<ContainerInstanceId>()? {
            Some(after) => Bound::Excluded(cluster.instance(after)),
            None => Bound::Included(cluster.instance(ContainerInstanceId::from_bytes([0; 16]))),
        };
        let to = cluster.instance(ContainerInstanceId::from_bytes([0xff; 16]));
        let rows = snapshot.range(&self.tables.instances, (from, Bound::Included(to)));
        let rows = rows.filter(|(_, row)| match status {
            None => row.status != InstanceStatus::Inactive,
            Some(wanted) => row.status.as_str() == wanted,
        });
        let rows = rows.filter(|(key, row)| {
            filter.as_ref().is_none_or(|filter| selects(&snapshot, &self.tables, filter, key, row))
        });
        let (ids, next_token) = page.take(rows.map(|(key, _)| key.1), ToString::to_string);
        let arns = ids.into_iter().map(|id| cluster.instance_arn(id).to_string());
        Ok(shapes::ListContainerInstancesResponse {
            container_instance_arns: Some(arns.collect()),
            next_token,
        })
    }

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

/// The expression of a listing.
fn filter(text: Option<&str>) -> Result<Option<Expression>, Error> {
    let text = text.filter(|text| !text.trim().is_empty());
    let wrong = |wrong| Error::invalid(format!("Invalid filter expression: {wrong}."));
    text.map(str::parse).transpose().map_err(wrong)
}

/// Whether an expression selects an instance. Its tasks are looked at only if they matter.
fn selects(
    view: &impl View,
    tables: &Tables,
    filter: &Expression,
    key: &InstanceKey,
    row: &ContainerInstance,
) -> bool {
    let tasks = if filter.only_attributes() { Vec::new() } else { held(view, tables, key) };
    filter.matches(&Asked { row, tasks: &tasks })
}

/// The tasks on an instance that have not stopped.
fn held(view: &impl View, tables: &Tables, key: &InstanceKey) -> Vec<ledger::Row<Task>> {
    view.index(&tables.held, key).map(|(_, task)| task).collect()
}

/// An instance as the API shows it; `tasks` are those on it that have not stopped.
fn show(
    row: &ContainerInstance,
    tasks: &[ledger::Row<Task>],
    with_tags: bool,
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
        version: i64::try_from(row.version).ok(),
        version_info: Some(shapes::VersionInfo {
            agent_version: row.agent.version.clone(),
            agent_hash: row.agent.hash.clone(),
            docker_version: row.agent.docker_version.clone(),
        }),
        remaining_resources: Some(resources::remaining(row, &remaining)),
        registered_resources: Some(row.registered.iter().map(|one| (**one).clone()).collect()),
        status: Some(row.status.as_str().to_owned()),
        agent_connected: Some(row.agent.connected),
        running_tasks_count: count(|status| status == TaskStatus::Running),
        pending_tasks_count: count(|status| status < TaskStatus::Running),
        attributes: Some(row.attributes.iter().map(attribute).collect()),
        registered_at: Some(row.registered_at),
        attachments: Some(Vec::new()),
        tags: Some(if with_tags { tags::show(&row.tags) } else { Vec::new() }),
        ..Default::default()
    }
}
