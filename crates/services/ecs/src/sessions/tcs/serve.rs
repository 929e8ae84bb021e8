//! The loop of one TCS connection.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::acs::Heartbeat;
use agent_protocol::tcs::{AgentMessage, ServerMessage};
use terms::{Clock, Timestamp};

use super::super::mailbox::{Letter, Mailbox};
use super::super::transport::{Received, Transport};

/// A heartbeat goes out when nothing was sent for this time; the agent hangs up after 60 s
/// without an ack or a heartbeat (agent-protocol §4).
const QUIET_MAX: Duration = Duration::from_secs(30);

/// The session ends when the agent says nothing for so long: it publishes every 20 s, idle or
/// not, and gives up itself after 180 s.
const SILENCE_MAX: Duration = Duration::from_secs(180);

/// The most frames in a row that may be unreadable before the peer is taken for no agent.
const UNDECODABLE_MAX: u32 = 32;

/// What a telemetry session reports to.
pub(crate) trait Report: Send {
    /// Takes a request over: keeps metrics, writes changed health.
    fn report(&mut self, message: AgentMessage) -> impl Future<Output = ()> + Send;
}

/// Serves a connection until it ends.
pub(crate) async fn serve<T, R>(
    transport: &mut T,
    report: &mut R,
    mailbox: &Mailbox,
    clock: &Arc<dyn Clock>,
) where
    T: Transport<In = AgentMessage, Out = ServerMessage>,
    R: Report,
{
    let mut state = State::starting(clock.now());
    loop {
        let wait = state.deadline().since(clock.now());
        let out = tokio::select! {
            biased;
            letter = mailbox.next() => match letter {
                Letter::Changed(_) => continue,
                Letter::End(close) => return transport.close(close).await,
            },
            received = transport.receive() => match counted(received) {
                Received::Closed => return,
                Received::Undecodable(why) => {
                    tracing::debug!(why, "an agent sent a frame that is no telemetry request");
                    if !state.undecodable() {
                        return;
                    }
                    continue;
                }
                Received::Message(message) => {
                    let ack = message.ack();
                    report.report(message).await;
                    state.heard(clock.now());
                    ack
                }
            },
            () = tokio::time::sleep(wait) => {
                if state.is_silent(clock.now()) {
                    return;
                }
                ServerMessage::Heartbeat(Heartbeat { message_id: None, healthy: true })
            }
        };
        if transport.send(out).await.is_err() {
            return;
        }
        state.said(clock.now());
    }
}

/// When each side last said something.
struct State {
    heard: Timestamp,
    said: Timestamp,
    undecodable: u32,
}

impl State {
    fn starting(now: Timestamp) -> Self {
        Self { heard: now, said: now, undecodable: 0 }
    }

    fn heard(&mut self, now: Timestamp) {
        (self.heard, self.undecodable) = (now, 0);
    }

    fn said(&mut self, now: Timestamp) {
        self.said = now;
    }

    /// Counts an unreadable frame; false when there were too many.
    fn undecodable(&mut self) -> bool {
        self.undecodable += 1;
        self.undecodable <= UNDECODABLE_MAX
    }

    fn is_silent(&self, now: Timestamp) -> bool {
        now.since(self.heard) >= SILENCE_MAX
    }

    fn deadline(&self) -> Timestamp {
        self.said + QUIET_MAX
    }
}

fn counted<M>(received: Received<M>) -> Received<M> {
    meters::ecs().message("tcs", "in");
    received
}
