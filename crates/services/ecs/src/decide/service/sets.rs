//! Task sets of a service that somebody else deploys (ECS semantics §11).

use super::look::Look;
use super::tally::{ids, unprotected};
use super::texts;
use super::view::Why;
use crate::model::{Stability, TaskSet, TaskSetStatus};

impl Look<'_> {
    /// Keeps each task set at its share of the desired count. One that was deleted is stopped, and
    /// forgotten with its last task.
    pub(super) fn keep_sets(&mut self) {
        let mut sets = std::mem::take(&mut self.rows.task_sets);
        sets.retain_mut(|set| self.keep_set(set));
        self.rows.task_sets = sets;
    }

    fn keep_set(&mut self, set: &mut TaskSet) -> bool {
        let tally = self.tally(set.id);
        self.evict(&tally);
        self.look_again(tally.changes_at);
        let share = match set.status {
            TaskSetStatus::Draining => 0,
            TaskSetStatus::Primary | TaskSetStatus::Active => {
                set.share_of(self.rows.service.desired)
            }
        };
        if set.computed_desired != share {
            (set.computed_desired, set.updated_at) = (share, self.now);
        }
        if set.status == TaskSetStatus::Draining && tally.is_empty() && tally.leaving == 0 {
            return false;
        }
        let share = share as usize;
        let lacking = share.saturating_sub(tally.good());
        let waits = set.throttle.holds(self.now);
        match waits {
            Some(_) if lacking > 0 => self.look_again(waits),
            Some(_) | None => self.out.start(set.id, super::replica::count(lacking)),
        }
        // What is unhealthy or on a DRAINING instance goes as healthy tasks take its place, so there
        // is never more than twice the share: the maximum of 200 percent.
        let kept = share.saturating_sub(tally.healthy.len());
        let mut gone = (tally.unhealthy.len() + tally.draining()).saturating_sub(kept);
        for (tasks, why) in [
            (&tally.unhealthy, Why::Unhealthy),
            (&tally.draining_other, Why::Draining),
            (&tally.draining_healthy, Why::Draining),
        ] {
            let stops = gone.min(tasks.len());
            self.out.stop(ids(tasks), stops, why);
            gone -= stops;
        }
        let surplus = tally.good().saturating_sub(share);
        let young = surplus.min(tally.settling.len());
        self.out.stop(ids(&tally.settling), young, Why::Scaling);
        let (free, next) = unprotected(&tally.healthy, self.now);
        if surplus - young > free.len() {
            self.look_again(next);
            self.say_once(texts::protected(&self.name(), set.id));
        }
        self.out.stop(free, surplus - young, Why::Scaling);
        let is_steady = tally.healthy.len() == share && tally.all() == share;
        self.mark(set, is_steady);
        true
    }

    fn mark(&mut self, set: &mut TaskSet, is_steady: bool) {
        let stability = if is_steady { Stability::SteadyState } else { Stability::Stabilizing };
        if set.stability == stability {
            return;
        }
        (set.stability, set.stability_at) = (stability, self.now);
        if is_steady {
            self.say(texts::set_steady(&self.name(), set.id));
        }
    }
}
