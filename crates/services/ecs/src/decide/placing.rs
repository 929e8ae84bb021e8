//! Whether tasks fit where they are to go, by what the ledger says, and what is told of it.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Facts, Row};
use placement::{Constraint, Demand, Instance, Refusal, Request, Strategy, count_reasons};
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

/// As [`look`], with what matters to these requests alone.
pub(crate) fn look_for<'a>(
    facts: &Facts<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    id: ContainerInstanceId,
    requests: impl IntoIterator<Item = &'a Request>,
) -> Option<Instance> {
    let is_plain = |request: &Request| {
        let Demand { tcp, udp, .. } = &request.demand;
        request.constraints.is_empty() && tcp.is_empty() && udp.is_empty()
    };
    if !requests.into_iter().all(is_plain) {
        return look(facts, tables, cluster, id).map(|(_, instance)| instance);
    }
    let key = cluster.instance(id);
    let row = facts.get(&tables.instances, &key)?;
    Some(room::instance_without_ports(&row, &facts.total(&tables.room, &key)))
}

/// Whether `count` tasks of `request` fit on the instance, one after the other; it holds them then.
pub(crate) fn takes(instance: &mut Instance, request: &Request, count: usize) -> bool {
    (0..count).all(|_| {
        let fits = instance.check(request).is_ok();
        instance.hold(&request.group, &request.demand);
        fits
    })
}

/// Tasks of one transaction that are as one request says: how many go to each instance.
pub(crate) type Load = (Request, BTreeMap<ContainerInstanceId, usize>);

/// Whether all loads of a transaction fit together on their instances: what its plans guard.
pub(crate) fn fit(
    facts: &Facts<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    loads: &[Load],
) -> bool {
    let instances: BTreeSet<_> = loads.iter().flat_map(|(_, counts)| counts.keys()).collect();
    instances.into_iter().all(|id| {
        let here = loads.iter().filter_map(|(request, counts)| Some((request, counts.get(id)?)));
        let requests = here.clone().map(|(request, _)| request);
        let found = look_for(facts, tables, cluster, *id, requests);
        let Some(mut instance) = found else { return false };
        // All of them: each holds what those after it may not have.
        here.fold(true, |fits, (request, count)| takes(&mut instance, request, *count) && fits)
    })
}

/// What is kept with the tasks for `longshore why`, and to place them anew in `whatif`: of so many instances these could not take the
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
        constraints: request.constraints.iter().map(Constraint::to_string).collect(),
        retries,
    }
}
