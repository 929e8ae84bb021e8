//! What is known of one task, and the steps that follow from it.
//!
//! [`TaskState::advance`] looks at the whole task and asks for everything that is due: it may be
//! called at any time and asks for nothing twice, since what is on its way is part of the state.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::task::{DesiredStatus, Task};
use runtime::ContainerId;
use terms::Timestamp;

use super::container::{ContainerState, Stop, Verdict, check_dependencies, dependencies, verdict};
use super::event::{Command, ContainerRef, Creation, End, Failure, Record, Sibling};
use super::phase::{Phase, Status, Step};
use super::report::Report;
use super::{Outcome, Settings};

/// SIGKILL is sent again after this long if the container is still there.
pub const KILL_AGAIN: Duration = Duration::from_secs(10);
/// How long a stopped task's containers and output are kept at least when the disk is low.
pub const HASTY_WAIT: Duration = Duration::from_secs(60);
/// The wait before the next try to remove a task's remains.
pub const REMOVE_AGAIN: Duration = Duration::from_secs(60);

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    /// What the payload said, without secrets.
    pub task: Arc<Task>,
    /// Its containers, in the task's order.
    pub containers: Vec<ContainerState>,
    /// What it should be.
    pub desired: DesiredStatus,
    /// An internal cause of its end; empty otherwise.
    pub reason: String,
    /// When it was taken over.
    pub accepted_at: Timestamp,
    /// Whether its resources are taken.
    pub admitted: bool,
    /// What its containers share.
    pub preparation: Preparation,
    /// Whether all its containers were started.
    pub reached_running: bool,
    /// When the first essential container ended.
    pub execution_stopped_at: Option<Timestamp>,
    /// When the last container ended.
    pub stopped_at: Option<Timestamp>,
    /// What the server was told.
    pub report: Report,
    /// Whether its network, if it has one of its own, was asked to be taken away.
    pub withdrawn: bool,
    /// Its removal.
    pub removal: Removal,
}

/// How far the preparation has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preparation {
    /// Not asked for.
    #[default]
    Missing,
    /// On its way.
    Asked,
    /// Done.
    Done,
}

/// How far the removal has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Removal {
    /// Not before this instant, if given.
    #[default]
    Waiting,
    /// On its way.
    Asked,
    /// It failed; again at this instant.
    Again(Timestamp),
}

impl TaskState {
    /// A task just taken over.
    pub fn new(task: Arc<Task>, ids: &[ContainerId], now: Timestamp) -> Self {
        let containers = task.containers.iter().zip(ids);
        let containers = containers.map(|(c, id)| ContainerState::new(&task, c, id.clone(), now));
        Self {
            containers: containers.collect(),
            desired: task.desired_status,
            reason: String::new(),
            accepted_at: now,
            admitted: false,
            preparation: Preparation::Missing,
            reached_running: false,
            execution_stopped_at: None,
            stopped_at: None,
            report: Report::default(),
            withdrawn: false,
            removal: Removal::Waiting,
            task,
        }
    }

    /// The status that ECS's agent gives the task: the least of its containers', where one that
    /// has ended counts as running while others are not there yet.
    pub fn status(&self) -> Status {
        if self.containers.iter().all(|c| c.phase == Phase::Stopped) {
            return Status::Stopped;
        }
        let of = |c: &ContainerState| c.status().min(Status::Running);
        self.containers.iter().map(of).min().unwrap_or_default()
    }

    /// Whether its resources are still taken.
    pub fn holds_resources(&self) -> bool {
        self.admitted && !self.containers.iter().all(|c| c.phase == Phase::Stopped && c.released)
    }

    /// Whether it has ended and the server knows.
    pub fn is_settled(&self) -> bool {
        self.status() == Status::Stopped && self.report.sent.task == Status::Stopped
    }

    pub(super) fn reference(&self, index: usize) -> ContainerRef {
        ContainerRef { task: self.task.arn.clone(), index }
    }

