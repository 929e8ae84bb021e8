//! The one place where the engine is told things: events in, journal first, then effects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_protocol::acs::{Payload, TaskIdentifier, TaskManifest};
use agent_protocol::task::{Credentials, PayloadTask, Task};
use runtime::{ContainerEvent, ContainerId};
use terms::{Clock, IdSource, TaskArn, TaskId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::effects::Executor;
use crate::engine::{Command, Engine, Event, Outcome, Status};
use crate::journal::{Journal, JournalError};
use crate::view::{CredentialStore, View};

/// Inputs that wait for the core; senders wait when it is full.
const INPUTS_MAX: usize = 1024;
/// Inputs that share one write of the journal.
const BATCH_MAX: usize = 128;
/// The longest sleep between two looks at the clock.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// What the core is told.
pub(crate) enum Input {
    /// An event for the engine.
    Event(Event),
    /// A payload; answered once the journal holds it.
    Payload(Box<Payload>, oneshot::Sender<Taken>),
    /// A manifest; answered once the journal holds its number, with the stop candidates, or with
    /// `None` if it is stale.
    Manifest(Box<TaskManifest>, oneshot::Sender<Option<Vec<TaskIdentifier>>>),
    /// The instance was registered; answered once the journal holds its ARN.
    Registered { arn: String, cluster: String, done: oneshot::Sender<()> },
    /// Answered when no task is left, or at once if there is none.
    WhenEmpty(oneshot::Sender<()>),
    /// Answered when every task has stopped.
    WhenStopped(oneshot::Sender<()>),
}

/// What was taken of a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Whether every task was readable: only then the payload is acknowledged.
    pub(crate) all: bool,
    /// Id and expiration of the credentials in it.
    pub(crate) credentials: Vec<(String, String)>,
}

/// Tells the core things. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle(mpsc::Sender<Input>);

impl Handle {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Input>) {
        let (sender, receiver) = mpsc::channel(INPUTS_MAX);
        (Self(sender), receiver)
    }

    /// Tells an event. Lost only when the core has ended.
    pub(crate) async fn tell(&self, event: Event) {
        _ = self.0.send(Input::Event(event)).await;
    }

    /// Hands a payload over; `None` when the core has ended.
    pub(crate) async fn payload(&self, payload: Payload) -> Option<Taken> {
        let (answer, taken) = oneshot::channel();
        self.0.send(Input::Payload(Box::new(payload), answer)).await.ok()?;
        taken.await.ok()
    }

    /// Hands a manifest over; `None` when it is stale or the core has ended.
    pub(crate) async fn manifest(&self, manifest: TaskManifest) -> Option<Vec<TaskIdentifier>> {
        let (answer, candidates) = oneshot::channel();
        self.0.send(Input::Manifest(Box::new(manifest), answer)).await.ok()?;
        candidates.await.ok()?
    }

    /// Returns when the journal holds the registration.
    pub(crate) async fn registered(&self, arn: &str, cluster: &str) {
        let (done, held) = oneshot::channel();
        let (arn, cluster) = (arn.to_owned(), cluster.to_owned());
        if self.0.send(Input::Registered { arn, cluster, done }).await.is_ok() {
            _ = held.await;
        }
    }

    /// Returns when every task has stopped.
    pub(crate) async fn stopped(&self) {
        let (answer, stopped) = oneshot::channel();
        if self.0.send(Input::WhenStopped(answer)).await.is_ok() {
            _ = stopped.await;
        }
    }

    /// Returns when no task is left.
    pub(crate) async fn empty(&self) {
        let (answer, empty) = oneshot::channel();
        if self.0.send(Input::WhenEmpty(answer)).await.is_ok() {
            _ = empty.await;
        }
    }
}

/// Answers that go out once the journal holds what they confirm.
enum Answer {
    Done(oneshot::Sender<()>),
    Taken(oneshot::Sender<Taken>, Taken),
    Candidates(oneshot::Sender<Option<Vec<TaskIdentifier>>>, Option<Vec<TaskIdentifier>>),
}

