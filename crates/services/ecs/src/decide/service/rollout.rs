//! How deployments begin, fail, go back and end (ECS semantics §8, §9).

use std::time::Duration;

use terms::Timestamp;

use super::hooks;
use super::look::Look;
use super::replica::count;
use super::texts;
use super::view::Phase;
use crate::model::{
    Deployment, DeploymentChange, DeploymentId, DeploymentStatus, MonitorStatus, Progress,
    ProgressChange, RevisionId, Rollback, RolloutChange, RolloutState, Stage, TaskCounts,
};

/// The longest time that a deployment bakes if its service does not say (ECS semantics §8.2).
const BAKE_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest that a deployment may take for its tasks to stand, and in all (ECS semantics §10.2).
const STAGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const WHOLE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// With the next look.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Why a deployment is given up.
struct Fault {
    /// As events end, without their full stop; none if a person wanted it.
    event: Option<&'static str>,
    /// `rolloutStateReason` of what failed.
    reason: String,
    /// What `rolling back to deploymentId …` stands behind.
    who: &'static str,
    /// Whether the service goes back.
    rollback: bool,
}

impl Look<'_> {
    /// Takes up the primary deployment, if nobody has yet.
    pub(super) fn begin(&mut self) {
        let Some(at) = self.primary() else { return };
        let configuration = self.rows.service.configuration.clone();
        let now = self.now;
        let one = &mut self.rows.deployments[at];
        if one.progress != Progress::Pending {
            return;
        }
        advance(one, ProgressChange::Started, now);
        one.started_at = Some(now);
        if configuration.breaker.enable {
            one.breaker = MonitorStatus::Monitoring;
        }
        let alarms = configuration.alarms.filter(|alarms| alarms.enable);
        // An alarm that is in ALARM at the start is none of the deployment's doing.
        if alarms.is_some_and(|alarms| !alarms.names.is_empty())
            && self.view.alarms.alarming.is_empty()
        {
            one.alarms = MonitorStatus::Monitoring;
        }
    }

    /// Gives the primary deployment up if its failures, its alarms or a person say so.
    pub(super) fn judge(&mut self) {
        let Some(at) = self.primary() else { return };
        let tally = self.tally(self.rows.deployments[at].id);
        let breaker = self.rows.service.configuration.breaker;
        let one = &mut self.rows.deployments[at];
        if one.rollout != RolloutState::InProgress {
            return;
        }
        let healthy = count(tally.all_healthy());
        if healthy > one.healthy && breaker.reset_on_healthy && one.failed_tasks > 0 {
            one.failed_tasks = 0;
        }
        one.healthy = healthy;
        self.expire_hooks(at);
        if let Some(fault) = self.fault(at) {
            self.give_up(at, fault);
        }
    }

    fn fault(&mut self, at: usize) -> Option<Fault> {
        let configuration = &self.rows.service.configuration;
        let threshold = configuration.breaker.threshold.failures(self.rows.service.desired);
        let (breaker, rollback) = (configuration.breaker, configuration.alarms.as_ref());
        let rolls_back_on_alarm = rollback.is_some_and(|alarms| alarms.rollback);
        let alarming = &self.view.alarms.alarming;
        let one = &mut self.rows.deployments[at];
        match one.progress {
            Progress::RollbackRequested => {
                return Some(Fault {
                    event: None,
                    reason: format!("ECS deployment {} was stopped by a user.", one.id),
                    who: "Service deployment stop requested",
                    rollback: true,
                });
            }
            Progress::StopRequested => {
                return Some(Fault {
                    event: None,
                    reason: format!("ECS deployment {} was stopped by a user.", one.id),
                    who: "Service deployment stop requested",
                    rollback: false,
                });
            }
            Progress::Pending
            | Progress::InProgress
            | Progress::Successful
            | Progress::Stopped
            | Progress::RollbackInProgress
            | Progress::RollbackSuccessful
            | Progress::RollbackFailed => {}
        }
        if breaker.enable && one.failed_tasks >= threshold {
            one.breaker = MonitorStatus::Triggered;
            return Some(Fault {
                event: Some("tasks failed to start"),
                reason: "ECS deployment circuit breaker: tasks failed to start.".to_owned(),
                who: "ECS deployment circuit breaker",
                rollback: breaker.rollback,
            });
        }
        if one.alarms == MonitorStatus::Monitoring && !alarming.is_empty() {
            one.alarms = MonitorStatus::Triggered;
            one.triggered.clone_from(alarming);
            return Some(Fault {
                event: Some("alarm detected"),
                reason: "ECS deployment failed: alarm detected.".to_owned(),
                who: "ECS deployment alarms",
                rollback: rolls_back_on_alarm,
            });
        }
        self.fault_of_stages(at)
    }

    /// What is wrong with a deployment beside another: somebody who was asked is against it, or it
    /// takes too long.
    fn fault_of_stages(&mut self, at: usize) -> Option<Fault> {
        let one = &self.rows.deployments[at];
        let staged = one.stage?;
        if let Some(reason) = hooks::refusal(one) {
            let (event, who) = (Some("lifecycle hook failed"), "Lifecycle hook");
            return Some(Fault { event, reason, who, rollback: true });
        }
        let waits = matches!(staged.stage, Stage::ReconcileService | Stage::ScaleUp);
        let of_stage = waits.then(|| staged.since + STAGE_MAX);
        let of_all = one.started_at.map(|since| since + WHOLE_MAX);
        let until = [of_stage, of_all].into_iter().flatten().min()?;
        self.look_again(Some(until));
        (until <= self.now).then(|| Fault {
            event: Some("deployment timed out"),
            reason: format!("The deployment took too long at {}.", staged.stage.shown()),
            who: "ECS deployment",
            rollback: true,
        })
    }

    fn give_up(&mut self, at: usize, fault: Fault) {
        let (now, name) = (self.now, self.name());
        let target = if fault.rollback { self.rollback_target(at) } else { None };
        let restored = target.map(|to| (to, self.rows.deployments[to].id));
        let revision = target.map(|to| self.rows.deployments[to].revision);
        let counts = self.counts(at);
        let one = &mut self.rows.deployments[at];
        let id = one.id;
        one.rollout = one.rollout.next(RolloutChange::GivenUp).unwrap_or(one.rollout);
        one.rollout_reason.clone_from(&fault.reason);
        one.progress_reason = Some(fault.reason.clone());
        one.updated_at = now;
        one.baking_since = None;
        for monitor in [&mut one.breaker, &mut one.alarms] {
            if *monitor == MonitorStatus::Monitoring {
                *monitor = MonitorStatus::Complete;
            }
        }
        hooks::close(one);
        if let (Some((_, to)), Some(revision)) = (restored, revision) {
            hooks::turn_back(one, now);
            advance(one, ProgressChange::RollbackStarted, now);
            one.status = one.status.next(DeploymentChange::Replaced).unwrap_or(one.status);
            one.rollback = Some(Rollback { to, revision, reason: fault.reason, started_at: now });
        } else if fault.rollback {
            one.counts = Some(counts);
            advance(one, ProgressChange::RollbackStarted, now);
            advance(one, ProgressChange::RollbackFailed, now);
        } else {
            one.counts = Some(counts);
            advance(one, ProgressChange::StopRequested, now);
            advance(one, ProgressChange::Stopped, now);
        }
        self.say(match fault.event {
            Some(why) => texts::failed(&name, id, why),
            None => texts::given_up(&name, id),
        });
        if let Some((place, to)) = restored {
            self.restore(place, format!("{}: rolling back to deploymentId {to}.", fault.who));
            self.say(texts::rolling_back(&name, to));
        }
    }

    /// Counts the tasks of what was before a deployment, for those that are over now.
    pub(super) fn count_sources(&mut self) {
        let now = self.now;
        let rows = &self.rows.deployments;
        let is_over = |at: &usize| rows[*at].finished_at == Some(now);
        for at in (0..rows.len()).filter(is_over).collect::<Vec<_>>() {
            let rows = &self.rows.deployments;
            let of = |source: &RevisionId| {
                let place = rows.iter().position(|one| one.revision == *source)?;
                let counts = self.counts(place);
                (counts.running + counts.pending > 0).then_some((*source, counts))
            };
            let counts = rows[at].sources.iter().filter_map(of).collect();
            self.rows.deployments[at].source_counts = counts;
        }
    }

    /// How many tasks a deployment has now.
    fn counts(&self, at: usize) -> TaskCounts {
        let one = &self.rows.deployments[at];
        let of = |wanted: fn(&Phase) -> bool| {
            let tasks = self.view.tasks.iter().filter(|task| task.of == one.id);
            count(tasks.filter(|task| wanted(&task.phase)).count())
        };
        TaskCounts {
            requested: one.desired,
            running: of(|phase| matches!(phase, Phase::Running(_))),
            pending: of(|phase| *phase == Phase::Pending),
        }
    }

    /// The newest of the other deployments that are COMPLETED.
    fn rollback_target(&self, but: usize) -> Option<usize> {
        let rows = &self.rows.deployments;
        let is_good = |&at: &usize| at != but && rows[at].rollout == RolloutState::Completed;
        (0..rows.len()).filter(is_good).max_by_key(|&at| rows[at].completed_at)
    }

    fn restore(&mut self, at: usize, reason: String) {
        let desired = self.rows.service.desired;
        let breaker = self.rows.service.configuration.breaker.enable;
        let healthy = count(self.tally(self.rows.deployments[at].id).all_healthy());
        let one = &mut self.rows.deployments[at];
        one.status = one.status.next(DeploymentChange::Restored).unwrap_or(one.status);
        one.rollout = one.rollout.next(RolloutChange::Restored).unwrap_or(one.rollout);
        one.rollout_reason = reason;
        one.updated_at = self.now;
        (one.desired, one.of, one.healthy) = (desired, desired, healthy);
        (one.failed_tasks, one.throttle) = (0, Default::default());
        (one.stage, one.hooks) = (None, Default::default());
        one.alarms = MonitorStatus::Disabled;
        one.breaker = if breaker { MonitorStatus::Monitoring } else { MonitorStatus::Disabled };
        let capacity =
            self.rows.revisions.get(&one.revision).map(|of| of.workload.capacity.clone());
        let service = &mut self.rows.service;
        (service.primary, service.course.steady_at) = (Some(one.id), None);
        if let Some(capacity) = capacity {
            service.capacity = capacity;
        }
    }

    /// Ends what has come to its end: the primary deployment when all is replaced and has baked,
    /// earlier ones when nothing is left of them. `is_whole` says whether the primary one has all
    /// its tasks, healthy and where they can stay.
    pub(super) fn finish(&mut self, is_whole: bool) {
        let Some(at) = self.primary() else { return };
        let others = self.others();
        // What is being started is not among the tasks yet, and must not be lost sight of.
        let is_started = |id: DeploymentId| self.out.starts.iter().any(|start| start.of == id);
        let is_gone = |place: &usize| {
            let id = self.rows.deployments[*place].id;
            self.tally(id).is_empty() && !is_started(id)
        };
        let (gone, left): (Vec<usize>, Vec<usize>) = others.into_iter().partition(is_gone);
        let is_rolled_out = is_whole && left.is_empty();
        let state = self.rows.deployments[at].rollout;
        let stage = self.rows.deployments[at].stage.map(|staged| staged.stage);
        let is_last = stage.is_none_or(|stage| stage == Stage::CleanUp);
        let is_success = is_last && (is_rolled_out || self.is_early(at, left.is_empty()));
        if state == RolloutState::InProgress {
            if is_success && self.was_complete(at) {
                self.look_again(Some(self.now + AT_ONCE));
            } else if is_success && self.has_baked(at) {
                self.complete(at);
            } else if !is_success {
                self.rows.deployments[at].baking_since = None;
            }
        }
        let primary = self.rows.deployments[at].id;
        let now = self.now;
        for place in gone {
            let one = &mut self.rows.deployments[place];
            // Something of it may have to come back if it was to have more.
            if one.desired == 0 || is_rolled_out {
                one.status = one.status.next(DeploymentChange::Drained).unwrap_or(one.status);
                one.updated_at = now;
            }
        }
        let is_complete = self.rows.deployments[at].rollout == RolloutState::Completed;
        for one in self.rows.deployments.iter_mut().filter(|one| one.id != primary) {
            end(one, primary, is_complete, now);
        }
    }

    /// Whether the deployment was COMPLETED when this look began, and the service has gone back to it
    /// since. Then it completes with the next look: both changes are told of (ECS semantics §17).
    fn was_complete(&self, at: usize) -> bool {
        let id = self.rows.deployments[at].id;
        let mut before = self.view.deployments.iter();
        before.any(|one| one.id == id && one.rollout == RolloutState::Completed)
    }

    /// Whether the deployment is a success before it is whole; `is_alone` says that nothing is
    /// left of those before it.
    fn is_early(&self, at: usize, is_alone: bool) -> bool {
        let healthy = count(self.tally(self.rows.deployments[at].id).all_healthy());
        let service = &self.rows.service;
        service
            .configuration
            .early
            .is_some_and(|early| early.is_met(service.desired, healthy, is_alone))
    }

    /// How many healthy tasks of the primary deployment are enough for earlier ones to go.
    pub(super) fn enough(&self) -> usize {
        let desired = self.rows.service.desired;
        let early = self.rows.service.configuration.early;
        let percent = early.map_or(100, |early| u64::from(early.healthy_percent).min(100));
        let enough = (u64::from(desired) * percent).div_ceil(100);
        usize::try_from(enough).unwrap_or(usize::MAX)
    }

    /// Whether the deployment has been watched for long enough.
    fn has_baked(&mut self, at: usize) -> bool {
        let minutes = self.rows.service.configuration.bake_minutes;
        let looks_back = self.view.alarms.looks_back.min(BAKE_MAX);
        let now = self.now;
        let one = &mut self.rows.deployments[at];
        // Of two revisions side by side, the stages before this have baked.
        let is_baked = one.stage.is_some() || one.alarms != MonitorStatus::Monitoring;
        if is_baked {
            return true;
        }
        let bake = minutes.map_or(looks_back, |one| Duration::from_secs(60 * u64::from(one)));
        let until = *one.baking_since.get_or_insert(now) + bake;
        self.look_again(Some(until));
        until <= now
    }

    fn complete(&mut self, at: usize) {
        let (now, name) = (self.now, self.name());
        let one = &mut self.rows.deployments[at];
        one.rollout = one.rollout.next(RolloutChange::Finished).unwrap_or(one.rollout);
        one.rollout_reason = format!("ECS deployment {} completed.", one.id);
        one.updated_at = now;
        one.completed_at = Some(now);
        one.baking_since = None;
        one.failed_tasks = 0;
        for monitor in [&mut one.breaker, &mut one.alarms] {
            if *monitor == MonitorStatus::Monitoring {
                *monitor = MonitorStatus::Complete;
            }
        }
        one.counts = Some(TaskCounts { requested: one.desired, running: one.healthy, pending: 0 });
        advance(one, ProgressChange::Succeeded, now);
        let id = one.id;
        self.say(texts::completed(&name, id));
    }

    /// The service has ended, and its deployments with it.
    pub(super) fn end_all(&mut self) {
        let now = self.now;
        for one in &mut self.rows.deployments {
            let next = one.status.next(DeploymentChange::ServiceEnded).unwrap_or(one.status);
            if next != one.status {
                one.updated_at = now;
            }
            one.status = next;
            if !one.progress.is_over() {
                advance(one, ProgressChange::StopRequested, now);
                advance(one, ProgressChange::Stopped, now);
                advance(one, ProgressChange::RollbackFailed, now);
            }
        }
    }
}

