//! The control plane's side of one ACS connection as a state machine: what happened goes in, what
//! to send and do comes out. No socket, no clock, no waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_protocol::acs::{
    AgentMessage, Heartbeat, Payload, RoleCredentials, RoleType, ServerMessage, TaskIdentifier,
    TaskManifest, TaskStopVerification, TaskStopVerificationAck,
};
use agent_protocol::task::{Credentials, Task as PayloadTask};
use terms::{ClusterArn, ContainerInstanceArn, IdSource, TaskArn, TaskId, Timestamp, Uuid};

use super::super::mailbox::Dirty;
use super::super::sequence::Sequence;
use super::super::transport::Close;
use super::super::view::{InstanceView, Standing, TaskView};
use super::credentials::{CredentialsDesk, CredentialsRequest, Minted};
use super::delivery::{Delivery, RESEND_AFTER, Sent, decide};
use super::heartbeat::{Beat, Heartbeats};
use crate::model::{DesiredStatus, TaskStatus};

/// The most tasks in one payload; ten of the largest stay below the frame limit.
const PAYLOAD_TASKS_MAX: usize = 10;

/// What a session must do next, in this order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Step {
    /// Messages to send.
    pub(crate) send: Vec<ServerMessage>,
    /// Credentials to fetch; their arrival is a later event.
    pub(crate) fetch: Vec<CredentialsRequest>,
    /// The end of the connection.
    pub(crate) close: Option<Close>,
}

/// What one connection is about.
pub(crate) struct AcsStart {
    /// The instance that connected.
    pub(crate) instance: ContainerInstanceArn,
    /// Whether the agent asked for all credentials (`sendCredentials=true`).
    pub(crate) sends_credentials: bool,
    /// Credentials held from an earlier connection.
    pub(crate) desk: CredentialsDesk,
}

/// One ACS connection.
pub(crate) struct Acs {
    ids: Arc<dyn IdSource>,
    sequence: Arc<Sequence>,
    cluster_arn: String,
    instance_arn: String,
    sends_credentials: bool,
    heartbeats: Heartbeats,
    manifest: Option<Manifest>,
    sent: BTreeMap<TaskId, Sent>,
    unacked: BTreeMap<String, Vec<TaskId>>,
    waiting: BTreeSet<TaskId>,
    desk: CredentialsDesk,
}

/// The last manifest that was sent.
struct Manifest {
    message_id: String,
    sent_at: Timestamp,
    is_acked: bool,
}

impl Acs {
    /// A connection that begins now; nothing is sent before [`Self::connected`].
    pub(crate) fn new(
        start: AcsStart,
        ids: Arc<dyn IdSource>,
        sequence: Arc<Sequence>,
        now: Timestamp,
    ) -> Self {
        let arn = start.instance;
        let cluster = ClusterArn {
            region: arn.region.clone(),
            account: arn.account.clone(),
            name: arn.cluster.clone(),
        };
        Self {
            ids,
            sequence,
            cluster_arn: cluster.to_string(),
            instance_arn: arn.to_string(),
            sends_credentials: start.sends_credentials,
            heartbeats: Heartbeats::starting(now),
            manifest: None,
            sent: BTreeMap::new(),
            unacked: BTreeMap::new(),
            waiting: BTreeSet::new(),
            desk: start.desk.reopened(),
        }
    }

    /// The connection stands: heartbeat, manifest, then what the agent lacks.
    pub(crate) fn connected(&mut self, view: &impl InstanceView, now: Timestamp) -> Step {
        let mut step = Step::default();
        if self.closes(view, &mut step) {
            return step;
        }
        self.beat(now, &mut step);
        let tasks = view.tasks();
        self.desk.keep_only(&tasks.iter().map(|task| task.arn.id).collect());
        self.send_manifest(&tasks, now, &mut step);
        self.deliver(view, &tasks, now, &mut step);
        self.offer_credentials(&tasks, now, &mut step);
        step
    }

