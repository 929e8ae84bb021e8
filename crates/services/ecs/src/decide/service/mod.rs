//! What a service needs now: tasks started and stopped, deployments ended or gone back from.
//!
//! [`decide`] is a function of what there is and the time. It gives the rows of the service as
//! they are to be afterwards, and what to do: so many tasks of a deployment are to start, so many
//! of these are to stop. Where they start and which of them stop is placement's business
//! (`placing/`), and writing it the loop's (`reconcile/services/`).
//!
//! - `view`: what is looked at and what is answered; `look`: one look.
//! - `health`, `percent`, `breaker`, `throttle`: one rule each. `tally`: tasks by what they count as.
//! - `replica`, `daemon`, `sets`: who starts and stops tasks. `switch`, `stages`, `hooks`: two revisions side by side. `zones`: moving them between zones.
//! - `rollout`: how deployments begin, fail, go back and end; `early`: when before they are whole. `steady`, `ending`, `digests`, `unknown`.
//! - `targets`: what load balancers have to do with tasks.
//! - `texts`: what services say. `mistake`: deliberate mistakes, for simulations to find.

mod breaker;
mod daemon;
mod digests;
mod early;
mod ending;
pub(crate) mod health;
pub(crate) mod hooks;
mod look;
mod mistake;
pub(crate) mod percent;
mod replica;
mod rollout;
#[cfg(test)]
mod scenes;
mod sets;
mod stages;
mod steady;
mod switch;
mod tally;
mod targets;
#[cfg(test)]
mod tests;
pub(crate) mod texts;
mod throttle;
mod unknown;
pub(crate) mod view;
mod zones;

use terms::Timestamp;

use self::look::Look;
pub(crate) use self::look::{Rows, remember};
pub use self::mistake::Mistake;
pub use self::throttle::ThrottleCurve;
use self::view::{Decision, Rules, View};
use crate::model::{
    DeploymentController, DeploymentStatus, RolloutState, SchedulingStrategy, ServiceStatus,
    Stability,
};

/// Decides what a service needs at `now`.
pub(crate) fn decide(view: &View, rules: &Rules, now: Timestamp) -> (Rows, Decision) {
    let mut look = Look::new(view, rules, now);
    look.count_ends();
    look.heed_throttles();
    look.miss_checks();
    look.attend_targets();
    match view.service.status {
        ServiceStatus::Draining | ServiceStatus::Inactive => look.drain(),
        ServiceStatus::Active => match view.service.controller {
            DeploymentController::External => look.by_sets(),
            DeploymentController::Ecs => look.by_deployments(),
        },
    }
    (look.rows, look.out)
}

impl Look<'_> {
    fn by_deployments(&mut self) {
        self.begin();
        self.fix_digests();
        self.judge();
        match self.rows.service.scheduling {
            SchedulingStrategy::Replica if self.is_side_by_side() => self.switch(),
            SchedulingStrategy::Replica => self.replicate(),
            SchedulingStrategy::Daemon => self.attend(),
        }
        let is_whole = self.is_whole();
        self.finish(is_whole);
        self.count_sources();
        let is_steady = is_whole && self.is_settled();
        self.rebalance(is_steady);
        self.settle(is_steady);
    }

    fn by_sets(&mut self) {
        self.keep_sets();
        let sets = &self.rows.task_sets;
        let is_steady = !sets.is_empty()
            && sets.iter().all(|set| set.stability == Stability::SteadyState)
            && self.out.starts.is_empty()
            && self.out.stops.is_empty();
        self.settle(is_steady);
    }

    /// Whether the primary deployment has all its tasks, healthy and where they can stay.
    fn is_whole(&self) -> bool {
        let Some(at) = self.primary() else { return false };
        let one = &self.rows.deployments[at];
        let tally = self.tally(one.id);
        let desired = self.rows.service.desired as usize;
        tally.healthy.len() == desired
            && tally.all() == desired
            && tally.evicted.is_empty()
            && tally.lost.is_empty()
    }

    /// Whether no deployment is on its way.
    fn is_settled(&self) -> bool {
        let Some(at) = self.primary() else { return false };
        let is_open = |status: DeploymentStatus| status != DeploymentStatus::Inactive;
        let rows = &self.rows.deployments;
        rows[at].rollout == RolloutState::Completed
            && rows.iter().filter(|one| is_open(one.status)).count() == 1
    }
}
