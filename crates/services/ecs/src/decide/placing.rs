//! Choosing instances for new tasks: planned on a snapshot, checked against facts at commit.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Row, View};
use placement::{Fleet, Instance, Placement, Reason, Refusal, Request, Strategy, count_reasons};
use terms::ContainerInstanceId;

use super::room;
use crate::model::{
    ContainerInstance, Explanation, InstanceStatus, RefusalCount, RefusalNote, Task,
};
use crate::tables::{ClusterKey, Tables};

/// Refused instances that a task's explanation names; the others are only counted.
const MAX_EXAMPLES: usize = 5;
/// Largest cluster, in instances, where a task that found its place is told why others could not
/// take it: that costs a look at each.
const MAX_EXPLAINED: usize = 1_000;

/// The instances of a cluster that are registered, with what their tasks hold.
pub(crate) fn fleet(view: &impl View, tables: &Tables, cluster: &ClusterKey) -> Fleet {
    let mut fleet = Fleet::default();
    for status in [InstanceStatus::Active, InstanceStatus::Draining] {
        for (key, row) in view.index(&tables.instances_by_status, &(cluster.clone(), status)) {
            let tasks: Vec<_> = view.index(&tables.held, &key).map(|(_, task)| task).collect();
            fleet.upsert(room::instance(&row, tasks.iter().map(|task| -> &Task { task })));
        }
    }
    fleet
}

/// A placement whose choices were checked.
pub(crate) struct Placed {
    /// What was chosen and refused.
    pub(crate) placement: Placement,
    /// The instances that could not take the first task; empty in a cluster that is too large.
    pub(crate) refusals: Vec<Refusal>,
    /// How often the choice was made again.
    pub(crate) retries: u32,
}

/// Places `request` on `fleet`, which may be stale, and checks each chosen instance by what `view`
/// says of it now. Those where the plan no longer holds are planned again with what was learnt, so
/// this ends after each instance was read once at most. Nothing but the chosen instances and the
/// tasks on them is read from `view`.
pub(crate) fn place(
    view: &impl View,
    tables: &Tables,
    cluster: &ClusterKey,
    mut fleet: Fleet,
    request: &Request,
    seed: u64,
) -> Placed {
    let mut known = BTreeSet::new();
    let mut retries = 0;
    loop {
        let placement = fleet.plan(request, seed);
        let unknown: BTreeSet<_> =
            placement.placed.iter().copied().filter(|id| !known.contains(id)).collect();
        for id in unknown {
            known.insert(id);
            match look(view, tables, cluster, id) {
                Some((_, instance)) => fleet.upsert(instance),
                None => drop(fleet.remove(id)),
            }
        }
        if holds(&fleet, &placement, request) {
            let explained = fleet.len() <= MAX_EXPLAINED;
            let refusals = if explained { fleet.refusals(request) } else { Vec::new() };
            return Placed { placement, refusals, retries };
        }
        retries += 1;
    }
}

/// The instance as `view` has it: its row, and with what its tasks hold.
pub(crate) fn look(
    view: &impl View,
    tables: &Tables,
    cluster: &ClusterKey,
    id: ContainerInstanceId,
) -> Option<(Row<ContainerInstance>, Instance)> {
    let key = cluster.instance(id);
    let row = view.get(&tables.instances, &key)?;
    let tasks: Vec<_> = view.index(&tables.held, &key).map(|(_, task)| task).collect();
    let instance = room::instance(&row, tasks.iter().map(|task| -> &Task { task }));
    Some((row, instance))
}

/// Whether each task of the plan still fits where it was put.
fn holds(fleet: &Fleet, placement: &Placement, request: &Request) -> bool {
    let mut trial: BTreeMap<ContainerInstanceId, Instance> = BTreeMap::new();
    placement.placed.iter().all(|&id| {
        let Some(instance) = fleet.get(id) else { return false };
        let instance = trial.entry(id).or_insert_with(|| instance.clone());
        let fits = instance.check(request).is_ok();
        instance.hold(&request.group, &request.demand);
        fits
    })
}

/// What is kept with the tasks for `longshore why`; `retries` are those of the transaction.
pub(crate) fn explain(
    placed: &Placed,
    request: &Request,
    cluster: &ClusterKey,
    retries: u32,
) -> Explanation {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let Placed { placement, refusals, .. } = placed;
    let refused = count_reasons(refusals).into_iter();
    let note = |(instance, reason): (ContainerInstanceId, &Reason)| RefusalNote {
        instance: cluster.instance_arn(instance).to_string(),
        reason: reason.code().to_owned(),
        detail: reason.to_string(),
    };
    let examples = refusals.iter().take(MAX_EXAMPLES);
    Explanation {
        considered: count(placement.considered),
        fitting: count(placement.considered - refusals.len()),
        refused: refused
            .map(|(reason, instances)| RefusalCount { reason: reason.to_owned(), instances })
            .collect(),
        examples: examples.map(|refusal| note((refusal.instance, &refusal.reason))).collect(),
        strategy: request.strategies.iter().map(Strategy::to_string).collect(),
        retries: placed.retries + retries,
    }
}
