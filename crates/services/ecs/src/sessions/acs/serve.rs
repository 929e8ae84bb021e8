//! The loop of one ACS connection.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use agent_protocol::acs::{AgentMessage, ServerMessage};
use futures_util::stream::{FuturesUnordered, StreamExt};
use terms::Clock;

use super::super::mailbox::{Letter, Mailbox};
use super::super::transport::{Received, Transport};
use super::super::view::InstanceView;
use super::credentials::{CredentialsRequest, Minted};
use super::machine::{Acs, Step};
use crate::model::UpdateEvent;

/// The most credentials that one session fetches at a time; further requests wait their turn.
const FETCHES_MAX: usize = 16;

/// The most frames in a row that may be unreadable before the peer is taken for no agent.
const UNDECODABLE_MAX: u32 = 32;

/// Fresh credentials, or why there are none.
pub(crate) type Fetched = (CredentialsRequest, Result<Minted, String>);
type Fetch = Pin<Box<dyn Future<Output = Fetched> + Send>>;

/// Starts to fetch credentials.
pub(crate) type Fetcher = Arc<dyn Fn(CredentialsRequest) -> Fetch + Send + Sync>;

/// Writes what happened to an agent's replacement.
pub(crate) type Updated = Arc<dyn Fn(UpdateEvent) -> Writing + Send + Sync>;
type Writing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a connection needs from around it.
pub(crate) struct Surroundings<V> {
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The instance in the newest snapshot.
    pub(crate) view: V,
    /// Fetches credentials.
    pub(crate) fetch: Fetcher,
    /// Writes what happened to the agent's replacement.
    pub(crate) updated: Updated,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The agent closed it, or it broke.
    ByAgent,
    /// We closed it.
    ByUs,
    /// What we sent could not be delivered: the connection broke, or the agent reads too slowly.
    Undeliverable,
}

/// Serves a connection until it ends; the machine comes back for what it holds.
pub(crate) async fn serve<T, V, W>(
    transport: &mut T,
    acs: &mut Acs,
    mailbox: &Mailbox,
    around: &Surroundings<V>,
) -> Ended
where
    T: Transport<In = AgentMessage, Out = ServerMessage>,
    V: Fn() -> W + Send + Sync,
    W: InstanceView + Send,
{
    let mut fetches = Fetches::default();
    let mut undecodable = 0;
    let mut step = acs.connected(&(around.view)(), around.clock.now());
    loop {
        let update = step.update;
        if let Some(ended) = carry_out(transport, step, &mut fetches).await {
            return ended;
        }
        if let Some(event) = update {
            (around.updated)(event).await;
        }
        fetches.start(around);
        let wait = acs.deadline().since(around.clock.now());
        step = tokio::select! {
            biased;
            letter = mailbox.next() => match letter {
                Letter::Changed(dirty) => {
                    acs.changed(&(around.view)(), &dirty, around.clock.now())
                }
                Letter::End(close) => Step { close: Some(close), ..Step::default() },
            },
            received = transport.receive() => match received {
                Received::Message(message) => {
                    undecodable = 0;
                    meters::ecs().message("acs", "in");
                    acs.received(&(around.view)(), message, around.clock.now())
                }
                Received::Undecodable(why) => {
                    undecodable += 1;
                    tracing::debug!(why, "an agent sent a frame that is no ACS message");
                    if undecodable > UNDECODABLE_MAX {
                        return Ended::ByUs;
                    }
                    Step::default()
                }
                Received::Closed => return Ended::ByAgent,
            },
            Some((request, result)) = fetches.running.next() => {
                acs.fetched(&(around.view)(), &request, result, around.clock.now())
            }
            () = tokio::time::sleep(wait) => acs.tick(&(around.view)(), around.clock.now()),
        };
    }
}

#[derive(Default)]
struct Fetches {
    queue: VecDeque<CredentialsRequest>,
    running: FuturesUnordered<Fetch>,
}

impl Fetches {
    /// Starts what there is room for. The queue holds each role of each task at most once, for
    /// the machine asks only once until it is answered.
    fn start<V>(&mut self, around: &Surroundings<V>) {
        while self.running.len() < FETCHES_MAX {
            let Some(request) = self.queue.pop_front() else { return };
            self.running.push((around.fetch)(request));
        }
    }
}

/// Sends, queues and closes as the step says; the end of the connection, if that was it.
async fn carry_out<T: Transport<Out = ServerMessage>>(
    transport: &mut T,
    step: Step,
    fetches: &mut Fetches,
) -> Option<Ended> {
    for message in step.send {
        meters::ecs().message("acs", "out");
        if transport.send(message).await.is_err() {
            return Some(Ended::Undeliverable);
        }
    }
    fetches.queue.extend(step.fetch);
    let close = step.close?;
    tracing::info!(code = close.code, reason = close.reason, "closing an agent's session");
    transport.close(close).await;
    Some(Ended::ByUs)
}
