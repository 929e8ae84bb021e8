//! Properties of the engine alone, under random orders of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agent::engine::{
    Capacity, Command, ContainerRef, CreatedContainer, Delivery, Engine, Event, Failure, Outcome,
    Phase, Probe, PulledImage, Record, Reported, Settings, Status,
};
use agent_protocol::task::{Container, DependencyCondition, DesiredStatus, Task};
use proptest::prelude::*;
use runtime::{ContainerId, Exit};
use terms::{TaskArn, Timestamp};

use crate::harness::{after, container, sidecar, task};

/// What the world may do next, chosen by random numbers.
struct Model {
    engine: Engine,
    now: Timestamp,
    /// Commands that were not answered yet.
    open: Vec<Command>,
    /// Containers that run, by id.
    running: BTreeMap<ContainerId, ContainerRef>,
    phases: BTreeMap<ContainerRef, Phase>,
    statuses: BTreeMap<TaskArn, Status>,
    reports: BTreeMap<TaskArn, Vec<Reported>>,
    started: BTreeMap<ContainerId, usize>,
    journal: Vec<Record>,
}

impl Model {
    fn new() -> Self {
        let capacity = Capacity { cpu: 4096, memory: 4096, ..Capacity::default() };
        Self {
            engine: Engine::new(Settings::default(), capacity),
            now: Timestamp::from_millis(0),
            open: Vec::new(),
            running: BTreeMap::new(),
            phases: BTreeMap::new(),
            statuses: BTreeMap::new(),
            reports: BTreeMap::new(),
            started: BTreeMap::new(),
            journal: Vec::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        let outcome = self.engine.handle(event, self.now);
        self.check(&outcome);
        self.journal.extend(outcome.records);
        self.open.extend(outcome.commands);
    }

    /// What holds after every event.
    fn check(&mut self, outcome: &Outcome) {
        for task in self.engine.tasks() {
            let arn = &task.task.arn;
            for (index, container) in task.containers.iter().enumerate() {
                let key = ContainerRef { task: arn.clone(), index };
                let before = self.phases.insert(key, container.phase).unwrap_or_default();
                assert!(container.phase >= before, "{before:?} to {:?}", container.phase);
                let over = container.essential && container.phase == Phase::Stopped;
                assert!(
                    !over || task.desired == DesiredStatus::Stopped,
                    "an essential end ends all"
                );
            }
            let before = self.statuses.insert(arn.clone(), task.status()).unwrap_or_default();
            assert!(task.status() >= before, "{before:?} to {:?}", task.status());
        }
        for command in &outcome.commands {
            match command {
                Command::Start { id, .. } => {
                    let count = self.started.entry(id.clone()).or_default();
                    *count += 1;
                    assert_eq!(*count, 1, "a container is started once");
                }
                Command::Create(creation) => self.check_order_up(&creation.container),
                Command::Signal { container, signal, .. } if signal != "SIGKILL" => {
                    self.check_order_down(container);
                }
                Command::Submit { change } => {
                    let sent = self.reports.entry(change.task.clone()).or_default();
                    assert!(sent.last().is_none_or(|last| *last <= change.status), "{sent:?}");
                    sent.push(change.status);
                }
                _ => {}
            }
        }
    }

    /// A container is created only after what it waits for.
    fn check_order_up(&self, container: &ContainerRef) {
        let state = self.engine.task(&container.task).unwrap();
        for dependency in &state.task.containers[container.index].depends_on {
            let name = &dependency.container_name;
            let other = state.containers.iter().find(|c| c.name == *name).unwrap();
            let code = other.end.as_ref().and_then(|end| end.code);
            let met = match dependency.condition {
                DependencyCondition::Start => other.ran_since().is_some(),
                DependencyCondition::Success => code == Some(0),
                DependencyCondition::Complete => code.is_some(),
                DependencyCondition::Create | DependencyCondition::Healthy => true,
            };
            assert!(met, "{name} has not reached {:?}", dependency.condition);
        }
    }

    /// A container is asked to end only after those that depend on it have ended.
    fn check_order_down(&self, container: &ContainerRef) {
        let state = self.engine.task(&container.task).unwrap();
        let name = &state.containers[container.index].name;
        for (definition, other) in state.task.containers.iter().zip(&state.containers) {
            let depends = definition.depends_on.iter().any(|d| d.container_name == *name);
            assert!(!depends || other.phase == Phase::Stopped, "{} needs {name}", other.name);
        }
    }

    /// One step: an answer to an open command, an exit, or time.
    fn step(&mut self, choice: u16, luck: u8) {
        let count = self.open.len() + self.running.len() + 1;
        let index = usize::from(choice) % count;
        if index < self.open.len() {
            let command = self.open.remove(index);
            self.answer(command, luck);
        } else if let Some(id) = self.running.keys().nth(index - self.open.len()).cloned() {
            // Most things run on.
            if luck < 64 {
                self.exit(&id, i32::from(luck % 3));
            }
        } else {
            self.pass(Duration::from_secs(u64::from(luck)));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.tell(Event::Tick);
    }

    fn exit(&mut self, id: &ContainerId, code: i32) {
        if self.running.remove(id).is_some() {
            let (at, started_at) = (self.now, Some(self.now));
            let exit = Exit { code, oom: false, at, started_at, reason: None, restarts: 0 };
            self.tell(Event::Exited { id: id.clone(), exit });
        }
    }

    /// The answer to a command; with bad luck a failure.
    fn answer(&mut self, command: Command, luck: u8) {
        let failure = || Failure::new("SomeError", "bad luck");
        let bad = luck < 8;
        match command {
            Command::Prepare { task } => {
                self.tell(Event::Prepared { task: task.arn.clone(), result: Ok(()) });
            }
            Command::Withdraw { .. } => {}
            Command::Pull { container, .. } => {
                let image = PulledImage {
                    digest: "sha256:a".to_owned(),
                    image_id: "sha256:b".to_owned(),
                    stop_signal: None,
                    pulled: None,
                };
                let result = if bad { Err(failure()) } else { Ok(image) };
                self.tell(Event::Pulled { container, result });
            }
            Command::Create(creation) => {
                let result = if bad { Err(failure()) } else { Ok(CreatedContainer::default()) };
                self.tell(Event::Created { container: creation.container, result });
            }
            Command::Start { container, id } => {
                if bad {
                    return self.tell(Event::Started { container, result: Err(failure()) });
                }
                self.running.insert(id.clone(), container.clone());
                // A short one may end before its start is told.
                if luck < 16 {
                    self.exit(&id, 0);
                }
                self.tell(Event::Started { container, result: Ok(self.now) });
            }
            Command::Restart { container, id, .. } => {
                if bad {
                    return self.tell(Event::Restarted { container, result: Err(failure()) });
                }
                self.running.insert(id, container.clone());
                self.tell(Event::Restarted { container, result: Ok(self.now) });
            }
            Command::Signal { id, signal, .. } => {
                if signal == "SIGKILL" || luck.is_multiple_of(2) {
                    self.exit(&id, 143);
                }
            }
            Command::Probe { container, .. } => {
                let probe = Probe { code: Some(i32::from(bad)), output: String::new() };
                self.tell(Event::Probed { container, probe });
            }
            Command::Release { container, .. } => self.tell(Event::Released { container }),
            Command::Submit { change } => {
                let delivery = if bad { Delivery::Failed } else { Delivery::Accepted };
                self.tell(Event::Submitted { task: change.task, delivery });
            }
            Command::Remove { task, .. } => {
                let result = if bad { Err(failure()) } else { Ok(()) };
                self.tell(Event::Removed { task: task.arn.clone(), result });
            }
            Command::CancelPull { .. } | Command::Serve { .. } | Command::HealthChanged => {}
        }
    }

    /// A payload for a task; none comes for one that has been removed: it was acknowledged long ago.
    fn want(&mut self, task: &Task) {
        if self.statuses.contains_key(&task.arn) && self.engine.task(&task.arn).is_none() {
            return;
        }
        let number = task.arn.id.bytes()[15];
        let id = |index: usize| ContainerId::from_bytes([number * 16 + index as u8; 32]);
        let ids = (0..task.containers.len()).map(id).collect();
        self.tell(Event::Wanted { task: Arc::new(task.clone()), ids });
    }

    /// The journal gives the same tasks back.
    fn check_replay(&self) {
        let of = |engine: &Engine| -> BTreeSet<String> {
            let line = |task: &Arc<agent::engine::TaskState>| {
                let ended: Vec<_> = task.containers.iter().map(|c| c.end.is_some()).collect();
                format!("{} {:?} {ended:?} {:?}", task.task.arn, task.desired, task.report.sent)
            };
            engine.tasks().map(line).collect()
        };
        let replay = |records| Engine::replay(Settings::default(), Capacity::default(), records);
        let replayed = replay(self.journal.clone());
        assert_eq!(of(&replayed), of(&self.engine));
        let compacted = replay(self.engine.records());
        assert_eq!(of(&compacted), of(&self.engine));
    }
}

fn tasks() -> Vec<Task> {
    let small = |container: Container| Container { memory: 1000, ..container };
    let (start, success, complete) =
        (DependencyCondition::Start, DependencyCondition::Success, DependencyCondition::Complete);
    vec![
        task(1, vec![small(container("a", "run"))]),
        task(
            2,
            vec![
                sidecar("init", "run"),
                container("db", "run"),
                after(after(small(container("app", "run")), "init", success), "db", start),
                after(sidecar("log", "run"), "app", start),
            ],
        ),
        task(3, vec![sidecar("a", "run"), after(sidecar("b", "run"), "a", complete)]),
        task(4, vec![small(small(container("big", "run"))), small(container("bigger", "run"))]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn tasks_only_move_forward_and_all_end_when_told(
        steps in proptest::collection::vec((any::<u16>(), any::<u8>(), 0..40_u8), 1..200),
    ) {
        let mut model = Model::new();
        let tasks = tasks();
        for task in &tasks {
            model.want(task);
        }
        for (choice, luck, special) in steps {
            match special {
                0..4 => {
                    let task = &tasks[usize::from(special)];
                    model.tell(Event::StopRequested { task: task.arn.clone() });
                }
                // A payload that comes again changes nothing.
                4..8 => model.want(&tasks[usize::from(special) - 4]),
                _ => model.step(choice, luck),
            }
        }
        model.check_replay();
        for task in &tasks {
            model.tell(Event::StopRequested { task: task.arn.clone() });
        }
        for round in 0..400_u16 {
            if model.open.is_empty() {
                model.pass(Duration::from_secs(60));
            } else {
                model.step(round % model.open.len() as u16, 255);
            }
        }
        for task in model.engine.tasks() {
            prop_assert_eq!(task.status(), Status::Stopped);
            prop_assert!(task.is_settled());
        }
        for (arn, reports) in &model.reports {
            let stopped = reports.iter().filter(|status| **status == Reported::Stopped).count();
            prop_assert!(stopped >= 1, "{} was reported STOPPED", arn);
        }
        model.pass(Duration::from_secs(4 * 3600));
        while let Some(command) = model.open.pop() {
            model.answer(command, 255);
        }
        prop_assert_eq!(model.engine.tasks().count(), 0, "all is removed in the end");
        prop_assert_eq!(model.engine.records().len(), 0);
    }
}
