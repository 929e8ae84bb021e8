//! UpdateContainerInstancesState: draining, and back (ECS semantics §4.1).

use ledger::Tx;
use shapes_ecs as shapes;
use wire::Context;

use super::super::target::Target;
use super::super::{Api, arn_of, missing, target};
use super::{check_node, held, show, version};
use crate::error::Error;
use crate::model::{ContainerInstance, InstanceStatus};
use crate::tables::{InstanceKey, Tables};

/// Most instances of one request.
const MAX_INSTANCES: usize = 10;

impl Api {
    /// Lets instances take no new tasks, or take them again. Tasks of no service stay where they
    /// are. One that is in the state already is answered as it is; one that was deregistered, or
    /// is unknown, is a failure.
    pub(crate) async fn update_container_instances_state(
        &self,
        context: Context,
        input: shapes::UpdateContainerInstancesStateRequest,
    ) -> Result<shapes::UpdateContainerInstancesStateResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        target::active_cluster(&self.ledger.snapshot(), &self.tables, &cluster)?;
        if input.container_instances.is_empty() {
            return Err(Error::client("Container Instances cannot be empty."));
        }
        if input.container_instances.len() > MAX_INSTANCES {
            // Observed on ECS.
            return Err(Error::invalid("instanceIds can have at most 10 items."));
        }
        let status = wanted(input.status)?;
        let targets: Vec<_> = input
            .container_instances
            .iter()
            .map(|text| Ok((text, target::instance(&cluster, text)?)))
            .collect::<Result<_, Error>>()?;
        let tables = self.tables;
        let done = self.ledger.transact("update container instances state", |tx| {
            target::active_cluster(tx, &tables, &cluster)?;
            let (mut instances, mut failures) = (Vec::new(), Vec::new());
            for (text, target) in &targets {
                let arn = || arn_of(&cluster, "container-instance", text);
                let Target::Id(id) = *target else {
                    failures.push(missing(arn()));
                    continue;
                };
                match change(tx, &tables, &context, cluster.instance(id), status)? {
                    Changed::Shown(instance) => instances.push(*instance),
                    Changed::Missing => failures.push(missing(arn())),
                    Changed::Inactive => failures.push(shapes::Failure {
                        reason: Some("INACTIVE".to_owned()),
                        ..missing(arn())
                    }),
                }
            }
            Ok::<_, Error>((instances, failures))
        });
        let done = done.await?;
        let (mut instances, failures) = done.value;
        let changed = instances.iter_mut().filter(|one| one.version.is_none());
        changed.for_each(|one| one.version = i64::try_from(done.revision).ok());
        Ok(shapes::UpdateContainerInstancesStateResponse {
            container_instances: Some(instances),
            failures: Some(failures),
        })
    }
}

/// The states that a request may ask for.
fn wanted(status: shapes::ContainerInstanceStatus) -> Result<InstanceStatus, Error> {
    match status {
        shapes::ContainerInstanceStatus::Active => Ok(InstanceStatus::Active),
        shapes::ContainerInstanceStatus::Draining => Ok(InstanceStatus::Draining),
        _ => Err(Error::invalid("Container instance status should be one of [ACTIVE,DRAINING]")),
    }
}

/// What became of one instance.
enum Changed {
    /// It is in the state.
    Shown(Box<shapes::ContainerInstance>),
    /// There is none.
    Missing,
    /// It was deregistered.
    Inactive,
}

fn change(
    tx: &mut Tx<'_>,
    tables: &Tables,
    context: &Context,
    key: InstanceKey,
    status: InstanceStatus,
) -> Result<Changed, Error> {
    let Some(row) = tx.get(&tables.instances, &key) else { return Ok(Changed::Missing) };
    // Agents drain their own machine when its end was announced (agent protocol §1.1).
    check_node(context, &row)?;
    if row.status == InstanceStatus::Inactive {
        return Ok(Changed::Inactive);
    }
    let tasks = held(tx, tables, &key);
    if row.status == status {
        let version = Some(version(tx, tables, &row, &tasks));
        return Ok(Changed::Shown(Box::new(show(&row, &tasks, true, version))));
    }
    let next = ContainerInstance {
        status,
        changed_at: tx.now(),
        version: row.version + 1,
        ..ContainerInstance::clone(&row)
    };
    let shown = show(&next, &tasks, true, None);
    tx.put(&tables.instances, key, next);
    Ok(Changed::Shown(Box::new(shown)))
}
