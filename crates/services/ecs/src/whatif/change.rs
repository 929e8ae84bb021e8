//! A cluster as it would be: instances added and taken away, on a forked ledger.

use ledger::{Row, Tx};
use serde::Deserialize;
use terms::{ContainerInstanceId, CpuUnits, MemoryMib};

use super::{machine, usage, zone_name};
use crate::api::Api;
use crate::error::Error;
use crate::model::{Capacity, ContainerInstance, InstanceStatus, Task, TaskStatus};
use crate::tables::{ClusterKey, Tables};

/// Most instances that one question adds.
const ADDED_MAX: u32 = 1_000;
const TYPE: &str = "ecs.instance-type";

/// What would be different.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Changes {
    /// Instances more.
    add: Vec<Added>,
    /// Instances less: names, EC2 ids, ids or ARNs.
    remove: Vec<String>,
    /// Zones less, with their instances; whole names, or last letters.
    remove_zones: Vec<String>,
    /// Whether ACTIVE instances whose agents are away take tasks, as if they were there.
    assume_connected: bool,
}

/// Some instances of one kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Added {
    count: u32,
    /// As an instance of the cluster has it, or one of EC2's, or `UNITSxMIB`.
    #[serde(rename = "type")]
    kind: String,
    /// A zone's whole name or last letter; those of the cluster in turn, if absent.
    zone: Option<String>,
}

/// A task that is on no instance any more, as it was.
pub(super) type Displaced = (terms::TaskId, Row<Task>);

/// Makes the changes; gives the tasks that were on instances that are gone.
///
/// # Errors
/// For an instance, a zone or a type that there is not.
pub(super) async fn apply(
    api: &Api,
    cluster: &ClusterKey,
    changes: &Changes,
) -> Result<Vec<Displaced>, Error> {
    let tables = api.tables;
    let done = api.ledger.transact("imagine changes", |tx| {
        if changes.assume_connected {
            for (key, row) in instances(tx, &tables, cluster) {
                let mut row = ContainerInstance::clone(&row);
                row.agent.connected = true;
                tx.put(&tables.instances, key, row);
            }
        }
        let mut lost = Vec::new();
        for name in &changes.remove {
            let whether = |row: &ContainerInstance| is_called(row, name);
            let missing = || Error::invalid(format!("The cluster has no instance '{name}'."));
            lost.extend(remove(tx, &tables, cluster, &whether)?.ok_or_else(missing)?);
        }
        for zone in &changes.remove_zones {
            let name = zone_name(cluster, zone);
            let missing = || Error::invalid(format!("The cluster has no instance in zone {name}."));
            lost.extend(
                remove(tx, &tables, cluster, &|row| is_in(row, &name))?.ok_or_else(missing)?,
            );
        }
        for added in &changes.add {
            add(tx, &tables, cluster, added)?;
        }
        Ok::<_, Error>(lost)
    });
    Ok(done.await?.value)
}

/// Takes away the instances that `whether` names, and stops their tasks; none if there is no
/// such instance.
pub(super) fn remove(
    tx: &mut Tx<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    whether: &dyn Fn(&ContainerInstance) -> bool,
) -> Result<Option<Vec<Displaced>>, Error> {
    let mut found = instances(tx, tables, cluster);
    found.retain(|(_, row)| whether(row));
    if found.is_empty() {
        return Ok(None);
    }
    let mut lost = Vec::new();
    for (key, row) in found {
        let tasks: Vec<_> = ledger::View::index(tx, &tables.held, &key).collect();
        for (task, before) in tasks {
            let stopped = Task { status: TaskStatus::Stopped, ..Task::clone(&before) };
            tx.put(&tables.tasks, task.clone(), stopped);
            lost.push((task.1, before));
        }
        let status = InstanceStatus::Inactive;
        tx.put(&tables.instances, key, ContainerInstance { status, ..(*row).clone() });
    }
    Ok(Some(lost))
}

/// Whether an instance is what people call so.
pub(super) fn is_called(row: &ContainerInstance, name: &str) -> bool {
    usage::name(row) == name
        || row.ec2_instance_id.as_deref() == Some(name)
        || row.arn.id.to_string() == name
        || row.arn.to_string() == name
}

/// Whether an instance is in the zone of this whole name.
pub(super) fn is_in(row: &ContainerInstance, zone: &str) -> bool {
    row.attributes.get(placement::ZONE).and_then(Option::as_deref) == Some(zone)
}

type Found = ((ClusterKey, ContainerInstanceId), Row<ContainerInstance>);

/// The cluster's ACTIVE and DRAINING instances.
fn instances(tx: &Tx<'_>, tables: &Tables, cluster: &ClusterKey) -> Vec<Found> {
    let all = ledger::View::prefix(tx, &tables.instances, cluster);
    all.filter(|(_, row)| row.status != InstanceStatus::Inactive).collect()
}

/// Adds instances that are like one of the cluster: what tasks may ask of it but its size, its
/// type and its zone is taken from there.
fn add(tx: &mut Tx<'_>, tables: &Tables, cluster: &ClusterKey, added: &Added) -> Result<(), Error> {
    if !(1..=ADDED_MAX).contains(&added.count) {
        return Err(Error::invalid(format!("1 to {ADDED_MAX} instances can be added at once.")));
    }
    let known = ledger::View::prefix(tx, &tables.instances, cluster);
    let known: Vec<_> = known.map(|(_, row)| row).collect();
    let of_type = |row: &&Row<ContainerInstance>| {
        row.attributes.get(TYPE).and_then(Option::as_deref) == Some(&added.kind)
    };
    let alike = known.iter().find(of_type);
    let Some(model) = alike.or_else(|| known.first()) else {
        let text = "The cluster has no instance, so what a new one can do is not known.";
        return Err(Error::invalid(text));
    };
    let capacity = match (alike, machine::size(&added.kind)) {
        (Some(alike), _) => alike.capacity.clone(),
        (None, Some((cpu, memory))) => Capacity {
            cpu: CpuUnits::new(cpu),
            memory: MemoryMib::new(memory),
            gpus: Default::default(),
            ..model.capacity.clone()
        },
        (None, None) => return Err(unknown_type(&added.kind)),
    };
    let mut zones: Vec<String> = known
        .iter()
        .filter_map(|row| row.attributes.get(placement::ZONE).cloned().flatten())
        .collect();
    zones.sort_unstable();
    zones.dedup();
    for number in 0..added.count {
        let zone = added.zone.as_ref().map(|zone| zone_name(cluster, zone));
        let zone = zone.or_else(|| zones.get(number as usize % zones.len().max(1)).cloned());
        let id = ContainerInstanceId::from_bytes(tx.next_id());
        let mut new = ContainerInstance {
            arn: cluster.instance_arn(id),
            status: InstanceStatus::Active,
            ec2_instance_id: None,
            node: Some(format!("new-{}-{}", added.kind, number + 1)),
            capacity: capacity.clone(),
            ..ContainerInstance::clone(model)
        };
        new.agent.connected = true;
        new.attributes.insert(TYPE.to_owned(), Some(added.kind.clone()));
        new.attributes.insert(placement::ZONE.to_owned(), zone);
        tx.put(&tables.instances, cluster.instance(id), new);
    }
    Ok(())
}

fn unknown_type(kind: &str) -> Error {
    Error::invalid(format!(
        "'{kind}' is no type of an instance of the cluster, and none of EC2's that is known here; \
         write its size as UNITSxMIB, such as 4096x16384."
    ))
}