/// The service deployment behind an earlier deployment ends when nothing is left of it, or when
/// what it goes back to is complete.
fn end(one: &mut Deployment, primary: DeploymentId, is_complete: bool, now: Timestamp) {
    let is_drained = one.status == DeploymentStatus::Inactive;
    match one.progress {
        Progress::StopRequested if is_drained => advance(one, ProgressChange::Stopped, now),
        Progress::RollbackInProgress => {
            let goes_back = one.rollback.as_ref().is_some_and(|rollback| rollback.to == primary);
            if !goes_back {
                advance(one, ProgressChange::RollbackFailed, now);
            } else if is_complete {
                advance(one, ProgressChange::RolledBack, now);
            }
        }
        // A person asked for it, and something newer came first.
        Progress::RollbackRequested => advance(one, ProgressChange::RollbackFailed, now),
        Progress::Pending | Progress::InProgress => {
            advance(one, ProgressChange::StopRequested, now);
        }
        Progress::StopRequested
        | Progress::Successful
        | Progress::Stopped
        | Progress::RollbackSuccessful
        | Progress::RollbackFailed => {}
    }
}

/// Moves a service deployment on, if that can happen where it is.
fn advance(one: &mut Deployment, change: ProgressChange, now: Timestamp) {
    let Ok(next) = one.progress.next(change) else { return };
    if next == one.progress {
        return;
    }
    one.progress = next;
    one.updated_at = now;
    if next.is_over() {
        one.finished_at = Some(now);
    }
}