    /// Asks the task to end, for an internal cause if `reason` is not empty.
    pub(super) fn stop(&mut self, reason: &str, out: &mut Outcome) {
        if self.desired == DesiredStatus::Stopped {
            return;
        }
        self.desired = DesiredStatus::Stopped;
        if self.reason.is_empty() {
            reason.clone_into(&mut self.reason);
        }
        let task = self.task.arn.clone();
        out.records.push(Record::Stopping { task, reason: self.reason.clone() });
    }

    /// Ends a container; ignored if it has ended already.
    pub(super) fn end(&mut self, index: usize, end: End, out: &mut Outcome) {
        let container = &mut self.containers[index];
        let may_hold = container.phase >= Phase::Creating;
        if !container.step(Step::End) {
            return;
        }
        container.started_at = container.started_at.or(end.started_at);
        container.end = Some(End { started_at: container.started_at, ..end });
        container.released = !may_hold;
        container.restarts.is_pending = false;
        if let Some(health) = &mut container.health {
            health.next_at = None;
        }
        let end = container.end.clone().expect("just set");
        let (essential, id) = (container.essential, container.id.clone());
        if essential {
            self.execution_stopped_at.get_or_insert(end.at);
        }
        let task = self.task.arn.clone();
        out.records.push(Record::Ended { task, index, end });
        if may_hold {
            out.commands.push(Command::Release { container: self.reference(index), id });
        }
        if essential {
            self.stop("", out);
        }
    }

    /// Ends a container that failed before it ran.
    pub(super) fn fail(
        &mut self,
        index: usize,
        failure: &Failure,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let reason = Some(failure.to_string());
        self.end(index, End { code: None, reason, at: now, started_at: None }, out);
    }

    /// Asks for everything that is due at `now`; answers when to look again.
    pub(super) fn advance(
        &mut self,
        settings: &Settings,
        now: Timestamp,
        out: &mut Outcome,
    ) -> Option<Timestamp> {
        let mut next: Option<Timestamp> = None;
        let mut at = |instant: Timestamp| next = Some(next.map_or(instant, |n| n.min(instant)));
        if self.desired == DesiredStatus::Running && self.admitted {
            self.begin(out);
            self.create_and_start(now, out, &mut at);
        }
        if self.desired == DesiredStatus::Stopped {
            self.wind_down(settings, now, out, &mut at);
        }
        self.check_health(now, out, &mut at);
        self.note_progress(now);
        self.withdraw_when_over(out);
        self.remove_when_due(settings, now, out, &mut at);
        next
    }

    /// The preparation and every pull.
    fn begin(&mut self, out: &mut Outcome) {
        if self.preparation == Preparation::Missing {
            self.preparation = Preparation::Asked;
            out.commands.push(Command::Prepare { task: Arc::clone(&self.task) });
        }
        for index in 0..self.containers.len() {
            // Its registry's credentials are fetched with the preparation.
            let waits = crate::resources::needs_registry(&self.task.containers[index])
                && self.preparation != Preparation::Done;
            if !waits && self.containers[index].step(Step::Pull) {
                let (container, task) = (self.reference(index), Arc::clone(&self.task));
                out.commands.push(Command::Pull { container, task });
            }
        }
    }

    fn create_and_start(
        &mut self,
        now: Timestamp,
        out: &mut Outcome,
        at: &mut impl FnMut(Timestamp),
    ) {
        for index in 0..self.containers.len() {
            // A dependency may fail long before the image is here.
            let waits = matches!(
                self.containers[index].phase,
                Phase::None | Phase::Pulling | Phase::Pulled | Phase::Created
            );
            if !waits || self.desired == DesiredStatus::Stopped {
                continue;
            }
            match verdict(&self.task, &self.containers, index, now) {
                Verdict::Met => self.create_or_start(index, out),
                Verdict::Waiting(until) => until.into_iter().for_each(&mut *at),
                Verdict::Failed(why) => {
                    let failure = Failure::new("CannotStartContainerError", why);
                    self.cancel_pull(index, out);
                    self.fail(index, &failure, now, out);
                    // ECS Developer Guide, "startTimeout": the task stops, too.
                    self.stop("", out);
                }
            }
        }
    }

