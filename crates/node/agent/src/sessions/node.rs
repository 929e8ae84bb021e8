//! The node channel: ours alone. The server asks for streams of output and sessions of ECS Exec on it.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::node::{
    AgentMessage, ChannelHeartbeatAck, MAX_STREAMS, OpenLogs, ServerMessage, StreamRefused,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Context;
use super::backoff::{Backoff, spread};
use super::{exec, logs};
use crate::peers::Exchange;
use crate::transport::{Channel, Closed, InstanceQuery};

/// Without a message for this long, plus up to as much again, the connection is closed.
const INACTIVITY: Duration = Duration::from_secs(60);
/// A connection that lived this long ends the run of failures.
const SETTLED: Duration = Duration::from_secs(60);
/// The wait when the control plane does not know the instance any more.
const INACTIVE_WAIT: Duration = Duration::from_secs(3600);
/// The least time between two tries after a clean end: the channel has no rotation of its own.
const AGAIN: Duration = Duration::from_millis(250);
/// The server hears of pulls no more often.
const TELL_EVERY: Duration = Duration::from_secs(1);

type Node = Channel<AgentMessage, ServerMessage>;

/// Keeps the channel until the agent ends. Streams go on over a reconnection.
pub(crate) async fn run(context: Arc<Context>, server: String) {
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(60), 2.0);
    let mut streams =
        Streams { permits: Arc::new(Semaphore::new(MAX_STREAMS)), running: JoinSet::new() };
    let mut execs = exec::Sessions::default();
    let query = InstanceQuery {
        endpoint: server,
        cluster: context.cluster.clone(),
        container_instance_arn: context.instance.clone(),
    };
    while !context.shutdown.is_cancelled() {
        let since = Instant::now();
        let opened = tokio::select! {
            biased;
            () = context.shutdown.cancelled() => break,
            opened = context.transport.node(&query) => opened,
        };
        let closed = match opened {
            Ok(channel) => {
                context.peers.iter().for_each(Exchange::opened);
                let closed = session(&context, channel, &mut streams, &mut execs).await;
                context.peers.iter().for_each(Exchange::closed);
                closed
            }
            Err(error) => error.into(),
        };
        if since.elapsed() >= SETTLED {
            backoff.reset();
        }
        let wait = match closed {
            Closed::Cleanly => AGAIN,
            Closed::Busy(wait) => spread(wait, wait, &*context.ids),
            Closed::Broken(error) => {
                let wait = backoff.next(&*context.ids);
                tracing::debug!(error, ?wait, "the node channel is tried again");
                wait
            }
            Closed::Inactive(_) => INACTIVE_WAIT,
        };
        if !context.wait(wait).await {
            break;
        }
    }
    streams.running.shutdown().await;
    execs.shutdown().await;
}

struct Streams {
    permits: Arc<Semaphore>,
    running: JoinSet<()>,
}

async fn session(
    context: &Arc<Context>,
    mut channel: Node,
    streams: &mut Streams,
    execs: &mut exec::Sessions,
) -> Closed {
    let inactivity = || Instant::now() + spread(INACTIVITY, INACTIVITY, &*context.ids);
    let mut inactive_at = inactivity();
    let (mut pulls, mut tell_at) = (context.pulls.changes(), Instant::now());
    loop {
        let message = tokio::select! {
            biased;
            () = context.shutdown.cancelled() => {
                channel.sender.close("").await;
                return Closed::Cleanly;
            }
            message = channel.receiver.receive() => {
                inactive_at = inactivity();
                message
            }
            () = changed(&mut pulls, tell_at) => {
                tell_at = Instant::now() + TELL_EVERY;
                if let Err(closed) = channel.sender.send(context.pulls.told().into()).await {
                    return closed;
                }
                continue;
            }
            message = of_layers(context.peers.as_ref()) => {
                if let Err(closed) = channel.sender.send(message).await {
                    return closed;
                }
                continue;
            }
            () = tokio::time::sleep_until(inactive_at) => {
                channel.sender.close("").await;
                return Closed::Broken("no message came for a minute or more".to_owned());
            }
        };
        let answer = match message {
            Err(closed) => return closed,
            Ok(ServerMessage::Heartbeat(_)) => Some(ChannelHeartbeatAck {}.into()),
            Ok(ServerMessage::OpenLogs(open)) => streams.open(context, open),
            Ok(ServerMessage::OpenExec(open)) => execs.open(context, open),
            Ok(message @ (ServerMessage::PeersKnown(_) | ServerMessage::LayerFrom(_))) => {
                context.peers.iter().for_each(|peers| peers.heard(message.clone()));
                None
            }
        };
        if let Some(answer) = answer
            && let Err(closed) = channel.sender.send(answer).await
        {
            return closed;
        }
    }
}

/// What is to be said of layers; nothing, if the node takes no part.
async fn of_layers(peers: Option<&Exchange>) -> AgentMessage {
    match peers {
        Some(peers) => peers.outgoing().await,
        None => std::future::pending().await,
    }
}

/// Returns when something changed, not before `at`.
async fn changed(changes: &mut watch::Receiver<u64>, at: Instant) {
    tokio::time::sleep_until(at).await;
    if changes.changed().await.is_err() {
        std::future::pending().await
    }
}

impl Streams {
    /// Begins a stream, or says why not.
    fn open(&mut self, context: &Arc<Context>, open: OpenLogs) -> Option<AgentMessage> {
        while self.running.try_join_next().is_some() {}
        let refuse = |reason: String| {
            Some(AgentMessage::from(StreamRefused { stream_id: open.stream_id, reason }))
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return refuse(format!("this instance serves {MAX_STREAMS} streams already"));
        };
        let Some(task) = context.view.task(&open.task_arn) else {
            let what = "this instance has no such task, or has removed it and its output";
            return refuse(what.to_owned());
        };
        if let Some(name) = &open.container
            && !task.containers.iter().any(|container| container.name == *name)
        {
            return refuse(format!("the task has no container '{name}'"));
        }
        self.running.spawn(pump(Arc::clone(context), open, permit));
        None
    }
}

async fn pump(context: Arc<Context>, open: OpenLogs, permit: OwnedSemaphorePermit) {
    match context.transport.stream(open.stream_id).await {
        Ok(sender) => logs::pump(&context, &open, sender).await,
        Err(error) => tracing::warn!(stream = %open.stream_id, %error, "no stream was opened"),
    }
    drop(permit);
}