pub(crate) struct Core {
    pub(crate) engine: Engine,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) executor: Executor,
    pub(crate) view: Arc<View>,
    pub(crate) credentials: Arc<CredentialStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) events: mpsc::Receiver<ContainerEvent>,
    pub(crate) waits_for_empty: Vec<oneshot::Sender<()>>,
    pub(crate) waits_for_stopped: Vec<oneshot::Sender<()>>,
}

impl Core {
    /// Works until every [`Handle`] is gone, or the journal fails.
    pub(crate) async fn run(mut self) -> Result<(), JournalError> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut runtime_is_there = true;
        loop {
            let sleep = self.sleep();
            tokio::select! {
                biased;
                event = self.events.recv(), if runtime_is_there => match event {
                    Some(ContainerEvent::Exited { id, exit }) => {
                        batch.push(Input::Event(Event::Exited { id, exit }));
                    }
                    None => runtime_is_there = false,
                },
                count = self.inputs.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep(sleep) => batch.push(Input::Event(Event::Tick)),
            }
            self.take(batch.drain(..)).await?;
        }
    }

    fn sleep(&self) -> Duration {
        let now = self.clock.now();
        let deadline = self.engine.next_deadline();
        deadline.map_or(SLEEP_MAX, |at| at.since(now).min(SLEEP_MAX))
    }

    /// Takes inputs: one write of the journal for all, then commands and answers.
    async fn take(&mut self, inputs: impl Iterator<Item = Input>) -> Result<(), JournalError> {
        let mut out = Outcome::default();
        let (mut answers, mut journaled) = (Vec::new(), Vec::new());
        for input in inputs {
            let now = self.clock.now();
            meters::agent().events.inc();
            match input {
                Input::Event(event) => {
                    let outcome = self.engine.handle(event, now);
                    merge(&mut out, outcome);
                }
                Input::Payload(payload, answer) => {
                    journaled.extend(new_tasks(&payload).map(|task| (task, now)));
                    let taken = self.payload(*payload, now, &mut out);
                    answers.push(Answer::Taken(answer, taken));
                }
                Input::Manifest(manifest, answer) => {
                    let candidates = self.engine.manifest(&manifest, &mut out);
                    answers.push(Answer::Candidates(answer, candidates));
                }
                Input::Registered { arn, cluster, done } => {
                    if self.engine.registered() != Some((&arn, &cluster)) {
                        merge(&mut out, self.engine.register(&arn, &cluster));
                    }
                    answers.push(Answer::Done(done));
                }
                Input::WhenEmpty(answer) => self.waits_for_empty.push(answer),
                Input::WhenStopped(answer) => self.waits_for_stopped.push(answer),
            }
        }
        self.carry_out(out).await?;
        for (task, since) in journaled {
            meters::step!("journal", task, since.millis());
        }
        self.count();
        for answer in answers {
            match answer {
                Answer::Done(done) => _ = done.send(()),
                Answer::Taken(answer, taken) => _ = answer.send(taken),
                Answer::Candidates(answer, candidates) => _ = answer.send(candidates),
            }
        }
        let waits = !self.waits_for_stopped.is_empty();
        if waits && self.engine.tasks().all(|task| task.status() == Status::Stopped) {
            self.waits_for_stopped.drain(..).for_each(|answer| _ = answer.send(()));
        }
        if self.engine.tasks().next().is_none() {
            self.waits_for_empty.drain(..).for_each(|answer| _ = answer.send(()));
        }
        Ok(())
    }

    /// Tells how many tasks and containers there are.
    fn count(&self) {
        let (mut tasks, mut running, mut stopped, mut coming) = (0, 0, 0, 0);
        for task in self.engine.tasks() {
            tasks += 1;
            for container in &task.containers {
                match container.status() {
                    Status::Running => running += 1,
                    Status::Stopped => stopped += 1,
                    Status::None | Status::ManifestPulled | Status::Pulled | Status::Created => {
                        coming += 1;
                    }
                }
            }
        }
        meters::agent()
            .counted(tasks, [("coming", coming), ("running", running), ("stopped", stopped)]);
    }

    /// Journals what is to be kept, then has the commands carried out.
    pub(crate) async fn carry_out(&mut self, out: Outcome) -> Result<(), JournalError> {
        if !out.records.is_empty() {
            let durable = out.is_durable();
            let (begun, records) = (Instant::now(), out.records.len());
            self.journal.append(out.records, durable).await?;
            meters::agent().journal_seconds.observe(begun.elapsed().as_secs_f64());
            meters::agent().journal_records.inc_by(records as u64);
            if self.journal.wants_compaction() {
                self.journal.compact(self.engine.records()).await?;
            }
        }
        self.forget_credentials(&out.touched);
        self.view.update(&self.engine, &out.touched);
        for command in out.commands {
            self.executor.execute(command);
        }
        Ok(())
    }

    /// Credentials go with their tasks.
    fn forget_credentials(&self, touched: &std::collections::BTreeSet<TaskArn>) {
        for arn in touched {
            let Some(task) = self.view.task(arn) else { continue };
            let over = self.engine.task(arn).is_none_or(|task| task.status() == Status::Stopped);
            if over {
                self.executor.forget(arn);
                let task = &task.task;
                let roles = [&task.role_credentials, &task.execution_role_credentials];
                for credentials in roles.into_iter().flatten() {
                    self.credentials.remove(&credentials.credentials_id);
                }
            }
        }
    }

    /// Stops before starts (agent-protocol §2.6).
    fn payload(&mut self, payload: Payload, now: Timestamp, out: &mut Outcome) -> Taken {
        use agent_protocol::task::DesiredStatus;
        let mut taken = Taken { all: true, credentials: Vec::new() };
        let mut tasks: Vec<Task> = Vec::new();
        for task in payload.tasks {
            match task {
                PayloadTask::Valid(task) => tasks.push(*task),
                PayloadTask::Invalid(invalid) => {
                    taken.all = false;
                    tracing::warn!(error = invalid.error, "a task of a payload is unreadable");
                    if let Some(task) = invalid.arn {
                        let event = Event::Unreadable { task, reason: invalid.error };
                        merge(out, self.engine.handle(event, now));
                    }
                }
            }
        }
        tasks.sort_by_key(|task| task.desired_status != DesiredStatus::Stopped);
        for mut task in tasks {
            self.take_credentials(&mut task, &mut taken);
            let count = task.containers.len();
            let is_new = self.engine.task(&task.arn).is_none();
            let ids =
                if is_new { (0..count).map(|_| self.container_id()).collect() } else { vec![] };
            let event = Event::Wanted { task: Arc::new(task), ids };
            merge(out, self.engine.handle(event, now));
        }
        self.engine.observe_sequence(payload.seq_num, out);
        taken
    }

    /// Moves the task's credentials to the store: only their ids stay in the task.
    fn take_credentials(&self, task: &mut Task, taken: &mut Taken) {
        for role in [&mut task.role_credentials, &mut task.execution_role_credentials] {
            let Some(credentials) = role.take() else { continue };
            let id = credentials.credentials_id.clone();
            taken.credentials.push((id.clone(), credentials.expiration.clone()));
            let role_arn = credentials.role_arn.clone();
            *role = Some(Credentials { credentials_id: id, role_arn, ..Credentials::default() });
            if task.desired_status == agent_protocol::task::DesiredStatus::Running {
                self.credentials.put(credentials);
            }
        }
    }

    fn container_id(&self) -> ContainerId {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.ids.next());
        bytes[16..].copy_from_slice(&self.ids.next());
        ContainerId::from_bytes(bytes)
    }
}

/// The tasks of a payload that are to run.
fn new_tasks(payload: &Payload) -> impl Iterator<Item = TaskId> + '_ {
    use agent_protocol::task::DesiredStatus;
    payload.tasks.iter().filter_map(|task| match task {
        PayloadTask::Valid(task) if task.desired_status == DesiredStatus::Running => {
            Some(task.arn.id)
        }
        PayloadTask::Valid(_) | PayloadTask::Invalid(_) => None,
    })
}

/// Both outcomes, one after the other. A health change needs to be told once.
pub(crate) fn merge(all: &mut Outcome, one: Outcome) {
    all.records.extend(one.records);
    all.touched.extend(one.touched);
    for command in one.commands {
        let repeated = command == Command::HealthChanged && all.commands.contains(&command);
        if !repeated {
            all.commands.push(command);
        }
    }
}