    fn create_or_start(&mut self, index: usize, out: &mut Outcome) {
        let reference = self.reference(index);
        let container = &mut self.containers[index];
        if container.phase == Phase::Created && container.step(Step::Start) {
            let id = container.id.clone();
            out.commands.push(Command::Start { container: reference, id });
        } else if self.preparation == Preparation::Done && container.step(Step::Create) {
            let (id, name) = (container.id.clone(), container.docker_name.clone());
            let others = self.containers.iter().enumerate().filter(|(at, _)| *at != index);
            let others = others.filter(|(_, c)| c.existed && c.end.is_none());
            let sibling = |c: &ContainerState| Sibling {
                name: c.name.clone(),
                id: c.id.clone(),
                address: c.network.as_ref().map(|network| network.address),
            };
            out.commands.push(Command::Create(Box::new(Creation {
                container: reference,
                id,
                name,
                task: Arc::clone(&self.task),
                siblings: others.map(|(_, c)| sibling(c)).collect(),
            })));
        }
    }

    fn cancel_pull(&self, index: usize, out: &mut Outcome) {
        if self.containers[index].phase == Phase::Pulling {
            out.commands.push(Command::CancelPull { container: self.reference(index) });
        }
    }

    /// The stop sequence: what never ran ends at once; what runs is asked to, those first that
    /// nothing depends on, and killed when its time is over.
    fn wind_down(
        &mut self,
        settings: &Settings,
        now: Timestamp,
        out: &mut Outcome,
        at: &mut impl FnMut(Timestamp),
    ) {
        for index in (0..self.containers.len()).rev() {
            match self.containers[index].phase {
                Phase::None | Phase::Pulling | Phase::Pulled => {
                    self.cancel_pull(index, out);
                    let never_began = self.containers[index].phase == Phase::None;
                    let reason = never_began.then(|| {
                        let what = "Task stopped before image pull could begin for task:";
                        format!("TaskStoppedBeforePullBeginError: {what} {}", self.task.arn)
                    });
                    self.end(index, End { code: None, reason, at: now, started_at: None }, out);
                }
                Phase::Created => {
                    let (container, id) =
                        (self.reference(index), self.containers[index].id.clone());
                    let signal = "SIGKILL".to_owned();
                    out.commands.push(Command::Signal { container, id, signal });
                    let end = End { code: None, reason: None, at: now, started_at: None };
                    self.end(index, end, out);
                }
                Phase::Running => self.ask_to_end(index, settings, now, out, at),
                Phase::Creating | Phase::Starting | Phase::Stopped => {}
            }
        }
    }

    /// Those that were asked to end before have no more time than those that are asked now.
    pub(super) fn hasten(&mut self, latest: Timestamp) {
        for container in &mut self.containers {
            if let Stop::Asked(until) = &mut container.stop {
                *until = latest.min(*until);
            }
        }
    }

    fn ask_to_end(
        &mut self,
        index: usize,
        settings: &Settings,
        now: Timestamp,
        out: &mut Outcome,
        at: &mut impl FnMut(Timestamp),
    ) {
        // One that is being restarted can be asked once it runs.
        if self.is_needed(index) || self.containers[index].restarts.is_pending {
            return;
        }
        let container = &self.containers[index];
        let (signal, stop) = match container.stop {
            Stop::NotAsked => {
                let definition = &self.task.containers[index];
                let own = definition.stop_timeout.filter(|&seconds| seconds > 0);
                let own = own.map(|seconds| Duration::from_secs(u64::from(seconds)));
                let timeout = own.unwrap_or(settings.stop_timeout).min(settings.stop_timeout_max);
                (container.stop_signal(definition), Stop::Asked(now + timeout))
            }
            Stop::Asked(until) | Stop::Killed(until) if until > now => return at(until),
            Stop::Asked(_) | Stop::Killed(_) => {
                ("SIGKILL".to_owned(), Stop::Killed(now + KILL_AGAIN))
            }
        };
        if let Stop::Asked(until) | Stop::Killed(until) = stop {
            at(until);
        }
        let (container, id) = (self.reference(index), container.id.clone());
        self.containers[index].stop = stop;
        out.commands.push(Command::Signal { container, id, signal });
    }

