//! One task on each instance that will do (ECS semantics §7.1).

use std::collections::{BTreeMap, BTreeSet};

use terms::{ContainerInstanceId, TaskId, Timestamp};

use super::look::Look;
use super::percent::Bounds;
use super::tally::Tally;
use super::texts;
use super::view::{Phase, Seen, Start, Why};
use crate::model::{DeploymentId, RolloutState};

impl Look<'_> {
    /// Decides what to start and to stop of a DAEMON service. An instance has its new task only
    /// when its old one was asked to stop: the maximum is 100 percent.
    pub(super) fn attend(&mut self) {
        let Some(at) = self.primary() else { return };
        let eligible = self.view.eligible.clone();
        let desired = u32::try_from(eligible.len()).unwrap_or(u32::MAX);
        let bounds = Bounds::of(desired, &self.rows.service.configuration);
        if self.rows.service.desired != desired {
            self.rows.service.desired = desired;
            self.say(texts::recounted(&self.name(), desired, None));
        }
        let one = &mut self.rows.deployments[at];
        (one.desired, one.of) = (desired, desired);
        let (id, is_failed) = (one.id, one.rollout == RolloutState::Failed);
        let waits = one.throttle.holds(self.now);
        let of: Vec<DeploymentId> =
            self.others().into_iter().map(|at| self.rows.deployments[at].id).collect();
        let old: Vec<Tally<'_>> = of.into_iter().map(|id| self.tally(id)).collect();
        let new = self.tally(id);
        for tally in old.iter().chain([&new]) {
            let lost = tally.lost.clone();
            let count = lost.len();
            self.out.stop(lost, count, Why::Lost);
            self.look_again(tally.changes_at);
        }
        let gone = self.leave_ineligible(&eligible);
        // What leaves in this look keeps no minimum for what is replaced in it.
        let healthy = old.iter().chain([&new]).flat_map(Tally::each_healthy);
        let healthy = healthy.filter(|task| !gone.contains(&task.id)).count();
        let mut spare = healthy.saturating_sub(bounds.lower as usize);
        let taken = self.on_instances(&eligible);
        if !is_failed {
            self.replace(&old, &eligible, &mut spare);
            self.restart_unhealthy(&new, &eligible);
            let free = eligible.iter().filter(|id| !taken.contains_key(id)).copied();
            self.place_daemons(id, free.collect(), waits);
            let moves = |tally: &Tally<'_>| !tally.settling.is_empty() || tally.leaving > 0;
            let is_restless = old.iter().chain([&new]).any(moves);
            let is_idle = self.out.starts.is_empty() && self.out.stops.is_empty();
            let is_left = old.iter().any(|tally| !tally.healthy.is_empty());
            if is_left && is_idle && !is_restless && waits.is_none() {
                self.say_once(texts::stuck(&self.name()));
            }
        }
        for at in self.others() {
            self.rows.deployments[at].desired = 0;
        }
    }

    /// Instances that have a task of the service that was not asked to stop, and how many.
    fn on_instances(
        &self,
        eligible: &BTreeSet<ContainerInstanceId>,
    ) -> BTreeMap<ContainerInstanceId, usize> {
        let mut taken = BTreeMap::new();
        let here =
            |task: &&Seen| task.phase != Phase::Stopping && eligible.contains(&task.instance);
        for task in self.view.tasks.iter().filter(here) {
            *taken.entry(task.instance).or_insert(0) += 1;
        }
        taken
    }

    /// Stops tasks on instances that will not do any more, and all but one on each that will; gives
    /// which.
    fn leave_ineligible(&mut self, eligible: &BTreeSet<ContainerInstanceId>) -> BTreeSet<TaskId> {
        let mut seen = BTreeSet::new();
        let wanted = self.view.tasks.iter().filter(|task| task.phase != Phase::Stopping);
        // One whose agent is away stays where it is until it is lost.
        let wanted = wanted.filter(|task| task.ground.away_since.is_none());
        let left = |task: &&Seen| !eligible.contains(&task.instance) && !task.ground.is_draining;
        let violated: Vec<_> = wanted.clone().filter(left).map(|task| task.instance).collect();
        for instance in violated {
            self.say_once(texts::violated(&self.name(), &instance.to_string()));
        }
        let surplus =
            wanted.filter(|task| !eligible.contains(&task.instance) || !seen.insert(task.instance));
        let surplus: Vec<_> = surplus.map(|task| task.id).collect();
        let gone = surplus.iter().copied().collect();
        let count = surplus.len();
        self.out.stop(surplus, count, Why::Draining);
        gone
    }

    fn replace(
        &mut self,
        old: &[Tally<'_>],
        eligible: &BTreeSet<ContainerInstanceId>,
        spare: &mut usize,
    ) {
        let stays = |task: &&&Seen| eligible.contains(&task.instance);
        for tally in old {
            let weak = tally.settling.iter().chain(&tally.unhealthy).filter(stays);
            let weak: Vec<_> = weak.map(|task| task.id).collect();
            let count = weak.len();
            self.out.stop(weak, count, Why::Scaling);
            let healthy: Vec<_> = tally.healthy.iter().filter(stays).map(|task| task.id).collect();
            let stops = (*spare).min(healthy.len());
            *spare -= stops;
            self.out.stop(healthy, stops, Why::Scaling);
        }
    }

    fn restart_unhealthy(&mut self, new: &Tally<'_>, eligible: &BTreeSet<ContainerInstanceId>) {
        let stays = |task: &&&Seen| eligible.contains(&task.instance);
        let bad: Vec<_> = new.unhealthy.iter().filter(stays).map(|task| task.id).collect();
        let count = bad.len();
        self.out.stop(bad, count, Why::Unhealthy);
        if let Some(at) = self.primary()
            && self.rows.deployments[at].rollout == RolloutState::InProgress
        {
            let failed = &mut self.rows.deployments[at].failed_tasks;
            *failed = failed.saturating_add(super::replica::count(count));
        }
    }

    fn place_daemons(
        &mut self,
        of: DeploymentId,
        on: Vec<ContainerInstanceId>,
        waits: Option<Timestamp>,
    ) {
        if on.is_empty() {
            return;
        }
        if waits.is_some() {
            return self.look_again(waits);
        }
        let count = super::replica::count(on.len());
        self.out.starts.push(Start { of, count, on, zone: None });
    }
}
