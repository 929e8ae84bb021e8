//! GPUs: how many each container wants, and which ones a task gets.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Facts, Tx};
use shapes_ecs as shapes;
use terms::ContainerInstanceId;

use crate::decide::room;
use crate::error::Error;
use crate::model::{ContainerInstance, Task};
use crate::tables::{ClusterKey, Tables};

/// All GPUs of the instance.
const ALL: &str = "ALL";

/// How many GPUs a container's requirements ask for.
///
/// # Errors
/// For a number that is none, and for what is not built; `refuse` makes an error of a rule's text.
pub(super) fn gpus(
    operation: &'static str,
    requirements: &[shapes::ResourceRequirement],
    refuse: impl Fn(&str) -> Error,
) -> Result<u32, Error> {
    let mut wanted = None;
    for requirement in requirements {
        if requirement.type_ != shapes::ResourceType::Gpu {
            let kind = requirement.type_.as_str();
            return Err(Error::not_built(operation, format!("resourceRequirements {kind}")));
        }
        if requirement.sharing_strategy.is_some() {
            return Err(Error::not_built(operation, "resourceRequirements sharingStrategy"));
        }
        let value = requirement.value.as_deref().unwrap_or_default();
        if value == ALL {
            return Err(Error::not_built(operation, "resourceRequirements GPU ALL"));
        }
        let count = value.parse::<u32>().ok().filter(|&count| count > 0);
        let count = count.ok_or_else(|| refuse("The value of GPU must be a positive integer."))?;
        if wanted.replace(count).is_some() {
            return Err(refuse("A resource type can be required only once."));
        }
    }
    Ok(wanted.unwrap_or(0))
}

/// The GPUs that the tasks of one transaction get.
#[derive(Default)]
pub(super) struct Devices {
    given: BTreeMap<ContainerInstanceId, BTreeSet<String>>,
}

impl Devices {
    /// Gives `task`, which goes to `instance`, as many GPUs for each container as `wanted` says,
    /// in the order of its containers: the first ones that no task has. Fewer, if there are fewer;
    /// then the commit's guard fails, as [`Devices::guard`] must be called once all have theirs.
    pub(super) fn give(
        &mut self,
        facts: &Facts<'_>,
        tables: &Tables,
        cluster: &ClusterKey,
        (task, instance): (&mut Task, &ContainerInstance),
        wanted: &[u32],
    ) {
        if wanted.iter().all(|&count| count == 0) {
            return;
        }
        let given = self.given.entry(task.instance).or_default();
        let taken = taken(facts, tables, cluster, task.instance);
        let all = instance.capacity.gpus.iter();
        let mut free = all.filter(|id| !taken.contains(*id) && !given.contains(*id)).cloned();
        for (container, &count) in task.containers.iter_mut().zip(wanted) {
            container.gpu_ids = free.by_ref().take(count as usize).collect();
        }
        let ids = task.containers.iter().flat_map(|container| &container.gpu_ids);
        let ids: Vec<String> = ids.cloned().collect();
        given.extend(ids);
    }

    /// Lets the commit depend on nobody else having got what was given here.
    pub(super) fn guard(self, tx: &mut Tx<'_>, tables: Tables, cluster: ClusterKey) {
        if self.given.is_empty() {
            return;
        }
        tx.guard(move |facts| {
            self.given
                .iter()
                .all(|(&instance, ids)| taken(facts, &tables, &cluster, instance).is_disjoint(ids))
        });
    }
}

/// The GPUs of an instance that tasks have.
fn taken(
    facts: &Facts<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    instance: ContainerInstanceId,
) -> BTreeSet<String> {
    let tasks = facts.index(&tables.held, &cluster.instance(instance)).values();
    tasks.flat_map(|task| room::gpus(&task).cloned().collect::<Vec<_>>()).collect()
}
