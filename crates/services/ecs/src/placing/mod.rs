//! Finding places for tasks: plans on kept fleets, which commits check by facts.
//!
//! A fleet is kept for each cluster that something was placed in lately. It follows the ledger's
//! feed (`follow`), so a plan costs what it places, and not the cluster. A plan holds what
//! it took in the fleet until the feed tells of it or it is dropped, so that plans made at the same
//! time choose different places.
//!
//! **Invariant:** fleets decide nothing. They may be behind, or hold what comes to nothing; what
//! counts is the guard at commit ([`Placer::guard`]), which reads the ledger alone.

mod follow;
mod kept;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use ledger::{Facts, Ledger, Tx};
use parking_lot::Mutex;
use placement::{Demand, Refusal, Removable, Request};
use terms::{ContainerInstanceId, TaskId};

use self::kept::Kept;
use crate::decide::placing::{self, Load};
use crate::model::Explanation;
use crate::tables::{ClusterKey, ServiceKey, Tables};

/// How many clusters' fleets are kept; the one that was used least lately goes first.
const MAX_FLEETS: usize = 256;
/// Largest cluster, in instances, where a task that found its place is told why others could not
/// take it: that costs a look at each.
const MAX_EXPLAINED: usize = 1_000;

/// Finds places. One for each ledger.
pub(crate) struct Placer {
    ledger: Ledger,
    tables: Tables,
    fleets: Mutex<Fleets>,
    counts: Counts,
    /// Whether [`Placer::follow`] runs.
    is_followed: AtomicBool,
}

#[derive(Default)]
struct Fleets {
    /// Each with when it was used last, in uses.
    by_cluster: BTreeMap<ClusterKey, (u64, Arc<Mutex<Kept>>)>,
    uses: u64,
}

impl Fleets {
    fn kept(&self) -> impl Iterator<Item = (ClusterKey, Arc<Mutex<Kept>>)> {
        self.by_cluster.iter().map(|(cluster, (_, fleet))| (cluster.clone(), fleet.clone()))
    }
}

/// What was placed since the server started.
#[derive(Debug, Default)]
struct Counts {
    placed: AtomicU64,
    refused: AtomicU64,
    again: AtomicU64,
}

/// As much of it as is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacementCounts {
    /// Tasks that found a place.
    pub placed: u64,
    /// Tasks that found none.
    pub refused: u64,
    /// How often a choice was made again, because another task was faster.
    pub placed_again: u64,
}

/// Where tasks go. What it takes is held in the fleet until it is dropped, or, once
/// [`Placer::committed`], until the tasks stop.
pub(crate) struct Plan {
    /// Where each task goes; those that are missing found no place.
    pub(crate) placed: Vec<(TaskId, ContainerInstanceId)>,
    /// How many instances there were to choose from: those of the request's capacity provider, if
    /// it has one.
    pub(crate) considered: usize,
    /// Why the first task that found no place found none: every instance with its reason; empty
    /// if all were placed.
    pub(crate) shortage: Vec<Refusal>,
    /// The instances that could not take the first task; empty in a cluster that is too large.
    pub(crate) refusals: Vec<Refusal>,
    /// How often a part of the choice was made again.
    pub(crate) retries: u32,
    fleet: Arc<Mutex<Kept>>,
}

impl Placer {
    /// A placer with no fleet yet.
    pub(crate) fn new(ledger: Ledger, tables: Tables) -> Self {
        Self {
            ledger,
            tables,
            fleets: Mutex::default(),
            counts: Counts::default(),
            is_followed: false.into(),
        }
    }

    /// Plans where `tasks`, which are all as `request` says, go: as many as it names. `facts` are
    /// those of the transaction that is to write them.
    pub(crate) fn plan(
        &self,
        facts: &Facts<'_>,
        cluster: &ClusterKey,
        request: &Request,
        tasks: &[TaskId],
        seed: u64,
    ) -> Plan {
        self.plan_beside(&[], facts, cluster, request, tasks, seed)
    }

    /// As [`Placer::plan`], where the tasks of `beside` are planned already in the same
    /// transaction: what they hold is taken, whatever comes of it.
    pub(crate) fn plan_beside(
        &self,
        beside: &[TaskId],
        facts: &Facts<'_>,
        cluster: &ClusterKey,
        request: &Request,
        tasks: &[TaskId],
        seed: u64,
    ) -> Plan {
        let begun = Instant::now();
        let fleet = self.fleet(cluster);
        let mut kept = fleet.lock();
        let is_behind = self.bring_up(&mut kept);
        let is_explained = kept.len() <= MAX_EXPLAINED;
        let refusals = if is_explained { kept.refusals(request) } else { Vec::new() };
        let refused = refusals.len();
        let refusals = kept.concerned(request, refusals);
        let others = refused - refusals.len();
        let mut found = kept.find(facts, request, (tasks, beside), seed);
        if is_behind && !found.shortage.is_empty() {
            // What it does not know of yet may have room.
            kept.give_back(tasks);
            kept.catch_up();
            found = kept.find(facts, request, (tasks, beside), seed);
        }
        let kept::Found { placed, considered, shortage, retries } = found;
        let is_short = !shortage.is_empty();
        let shortage = kept.concerned(request, shortage);
        drop(kept);
        meters::ecs().plan_seconds.observe(begun.elapsed().as_secs_f64());
        let considered = match is_short && placed.is_empty() {
            true => shortage.len(),
            false => considered.saturating_sub(others),
        };
        Plan { placed, considered, shortage, refusals, retries, fleet }
    }

