//! The control plane's side of one ACS connection as a state machine: what happened goes in, what
//! to send and do comes out. No socket, no clock, no waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_protocol::acs::{AgentMessage, Heartbeat, ServerMessage};
use terms::{ClusterArn, ContainerInstanceArn, IdSource, TaskId, Timestamp};

use super::super::mailbox::Dirty;
use super::super::sequence::Sequence;
use super::super::transport::Close;
use super::super::view::{InstanceView, Standing, TaskView};
use super::credentials::{CredentialsDesk, CredentialsRequest, Minted};
use super::delivery::{RESEND_AFTER, Sent};
use super::heartbeat::{Beat, Heartbeats};
use super::update;
use crate::model::{TaskStatus, UpdateEvent};

/// With every so many heartbeats (five minutes) a session looks at all its tasks, so that a lost
/// wake-up heals (design: cost follows change, and a slow sweep comes by too).
const SWEEP_EVERY_BEATS: u32 = 10;

/// What a session must do next, in this order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Step {
    /// Messages to send.
    pub(crate) send: Vec<ServerMessage>,
    /// Credentials to fetch; their arrival is a later event.
    pub(crate) fetch: Vec<CredentialsRequest>,
    /// What happened to the agent's replacement, to be written.
    pub(crate) update: Option<UpdateEvent>,
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
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) sequence: Arc<Sequence>,
    pub(super) cluster_arn: String,
    pub(super) instance_arn: String,
    pub(super) sends_credentials: bool,
    pub(super) heartbeats: Heartbeats,
    pub(super) manifest: Option<Manifest>,
    pub(super) sent: BTreeMap<TaskId, Sent>,
    pub(super) unacked: BTreeMap<String, Vec<TaskId>>,
    pub(super) waiting: BTreeSet<TaskId>,
    pub(super) beats_to_sweep: u32,
    pub(super) desk: CredentialsDesk,
    pub(super) update_asked: Option<update::Asked>,
}

/// The last manifest that was sent.
pub(super) struct Manifest {
    pub(super) message_id: String,
    pub(super) sent_at: Timestamp,
    pub(super) is_acked: bool,
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
            beats_to_sweep: SWEEP_EVERY_BEATS,
            desk: start.desk.reopened(),
            update_asked: None,
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
        self.update_agent(view, now, &mut step);
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
            self.sweep(view, now, &mut step);
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
        if dirty.instance {
            self.update_agent(view, now, &mut step);
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
            AgentMessage::Ack(ack) => {
                self.acked(&ack.message_id, now);
                self.update_acked(&ack.message_id, &mut step);
            }
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
                self.update_refused(&nack.message_id, &mut step);
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
        let is_overdue = |m: &Manifest| !m.is_acked && now.since(m.sent_at) >= RESEND_AFTER;
        if self.manifest.as_ref().is_some_and(is_overdue) {
            self.send_manifest(&view.tasks(), now, &mut step);
        }
        self.beats_to_sweep -= 1;
        if self.beats_to_sweep == 0 {
            self.beats_to_sweep = SWEEP_EVERY_BEATS;
            self.sweep(view, now, &mut step);
        } else {
            let unsettled: BTreeSet<TaskId> =
                self.unacked.values().flatten().chain(&self.waiting).copied().collect();
            let unsettled: Vec<TaskView> =
                unsettled.into_iter().filter_map(|id| view.task(id)).collect();
            self.deliver(view, &unsettled, now, &mut step);
        }
        for (task, role, _) in self.desk.overdue(now) {
            self.send_credentials(task.id, role, now, &mut step);
        }
        self.desk.refresh(now, &mut step.fetch);
        self.update_agent(view, now, &mut step);
        step
    }

    /// Looks at every task of the instance.
    fn sweep(&mut self, view: &impl InstanceView, now: Timestamp, step: &mut Step) {
        let tasks = view.tasks();
        let live: BTreeSet<TaskId> = tasks.iter().map(|task| task.arn.id).collect();
        let gone: Vec<TaskId> = self.sent.keys().copied().filter(|id| !live.contains(id)).collect();
        gone.into_iter().for_each(|id| self.forget(id));
        self.deliver(view, &tasks, now, step);
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

    fn acked(&mut self, message_id: &str, now: Timestamp) {
        if let Some(manifest) = self.manifest.as_mut().filter(|m| m.message_id == message_id) {
            manifest.is_acked = true;
        }
        for id in self.unacked.remove(message_id).unwrap_or_default() {
            if let Some(sent) = self.sent.get_mut(&id) {
                sent.is_acked = true;
                let (sent_ms, desired) = (sent.at.millis(), sent.desired.as_str());
                meters::step!("payload", id, sent_ms, end_ms = now.millis(), desired = desired);
            }
        }
    }
}
