//! Coming back: from the journal's records and from what the runtime says.

use std::sync::Arc;

use agent_protocol::task::DesiredStatus;
use runtime::{ContainerId, ContainerState as Found, Exit};
use terms::Timestamp;

use super::container::Stop;
use super::event::{Command, ContainerRef, End, Failure, Place, Record};
use super::phase::{Phase, Status};
use super::task::Preparation;
use super::{Capacity, Engine, OUT_OF_MEMORY, Outcome, Settings};

/// How the runtime's exit reads as an end.
pub(super) fn end_of(exit: Exit) -> End {
    let reason = if exit.oom { Some(OUT_OF_MEMORY.to_owned()) } else { exit.reason };
    End { code: Some(exit.code), reason, at: exit.at, started_at: exit.started_at }
}

impl Engine {
    /// The engine that wrote these records. What the runtime says of each container comes next
    /// ([`super::Event::Found`]), then [`super::Event::Restored`].
    pub fn replay(
        settings: Settings,
        capacity: Capacity,
        records: impl IntoIterator<Item = Record>,
    ) -> Self {
        let mut engine = Self::new(settings, capacity);
        for record in records {
            engine.replay_one(record);
        }
        engine
    }

    fn replay_one(&mut self, record: Record) {
        match record {
            Record::Registered { arn, cluster } => self.registered = Some((arn, cluster)),
            Record::Sequence(number) => self.sequence = self.sequence.max(number),
            Record::Accepted { task, ids, at } => {
                if ids.len() == task.containers.len() && !self.tasks.contains_key(&task.arn) {
                    self.insert(task, &ids, at);
                }
            }
            Record::Removed { task } => {
                if let Some(task) = self.tasks.remove(&task) {
                    for container in &task.containers {
                        self.by_container.remove(&container.id);
                    }
                }
            }
            Record::Stopping { ref task, .. }
            | Record::Image { ref task, .. }
            | Record::Health { ref task, .. }
            | Record::Restarting { ref task, .. }
            | Record::Ended { ref task, .. }
            | Record::Sent { ref task, .. } => {
                if let Some(task) = self.tasks.get_mut(task) {
                    Arc::make_mut(task).replay(record);
                }
            }
        }
    }

    /// The fewest records that give this engine back: what a compacted journal holds.
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if let Some((arn, cluster)) = self.registered.clone() {
            records.push(Record::Registered { arn, cluster });
        }
        if self.sequence >= 0 {
            records.push(Record::Sequence(self.sequence));
        }
        for task in self.tasks.values() {
            task.write_records(&mut records);
        }
        records
    }

    /// The ids of all containers that the engine knows.
    pub fn container_ids(&self) -> Vec<ContainerId> {
        self.by_container.keys().cloned().collect()
    }

    /// The container of this id.
    pub fn container(&self, id: &ContainerId) -> Option<&ContainerRef> {
        self.by_container.get(id)
    }

    /// What the runtime says of a container after a restart.
    pub(super) fn found(
        &mut self,
        id: &ContainerId,
        state: Option<Found>,
        network: Option<Place>,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let Some(ContainerRef { task, index }) = self.by_container.get(id).cloned() else { return };
        let Some(task) = self.tasks.get_mut(&task) else { return };
        let task = Arc::make_mut(task);
        let was_running = task.report.sent.containers.get(index) >= Some(&Status::Running);
        let container = &mut task.containers[index];
        container.existed |= state.is_some() || was_running;
        container.network = network;
        if container.phase == Phase::Stopped {
            return;
        }
        match state {
            // Made ready to run again, but not started yet.
            Some(Found::Created { .. }) if container.restarts.count > 0 => {
                container.phase = Phase::Running;
                container.created_at = Some(now);
            }
            Some(Found::Created { .. }) => {
                container.phase = Phase::Created;
                container.created_at = Some(now);
            }
            // Not made ready yet.
            Some(Found::Exited(exit)) if exit.restarts < container.restarts.count => {
                container.phase = Phase::Running;
                container.created_at = exit.started_at;
                container.started_at = exit.started_at;
            }
            Some(Found::Running { started_at, .. }) => {
                container.phase = Phase::Running;
                container.restarts.is_pending = false;
                container.created_at = Some(started_at);
                container.started_at = Some(started_at);
            }
            Some(Found::Exited(exit)) => {
                container.phase = Phase::Running;
                container.restarts.is_pending = false;
                task.exited(index, exit.restarts, end_of(exit), out);
                // Its network is released, or it is restarted, when all is known: see `adopt`.
                out.commands.clear();
            }
            None if was_running => {
                container.phase = Phase::Running;
                let what = "the container was gone when the agent started again";
                let failure = Failure::new("NoSuchContainerError", what);
                task.fail(index, &failure, now, out);
                out.commands.clear();
            }
            // Nothing was made of it yet, or what was is gone: it begins again.
            None => {}
        }
    }

    /// Goes on with everything, now that the runtime has told what it knows.
    pub(super) fn restored(&mut self, now: Timestamp, out: &mut Outcome) {
        for arn in self.tasks.keys().cloned().collect::<Vec<_>>() {
            let task = &self.tasks[&arn];
            let exists = task.containers.iter().any(|container| container.existed);
            let live = task.desired == DesiredStatus::Running;
            if live && !exists {
                self.waiting.push_back(arn.clone());
            }
            let first = |task: &mut super::TaskState, out: &mut Outcome| {
                task.admitted = exists;
                if exists {
                    task.preparation = Preparation::Done;
                }
                task.adopt(now, out);
            };
            self.change(&arn, now, out, first);
        }
        let accepted = |arn: &terms::TaskArn| self.tasks[arn].accepted_at;
        let mut waiting: Vec<_> = self.waiting.drain(..).collect();
        waiting.sort_by_key(|arn| (accepted(arn), arn.clone()));
        self.waiting = waiting.into();
    }
}

