//! The task engine: a pure state machine. Events in, commands and journal records out.
//!
//! **Invariants**
//! - No clock, no I/O, no randomness: time and ids come with the events, so the same events give
//!   the same commands.
//! - A container's phase only moves forward; an answer that comes too late changes nothing.
//! - A container's id is chosen when its task is taken over and journaled with it: whatever a crash
//!   interrupts, the runtime can be asked for the same container again, and none is made twice.
//! - What is on its way is part of the state, so looking again asks for nothing twice.

mod admission;
mod container;
mod due;
mod event;
mod health;
mod outcome;
mod phase;
mod report;
mod restart;
mod restore;
mod settings;
mod task;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use agent_protocol::acs::{TaskIdentifier, TaskManifest};
use agent_protocol::task::{DesiredStatus, Task};
use runtime::{ContainerId, Exit};
use terms::{TaskArn, Timestamp};

pub use admission::Capacity;
pub use container::{ContainerState, Stop, dependencies};
pub use event::{
    Command, ContainerRef, CreatedContainer, Creation, Delivery, End, Event, Failure, Place, Probe,
    PulledImage, Record, Sibling,
};
pub use health::{Health, Plan};
pub use outcome::Outcome;
pub use phase::{IllegalTransition, Phase, Status, Step};
pub use report::{ContainerChange, EXEC_AGENT, IN_FLIGHT_MAX, Marks, Reported, StateChange};
pub use restart::Restarts;
pub use settings::Settings;
pub use task::{Preparation, Removal, TaskState};

use report::Need;

/// The reason of a container that the kernel killed for want of memory (ecs-semantics §5.3).
pub const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

/// All tasks of one container instance.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    capacity: Capacity,
    tasks: BTreeMap<TaskArn, Arc<TaskState>>,
    by_container: BTreeMap<ContainerId, ContainerRef>,
    /// Tasks that wait for resources, first come first.
    waiting: VecDeque<TaskArn>,
    /// Tasks that wait for a report's turn.
    reports: VecDeque<TaskArn>,
    reports_in_flight: usize,
    deadlines: BTreeSet<(Timestamp, TaskArn)>,
    /// The time of the last event.
    newest: Option<Timestamp>,
    /// The clock was put back since the last tick.
    was_put_back: bool,
    deadline_of: BTreeMap<TaskArn, Timestamp>,
    /// The highest number of payloads and manifests; -1 before the first.
    sequence: i64,
    registered: Option<(String, String)>,
    /// Why no new task begins.
    disk_full: Option<String>,
}

impl Engine {
    /// An engine without tasks on an instance of this capacity.
    pub fn new(settings: Settings, capacity: Capacity) -> Self {
        Self {
            settings,
            capacity,
            tasks: BTreeMap::new(),
            by_container: BTreeMap::new(),
            waiting: VecDeque::new(),
            reports: VecDeque::new(),
            reports_in_flight: 0,
            deadlines: BTreeSet::new(),
            newest: None,
            was_put_back: false,
            deadline_of: BTreeMap::new(),
            sequence: -1,
            registered: None,
            disk_full: None,
        }
    }

    /// A task that the engine knows.
    pub fn task(&self, arn: &TaskArn) -> Option<&Arc<TaskState>> {
        self.tasks.get(arn)
    }

