//! Deployments with two revisions side by side (ECS semantics §10): the new one gets all its tasks,
//! then the traffic, then the tasks of the old one end.

use std::time::Duration;

use super::hooks;
use super::look::Look;
use super::replica::Budget;
use super::stages::{self, Facts};
use super::tally::ids;
use super::view::{Traffic, Why};
use crate::model::{DeploymentId, Progress, RolloutState, Stage, Staged};

impl Look<'_> {
    /// Decides what to start and to stop of a service whose deployments stand side by side, and
    /// where traffic goes.
    pub(super) fn switch(&mut self) {
        let Some(at) = self.primary() else { return };
        let desired = self.rows.service.desired;
        for place in self.others().into_iter().chain([at]) {
            let tally = self.tally(self.rows.deployments[place].id);
            self.evict(&tally);
            self.look_again(tally.changes_at);
        }
        let one = &self.rows.deployments[at];
        let (state, id) = (one.rollout, one.id);
        let source = self.source();
        match state {
            // No new tasks; what was before it is kept up, and traffic stays where it is.
            RolloutState::Failed => {
                if let Some(source) = source {
                    self.keep_all(source, desired);
                }
            }
            RolloutState::Completed => {
                self.keep_all(at, desired);
                self.end_others(None);
                self.direct(id, 1000, 1000);
            }
            RolloutState::InProgress if self.is_way_back(at) => self.go_back(at, desired),
            RolloutState::InProgress => self.take_over(at, source, desired),
        }
    }

    /// Whether the primary deployment stands beside others, or one that is left does.
    pub(super) fn is_side_by_side(&self) -> bool {
        let rows = &self.rows.deployments;
        let is_wanted = |at: usize| rows[at].configuration.strategy.is_side_by_side();
        self.primary().is_some_and(is_wanted)
            || self.others().into_iter().any(|at| rows[at].stage.is_some())
    }

    /// Whether the primary deployment was the good one before another that failed.
    fn is_way_back(&self, at: usize) -> bool {
        self.rows.deployments[at].progress == Progress::Successful
    }

    /// The deployment that has the traffic before the primary one takes it: the last that was
    /// complete.
    fn source(&self) -> Option<usize> {
        let rows = &self.rows.deployments;
        let others = self.others().into_iter();
        let complete = others.filter(|&at| rows[at].rollout == RolloutState::Completed);
        complete.max_by_key(|&at| rows[at].completed_at)
    }

    fn take_over(&mut self, at: usize, source: Option<usize>, desired: u32) {
        let one = &self.rows.deployments[at];
        let (id, strategy) = (one.id, one.configuration.strategy);
        let before = one.stage.unwrap_or_else(|| stages::first(source.is_none(), self.now));
        let kept = source.map(|at| self.rows.deployments[at].id);
        let given_up = |place: &usize| {
            let other = self.rows.deployments[*place].id;
            Some(other) != kept && !self.tally(other).is_empty()
        };
        let is_reconciled = !self.others().iter().any(given_up);
        let tally = self.tally(id);
        let wanted = desired as usize;
        let minutes = self.rows.service.configuration.bake_minutes.unwrap_or(0);
        let facts = Facts {
            strategy,
            is_reconciled,
            is_scaled: tally.healthy.len() == wanted && tally.all() == wanted,
            bake: Duration::from_secs(60 * u64::from(minutes)),
            now: self.now,
        };
        let one = &self.rows.deployments[at];
        let is_let = |staged: &Staged| hooks::have_passed(one, staged, is_reconciled);
        let (staged, again) = stages::go_on(before, &facts, &is_let);
        self.look_again(again);
        self.ask_hooks(at, &staged, is_reconciled);
        let one = &mut self.rows.deployments[at];
        if one.stage != Some(staged) {
            one.updated_at = self.now;
        }
        one.stage = Some(staged);
        let Staged { stage, production, test, .. } = staged;
        // In the same groups nothing is to be shared out.
        let own = self.rows.deployments[at].is_alternate;
        let is_shared = source.is_some_and(|at| self.rows.deployments[at].is_alternate == own);
        let (production, test) = if is_shared { (1000, 1000) } else { (production, test) };
        if stage >= Stage::ScaleUp {
            self.keep_all(at, desired);
        }
        let stays = kept.filter(|_| stage < Stage::CleanUp);
        if let (Some(source), Some(_)) = (source, stays) {
            self.keep_all(source, desired);
        }
        self.end_others(stays);
        self.direct(id, production, test);
    }

    /// Traffic goes back as soon as enough of the good deployment's tasks stand; then what failed
    /// ends.
    fn go_back(&mut self, at: usize, desired: u32) {
        let id = self.rows.deployments[at].id;
        self.keep_all(at, desired);
        let healthy = self.tally(id).all_healthy();
        if healthy >= self.least() {
            self.direct(id, 1000, 1000);
            self.end_others(None);
        }
    }

    /// Keeps a deployment at so many tasks.
    fn keep_all(&mut self, at: usize, desired: u32) {
        let one = &mut self.rows.deployments[at];
        (one.desired, one.of) = (desired, desired);
        let tally = self.tally(self.rows.deployments[at].id);
        let spare = tally.all_healthy().saturating_sub(self.least());
        let mut budget = Budget { room: usize::MAX, spare };
        self.keep_up(at, &tally, desired as usize, &mut budget);
        self.scale_in(at, &tally, desired as usize, &mut budget);
        // What is on DRAINING instances goes as what takes its place is healthy.
        let gone = tally.draining().min(
            tally.healthy.len().saturating_sub((desired as usize).saturating_sub(tally.draining())),
        );
        let draining: Vec<_> =
            tally.draining_other.iter().chain(&tally.draining_healthy).copied().collect();
        self.out.stop(ids(&draining), gone, Why::Draining);
    }

    /// Ends the tasks of all deployments but the primary one and `kept`.
    fn end_others(&mut self, kept: Option<DeploymentId>) {
        for place in self.others() {
            let id = self.rows.deployments[place].id;
            if Some(id) == kept {
                continue;
            }
            let tally = self.tally(id);
            let all = [&tally.healthy, &tally.settling, &tally.unhealthy];
            let draining = [&tally.draining_healthy, &tally.draining_other];
            for tasks in all.into_iter().chain(draining) {
                self.out.stop(ids(tasks), tasks.len(), Why::Scaling);
            }
            let one = &mut self.rows.deployments[place];
            (one.desired, one.of) = (0, 0);
        }
    }

    /// So many thousandths of the traffic are to go to a deployment's tasks.
    fn direct(&mut self, to: DeploymentId, production: u32, test: u32) {
        self.out.traffic = Some(Traffic { to, production, test });
    }

    /// The fewest healthy tasks that the service may have.
    fn least(&self) -> usize {
        let service = &self.rows.service;
        super::percent::Bounds::of(service.desired, &service.configuration).lower as usize
    }
}
