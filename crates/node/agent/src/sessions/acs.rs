//! ACS: payloads, manifests, credentials (agent-protocol §2).

use std::time::Duration;

use agent_protocol::acs::{
    Ack, AgentMessage, HeartbeatAck, Nack, Payload, RoleCredentials, RoleCredentialsAck,
    ServerMessage, StageUpdate, TaskManifest, TaskStopVerification,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Context;
use super::backoff::{Backoff, spread};
use crate::engine::Event;
use crate::transport::{AcsQuery, Channel, Closed, ConnectError};

/// Without a message for this long, plus up to as much again, the connection is closed.
const INACTIVITY: Duration = Duration::from_secs(60);
/// A connection lives this long, plus up to [`ROTATION_SPREAD`].
const ROTATION: Duration = Duration::from_secs(30 * 60);
/// See [`ROTATION`].
const ROTATION_SPREAD: Duration = Duration::from_secs(5 * 60);
/// The server has this long to close a connection that we asked it to.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// A connection that lived this long ends the run of failures.
const SETTLED: Duration = Duration::from_secs(60);
/// The wait when the control plane does not know the instance any more.
const INACTIVE_WAIT: Duration = Duration::from_secs(3600);
/// What a rotated connection is closed with.
const EXPIRED: &str = "ConnectionExpired: Reconnect to continue";

type Acs = Channel<AgentMessage, ServerMessage>;

/// Keeps the channel until the agent ends.
pub(crate) async fn run(context: &Context) {
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(120), 1.5);
    let mut send_credentials = true;
    let mut manifest = None;
    while !context.shutdown.is_cancelled() {
        let since = Instant::now();
        let closed = match connect(context, send_credentials).await {
            Ok(channel) => {
                send_credentials = false;
                tracing::info!("connected to the control plane");
                Session::new(context, &mut manifest).run(channel).await
            }
            Err(error) => error.into(),
        };
        if since.elapsed() >= SETTLED {
            backoff.reset();
        }
        let wait = match closed {
            Closed::Cleanly => {
                backoff.reset();
                continue;
            }
            Closed::Busy(wait) => spread(wait, wait, &*context.ids),
            Closed::Broken(error) => {
                let wait = backoff.next(&*context.ids);
                tracing::warn!(error, ?wait, "the control channel is tried again");
                wait
            }
            Closed::Inactive(error) => {
                tracing::warn!(error, "this container instance is not in the cluster any more");
                context.inactive.notify_waiters();
                INACTIVE_WAIT
            }
        };
        if !context.wait(wait).await {
            return;
        }
    }
}

async fn connect(context: &Context, send_credentials: bool) -> Result<Acs, ConnectError> {
    let endpoints = context.discover().await.map_err(ConnectError::Failed)?;
    let endpoint = endpoints
        .endpoint
        .ok_or_else(|| ConnectError::Failed("the server names no control endpoint".to_owned()))?;
    let query = AcsQuery {
        endpoint,
        cluster: context.cluster.clone(),
        container_instance_arn: context.instance.clone(),
        send_credentials,
    };
    tokio::select! {
        biased;
        () = context.shutdown.cancelled() => Err(ConnectError::Failed("ending".to_owned())),
        channel = context.transport.acs(&query) => channel,
    }
}

struct Session<'a> {
    context: &'a Context,
    /// The id of the last manifest, until its stop verification was answered.
    manifest: &'a mut Option<String>,
    /// What answers a request to stage a program, when it is fetched.
    staging: JoinSet<AgentMessage>,
    /// The staged program that is to take this agent's place, once the answer is out.
    replaced_by: Option<String>,
}

impl<'a> Session<'a> {
    fn new(context: &'a Context, manifest: &'a mut Option<String>) -> Self {
        Self { context, manifest, staging: JoinSet::new(), replaced_by: None }
    }

    async fn run(mut self, mut channel: Acs) -> Closed {
        let ids = &*self.context.ids;
        let expires = Instant::now() + spread(ROTATION, ROTATION_SPREAD, ids);
        let mut inactive_at = Instant::now() + spread(INACTIVITY, INACTIVITY, ids);
        loop {
            let message = tokio::select! {
                biased;
                () = self.context.shutdown.cancelled() => {
                    channel.sender.close("").await;
                    return Closed::Cleanly;
                }
                message = channel.receiver.receive() => message,
                Some(Ok(answer)) = self.staging.join_next() => {
                    if let Err(closed) = channel.sender.send(answer).await {
                        return closed;
                    }
                    continue;
                }
                () = tokio::time::sleep_until(expires) => {
                    channel.sender.close(EXPIRED).await;
                    return drain(channel).await;
                }
                () = tokio::time::sleep_until(inactive_at) => {
                    channel.sender.close("").await;
                    return Closed::Broken("no message came for a minute or more".to_owned());
                }
            };
            let message = match message {
                Ok(message) => message,
                Err(closed) => return closed,
            };
            inactive_at = Instant::now() + spread(INACTIVITY, INACTIVITY, ids);
            for answer in self.answer(message).await {
                if let Err(closed) = channel.sender.send(answer).await {
                    return closed;
                }
            }
            if let (Some(digest), Some(updates)) = (self.replaced_by.take(), &self.context.updates)
            {
                updates.perform(&digest);
            }
        }
    }