    /// All tasks that the engine knows, by ARN.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<TaskState>> {
        self.tasks.values()
    }

    /// The container instance's ARN and the cluster under which it was registered.
    pub fn registered(&self) -> Option<(&str, &str)> {
        self.registered.as_ref().map(|(arn, cluster)| (arn.as_str(), cluster.as_str()))
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes the registration: the record to journal.
    pub fn register(&mut self, arn: &str, cluster: &str) -> Outcome {
        let (arn, cluster) = (arn.to_owned(), cluster.to_owned());
        self.registered = Some((arn.clone(), cluster.clone()));
        let records = vec![Record::Registered { arn, cluster }];
        Outcome { records, ..Outcome::default() }
    }

    /// Takes a payload's number: the record to journal, if it is a new highest.
    pub fn observe_sequence(&mut self, number: Option<i64>, out: &mut Outcome) {
        if let Some(number) = number.filter(|&number| number > self.sequence) {
            self.sequence = number;
            out.records.push(Record::Sequence(number));
        }
    }

    /// The tasks that a manifest does not want running here; `None` if the manifest is stale and
    /// to be ignored without an ack (agent-protocol §2.5).
    pub fn manifest(
        &mut self,
        manifest: &TaskManifest,
        out: &mut Outcome,
    ) -> Option<Vec<TaskIdentifier>> {
        if manifest.timeline <= self.sequence {
            return None;
        }
        self.observe_sequence(Some(manifest.timeline), out);
        let wanted: BTreeSet<&TaskArn> = manifest
            .tasks
            .iter()
            .filter(|task| task.desired_status == "RUNNING")
            .map(|task| &task.task_arn)
            .collect();
        let unwanted = self.tasks.values().filter(|task| {
            task.desired == DesiredStatus::Running && !wanted.contains(&task.task.arn)
        });
        let candidate = |task: &Arc<TaskState>| TaskIdentifier {
            task_arn: task.task.arn.clone(),
            task_cluster_arn: manifest.cluster_arn.clone(),
            desired_status: "STOPPED".to_owned(),
        };
        Some(unwanted.map(candidate).collect())
    }

    /// What follows from an event at `now`.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Outcome {
        let mut out = Outcome::default();
        self.was_put_back |= self.newest.replace(now).is_some_and(|before| before > now);
        match event {
            Event::Wanted { task, ids } => self.wanted(task, &ids, now, &mut out),
            Event::Unreadable { task, reason } => self.unreadable(task, reason, now, &mut out),
            Event::Found { id, state, network } => {
                self.found(&id, state, network, now, &mut out);
                return out;
            }
            Event::Restored => self.restored(now, &mut out),
            Event::Exited { id, exit } => self.exited(&id, exit, now, &mut out),
            Event::Submitted { task, delivery } => self.submitted(&task, delivery, now, &mut out),
            Event::Removed { task, result } => self.removed(&task, result, now, &mut out),
            Event::Disk { is_low, full } => self.disk(is_low, full, now, &mut out),
            Event::Tick => self.tick(now, &mut out),
            Event::CleanUp { reports, stop_timeout_max } => {
                self.settings.stop_timeout_max = stop_timeout_max;
                self.clean_up(reports, now, &mut out);
            }
            Event::StopRequested { task } => {
                self.change(&task, now, &mut out, |task, out| task.stop("", out));
            }
            Event::Outgrown { task, reason } => {
                self.change(&task, now, &mut out, |task, out| task.stop(&reason, out));
            }
            Event::Prepared { task, result } => {
                self.change(&task, now, &mut out, |task, out| {
                    task.preparation = Preparation::Done;
                    if let Err(failure) = result {
                        task.refuse(&failure, now, out);
                    }
                });
            }
            Event::Resolved { container, digest } => {
                self.change_container(&container, now, &mut out, |c| {
                    c.resolved |= c.phase <= Phase::Pulling;
                    c.digest.get_or_insert(digest);
                });
            }
            Event::Pulled { container, result } => self.pulled(&container, result, now, &mut out),
            Event::Created { container, result } => {
                self.created(&container, result, now, &mut out);
            }
            Event::Started { container, result } => {
                self.started(&container, result, now, &mut out);
            }
            Event::Restarted { container, result } => {
                let index = container.index;
                self.change(&container.task, now, &mut out, |task, out| {
                    task.restarted(index, result, out);
                });
            }
            Event::Vanished { container } => self.vanished(&container, now, &mut out),
            Event::Released { container } => {
                self.change_container(&container, now, &mut out, |c| c.released = true);
            }
            Event::Probed { container, probe } => self.probed(&container, probe, now, &mut out),
        }
        self.admit(now, &mut out);
        self.send_reports(&mut out);
        out
    }

    /// Changes a task, if it is known, and asks for what follows from that.
    fn change(
        &mut self,
        arn: &TaskArn,
        now: Timestamp,
        out: &mut Outcome,
        change: impl FnOnce(&mut TaskState, &mut Outcome),
    ) {
        let Some(task) = self.tasks.get_mut(arn) else { return };
        let task = Arc::make_mut(task);
        change(task, out);
        let mut deadline = task.advance(&self.settings, now, out);
        match task.report_need(now) {
            Need::Nothing => {}
            Need::At(at) => deadline = Some(deadline.map_or(at, |other| other.min(at))),
            Need::Now => {
                task.report.queued = true;
                self.reports.push_back(arn.clone());
            }
        }
        self.set_deadline(arn, deadline);
        out.touched.insert(arn.clone());
    }

    fn set_deadline(&mut self, arn: &TaskArn, deadline: Option<Timestamp>) {
        if let Some(old) = self.deadline_of.remove(arn) {
            self.deadlines.remove(&(old, arn.clone()));
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, arn.clone()));
            self.deadline_of.insert(arn.clone(), at);
        }
    }

    fn change_container(
        &mut self,
        container: &ContainerRef,
        now: Timestamp,
        out: &mut Outcome,
        change: impl FnOnce(&mut ContainerState),
    ) {
        let index = container.index;
        self.change(&container.task, now, out, |task, _| {
            if let Some(container) = task.containers.get_mut(index) {
                change(container);
            }
        });
    }

    fn wanted(&mut self, task: Arc<Task>, ids: &[ContainerId], now: Timestamp, out: &mut Outcome) {
        let arn = task.arn.clone();
        if self.tasks.contains_key(&arn) {
            if task.desired_status == DesiredStatus::Stopped {
                self.change(&arn, now, out, |task, out| task.stop("", out));
            }
            return;
        }
        assert_eq!(ids.len(), task.containers.len(), "an id for each container of {arn}");
        let record = Record::Accepted { task: Arc::clone(&task), ids: ids.to_vec(), at: now };
        out.records.push(record);
        self.insert(task, ids, now);
        if self.tasks[&arn].desired == DesiredStatus::Running {
            self.waiting.push_back(arn.clone());
        }
        self.change(&arn, now, out, |task, out| task.refuse_impossible(now, out));
    }

    fn insert(&mut self, task: Arc<Task>, ids: &[ContainerId], now: Timestamp) {
        let arn = task.arn.clone();
        for (index, id) in ids.iter().enumerate() {
            let container = ContainerRef { task: arn.clone(), index };
            self.by_container.insert(id.clone(), container);
        }
        self.tasks.insert(arn, Arc::new(TaskState::new(task, ids, now)));
    }

    fn unreadable(&mut self, arn: TaskArn, reason: String, now: Timestamp, out: &mut Outcome) {
        if self.tasks.contains_key(&arn) {
            return;
        }
        // Misspelt so by Amazon's agent (agent-protocol §2.6).
        let reason = format!("UnrecogniedTaskError: Error loading task - {reason}");
        let task = Arc::new(Task::new(arn.clone(), DesiredStatus::Running));
        out.records.push(Record::Accepted { task: Arc::clone(&task), ids: vec![], at: now });
        self.insert(task, &[], now);
        self.change(&arn, now, out, |task, out| task.stop(&reason, out));
    }

    fn exited(&mut self, id: &ContainerId, exit: Exit, now: Timestamp, out: &mut Outcome) {
        let Some(container) = self.by_container.get(id).cloned() else { return };
        let (restarts, end) = (exit.restarts, restore::end_of(exit));
        self.change(&container.task, now, out, |task, out| {
            task.exited(container.index, restarts, end, out);
        });
    }

    fn pulled(
        &mut self,
        container: &ContainerRef,
        result: Result<PulledImage, Failure>,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let index = container.index;
        self.change(&container.task, now, out, |task, out| match result {
            Ok(image) => {
                let container = &mut task.containers[index];
                if container.step(Step::Pulled) {
                    container.digest = Some(image.digest.clone());
                    container.image = Some(image.clone());
                    out.records.push(Record::Image { task: task.task.arn.clone(), index, image });
                }
            }
            Err(failure) => task.fail(index, &failure, now, out),
        });
    }

    fn created(
        &mut self,
        container: &ContainerRef,
        result: Result<CreatedContainer, Failure>,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let index = container.index;
        self.change(&container.task, now, out, |task, out| match result {
            Ok(created) => {
                let container = &mut task.containers[index];
                if container.step(Step::Created) {
                    container.existed = true;
                    container.created_at = Some(created.at);
                    container.network = created.network;
                }
            }
            Err(failure) => task.fail(index, &failure, now, out),
        });
    }

    fn started(
        &mut self,
        container: &ContainerRef,
        result: Result<Timestamp, Failure>,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let index = container.index;
        self.change(&container.task, now, out, |task, out| match result {
            Ok(at) => {
                let container = &mut task.containers[index];
                if container.step(Step::Started) {
                    container.started_at = Some(at);
                    if let Some(health) = &mut container.health {
                        health.next_at = Some(at + health.plan.interval);
                    }
                }
            }
            Err(failure) => task.fail(index, &failure, now, out),
        });
    }

    /// A container that should run is not known to the runtime any more.
    fn vanished(&mut self, container: &ContainerRef, now: Timestamp, out: &mut Outcome) {
        let index = container.index;
        self.change(&container.task, now, out, |task, out| {
            let failure = Failure::new("NoSuchContainerError", "the container is gone");
            task.fail(index, &failure, now, out);
        });
    }

    fn submitted(&mut self, arn: &TaskArn, delivery: Delivery, now: Timestamp, out: &mut Outcome) {
        self.reports_in_flight = self.reports_in_flight.saturating_sub(1);
        self.change(arn, now, out, |task, out| match delivery {
            Delivery::Accepted | Delivery::Rejected => {
                let report = &mut task.report;
                if let Some(marks) = report.in_flight.take() {
                    report.sent.merge(&marks);
                }
                (report.failures, report.retry_at) = (0, None);
                let (task, marks) = (task.task.arn.clone(), report.sent.clone());
                out.records.push(Record::Sent { task, marks });
            }
            Delivery::Failed => task.report_failed(now),
        });
    }

    fn removed(
        &mut self,
        arn: &TaskArn,
        result: Result<(), Failure>,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        if result.is_err() {
            let again = Removal::Again(now + task::REMOVE_AGAIN);
            return self.change(arn, now, out, |task, _| task.removal = again);
        }
        let Some(task) = self.tasks.remove(arn) else { return };
        for container in &task.containers {
            self.by_container.remove(&container.id);
        }
        self.set_deadline(arn, None);
        out.touched.insert(arn.clone());
        out.records.push(Record::Removed { task: arn.clone() });
    }

    /// Gives waiting tasks their resources, first come first: one that does not fit holds the
    /// others up, as in Amazon's agent, unless it never could fit.
    fn admit(&mut self, now: Timestamp, out: &mut Outcome) {
        if self.waiting.is_empty() {
            return;
        }
        let mut used = Capacity {
            tcp: self.capacity.tcp.clone(),
            udp: self.capacity.udp.clone(),
            ..Capacity::default()
        };
        let reserved = used.clone();
        for task in self.tasks.values().filter(|task| task.holds_resources()) {
            used.add(&Capacity::of(&task.task));
        }
        while let Some(arn) = self.waiting.front().cloned() {
            let waits = self.tasks.get(&arn).filter(|task| task.desired == DesiredStatus::Running);
            let Some(need) = waits.map(|task| Capacity::of(&task.task)) else {
                self.waiting.pop_front();
                continue;
            };
            if let Some(why) = &self.disk_full {
                let failure = Failure::new("ResourceInitializationError", why);
                self.change(&arn, now, out, |task, out| task.refuse(&failure, now, out));
            } else if !self.capacity.fits(&reserved, &need) {
                let what = "the task needs more CPU or memory than the instance has, or a port \
                            that is reserved on it";
                let failure = Failure::new("ResourceInitializationError", what);
                self.change(&arn, now, out, |task, out| task.refuse(&failure, now, out));
            } else if self.capacity.fits(&used, &need) {
                used.add(&need);
                self.change(&arn, now, out, |task, _| task.admitted = true);
            } else {
                break;
            }
            self.waiting.pop_front();
        }
    }

    fn send_reports(&mut self, out: &mut Outcome) {
        while self.reports_in_flight < IN_FLIGHT_MAX {
            let Some(arn) = self.reports.pop_front() else { break };
            let Some(task) = self.tasks.get_mut(&arn) else { continue };
            let task = Arc::make_mut(task);
            task.report.queued = false;
            if let Some(change) = task.take_report() {
                self.reports_in_flight += 1;
                out.commands.push(Command::Submit { change });
            }
        }
    }
}
