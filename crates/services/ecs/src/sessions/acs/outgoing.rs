//! What a control session says: manifests, payloads, credentials, answers.

use agent_protocol::acs::{
    Payload, RoleCredentials, RoleType, ServerMessage, TaskIdentifier, TaskManifest,
    TaskStopVerification, TaskStopVerificationAck,
};
use agent_protocol::task::{Credentials, Task as PayloadTask};
use terms::{TaskArn, TaskId, Timestamp, Uuid};

use super::super::view::{InstanceView, TaskView};
use super::delivery::{Delivery, Sent, decide};
use super::machine::{Acs, Manifest, Step};
use crate::model::{DesiredStatus, TaskStatus};

/// The most tasks in one payload; ten of the largest stay below the frame limit.
const PAYLOAD_TASKS_MAX: usize = 10;

impl Acs {
    pub(super) fn send_manifest(&mut self, tasks: &[TaskView], now: Timestamp, step: &mut Step) {
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
    pub(super) fn deliver(
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
            meters::ecs().payloads_again.inc();
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
    pub(super) fn offer_credentials(
        &mut self,
        tasks: &[TaskView],
        now: Timestamp,
        step: &mut Step,
    ) {
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

    pub(super) fn send_credentials(
        &mut self,
        task: TaskId,
        role: RoleType,
        now: Timestamp,
        step: &mut Step,
    ) {
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

    /// Confirms those candidates that nobody wants to run here (agent-protocol §2.5).
    pub(super) fn verify_stops(
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

    pub(super) fn forget(&mut self, task: TaskId) {
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

    pub(super) fn message_id(&self) -> String {
        Uuid::from_random(self.ids.next()).to_string()
    }
}
