//! ListContainerInstances (ECS semantics §4).

use std::ops::Bound;

use ledger::{Row, Snapshot, View};
use placement::query::Expression;
use shapes_ecs as shapes;
use terms::ContainerInstanceId;
use wire::Context;

use super::super::{Api, page::Page, target};
use super::held;
use crate::decide::subject::Asked;
use crate::error::Error;
use crate::model::{ContainerInstance, InstanceStatus};
use crate::tables::{ClusterKey, InstanceKey, Tables};

/// The ids before all others, and after.
const FIRST: ContainerInstanceId = ContainerInstanceId::from_bytes([0; 16]);
const LAST: ContainerInstanceId = ContainerInstanceId::from_bytes([0xff; 16]);
/// Those that a cluster has, as long as nothing else is said.
const REGISTERED: &[InstanceStatus] = &[InstanceStatus::Active, InstanceStatus::Draining];

impl Api {
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
        let after = page.after_as::<ContainerInstanceId>()?;
        let rows = in_order(&snapshot, &self.tables, &cluster, statuses(input.status), after);
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
}

/// The statuses of our records that a listing asks for. The transitional ones are known and had by
/// no instance.
fn statuses(asked: Option<shapes::ContainerInstanceStatus>) -> &'static [InstanceStatus] {
    match asked {
        None => REGISTERED,
        Some(shapes::ContainerInstanceStatus::Active) => &[InstanceStatus::Active],
        Some(shapes::ContainerInstanceStatus::Draining) => &[InstanceStatus::Draining],
        Some(_) => &[],
    }
}

/// The instances of a cluster that are registered, by id, those after `after`.
pub(in super::super) fn all<'a>(
    snapshot: &'a Snapshot,
    tables: &Tables,
    cluster: &ClusterKey,
    from: Bound<ContainerInstanceId>,
) -> impl Iterator<Item = (InstanceKey, Row<ContainerInstance>)> + 'a {
    merged(snapshot, tables, cluster, REGISTERED, from)
}

fn in_order<'a>(
    snapshot: &'a Snapshot,
    tables: &Tables,
    cluster: &ClusterKey,
    statuses: &[InstanceStatus],
    after: Option<ContainerInstanceId>,
) -> impl Iterator<Item = (InstanceKey, Row<ContainerInstance>)> + 'a {
    let from = after.map_or(Bound::Included(FIRST), Bound::Excluded);
    merged(snapshot, tables, cluster, statuses, from)
}

/// The instances of these statuses by id: each status's part of the index is in that order, so that
/// the next one is the least of their heads. A page costs what it shows.
fn merged<'a>(
    snapshot: &'a Snapshot,
    tables: &Tables,
    cluster: &ClusterKey,
    statuses: &[InstanceStatus],
    from: Bound<ContainerInstanceId>,
) -> impl Iterator<Item = (InstanceKey, Row<ContainerInstance>)> + 'a {
    let part = |&status: &InstanceStatus| {
        let key = |id| (cluster.clone(), status, id);
        let bounds = (from.map(key), Bound::Included(key(LAST)));
        snapshot.index_range(&tables.instances_by_status, bounds).peekable()
    };
    let mut parts: Vec<_> = statuses.iter().map(part).collect();
    std::iter::from_fn(move || {
        let heads = parts.iter_mut().enumerate();
        let heads = heads.filter_map(|(index, part)| Some((part.peek()?.0.1, index)));
        let (_, least) = heads.min()?;
        parts[least].next()
    })
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
