//! How much of each instance is in use.

use std::collections::BTreeMap;

use serde::Serialize;
use terms::ContainerInstanceId;

use crate::api::Api;
use crate::decide::room;
use crate::model::{ContainerInstance, InstanceStatus, Task};
use crate::tables::ClusterKey;

/// An instance before and after what is asked about.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceUse {
    container_instance_arn: String,
    /// What people call it: its agent's name, else its EC2 id, else its id.
    name: String,
    availability_zone: Option<String>,
    instance_type: Option<String>,
    /// CPU units and MiB that it registered.
    cpu: u32,
    memory: u32,
    /// What tasks hold of it; absent where it is not there.
    before: Option<Use>,
    after: Option<Use>,
}

/// What tasks hold of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Use {
    cpu: u32,
    memory: u32,
    tasks: u32,
}

/// The instances of a cluster that are not gone, with what is in use of each.
pub(super) type Usage = BTreeMap<ContainerInstanceId, (InstanceUse, Use)>;

/// What people call an instance.
pub(super) fn name(row: &ContainerInstance) -> String {
    let named = row.node.clone().or_else(|| row.ec2_instance_id.clone());
    named.unwrap_or_else(|| row.arn.id.to_string())
}

/// What is so now.
pub(super) fn of(api: &Api, cluster: &ClusterKey) -> Usage {
    let snapshot = api.ledger.snapshot();
    let rows = snapshot.prefix(&api.tables.instances, cluster);
    let rows = rows.filter(|(_, row)| row.status != InstanceStatus::Inactive);
    let one = |(key, row): ((ClusterKey, ContainerInstanceId), ledger::Row<ContainerInstance>)| {
        let tasks: Vec<_> = snapshot.index(&api.tables.held, &key).values().collect();
        let left = room::remaining(&row, tasks.iter().map(|task| -> &Task { task }));
        let (cpu, memory) = (row.capacity.cpu.get(), row.capacity.memory.get());
        let used = Use {
            cpu: cpu.saturating_sub(left.cpu),
            memory: memory.saturating_sub(left.memory),
            tasks: u32::try_from(tasks.len()).unwrap_or(u32::MAX),
        };
        let attribute = |name: &str| row.attributes.get(name).cloned().flatten();
        let shown = InstanceUse {
            container_instance_arn: row.arn.to_string(),
            name: name(&row),
            availability_zone: attribute(placement::ZONE),
            instance_type: attribute("ecs.instance-type"),
            cpu,
            memory,
            before: None,
            after: None,
        };
        (key.1, (shown, used))
    };
    rows.map(one).collect()
}

/// Tasks that would be started on an instance.
pub(crate) struct Taken {
    /// Where.
    pub(crate) instance: ContainerInstanceId,
    /// How many.
    pub(crate) tasks: u32,
    /// CPU units of each.
    pub(crate) cpu: u32,
    /// MiB of each.
    pub(crate) memory: u32,
}

/// Adds what a plan would take.
pub(super) fn take(usage: &mut Usage, taken: Taken) {
    let Some((_, used)) = usage.get_mut(&taken.instance) else { return };
    used.cpu += taken.cpu * taken.tasks;
    used.memory += taken.memory * taken.tasks;
    used.tasks += taken.tasks;
}

/// Both in one list: by zone, then by name.
pub(super) fn join(before: Usage, after: Usage) -> Vec<InstanceUse> {
    let mut all: BTreeMap<ContainerInstanceId, InstanceUse> = BTreeMap::new();
    for (id, (shown, used)) in before {
        all.entry(id).or_insert(shown).before = Some(used);
    }
    for (id, (shown, used)) in after {
        all.entry(id).or_insert(shown).after = Some(used);
    }
    let mut all: Vec<InstanceUse> = all.into_values().collect();
    all.sort_by_cached_key(|one| (one.availability_zone.clone(), one.name.clone()));
    all
}