    async fn answer(&mut self, message: ServerMessage) -> Vec<AgentMessage> {
        match message {
            ServerMessage::Heartbeat(heartbeat) => {
                // That we answer, and the runtime with us, is the check.
                self.context.health.checked(true, self.context.clock.now());
                vec![HeartbeatAck { message_id: heartbeat.message_id }.into()]
            }
            ServerMessage::Payload(payload) => self.payload(payload).await,
            ServerMessage::TaskManifest(manifest) => self.manifest(manifest).await,
            ServerMessage::TaskStopVerificationAck(verified) => {
                if self.manifest.as_ref() == Some(&verified.message_id) {
                    *self.manifest = None;
                    for task in verified.stop_tasks {
                        let event = Event::StopRequested { task: task.task_arn };
                        self.context.core.tell(event).await;
                    }
                }
                Vec::new()
            }
            ServerMessage::RoleCredentials(credentials) => self.credentials(credentials),
            ServerMessage::StageUpdate(update) => self.stage(update).into_iter().collect(),
            ServerMessage::PerformUpdate(update) => vec![self.perform(update.0)],
            other @ (ServerMessage::AttachTaskNetworkInterfaces(_)
            | ServerMessage::AttachInstanceNetworkInterfaces(_)
            | ServerMessage::ConfirmAttachment(_)
            | ServerMessage::Close(_)
            | ServerMessage::Error(_)) => {
                tracing::info!(kind = other.kind(), "a message without use for this agent");
                Vec::new()
            }
        }
    }

    /// Begins to stage a program; what comes of it is told later.
    fn stage(&mut self, update: StageUpdate) -> Option<AgentMessage> {
        let Some(updates) = self.context.updates.clone() else {
            return Some(nack(&update, "Updates are disabled"));
        };
        self.staging.spawn(async move {
            let info = update.update_info.clone().unwrap_or_default();
            match updates.stage(&info.location, &info.signature).await {
                Ok(()) => ack(&update),
                Err(why) => {
                    tracing::error!(why, "a program for this agent is not staged");
                    nack(&update, &why)
                }
            }
        });
        None
    }

    fn perform(&mut self, update: StageUpdate) -> AgentMessage {
        let digest = update.update_info.clone().unwrap_or_default().signature;
        match &self.context.updates {
            None => nack(&update, "Updates are disabled"),
            Some(updates) if updates.is_staged(&digest) => {
                self.replaced_by = Some(digest);
                ack(&update)
            }
            Some(_) => nack(&update, "Cannot perform update; update not downloaded"),
        }
    }

    async fn payload(&self, payload: Payload) -> Vec<AgentMessage> {
        let ack = Ack {
            cluster: payload.cluster_arn.clone(),
            container_instance: payload.container_instance_arn.clone(),
            message_id: payload.message_id.clone(),
        };
        let Some(taken) = self.context.core.payload(payload).await else { return Vec::new() };
        let message_id = ack.message_id.clone();
        let mut answers: Vec<AgentMessage> = Vec::new();
        if taken.all {
            answers.push(ack.into());
        }
        answers.extend(taken.credentials.into_iter().map(|(credentials_id, expiration)| {
            let message_id = message_id.clone();
            AgentMessage::from(RoleCredentialsAck { message_id, credentials_id, expiration })
        }));
        answers
    }

    async fn manifest(&mut self, manifest: TaskManifest) -> Vec<AgentMessage> {
        let ack = Ack {
            cluster: manifest.cluster_arn.clone(),
            container_instance: manifest.container_instance_arn.clone(),
            message_id: manifest.message_id.clone(),
        };
        let message_id = ack.message_id.clone();
        let Some(stop_candidates) = self.context.core.manifest(manifest).await else {
            return Vec::new();
        };
        *self.manifest = Some(message_id.clone());
        let mut answers = vec![AgentMessage::from(ack)];
        if !stop_candidates.is_empty() {
            answers.push(TaskStopVerification { message_id, stop_candidates }.into());
        }
        answers
    }

    /// Credentials of an unknown task are not acknowledged.
    fn credentials(&self, message: RoleCredentials) -> Vec<AgentMessage> {
        if self.context.view.task(&message.task_arn).is_none() {
            return Vec::new();
        }
        let credentials = message.role_credentials;
        let ack = RoleCredentialsAck {
            message_id: message.message_id,
            credentials_id: credentials.credentials_id.clone(),
            expiration: credentials.expiration.clone(),
        };
        self.context.credentials.put(credentials);
        vec![ack.into()]
    }
}

fn ack(update: &StageUpdate) -> AgentMessage {
    let StageUpdate { cluster_arn, container_instance_arn, message_id, .. } = update.clone();
    Ack { cluster: cluster_arn, container_instance: container_instance_arn, message_id }.into()
}

fn nack(update: &StageUpdate, reason: &str) -> AgentMessage {
    let StageUpdate { cluster_arn, container_instance_arn, message_id, .. } = update.clone();
    let (cluster, container_instance) = (cluster_arn, container_instance_arn);
    Nack { cluster, container_instance, message_id, reason: reason.to_owned() }.into()
}

/// Waits for the server to close; what still comes is sent again on the next connection.
async fn drain(mut channel: Acs) -> Closed {
    let drained = async { while channel.receiver.receive().await.is_ok() {} };
    _ = tokio::time::timeout(CLOSE_WAIT, drained).await;
    Closed::Cleanly
}
