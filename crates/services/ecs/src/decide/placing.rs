//! Whether tasks fit where they are to go, by what the ledger says, and what is told of it.

use std::collections::BTreeMap;

use ledger::{Facts, Row};
use placement::{Instance, Refusal, Request, Strategy, count_reasons};
use terms::ContainerInstanceId;

use super::room;
use crate::model::{ContainerInstance, Explanation, RefusalCount, RefusalNote, Task};
use crate::tables::{ClusterKey, Tables};

/// Refused instances that a task's explanation names; the others are only counted.
const MAX_EXAMPLES: usize = 5;

/// The instance as `facts` have it: its row, and with what its tasks hold.
pub(crate) fn look(
    facts: &Facts<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    id: ContainerInstanceId,
) -> Option<(Row<ContainerInstance>, Instance)> {
    let key = cluster.instance(id);
    let row = facts.get(&tables.instances, &key)?;
    let tasks: Vec<_> = facts.index(&tables.held, &key).values().collect();
    let instance = room::instance(&row, tasks.iter().map(|task| -> &Task { task }));
    Some((row, instance))
}

/// Whether `count` tasks of `request` fit on the instance, one after the other.
pub(crate) fn takes(mut instance: Instance, request: &Request, count: usize) -> bool {
    (0..count).all(|_| {
        let fits = instance.check(request).is_ok();
        instance.hold(&request.group, &request.demand);
        fits
    })
}

/// Whether so many tasks of `request` fit on each of these instances: what a plan guards.
pub(crate) fn fits(
    facts: &Facts<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    request: &Request,
    counts: &BTreeMap<ContainerInstanceId, usize>,
) -> bool {
    counts.iter().all(|(&id, &count)| {
        look(facts, tables, cluster, id)
            .is_some_and(|(_, instance)| takes(instance, request, count))
    })
}

/// What is kept with the tasks for `longshore why`: of so many instances these could not take the
/// first of them.
pub(crate) fn explain(
    considered: usize,
    refusals: &[Refusal],
    request: &Request,
    cluster: &ClusterKey,
    retries: u32,
) -> Explanation {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let refused = count_reasons(refusals).into_iter();
    let note = |refusal: &Refusal| RefusalNote {
        instance: cluster.instance_arn(refusal.instance).to_string(),
        reason: refusal.reason.code().to_owned(),
        detail: refusal.reason.to_string(),
    };
    Explanation {
        considered: count(considered),
        fitting: count(considered.saturating_sub(refusals.len())),
        refused: refused
            .map(|(reason, instances)| RefusalCount { reason: reason.to_owned(), instances })
            .collect(),
        examples: refusals.iter().take(MAX_EXAMPLES).map(note).collect(),
        strategy: request.strategies.iter().map(Strategy::to_string).collect(),
        retries,
    }
}
