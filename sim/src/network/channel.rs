//! Channels of decoded messages between an agent and a server: in order, late, broken, doubled.

use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::time::Duration;

use agent::transport::Closed;
use agent_protocol::NAME_OF_INACTIVE;
use async_trait::async_trait;
use ecs::{Close, Gone, Received, Transport};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Link;
use crate::life::Life;
use crate::server::Server;
use crate::world::World;

/// The longest way of a message on a good day.
const WAY: Duration = Duration::from_millis(5);
/// Messages that a channel holds in each direction; what is more waits at the sender.
const MESSAGES_MAX: usize = 64;
/// As with sockets: how long a reader that hears nothing waits (`transport/socket.rs`).
const READ_TIMEOUT: Duration = Duration::from_secs(180);
/// As with sockets: how long a message may wait for a peer that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// One connection: each side may know or not know that it is over.
#[derive(Clone, Debug, Default)]
struct Ends {
    agent: CancellationToken,
    server: CancellationToken,
}

/// The open connections of a run, by the lives at their ends.
#[derive(Clone, Default)]
pub(crate) struct Channels(Arc<Mutex<Vec<Open>>>);

/// The lives at both ends and on the way, and what the ends know of their connection.
struct Open {
    agent: Life,
    server: Life,
    /// The server that it goes through, if it does.
    through: Option<Life>,
    ends: Weak<Ends>,
}

/// How a channel comes to the server that serves it.
pub(super) struct Route {
    /// One way after the other.
    pub(super) links: Vec<Link>,
    /// Who serves it.
    pub(super) server: Arc<Server>,
    /// The server that it goes through, and when that one ends it.
    pub(super) through: Option<(Arc<Server>, CancellationToken)>,
}

impl Channels {
    /// What becomes of a dead process's connections: most peers see them break.
    pub(crate) fn mourn(&self, world: &World) {
        let mut all = self.0.lock();
        for Open { agent, server, through, ends } in all.iter() {
            let Some(ends) = ends.upgrade() else { continue };
            let is_cut = through.as_ref().is_some_and(Life::is_over);
            if world.draw(|chance| chance.below(4)) == 0 && world.faults_on() {
                continue; // Half open: the other side finds out by itself.
            }
            if agent.is_over() || is_cut {
                ends.server.cancel();
            }
            if server.is_over() || is_cut {
                ends.agent.cancel();
            }
        }
        all.retain(|Open { agent, server, ends, .. }| {
            ends.strong_count() > 0 && !(agent.is_over() && server.is_over())
        });
    }

    /// Opens a connection: the agent's two halves, and the server's transport.
    pub(super) fn open<A: Message, S: Message>(
        &self,
        world: &World,
        name: String,
        route: &Route,
        agent: &Life,
    ) -> (agent::transport::Channel<A, S>, ServerSide<A, S>) {
        let ends = Arc::new(Ends::default());
        let server = &route.server.life;
        self.0.lock().push(Open {
            agent: agent.clone(),
            server: server.clone(),
            through: route.through.as_ref().map(|(through, _)| through.life.clone()),
            ends: Arc::downgrade(&ends),
        });
        if let Some((through, end)) = &route.through {
            // As the relay's tunnel.
            let (end, ends) = (end.clone(), Arc::downgrade(&ends));
            through.spawn(async move {
                end.cancelled().await;
                if let Some(ends) = ends.upgrade() {
                    ends.agent.cancel();
                    ends.server.cancel();
                }
            });
        }
        let (to_server, from_agent) = mpsc::channel(MESSAGES_MAX);
        let (to_agent, from_server) = mpsc::channel(MESSAGES_MAX);
        let way = |life: &Life| Way {
            world: world.clone(),
            name: name.clone(),
            links: route.links.clone(),
            life: life.clone(),
            ends: ends.clone(),
        };
        let sender = AgentSender { way: way(agent), out: Out::new(to_server) };
        let receiver = AgentReceiver { way: way(agent), inbox: In::new(from_server) };
        let ours = agent::transport::Channel {
            sender: Box::new(sender) as Box<dyn agent::transport::Sender<A>>,
            receiver: Box::new(receiver) as Box<dyn agent::transport::Receiver<S>>,
        };
        let theirs =
            ServerSide { way: way(server), inbox: In::new(from_agent), out: Out::new(to_agent) };
        (ours, theirs)
    }
}

/// What channels carry.
pub(crate) trait Message: Debug + Clone + Send + 'static {}

impl<M: Debug + Clone + Send + 'static> Message for M {}

/// What is common to both ends.
struct Way {
    world: World,
    name: String,
    links: Vec<Link>,
    life: Life,
    ends: Arc<Ends>,
}

/// One thing on its way.
#[derive(Debug, Clone)]
enum Parcel<M> {
    Message(M),
    Close(Close),
}

struct Out<M> {
    parcels: mpsc::Sender<(Instant, Parcel<M>)>,
    /// When the last arrives: nothing overtakes it.
    last: Instant,
}

impl<M: Message> Out<M> {
    fn new(parcels: mpsc::Sender<(Instant, Parcel<M>)>) -> Self {
        Self { parcels, last: Instant::now() }
    }