    /// Whether a container that has not ended depends on this one.
    fn is_needed(&self, index: usize) -> bool {
        let name = &self.task.containers[index].name;
        self.task.containers.iter().zip(&self.containers).any(|(definition, state)| {
            state.phase != Phase::Stopped
                && dependencies(&self.task, definition).iter().any(|(other, _)| other == name)
        })
    }

    fn check_health(&mut self, now: Timestamp, out: &mut Outcome, at: &mut impl FnMut(Timestamp)) {
        for index in 0..self.containers.len() {
            let container = &mut self.containers[index];
            if container.phase != Phase::Running || container.stop != Stop::NotAsked {
                continue;
            }
            let Some(health) = &mut container.health else { continue };
            match health.next_at {
                Some(instant) if instant > now => at(instant),
                Some(_) => {
                    health.next_at = None;
                    let (args, timeout) = (health.plan.args.clone(), health.plan.timeout);
                    let id = container.id.clone();
                    let container = self.reference(index);
                    out.commands.push(Command::Probe { container, id, args, timeout });
                }
                None => {}
            }
        }
    }

    /// What follows from the containers for the task as a whole.
    fn note_progress(&mut self, now: Timestamp) {
        let began = |c: &ContainerState| c.phase == Phase::Running || c.ran_since().is_some();
        // One that failed before it ran keeps the task from ever being RUNNING, unless the task
        // can do without it.
        let counts = |c: &ContainerState| c.phase != Phase::Stopped || c.essential;
        let mut counted = self.containers.iter().filter(|c| counts(c)).peekable();
        let any = counted.peek().is_some() || self.containers.iter().any(began);
        if any && counted.all(began) {
            self.reached_running = true;
        }
        if self.status() == Status::Stopped {
            self.stopped_at.get_or_insert(now);
        }
    }

    /// The address may be another task's as soon as the server knows that this one has stopped.
    fn withdraw_when_over(&mut self, out: &mut Outcome) {
        let over = self.status() == Status::Stopped
            && self.preparation != Preparation::Asked
            && self.containers.iter().all(|container| container.released);
        if over && !self.withdrawn && crate::awsvpc::is_awsvpc(&self.task) {
            self.withdrawn = true;
            out.commands.push(Command::Withdraw { task: Arc::clone(&self.task) });
        }
    }

    fn remove_when_due(
        &mut self,
        settings: &Settings,
        now: Timestamp,
        out: &mut Outcome,
        at: &mut impl FnMut(Timestamp),
    ) {
        let Some(stopped_at) = self.stopped_at.as_mut() else { return };
        // A clock that was ahead and was put right would keep it for so much longer.
        *stopped_at = now.min(*stopped_at);
        let stopped_at = *stopped_at;
        if !self.containers.iter().all(|container| container.released) {
            return;
        }
        let due = match (self.removal, self.report.sent.task == Status::Stopped) {
            (Removal::Asked, _) => return,
            (Removal::Again(instant), _) => instant,
            (Removal::Waiting, true) if settings.is_hasty => {
                stopped_at + settings.cleanup_wait.min(HASTY_WAIT)
            }
            (Removal::Waiting, true) => stopped_at + settings.cleanup_wait,
            (Removal::Waiting, false) if settings.needs_reports => {
                stopped_at + settings.cleanup_wait.max(settings.unsent_wait)
            }
            (Removal::Waiting, false) => stopped_at + settings.cleanup_wait,
        };
        if due > now {
            return at(due);
        }
        self.removal = Removal::Asked;
        let containers = self.containers.iter().map(|container| container.id.clone()).collect();
        out.commands.push(Command::Remove { task: Arc::clone(&self.task), containers });
    }

    /// Ends everything if the task can never run: its dependencies have no order.
    pub(super) fn refuse_impossible(&mut self, now: Timestamp, out: &mut Outcome) {
        if let Err(why) = check_dependencies(&self.task) {
            let failure = Failure::new("TaskDependencyError", why);
            self.refuse(&failure, now, out);
        }
    }

    /// Ends a task that never began.
    pub(super) fn refuse(&mut self, failure: &Failure, now: Timestamp, out: &mut Outcome) {
        self.stop(&failure.to_string(), out);
        for index in 0..self.containers.len() {
            self.fail(index, failure, now, out);
        }
    }
}