impl super::TaskState {
    fn replay(&mut self, record: Record) {
        match record {
            Record::Stopping { reason, .. } => {
                self.desired = DesiredStatus::Stopped;
                self.reason = reason;
            }
            Record::Image { index, image, .. } => {
                if let Some(container) = self.containers.get_mut(index) {
                    container.digest = Some(image.digest.clone());
                    container.image = Some(image);
                }
            }
            Record::Health { index, status, since, .. } => {
                let health = self.containers.get_mut(index).and_then(|c| c.health.as_mut());
                if let Some(health) = health {
                    (health.status, health.since) = (status, since);
                }
            }
            Record::Restarting { index, count, end, .. } => self.note_restart(index, count, end),
            Record::Ended { index, end, .. } => {
                if let Some(container) = self.containers.get_mut(index) {
                    container.phase = Phase::Stopped;
                    container.started_at = end.started_at;
                    if container.essential {
                        self.execution_stopped_at.get_or_insert(end.at);
                        self.desired = DesiredStatus::Stopped;
                    }
                    container.existed |= end.code.is_some();
                    container.end = Some(end);
                }
            }
            Record::Sent { marks, .. } => {
                self.reached_running |= marks.task == Status::Running;
                self.report.sent.merge(&marks);
            }
            Record::Registered { .. }
            | Record::Sequence(_)
            | Record::Accepted { .. }
            | Record::Removed { .. } => unreachable!("only records of a task come here"),
        }
    }

    fn write_records(&self, records: &mut Vec<Record>) {
        let arn = &self.task.arn;
        records.push(Record::Accepted {
            task: Arc::clone(&self.task),
            ids: self.containers.iter().map(|container| container.id.clone()).collect(),
            at: self.accepted_at,
        });
        if self.desired == DesiredStatus::Stopped {
            records.push(Record::Stopping { task: arn.clone(), reason: self.reason.clone() });
        }
        for (index, container) in self.containers.iter().enumerate() {
            let task = || arn.clone();
            if let Some(image) = container.image.clone() {
                records.push(Record::Image { task: task(), index, image });
            }
            if let Some(health) = &container.health {
                let (status, since) = (health.status, health.since);
                records.push(Record::Health { task: task(), index, status, since });
            }
            if let Some(end) = container.restarts.last.clone() {
                let count = container.restarts.count;
                records.push(Record::Restarting { task: task(), index, count, end });
            }
            if let Some(end) = container.end.clone() {
                records.push(Record::Ended { task: task(), index, end });
            }
        }
        if self.report.sent != super::Marks::default() {
            let marks = self.report.sent.clone();
            records.push(Record::Sent { task: arn.clone(), marks });
        }
    }

    /// Takes what was found alive under its wing.
    fn adopt(&mut self, now: Timestamp, out: &mut Outcome) {
        for index in 0..self.containers.len() {
            let container = &mut self.containers[index];
            let reference = ContainerRef { task: self.task.arn.clone(), index };
            let id = container.id.clone();
            match container.phase {
                Phase::Created | Phase::Running => {
                    let restarts = container.restarts.is_pending;
                    if let Some(health) = &mut container.health {
                        health.next_at = Some(now + health.plan.interval);
                    }
                    container.stop = Stop::NotAsked;
                    let task = Arc::clone(&self.task);
                    out.commands.push(Command::Serve { container: reference, id, task });
                    if restarts {
                        self.go_on_restarting(index, out);
                    }
                }
                // Its network may be left from before.
                Phase::Stopped if !container.released => {
                    out.commands.push(Command::Release { container: reference, id });
                }
                Phase::None
                | Phase::Pulling
                | Phase::Pulled
                | Phase::Creating
                | Phase::Starting
                | Phase::Stopped => {}
            }
        }
    }
}