    async fn send(&mut self, way: &Way, parcel: Parcel<M>) -> Result<(), ()> {
        let world = &way.world;
        if world.strikes(|faults| faults.broken_channel) {
            world.tally("broken channel", &way.name);
            way.ends.server.cancel();
            way.ends.agent.cancel();
            return Err(());
        }
        self.last = self.last.max(Instant::now() + world.delay(WAY));
        world.note(format!("{} sends {}", way.name, kind(&parcel)));
        let doubled = world.strikes(|faults| faults.doubled_message);
        if doubled {
            world.tally("doubled message", &way.name);
        }
        for _ in 0..=usize::from(doubled) {
            let sent = self.parcels.send((self.last, parcel.clone()));
            match tokio::time::timeout(WRITE_TIMEOUT, sent).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(()),
            }
        }
        Ok(())
    }
}

struct In<M> {
    parcels: mpsc::Receiver<(Instant, Parcel<M>)>,
    /// Taken from the queue, not yet arrived: kept when the reader gives up waiting.
    arriving: Option<(Instant, Parcel<M>)>,
}

impl<M: Message> In<M> {
    fn new(parcels: mpsc::Receiver<(Instant, Parcel<M>)>) -> Self {
        Self { parcels, arriving: None }
    }

    /// The next parcel; `None` when the other end is gone and all has arrived.
    async fn next(&mut self, links: &[Link]) -> Option<Parcel<M>> {
        if self.arriving.is_none() {
            self.arriving = Some(self.parcels.recv().await?);
        }
        let at = self.arriving.as_ref().map(|(at, _)| *at)?;
        tokio::time::sleep_until(at).await;
        for link in links {
            link.open().await;
        }
        self.arriving.take().map(|(_, parcel)| parcel)
    }
}

/// The first word of a message's debug form: which kind it is.
fn kind(message: &impl Debug) -> String {
    struct Words(String);
    impl std::fmt::Write for Words {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.push_str(text);
            // No more than the names in front.
            if self.0.len() > 48 { Err(std::fmt::Error) } else { Ok(()) }
        }
    }
    let mut words = Words(String::new());
    let _ = std::fmt::write(&mut words, format_args!("{message:?}"));
    words.0.split('{').next().unwrap_or_default().replace("Message(", "")
}

struct AgentSender<M> {
    way: Way,
    out: Out<M>,
}

#[async_trait]
impl<M: Message> agent::transport::Sender<M> for AgentSender<M> {
    async fn send(&mut self, message: M) -> Result<(), Closed> {
        self.way.life.pass().await;
        let broken = || Closed::Broken("connection reset by peer".to_owned());
        if self.way.ends.agent.is_cancelled() {
            return Err(broken());
        }
        self.out.send(&self.way, Parcel::Message(message)).await.map_err(|()| broken())
    }

    async fn close(&mut self, reason: &str) {
        self.way.life.pass().await;
        let _ = self.out.send(&self.way, Parcel::Close(Close::normal(reason))).await;
    }
}

struct AgentReceiver<M> {
    way: Way,
    inbox: In<M>,
}

#[async_trait]
impl<M: Message> agent::transport::Receiver<M> for AgentReceiver<M> {
    async fn receive(&mut self) -> Result<M, Closed> {
        self.way.life.pass().await;
        let broken = |what: &str| Closed::Broken(what.to_owned());
        let parcel = tokio::select! {
            biased;
            () = self.way.ends.agent.cancelled() => {
                return Err(broken("connection reset by peer"));
            }
            parcel = self.inbox.next(&self.way.links) => parcel,
            () = tokio::time::sleep(READ_TIMEOUT) => {
                return Err(broken("nothing came for 180 seconds"));
            }
        };
        self.way.life.pass().await;
        match parcel {
            Some(Parcel::Message(message)) => Ok(message),
            Some(Parcel::Close(close)) => Err(closed_with(close)),
            None => Err(Closed::Cleanly),
        }
    }
}

/// As `agent::transport::socket` reads close codes.
fn closed_with(close: Close) -> Closed {
    match close.code {
        1000 | 1001 | 1006 | 1011 => Closed::Cleanly,
        _ if close.reason.contains(NAME_OF_INACTIVE) => Closed::Inactive(close.reason),
        code => Closed::Broken(format!("the server closed with {code}: {}", close.reason)),
    }
}

/// The server's end.
pub(crate) struct ServerSide<A, S> {
    way: Way,
    inbox: In<A>,
    out: Out<S>,
}

impl<A: Message, S: Message> Transport for ServerSide<A, S> {
    type In = A;
    type Out = S;

    async fn receive(&mut self) -> Received<A> {
        self.way.life.pass().await;
        let parcel = tokio::select! {
            biased;
            () = self.way.ends.server.cancelled() => return Received::Closed,
            parcel = self.inbox.next(&self.way.links) => parcel,
        };
        match parcel {
            Some(Parcel::Message(message)) => Received::Message(message),
            Some(Parcel::Close(_)) | None => Received::Closed,
        }
    }

    async fn send(&mut self, message: S) -> Result<(), Gone> {
        self.way.life.pass().await;
        if self.way.ends.server.is_cancelled() {
            return Err(Gone);
        }
        self.out.send(&self.way, Parcel::Message(message)).await.map_err(|()| Gone)
    }

    async fn close(&mut self, close: Close) {
        self.way.life.pass().await;
        let _ = self.out.send(&self.way, Parcel::Close(close)).await;
    }
}
