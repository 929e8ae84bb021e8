//! What the tests of sessions share: fixed ids, a clock that stands, an instance made of plain
//! values, and a transport without a socket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use agent_protocol::acs::RoleType;
use agent_protocol::task::{DesiredStatus as PayloadDesired, Task as PayloadTask};
use terms::{Clock, ContainerInstanceArn, IdSource, TaskArn, TaskId, Timestamp};
use tokio::sync::mpsc;

use super::transport::{Close, Gone, Received, Transport};
use super::view::{InstanceView, Standing, TaskView};
use crate::model::{AgentUpdate, DesiredStatus, TaskStatus};

/// Counts.
#[derive(Default)]
pub(super) struct CountedIds(AtomicU64);

impl IdSource for CountedIds {
    fn next(&self) -> [u8; 16] {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        u128::from(number).to_be_bytes()
    }
}

/// Says what it was last told.
pub(super) struct HeldClock(AtomicI64);

impl HeldClock {
    pub(super) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now.millis())))
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Follows tokio's own time, which tests pause.
pub(super) struct TokioClock(pub(super) tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_226_828_000) + self.0.elapsed()
    }
}

pub(super) fn task_id(number: u32) -> TaskId {
    TaskId::from_bytes(u128::from(number).to_be_bytes())
}

pub(super) fn task_arn(number: u32) -> TaskArn {
    let text = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{}", task_id(number));
    text.parse().expect("a task ARN")
}

pub(super) fn instance_arn() -> ContainerInstanceArn {
    let id = "a".repeat(32);
    let text = format!("arn:aws:ecs:us-east-1:000000000000:container-instance/default/{id}");
    text.parse().expect("an instance ARN")
}

/// An instance made of plain values.
#[derive(Clone)]
pub(super) struct PlainView {
    pub(super) standing: Standing,
    pub(super) tasks: BTreeMap<TaskId, TaskView>,
    pub(super) update: Option<AgentUpdate>,
}

impl PlainView {
    pub(super) fn with(tasks: impl IntoIterator<Item = TaskView>) -> Self {
        let tasks = tasks.into_iter().map(|task| (task.arn.id, task)).collect();
        Self { standing: Standing::Member, tasks, update: None }
    }

    pub(super) fn put(&mut self, task: TaskView) {
        self.tasks.insert(task.arn.id, task);
    }
}

pub(super) fn task(number: u32, status: TaskStatus, desired: DesiredStatus) -> TaskView {
    TaskView { arn: task_arn(number), desired, status, roles: Vec::new() }
}

pub(super) fn pending(number: u32) -> TaskView {
    task(number, TaskStatus::Pending, DesiredStatus::Running)
}

pub(super) fn stopping(number: u32) -> TaskView {
    task(number, TaskStatus::Stopping, DesiredStatus::Stopped)
}

pub(super) fn with_role(mut task: TaskView) -> TaskView {
    let arn = "arn:aws:iam::000000000000:role/app".to_owned();
    task.roles = vec![(RoleType::TaskApplication, arn)];
    task
}

impl InstanceView for PlainView {
    fn standing(&self) -> Standing {
        self.standing.clone()
    }

    fn update(&self) -> Option<AgentUpdate> {
        self.update.clone()
    }

    fn task(&self, id: TaskId) -> Option<TaskView> {
        self.tasks.get(&id).cloned()
    }

    fn tasks(&self) -> Vec<TaskView> {
        let live = self.tasks.values().filter(|task| task.status != TaskStatus::Stopped);
        live.cloned().collect()
    }

    fn payload(&self, id: TaskId) -> Result<PayloadTask, String> {
        let task = self.task(id).ok_or("no such task")?;
        let desired = match task.desired {
            DesiredStatus::Running => PayloadDesired::Running,
            DesiredStatus::Stopped => PayloadDesired::Stopped,
        };
        Ok(PayloadTask::new(task.arn, desired))
    }
}

/// What a session did on a [`Wire`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard<O> {
    Message(O),
    Closed(Close),
}

/// The session's end of a connection without a socket.
pub(super) struct Wire<I, O> {
    incoming: mpsc::Receiver<I>,
    outgoing: mpsc::Sender<Heard<O>>,
}

/// The agent's end.
pub(super) struct Peer<I, O> {
    pub(super) say: Option<mpsc::Sender<I>>,
    pub(super) heard: mpsc::Receiver<Heard<O>>,
}

pub(super) fn wire<I, O>() -> (Wire<I, O>, Peer<I, O>) {
    let (say, incoming) = mpsc::channel(64);
    let (outgoing, heard) = mpsc::channel(64);
    (Wire { incoming, outgoing }, Peer { say: Some(say), heard })
}

impl<I: Send, O> Peer<I, O> {
    pub(super) async fn say(&self, message: I) {
        let say = self.say.as_ref().expect("the agent has not hung up");
        assert!(say.send(message).await.is_ok(), "the session is gone");
    }

    /// The next message; panics if the session closed.
    pub(super) async fn hear(&mut self) -> O {
        match self.heard.recv().await {
            Some(Heard::Message(message)) => message,
            Some(Heard::Closed(close)) => panic!("closed: {close:?}"),
            None => panic!("the session is gone"),
        }
    }

    /// Reads on until the session closes.
    pub(super) async fn hear_close(&mut self) -> Close {
        loop {
            match self.heard.recv().await.expect("a close before the end") {
                Heard::Closed(close) => return close,
                Heard::Message(_) => {}
            }
        }
    }

    pub(super) fn hang_up(&mut self) {
        self.say = None;
    }
}

impl<I: Send, O: Send> Transport for Wire<I, O> {
    type In = I;
    type Out = O;

    async fn receive(&mut self) -> Received<I> {
        match self.incoming.recv().await {
            Some(message) => Received::Message(message),
            None => Received::Closed,
        }
    }

    async fn send(&mut self, message: O) -> Result<(), Gone> {
        self.outgoing.send(Heard::Message(message)).await.map_err(|_| Gone)
    }

    async fn close(&mut self, close: Close) {
        let _ = self.outgoing.send(Heard::Closed(close)).await;
    }
}
