//! Keeping a REPLICA service at its desired count, and replacing the tasks of earlier deployments
//! (ECS semantics §4.1, §7.2, §7.4).
//!
//! Three things share the room under the maximum: what the primary deployment lacks, what earlier
//! ones lost meanwhile, and replacements of unhealthy tasks, which start before those stop. What
//! leaves (tasks of earlier deployments, tasks on DRAINING instances) is stopped as it is replaced,
//! or, where the maximum leaves no room, as far as the minimum allows.

use terms::Timestamp;

use super::look::Look;
use super::percent::{Bounds, scaled};
use super::tally::{Tally, ids, unprotected};
use super::texts;
use super::view::{Phase, Seen, Why};
use crate::model::RolloutState;

/// What is left to be given out in one look.
pub(super) struct Budget {
    /// How many tasks may still be started.
    pub(super) room: usize,
    /// How many healthy tasks may still be stopped.
    pub(super) spare: usize,
}

/// Deployments and their tasks.
struct Sides<'a> {
    primary: usize,
    new: Tally<'a>,
    /// Earlier ones, the oldest first.
    old: Vec<(usize, Tally<'a>)>,
}

impl Sides<'_> {
    fn all(&self) -> usize {
        self.new.all() + self.old.iter().map(|(_, tally)| tally.all()).sum::<usize>()
    }

    fn healthy(&self) -> usize {
        self.new.all_healthy()
            + self.old.iter().map(|(_, tally)| tally.all_healthy()).sum::<usize>()
    }

    /// Tasks that have to go.
    fn outgoing(&self) -> usize {
        self.new.draining() + self.old.iter().map(|(_, tally)| tally.all()).sum::<usize>()
    }

    fn is_restless(&self) -> bool {
        let moves = |tally: &Tally<'_>| !tally.settling.is_empty() || tally.leaving > 0;
        moves(&self.new) || self.old.iter().any(|(_, tally)| moves(tally))
    }
}

impl<'a> Look<'a> {
    /// Decides what to start and to stop of a REPLICA service with a primary deployment.
    pub(super) fn replicate(&mut self) {
        let Some(primary) = self.primary() else { return };
        let sides = self.sides(primary);
        let tallies = || sides.old.iter().map(|(_, tally)| tally).chain([&sides.new]);
        for tally in tallies() {
            self.evict(tally);
            self.look_again(tally.changes_at);
        }
        let desired = self.rows.service.desired;
        self.scale_together(&sides, desired);
        let bounds = Bounds::of(desired, &self.rows.service.configuration);
        let is_rolling = sides.outgoing() > 0;
        let upper = if is_rolling { bounds.upper } else { bounds.upper.max(desired) };
        let mut budget = Budget {
            room: (upper as usize).saturating_sub(sides.all()),
            spare: sides.healthy().saturating_sub(bounds.lower as usize),
        };
        if self.rows.deployments[primary].rollout == RolloutState::Failed {
            // No new tasks (ECS semantics §8.1); what was before it is kept up.
            for (at, tally) in &sides.old {
                let target = self.rows.deployments[*at].desired as usize;
                self.keep_up(*at, tally, target, &mut budget);
            }
            self.scale_in(primary, &sides.new, desired as usize, &mut budget);
            self.leave_draining(&sides, &mut budget);
            return;
        }
        let is_weak = sides.healthy() < bounds.lower as usize;
        if is_weak {
            self.replace_lost(&sides, desired as usize, &mut budget);
        }
        let short = self.keep_up(primary, &sides.new, desired as usize, &mut budget);
        if !is_weak {
            self.replace_lost(&sides, desired as usize, &mut budget);
        }
        let short = short + self.view.unplaced as usize;
        self.scale_in(primary, &sides.new, desired as usize, &mut budget);
        let enough = self.enough();
        self.let_go(&sides, enough, short, &mut budget);
        self.tell_if_stuck(&sides, short);
    }