    /// Rows of the instance or its tasks changed.
    pub(crate) fn changed(
        &mut self,
        view: &impl InstanceView,
        dirty: &Dirty,
        now: Timestamp,
    ) -> Step {
        let mut step = Step::default();
        if dirty.instance && self.closes(view, &mut step) {
            return step;
        }
        if dirty.all_tasks {
            let tasks = view.tasks();
            let live: BTreeSet<TaskId> = tasks.iter().map(|task| task.arn.id).collect();
            let gone: Vec<TaskId> =
                self.sent.keys().copied().filter(|id| !live.contains(id)).collect();
            gone.into_iter().for_each(|id| self.forget(id));
            self.deliver(view, &tasks, now, &mut step);
        } else {
            let known = |id: &TaskId| {
                let task = view.task(*id);
                task.ok_or(*id)
            };
            let (found, gone): (Vec<_>, Vec<_>) =
                dirty.tasks.iter().map(known).partition(Result::is_ok);
            gone.into_iter().filter_map(Result::err).for_each(|id| self.forget(id));
            let found: Vec<TaskView> = found.into_iter().filter_map(Result::ok).collect();
            self.deliver(view, &found, now, &mut step);
        }
        step
    }

    /// The agent said something.
    pub(crate) fn received(
        &mut self,
        view: &impl InstanceView,
        message: AgentMessage,
        now: Timestamp,
    ) -> Step {
        let mut step = Step::default();
        match message {
            AgentMessage::Ack(ack) => self.acked(&ack.message_id),
            AgentMessage::HeartbeatAck(_) => self.heartbeats.answered(),
            AgentMessage::RoleCredentialsAck(ack) => self.desk.acked(&ack.credentials_id),
            AgentMessage::TaskStopVerification(question) => {
                self.verify_stops(view, &question, now, &mut step);
            }
            AgentMessage::Nack(nack) => {
                tracing::warn!(
                    instance = self.instance_arn,
                    message = nack.message_id,
                    reason = nack.reason,
                    "the agent refused a message"
                );
            }
        }
        step
    }

    /// Credentials that a step asked for arrived, or could not be had.
    pub(crate) fn fetched(
        &mut self,
        view: &impl InstanceView,
        request: &CredentialsRequest,
        result: Result<Minted, String>,
        now: Timestamp,
    ) -> Step {
        let mut step = Step::default();
        let id = request.task.id;
        match result {
            Err(error) => {
                tracing::warn!(task = %request.task, role = request.role_arn, error,
                    "no credentials for a task's role; they are asked for again");
                self.desk.failed(request);
            }
            Ok(minted) => match view.task(id).filter(|task| task.status != TaskStatus::Stopped) {
                None => self.forget(id),
                Some(task) => {
                    self.desk.minted(request, minted, now);
                    if self.waiting.contains(&id) {
                        self.deliver(view, &[task], now, &mut step);
                    } else {
                        self.send_credentials(id, request.role, now, &mut step);
                    }
                }
            },
        }
        step
    }

    /// Time has come to [`Self::deadline`]: heartbeat, and with it all that is overdue.
    pub(crate) fn tick(&mut self, view: &impl InstanceView, now: Timestamp) -> Step {
        let mut step = Step::default();
        if !self.beat(now, &mut step) || step.close.is_some() {
            return step;
        }
        let is_overdue =
            |m: &Manifest| !m.is_acked && now.since(m.sent_at) >= RESEND_AFTER;
        if self.manifest.as_ref().is_some_and(is_overdue) {
            self.send_manifest(&view.tasks(), now, &mut step);
        }
        let unsettled: BTreeSet<TaskId> =
            self.unacked.values().flatten().chain(&self.waiting).copied().collect();
        let unsettled: Vec<TaskView> =
            unsettled.into_iter().filter_map(|id| view.task(id)).collect();
        self.deliver(view, &unsettled, now, &mut step);
        for (task, role, _) in self.desk.overdue(now) {
            self.send_credentials(task.id, role, now, &mut step);
        }
        self.desk.refresh(now, &mut step.fetch);
        step
    }

