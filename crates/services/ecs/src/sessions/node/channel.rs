//! The loop of one node channel.

use std::sync::Arc;

use agent_protocol::layers::LayerWanted;
use agent_protocol::node::{AgentMessage, ChannelHeartbeat, PullsUnderWay, ServerMessage};
use terms::{Clock, ContainerInstanceArn, Timestamp, Uuid};
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

    fn layer_wanted(&self, wanted: LayerWanted, now: Timestamp) {
        let hub = &self.sessions.hub;
        let images = hub.view(self.instance).images_of(&wanted.task_arn);
        let is_of = |image: &String| peering::repository_of(image) == wanted.layer.repository;
        let is_allowed = images.iter().any(is_of);
        hub.send_all(hub.layers.wanted(self.instance, wanted, is_allowed, now));
    }

    async fn message(&self, message: AgentMessage, beats: &mut Heartbeats, now: Timestamp) {
        let (hub, instance) = (&self.sessions.hub, self.instance);
        match message {
            AgentMessage::HeartbeatAck(_) => beats.answered(),
            AgentMessage::StreamRefused(refused) => {
                self.stream_refused(refused.stream_id, refused.reason);
            }
            AgentMessage::ExecRefused(refused) => {
                self.exec_refused(&refused.session_id, &refused.reason).await;
            }
            AgentMessage::Pulls(pulls) => self.pulls(pulls),
            AgentMessage::PeerServing(serving) => {
                let answer = hub.layers.serving(instance, serving);
                let letters = answer.into_iter().map(|answer| (instance.clone(), answer));
                hub.send_all(letters.collect());
            }
            AgentMessage::LayersHeld(held) => hub.send_all(hub.layers.held(instance, held, now)),
            AgentMessage::LayerWanted(wanted) => self.layer_wanted(wanted, now),
            AgentMessage::LayerEnded(ended) => {
                hub.send_all(hub.layers.ended(instance, ended, now));
            }
        }
    }

    /// Whoever beats has a look at whether others are late.
    fn tick(&self, now: Timestamp) {
        let hub = &self.sessions.hub;
        hub.send_all(hub.layers.tick(now));
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
                    Received::Message(message) => {
                        told.message(message, &mut beats, clock.now()).await;
                    }
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
                Beat::Send => {
                    told.tick(clock.now());
                    ChannelHeartbeat {}.into()
                }
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
