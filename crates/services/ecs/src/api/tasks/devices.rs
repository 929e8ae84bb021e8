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

/// What a container wants of an instance's GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gpus {
    /// So many.
    Count(u32),
    /// All that no other container has, one at least.
    All,
}

impl Gpus {
    /// How many must be free.
    pub(super) fn least(self) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::All => 1,
        }
    }
}

/// What a container's requirements ask for. Neuron devices and shares of GPUs count as nothing:
/// the attributes that a definition with them requires keep it from every instance.
///
/// # Errors
/// For a number that is none; `refuse` makes an error of a rule's text.
pub(super) fn gpus(
    requirements: &[shapes::ResourceRequirement],
    refuse: impl Fn(&str) -> Error,
) -> Result<Gpus, Error> {
    let mut wanted = None;
    for requirement in requirements.iter().filter(|one| is_whole_gpu(one)) {
        let value = requirement.value.as_deref().unwrap_or_default();
        let count = match value.parse::<u32>() {
            Ok(count) if count > 0 => Gpus::Count(count),
            _ if value == ALL => Gpus::All,
            _ => return Err(refuse("The value of GPU must be a positive integer.")),
        };
        if wanted.replace(count).is_some() {
            return Err(refuse("A resource type can be required only once."));
        }
    }
    Ok(wanted.unwrap_or(Gpus::Count(0)))
}

/// Whether a requirement is of GPUs that nobody else has.
pub(super) fn is_whole_gpu(requirement: &shapes::ResourceRequirement) -> bool {
    requirement.type_ == shapes::ResourceType::Gpu && requirement.sharing_strategy.is_none()
}

/// The GPUs that the tasks of one transaction get.
#[derive(Default)]
pub(super) struct Devices {
    given: BTreeMap<ContainerInstanceId, BTreeSet<String>>,
}

impl Devices {
    /// Gives `task`, which goes to `instance`, the GPUs that each container wants: those that want
    /// some get the first ones that no task has, in the order of the containers; then the one that
    /// wants all gets the rest, and the task counts as holding them. Fewer, if there are fewer;
    /// then the commit's guard fails, as [`Devices::guard`] must be called once all have theirs.
    pub(super) fn give(
        &mut self,
        facts: &Facts<'_>,
        tables: &Tables,
        cluster: &ClusterKey,
        (task, instance): (&mut Task, &ContainerInstance),
        wanted: &[Gpus],
    ) {
        if wanted.iter().all(|&one| one == Gpus::Count(0)) {
            return;
        }
        let given = self.given.entry(task.instance).or_default();
        let taken = taken(facts, tables, cluster, task.instance);
        let all = instance.capacity.gpus.iter();
        let mut free = all.filter(|id| !taken.contains(*id) && !given.contains(*id)).cloned();
        for (container, &one) in task.containers.iter_mut().zip(wanted) {
            if let Gpus::Count(count) = one {
                container.gpu_ids = free.by_ref().take(count as usize).collect();
            }
        }
        let mut pairs = task.containers.iter_mut().zip(wanted);
        if let Some((container, _)) = pairs.find(|(_, one)| **one == Gpus::All) {
            container.gpu_ids = free.collect();
        }
        let ids = task.containers.iter().flat_map(|container| &container.gpu_ids);
        let ids: Vec<String> = ids.cloned().collect();
        task.demand.gpus = task.demand.gpus.max(u32::try_from(ids.len()).unwrap_or(u32::MAX));
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