    /// Keeps room for a task of `service` free on each of these instances, as far as plans go: a
    /// daemon comes before others (ECS semantics §7.1). What was reserved for it before is given
    /// back.
    pub(crate) fn reserve(
        &self,
        (cluster, service): &ServiceKey,
        demand: &Demand,
        on: &BTreeSet<ContainerInstanceId>,
    ) {
        let is_kept = || self.fleets.lock().by_cluster.contains_key(cluster);
        if !on.is_empty() || is_kept() {
            self.fleet(cluster).lock().reserve(service, demand, on);
        }
    }

    /// Which `count` of `candidates`, tasks of `group`, go first (ECS semantics §6.3): their
    /// places among them.
    pub(crate) fn scale_in(
        &self,
        cluster: &ClusterKey,
        (group, strategies): (&str, &[placement::Strategy]),
        candidates: &[Removable],
        count: usize,
        seed: u64,
    ) -> Vec<usize> {
        let fleet = self.fleet(cluster);
        let mut kept = fleet.lock();
        kept.catch_up();
        kept.scale_in(group, strategies, candidates, count, seed)
    }

    /// Lets the commit of `tx` depend on room for all the tasks that it puts on instances: of each
    /// request, those that were chosen. To be called once in a transaction, with everything: what
    /// fits by itself need not fit beside the others.
    pub(crate) fn guard(
        &self,
        tx: &mut Tx<'_>,
        cluster: &ClusterKey,
        chosen: impl IntoIterator<Item = (Request, Vec<ContainerInstanceId>)>,
    ) {
        let loads: Vec<Load> = (chosen.into_iter())
            .map(|(request, instances)| {
                let mut counts = BTreeMap::new();
                instances.into_iter().for_each(|one| *counts.entry(one).or_default() += 1);
                (request, counts)
            })
            .collect();
        let (tables, cluster) = (self.tables, cluster.clone());
        tx.guard(move |facts| placing::fit(facts, &tables, &cluster, &loads));
    }

    /// The transaction that `plan` was made for is durable: what it took stays held until its
    /// tasks stop.
    pub(crate) fn committed(&self, plan: Plan, request: &Request) {
        let placed = plan.placed.len();
        let refused = usize::try_from(request.count).unwrap_or(usize::MAX).saturating_sub(placed);
        let add = |counter: &AtomicU64, amount: u64| counter.fetch_add(amount, Ordering::Relaxed);
        add(&self.counts.placed, placed as u64);
        add(&self.counts.refused, refused as u64);
        add(&self.counts.again, plan.retries.into());
        let (meters, reason) = (meters::ecs(), main_reason(&plan.shortage));
        meters.placed.inc_by(placed as u64);
        meters.placed_again.inc_by(plan.retries.into());
        if refused > 0 {
            meters.unplaced.get_or_create(&meters::Refused { reason }).inc_by(refused as u64);
        }
        plan.fleet.lock().commit(&plan.tasks());
    }

    /// What was counted since the server started.
    pub(crate) fn counts(&self) -> PlacementCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { placed, refused, again } = &self.counts;
        PlacementCounts { placed: of(placed), refused: of(refused), placed_again: of(again) }
    }

    fn fleet(&self, cluster: &ClusterKey) -> Arc<Mutex<Kept>> {
        let mut fleets = self.fleets.lock();
        fleets.uses += 1;
        let uses = fleets.uses;
        if let Some((used, fleet)) = fleets.by_cluster.get_mut(cluster) {
            *used = uses;
            return fleet.clone();
        }
        if fleets.by_cluster.len() >= MAX_FLEETS {
            let oldest = fleets.by_cluster.iter().min_by_key(|(_, (used, _))| *used);
            let oldest = oldest.map(|(cluster, _)| cluster.clone());
            oldest.and_then(|cluster| fleets.by_cluster.remove(&cluster));
        }
        let kept = Kept::new(&self.ledger, self.tables, cluster.clone());
        let fleet = Arc::new(Mutex::new(kept));
        fleets.by_cluster.insert(cluster.clone(), (uses, fleet.clone()));
        fleet
    }
}

/// The code of the reason that most instances gave.
fn main_reason(shortage: &[Refusal]) -> meters::Word {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for refusal in shortage {
        *counts.entry(refusal.reason.code()).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    meters::Word::of(most.map_or("none", |(code, _)| code))
}

impl Plan {
    /// The tasks that found a place.
    pub(crate) fn tasks(&self) -> Vec<TaskId> {
        self.placed.iter().map(|(task, _)| *task).collect()
    }

    /// CPU units and MiB that are left of an instance, with the plan on it.
    pub(crate) fn left(&self, instance: ContainerInstanceId) -> (u32, u32) {
        self.fleet.lock().left(instance)
    }

    /// What is kept with its tasks for `longshore why`.
    pub(crate) fn explain(&self, cluster: &ClusterKey, request: &Request) -> Explanation {
        placing::explain(self.considered, &self.refusals, request, cluster, self.retries)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        self.fleet.lock().give_back(&self.tasks());
    }
}
