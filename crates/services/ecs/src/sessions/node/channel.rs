//! The loop of one node channel.

use std::sync::Arc;

use agent_protocol::node::{AgentMessage, ChannelHeartbeat, PullsUnderWay, ServerMessage};
use terms::Clock;
use tokio::sync::mpsc;

use super::super::acs::{Beat, Heartbeats};
use super::super::mailbox::{Letter, Mailbox};
use super::super::transport::{Close, Received, Transport};
use super::Streams;

/// Requests that may wait for one agent; further ones are refused.
pub(crate) const REQUESTS_MAX: usize = 64;

/// The most unreadable frames before the peer is taken for no agent of ours.
const UNDECODABLE_MAX: u32 = 32;

/// Serves a channel until it ends: passes on requests, keeps it alive, tells of `pulls`.
pub(crate) async fn serve<T>(
    transport: &mut T,
    mailbox: &Mailbox,
    requests: &mut mpsc::Receiver<ServerMessage>,
    (streams, pulls): (&Streams, impl Fn(PullsUnderWay)),
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
                        streams.refused(refused.stream_id, refused.reason);
                    }
                    Received::Message(AgentMessage::Pulls(told)) => pulls(told),
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
