//! The loop of one node channel.

use std::sync::Arc;

use agent_protocol::node::{AgentMessage, ChannelHeartbeat, PullsUnderWay, ServerMessage};
use terms::{Clock, ContainerInstanceArn, Uuid};
use tokio::sync::mpsc;

use super::super::acs::{Beat, Heartbeats};
use super::super::hub::Sessions;
use super::super::mailbox::{Letter, Mailbox};
use super::super::transport::{Close, Received, Transport};

/// Requests that may wait for one agent; further ones are refused.
pub(crate) const REQUESTS_MAX: usize = 64;

/// The most unreadable frames before the peer is taken for no agent of ours.
const UNDECODABLE_MAX: u32 = 32;

/// Who is told what an agent says.
pub(crate) struct Told<'a> {
    /// All sessions.
    pub(crate) sessions: &'a Sessions,
    /// Whose agent it is.
    pub(crate) instance: &'a ContainerInstanceArn,
}

impl Told<'_> {
    fn stream_refused(&self, id: Uuid, reason: String) {
        self.sessions.hub.streams.refused(id, reason);
    }

    async fn exec_refused(&self, id: &str, reason: &str) {
        self.sessions.exec_refused(self.instance, id, reason).await;
    }

    fn pulls(&self, pulls: PullsUnderWay) {
        self.sessions.hub.pulls.told(self.instance, pulls);
    }
}

/// Serves a channel until it ends: passes on requests, keeps it alive, tells of pulls.
pub(crate) async fn serve<T>(
    transport: &mut T,
    mailbox: &Mailbox,
    requests: &mut mpsc::Receiver<ServerMessage>,
    told: &Told<'_>,
    clock: &Arc<dyn Clock>,
) where
    T: Transport<In = AgentMessage, Out = ServerMessage>,
{
    let mut beats = Heartbeats::starting(clock.now());
    let mut undecodable = 0;
    loop {
        let wait = beats.due().since(clock.now());
        let out = tokio::select! {
            biased;
            letter = mailbox.next() => match letter {
                Letter::Changed(_) => continue,
                Letter::End(close) => return transport.close(close).await,
            },
            Some(request) = requests.recv() => request,
            received = transport.receive() => {
                meters::ecs().message("node", "in");
                match received {
                    Received::Closed => return,
                    Received::Message(AgentMessage::HeartbeatAck(_)) => beats.answered(),
                    Received::Message(AgentMessage::StreamRefused(refused)) => {
                        told.stream_refused(refused.stream_id, refused.reason);
                    }
                    Received::Message(AgentMessage::ExecRefused(refused)) => {
                        told.exec_refused(&refused.session_id, &refused.reason).await;
                    }
                    Received::Message(AgentMessage::Pulls(pulls)) => told.pulls(pulls),
                    Received::Undecodable(why) => {
                        undecodable += 1;
                        if undecodable > UNDECODABLE_MAX {
                            return transport.close(Close::policy("no messages of ours")).await;
                        }
                        tracing::debug!(why, "an agent sent a frame that the channel has not");
                    }
                }
                continue;
            }
            () = tokio::time::sleep(wait) => match beats.beat(clock.now()) {
                Beat::Wait => continue,
                Beat::Send => ChannelHeartbeat {}.into(),
                Beat::Dead => {
                    let close = Close::normal("two heartbeats were not answered");
                    return transport.close(close).await;
                }
            },
        };
        if transport.send(out).await.is_err() {
            return;
        }
    }
}