    fn sides(&self, primary: usize) -> Sides<'a> {
        let of = |at: usize| self.tally(self.rows.deployments[at].id);
        let old = self.others().into_iter().map(|at| (at, of(at))).collect();
        Sides { primary, new: of(primary), old }
    }

    /// Scales earlier deployments with the service; what failed only shrinks.
    fn scale_together(&mut self, sides: &Sides<'_>, desired: u32) {
        let primary = &mut self.rows.deployments[sides.primary];
        (primary.desired, primary.of) = (desired, desired);
        for (at, tally) in &sides.old {
            let one = &mut self.rows.deployments[*at];
            if one.of != desired {
                one.desired = scaled(one.desired, one.of, desired);
                one.of = desired;
            }
            if one.rollout == RolloutState::Failed {
                one.desired = one.desired.min(count(tally.all()));
            }
        }
    }

    /// Starts what a deployment lacks, and replaces what is unhealthy, start first. Gives how many
    /// found no room under the maximum.
    pub(super) fn keep_up(
        &mut self,
        at: usize,
        tally: &Tally<'_>,
        target: usize,
        budget: &mut Budget,
    ) -> usize {
        let one = &self.rows.deployments[at];
        let (id, is_new) = (one.id, one.rollout == RolloutState::InProgress);
        let waits = one.throttle.holds(self.now);
        let is_failed = one.rollout == RolloutState::Failed;
        let lacking = if is_failed { 0 } else { target.saturating_sub(tally.good()) };
        let starts = lacking.min(budget.room);
        if waits.is_some() && starts > 0 {
            self.look_again(waits);
        } else {
            self.out.start(id, count(starts));
            budget.room -= starts;
        }
        // An unhealthy task goes when its replacement is healthy; or, when there is no room for
        // one, one at a time.
        let kept = tally.unhealthy.len().min(target.saturating_sub(tally.healthy.len()));
        let mut stops = tally.unhealthy.len() - kept;
        if stops == 0 && lacking > 0 && starts == 0 && tally.settling.is_empty() && kept > 0 {
            stops = 1;
        }
        if stops > 0 {
            self.out.stop(ids(&tally.unhealthy), stops, Why::Unhealthy);
            let one = &mut self.rows.deployments[at];
            if is_new {
                one.failed_tasks = one.failed_tasks.saturating_add(count(stops));
            }
        }
        lacking - starts
    }

    /// Replaces what earlier deployments lost with their own revision, as far as nothing of the
    /// new one does in its place.
    fn replace_lost(&mut self, sides: &Sides<'_>, desired: usize, budget: &mut Budget) {
        let good: usize = sides.old.iter().map(|(_, tally)| tally.good()).sum();
        let reserved = desired.saturating_sub(sides.new.healthy.len());
        let mut lacking = reserved.saturating_sub(good);
        for (at, tally) in &sides.old {
            let one = &self.rows.deployments[*at];
            if one.rollout == RolloutState::Failed {
                continue;
            }
            let missing = (one.desired as usize).saturating_sub(tally.good() + tally.draining());
            let starts = missing.min(lacking).min(budget.room);
            let (id, waits) = (one.id, one.throttle.holds(self.now));
            if waits.is_some() && starts > 0 {
                self.look_again(waits);
                continue;
            }
            self.out.start(id, count(starts));
            budget.room -= starts;
            lacking -= starts;
        }
    }

    /// Stops what the primary deployment has too much: tasks that do not run yet, then in the
    /// scale-in order.
    pub(super) fn scale_in(
        &mut self,
        at: usize,
        tally: &Tally<'_>,
        desired: usize,
        budget: &mut Budget,
    ) {
        let surplus = tally.good().saturating_sub(desired);
        if surplus == 0 {
            return;
        }
        let moves = self.rows.service.course.rebalancing_since.is_some();
        if moves && surplus == 1 && !tally.settling.is_empty() {
            // What was started to take another's place has yet to be healthy.
            return;
        }
        let is_pending = |task: &&Seen| task.phase == Phase::Pending;
        let (pending, young): (Vec<&Seen>, Vec<&Seen>) =
            tally.settling.iter().copied().partition(is_pending);
        let (free_pending, next_pending) = unprotected(&pending, self.now);
        let first = surplus.min(free_pending.len());
        self.out.stop(free_pending, first, Why::Scaling);
        // What is not healthy yet goes before what is: the minimum counts the healthy.
        let (free_young, next_young) = unprotected(&young, self.now);
        let second = (surplus - first).min(free_young.len());
        self.out.stop(free_young, second, Why::Scaling);
        let (free, next) = unprotected(&tally.healthy, self.now);
        let rest = surplus - first - second;
        if rest > free.len() {
            let kept = (pending.len() - first) + (young.len() - second);
            let protected = tally.healthy.len() - free.len() + kept;
            let next = [next, next_young, next_pending].into_iter().flatten().min();
            self.say_protected(at, protected, desired, next);
        }
        let stops = rest.min(free.len()).min(budget.spare);
        budget.spare -= stops;
        self.out.stop(free, stops, Why::Scaling);
    }

    fn say_protected(
        &mut self,
        at: usize,
        protected: usize,
        desired: usize,
        next: Option<Timestamp>,
    ) {
        self.look_again(next);
        if protected > desired {
            let id = self.rows.deployments[at].id;
            self.say_once(texts::protected(&self.name(), id));
        }
    }

    /// Stops what is replaced, and what stands in the way of `short` tasks, as far as the minimum
    /// allows. What is not healthy goes first, and of failed deployments before others.
    fn let_go(&mut self, sides: &Sides<'_>, enough: usize, short: usize, budget: &mut Budget) {
        let (outgoing, now) = (sides.outgoing(), self.now);
        let reserved = enough.saturating_sub(sides.new.healthy.len());
        let mut replaced = outgoing.saturating_sub(reserved);
        let mut wanted = (replaced + short).min(outgoing);
        let mut old: Vec<&(usize, Tally<'_>)> = sides.old.iter().collect();
        old.sort_by_key(|(at, _)| self.rows.deployments[*at].rollout != RolloutState::Failed);
        for (at, tally) in &old {
            // Protection ends with failed checks, and does not hold on draining hosts.
            let is_free = |task: &&&Seen| task.protected_until.is_none_or(|until| until <= now);
            let mut weak: Vec<&Seen> = tally.settling.iter().filter(is_free).copied().collect();
            // Those that have not come far are the least loss.
            weak.sort_by_key(|task| std::cmp::Reverse(task.created_at));
            // What a good revision lost comes back as that revision (ECS semantics §7.4), and does
            // not make room while new tasks are on their way.
            let is_good = self.rows.deployments[*at].rollout == RolloutState::Completed;
            if is_good && !sides.new.settling.is_empty() {
                weak.truncate(replaced);
            }
            weak.extend(tally.unhealthy.iter().chain(&tally.draining_other));
            self.look_again(unprotected(&tally.settling, now).1);
            let stops = wanted.min(weak.len());
            weak.sort_by_key(|task| std::cmp::Reverse(task.created_at));
            weak.truncate(stops);
            self.out.stop(ids(&weak), stops, Why::Scaling);
            (wanted, replaced) = (wanted - stops, replaced.saturating_sub(stops));
            self.shrink(*at, stops);
        }
        let stops = wanted.min(sides.new.draining_other.len());
        self.out.stop(ids(&sides.new.draining_other), stops, Why::Draining);
        wanted -= stops;
        // Draining hosts do not heed protection (ECS semantics §5.5).
        let stops = wanted.min(budget.spare).min(sides.new.draining_healthy.len());
        self.out.stop(ids(&sides.new.draining_healthy), stops, Why::Draining);
        (wanted, budget.spare) = (wanted - stops, budget.spare - stops);
        for (at, tally) in &old {
            let draining = tally.draining_healthy.len().min(wanted).min(budget.spare);
            self.out.stop(ids(&tally.draining_healthy), draining, Why::Draining);
            (wanted, budget.spare) = (wanted - draining, budget.spare - draining);
            let (free, next) = unprotected(&tally.healthy, self.now);
            let stops = wanted.min(budget.spare).min(free.len());
            if wanted > free.len() {
                self.look_again(next);
            }
            self.out.stop(free, stops, Why::Scaling);
            (wanted, budget.spare) = (wanted - stops, budget.spare - stops);
            self.shrink(*at, draining + stops);
        }
    }

    /// Lets tasks on DRAINING instances go while a deployment that failed stands: those of earlier
    /// ones as they are replaced by their own revision, those of the failed one, which nothing
    /// replaces, as far as the minimum allows.
    fn leave_draining(&mut self, sides: &Sides<'_>, budget: &mut Budget) {
        let mut left = 0;
        for tally in sides.old.iter().map(|(_, tally)| tally).chain([&sides.new]) {
            let weak = ids(&tally.draining_other);
            let count = weak.len();
            self.out.stop(weak, count, Why::Draining);
            let stops = budget.spare.min(tally.draining_healthy.len());
            self.out.stop(ids(&tally.draining_healthy), stops, Why::Draining);
            budget.spare -= stops;
            left += tally.draining_healthy.len() - stops;
        }
        let idle = self.out.starts.is_empty() && self.out.stops.is_empty();
        if left > 0 && idle && !sides.is_restless() {
            self.say_once(texts::stuck(&self.name()));
        }
    }

    /// An earlier deployment is to have so many tasks less from now on.
    fn shrink(&mut self, at: usize, stops: usize) {
        let one = &mut self.rows.deployments[at];
        one.desired = one.desired.saturating_sub(count(stops));
    }

    fn tell_if_stuck(&mut self, sides: &Sides<'_>, short: usize) {
        let idle = self.out.starts.is_empty() && self.out.stops.is_empty();
        let waits = self.rows.deployments[sides.primary].throttle.holds(self.now).is_some();
        let in_the_way = sides.outgoing() > 0 && short > 0 && self.view.unplaced == 0;
        if idle && in_the_way && !waits && !sides.is_restless() {
            self.say_once(texts::stuck(&self.name()));
        }
    }
}

/// A number of tasks; there are never more than fit.
pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