    /// When [`Self::tick`] is due.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.heartbeats.due()
    }

    /// What is held for the agent's next connection.
    pub(crate) fn into_desk(self) -> CredentialsDesk {
        self.desk
    }

    /// Closes the connection of an instance that is no member any more.
    fn closes(&self, view: &impl InstanceView, step: &mut Step) -> bool {
        match view.standing() {
            Standing::Member => false,
            Standing::Inactive(why) => {
                step.close = Some(Close::inactive_instance(&why));
                true
            }
        }
    }

    /// Whether a beat was due.
    fn beat(&mut self, now: Timestamp, step: &mut Step) -> bool {
        match self.heartbeats.beat(now) {
            Beat::Wait => return false,
            Beat::Send => {
                let message_id = Some(self.message_id());
                step.send.push(Heartbeat { message_id, healthy: true }.into());
            }
            Beat::Dead => step.close = Some(Close::normal("two heartbeats were not answered")),
        }
        true
    }

    fn send_manifest(&mut self, tasks: &[TaskView], now: Timestamp, step: &mut Step) {
        let message_id = self.message_id();
        let name = |task: &TaskView| TaskIdentifier {
            task_arn: task.arn.clone(),
            task_cluster_arn: self.cluster_arn.clone(),
            desired_status: task.desired.as_str().to_owned(),
        };
        let manifest = TaskManifest {
            message_id: message_id.clone(),
            cluster_arn: self.cluster_arn.clone(),
            container_instance_arn: self.instance_arn.clone(),
            generated_at: Some(now.millis()),
            timeline: self.sequence.next(),
            tasks: tasks.iter().map(name).collect(),
        };
        step.send.push(manifest.into());
        self.manifest = Some(Manifest { message_id, sent_at: now, is_acked: false });
    }

    /// Sends what the agent lacks of these tasks.
    fn deliver(
        &mut self,
        view: &impl InstanceView,
        tasks: &[TaskView],
        now: Timestamp,
        step: &mut Step,
    ) {
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for task in tasks {
            let id = task.arn.id;
            let group = match decide(Some(task), self.sent.get(&id), now) {
                Delivery::Nothing => continue,
                Delivery::Forget => {
                    self.forget(id);
                    continue;
                }
                Delivery::Send => &mut first,
                Delivery::SendAgain => &mut again,
            };
            let Some(payload) = self.prepare(view, task, now, step) else { continue };
            group.push(payload);
        }
        let mut first = first.into_iter().peekable();
        while first.peek().is_some() {
            let tasks = first.by_ref().take(PAYLOAD_TASKS_MAX).collect();
            self.send_payload(tasks, now, step);
        }
        for task in again {
            self.send_payload(vec![task], now, step);
        }
    }

    /// The task for a payload, with credentials if it is to run; none while they are fetched.
    fn prepare(
        &mut self,
        view: &impl InstanceView,
        task: &TaskView,
        now: Timestamp,
        step: &mut Step,
    ) -> Option<PayloadTask> {
        let id = task.arn.id;
        let mut credentials = Vec::new();
        if task.desired == DesiredStatus::Running {
            match self.desk.of_task(task, now, &mut step.fetch) {
                Some(found) => credentials = found,
                None => {
                    self.waiting.insert(id);
                    return None;
                }
            }
        }
        self.waiting.remove(&id);
        let mut payload = match view.payload(id) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(task = %task.arn, error, "no payload can be made for a task");
                return None;
            }
        };
        for (role, credentials) in credentials {
            self.desk.sent((id, role), now);
            match role {
                RoleType::TaskApplication => payload.role_credentials = Some(credentials),
                RoleType::TaskExecution => payload.execution_role_credentials = Some(credentials),
            }
        }
        Some(payload)
    }

    fn send_payload(&mut self, tasks: Vec<PayloadTask>, now: Timestamp, step: &mut Step) {
        let message_id = self.message_id();
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.arn.id).collect();
        for task in &tasks {
            let desired = match task.desired_status {
                agent_protocol::task::DesiredStatus::Running => DesiredStatus::Running,
                agent_protocol::task::DesiredStatus::Stopped => DesiredStatus::Stopped,
            };
            self.no_longer_unacked(task.arn.id);
            self.sent.insert(task.arn.id, Sent { desired, at: now, is_acked: false });
        }
        self.unacked.insert(message_id.clone(), ids);
        let payload = Payload {
            message_id,
            cluster_arn: self.cluster_arn.clone(),
            container_instance_arn: self.instance_arn.clone(),
            generated_at: Some(now.millis()),
            seq_num: Some(self.sequence.next()),
            tasks: tasks.into_iter().map(Into::into).collect(),
        };
        step.send.push(payload.into());
    }

    /// After a connect: all credentials if the agent asked for them, else those that nothing is
    /// held for and that nobody else would refresh.
    fn offer_credentials(&mut self, tasks: &[TaskView], now: Timestamp, step: &mut Step) {
        let is_live = |task: &&TaskView| task.desired == DesiredStatus::Running;
        for task in tasks.iter().filter(is_live) {
            let id = task.arn.id;
            // What went with a payload just now, or waits for one, needs no message of its own.
            if self.sent.contains_key(&id) || self.waiting.contains(&id) {
                continue;
            }
            let held = self.desk.of_task(task, now, &mut step.fetch).unwrap_or_default();
            if self.sends_credentials {
                held.iter().for_each(|(role, _)| self.send_credentials(id, *role, now, step));
            }
        }
    }

    fn send_credentials(&mut self, task: TaskId, role: RoleType, now: Timestamp, step: &mut Step) {
        let Some((arn, credentials)) = self.desk.get((task, role)) else { return };
        let message = self.credentials_message(arn.clone(), role, credentials.clone());
        step.send.push(message);
        self.desk.sent((task, role), now);
    }

    fn credentials_message(
        &self,
        task_arn: TaskArn,
        role_type: RoleType,
        role_credentials: Credentials,
    ) -> ServerMessage {
        let (message_id, task_cluster_arn) = (self.message_id(), self.cluster_arn.clone());
        RoleCredentials { message_id, task_arn, task_cluster_arn, role_type, role_credentials }
            .into()
    }

    fn acked(&mut self, message_id: &str) {
        if let Some(manifest) = self.manifest.as_mut().filter(|m| m.message_id == message_id) {
            manifest.is_acked = true;
        }
        for id in self.unacked.remove(message_id).unwrap_or_default() {
            if let Some(sent) = self.sent.get_mut(&id) {
                sent.is_acked = true;
            }
        }
    }

    /// Confirms those candidates that nobody wants to run here (agent-protocol §2.5).
    fn verify_stops(
        &mut self,
        view: &impl InstanceView,
        question: &TaskStopVerification,
        now: Timestamp,
        step: &mut Step,
    ) {
        if self.manifest.as_ref().is_none_or(|m| m.message_id != question.message_id) {
            return;
        }
        let is_wanted = |arn: &TaskArn| {
            view.task(arn.id).is_some_and(|task| {
                task.arn == *arn
                    && task.desired == DesiredStatus::Running
                    && task.status != TaskStatus::Stopped
            })
        };
        let unwanted = question.stop_candidates.iter().filter(|task| !is_wanted(&task.task_arn));
        let stop_tasks: Vec<TaskIdentifier> = unwanted
            .map(|task| TaskIdentifier { desired_status: "STOPPED".to_owned(), ..task.clone() })
            .collect();
        tracing::info!(
            instance = self.instance_arn,
            candidates = question.stop_candidates.len(),
            confirmed = stop_tasks.len(),
            "the agent runs tasks that the manifest does not list"
        );
        let message_id = question.message_id.clone();
        let generated_at = Some(now.millis());
        step.send.push(TaskStopVerificationAck { message_id, generated_at, stop_tasks }.into());
    }

    fn forget(&mut self, task: TaskId) {
        self.sent.remove(&task);
        self.waiting.remove(&task);
        self.no_longer_unacked(task);
        self.desk.forget(task);
    }

    fn no_longer_unacked(&mut self, task: TaskId) {
        if self.sent.get(&task).is_some_and(|sent| sent.is_acked) {
            return;
        }
        self.unacked.retain(|_, tasks| {
            tasks.retain(|id| *id != task);
            !tasks.is_empty()
        });
    }

    fn message_id(&self) -> String {
        Uuid::from_random(self.ids.next()).to_string()
    }
}
