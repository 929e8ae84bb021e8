//! ListTasks (ECS semantics §5.1).

use ledger::{Row, Snapshot};
use shapes_ecs as shapes;
use terms::{ContainerInstanceId, TaskId};
use wire::Context;

use super::super::target::Target;
use super::super::{Api, page::Page, services, target};
use crate::error::Error;
use crate::model::{DesiredStatus, Task};
use crate::tables::{ClusterKey, Tables, TaskKey};

/// The filters of a request, each checked.
#[derive(Debug)]
struct Filters {
    cluster: ClusterKey,
    desired: DesiredStatus,
    /// Those on Fargate, or those on instances; all if none.
    on_fargate: Option<bool>,
    instance: Option<ContainerInstanceId>,
    family: Option<String>,
    started_by: Option<String>,
    service: Option<String>,
}

impl Api {
    /// Lists the ARNs of tasks: of those that should run, unless asked for the others.
    pub(crate) async fn list_tasks(
        &self,
        context: Context,
        input: shapes::ListTasksRequest,
    ) -> Result<shapes::ListTasksResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let nothing = shapes::ListTasksResponse { task_arns: Some(Vec::new()), next_token: None };
        let (max, token) = (input.max_results, input.next_token.clone());
        let Some(filters) = filters(&snapshot, &self.tables, cluster, input)? else {
            return Ok(nothing);
        };
        let page = Page::open("ListTasks", &filters, max, token.as_deref())?;
        let rows = find(&snapshot, &self.tables, &filters, page.after_as()?);
        let (ids, next_token) = page.take(rows, ToString::to_string);
        let arns = ids.into_iter().map(|id| filters.cluster.task_arn(id).to_string());
        Ok(shapes::ListTasksResponse { task_arns: Some(arns.collect()), next_token })
    }
}

/// Reads the filters; `None` if no task can meet them.
fn filters(
    snapshot: &Snapshot,
    tables: &Tables,
    cluster: ClusterKey,
    input: shapes::ListTasksRequest,
) -> Result<Option<Filters>, Error> {
    if input.daemon_name.is_some() {
        return Err(Error::not_built("ListTasks", "daemonName"));
    }
    if input.started_by.is_some()
        && (input.family.is_some()
            || input.service_name.is_some()
            || input.container_instance.is_some()
            || input.launch_type.is_some())
    {
        return Err(Error::invalid("startedBy must be the only filter when it is used."));
    }
    let service = input.service_name.as_deref();
    let service =
        service.map(|text| services::find(snapshot, tables, &cluster, text)).transpose()?;
    let service = service.map(|((_, name), _)| name.to_string());
    let instance = match &input.container_instance {
        None => None,
        Some(text) => match target::instance(&cluster, text)? {
            Target::Id(id) if snapshot.get(&tables.instances, &cluster.instance(id)).is_some() => {
                Some(id)
            }
            Target::Id(_) | Target::Unknown => {
                let text = format!("Referenced container instance {text} not found.");
                return Err(Error::invalid(text));
            }
        },
    };
    let desired = match input.desired_status.map(|status| status.as_str()) {
        None | Some("RUNNING") => DesiredStatus::Running,
        Some("STOPPED") => DesiredStatus::Stopped,
        // Nothing is ever wanted to be PENDING.
        Some(_) => return Ok(None),
    };
    let on_fargate = match input.launch_type.map(|kind| kind.as_str()) {
        None => None,
        Some("EC2") => Some(false),
        Some("FARGATE") => Some(true),
        Some(_) => return Ok(None),
    };
    let (family, started_by) = (input.family, input.started_by);
    Ok(Some(Filters { cluster, desired, on_fargate, instance, family, started_by, service }))
}

/// The tasks that meet the filters, behind one of them, by id: found by the index that leaves
/// fewest.
fn find<'a>(
    snapshot: &'a Snapshot,
    tables: &Tables,
    filters: &'a Filters,
    after: Option<TaskId>,
) -> Box<dyn Iterator<Item = TaskId> + 'a> {
    let Filters { cluster, desired, on_fargate, instance, family, started_by, service } = filters;
    let after = after.map(|id| cluster.task(id));
    let by_text = |index, text: &String| {
        let key = (cluster.clone(), text.clone(), *desired);
        snapshot.index_after(index, &key, after.as_ref())
    };
    let ids = |(key, _): (TaskKey, Row<Task>)| key.1;
    if let Some(text) = started_by {
        return Box::new(by_text(&tables.tasks_by_starter, text).map(ids));
    }
    let of_family = move |(_, row): &(TaskKey, Row<Task>)| {
        family.as_ref().is_none_or(|family| row.definition.family.as_str() == family)
            && on_fargate.is_none_or(|wanted| row.fargate.is_some() == wanted)
    };
    if let Some(text) = service {
        let on_instance = move |(_, row): &(TaskKey, Row<Task>)| {
            instance.is_none_or(|instance| row.instance == instance)
        };
        let rows = by_text(&tables.tasks_by_service, text);
        return Box::new(rows.filter(of_family).filter(on_instance).map(ids));
    }
    if let Some(instance) = *instance {
        let key = (cluster.clone(), instance, *desired);
        let rows = snapshot.index_after(&tables.tasks_by_instance, &key, after.as_ref());
        return Box::new(rows.filter(of_family).map(ids));
    }
    if let Some(text) = family {
        return Box::new(by_text(&tables.tasks_by_family, text).filter(of_family).map(ids));
    }
    let key = (cluster.clone(), *desired);
    Box::new(
        snapshot
            .index_after(&tables.tasks_by_desired, &key, after.as_ref())
            .filter(of_family)
            .map(ids),
    )
}
