//! The agent's transport: its own calls, over the simulated network; channels of decoded messages.

use std::time::Duration;

use std::collections::BTreeMap;

use agent::engine::StateChange;
use agent::transport::{
    AcsQuery, CallError, Channel, ConnectError, HttpTransport, InstanceQuery, PollEndpoints,
    Registered, Registration, Sender, Transport,
};
use agent_protocol::{AGENT_VERSION, NAME_OF_INACTIVE, acs, node, tcs};
use async_trait::async_trait;
use ecs::Hello;
use terms::{ContainerInstanceArn, Uuid};
use wire::{Caller, CallerKind};

use super::channel::{Message, Route};
use super::mutated::MutatedControl;
use super::{Channels, Wire};
use crate::life::Life;
use crate::mutation::Mutation;
use crate::server::{Onward, caller, number_of};

/// The longest time that a connection takes to stand on a good day.
const CONNECT: Duration = Duration::from_millis(20);

/// The control plane as one life of an agent sees it.
pub(crate) struct AgentTransport {
    pub(crate) calls: HttpTransport,
    pub(crate) wire: Wire,
    pub(crate) channels: Channels,
    pub(crate) node: String,
}

impl AgentTransport {
    /// Connects to the server that answered last; the next try goes to another one if that fails.
    async fn connect(&self, instance: &str) -> Result<(Route, ContainerInstanceArn), ConnectError> {
        let servers = self.calls.servers();
        let url = servers.current().to_owned();
        let connected = self.connect_to(&url, instance).await;
        if let Err(ConnectError::Failed(_) | ConnectError::Busy { .. }) = &connected {
            servers.failed(&url);
        }
        connected
    }

    /// What an upgrade asks, without the upgrade.
    async fn connect_to(
        &self,
        url: &str,
        instance: &str,
    ) -> Result<(Route, ContainerInstanceArn), ConnectError> {
        let Wire { world, life, .. } = &self.wire;
        let arn: ContainerInstanceArn =
            instance.parse().map_err(|_| failed("the instance has no ARN"))?;
        let route = self.route(url).await?;
        let Route { server, through, .. } = &route;
        let caller: Caller = caller(CallerKind::Node { name: self.node.clone() });
        let admitted = server.ecs.sessions().admit(&caller, &arn);
        let admitted = asked_of(&server.life, admitted);
        let admitted = match through {
            None => admitted.await?,
            Some((through, _)) => asked_of(&through.life, admitted).await??,
        };
        life.pass().await;
        let Err(refused) = admitted else { return Ok((route, arn)) };
        let (status, body) = (refused.status(), refused.into_body().collect(4096).await);
        let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
        let text = format!("the server refused the upgrade: {status} {body}");
        world.note(format!("{} is refused: {status}", self.wire.name));
        match body.contains(NAME_OF_INACTIVE) {
            true => Err(ConnectError::Inactive(text)),
            false => Err(ConnectError::Failed(text)),
        }
    }

    /// The way to the server that serves agents, directly or through the one at `url`.
    async fn route(&self, url: &str) -> Result<Route, ConnectError> {
        let Wire { world, life, roads, .. } = &self.wire;
        let number = url.parse().ok().and_then(|uri| number_of(&uri));
        let number = number.ok_or_else(|| failed("there is no such server"))?;
        let link = roads.to(number);
        life.pass().await;
        link.open().await;
        tokio::time::sleep(world.delay(CONNECT)).await;
        life.pass().await;
        let front = world.server(number).ok_or_else(|| failed("connection refused"))?;
        let mut links = vec![link.clone()];
        let (leader, end) = match asked_of(&front.life, front.onward(&[])).await? {
            Onward::Nowhere => return Err(failed("the server refused the upgrade: 503")),
            Onward::Here => return Ok(Route { links, server: front, through: None }),
            Onward::To { server, end } => (server, end),
        };
        let link = world.net.peers[number].to(leader).clone();
        asked_of(&front.life, link.open()).await?;
        tokio::time::sleep(world.delay(CONNECT)).await;
        let server = world.server(leader).filter(|_| !end.is_cancelled());
        let server = server.ok_or_else(|| failed("the server refused the upgrade: 503"))?;
        links.push(link);
        match asked_of(&server.life, server.onward(&[&front.name])).await? {
            Onward::Here => Ok(Route { links, server, through: Some((front, end)) }),
            Onward::Nowhere | Onward::To { .. } => {
                Err(failed("the server refused the upgrade: 503"))
            }
        }
    }

    /// The call, unless the process dies meanwhile: then nothing comes back.
    async fn alive<T>(&self, call: impl Future<Output = T>) -> T {
        self.wire.life.pass().await;
        let answer = call.await;
        self.wire.life.pass().await;
        answer
    }

    fn open<A: Message, S: Message>(
        &self,
        kind: &str,
        route: &Route,
    ) -> (Channel<A, S>, super::channel::ServerSide<A, S>) {
        let Wire { world, life, name, .. } = &self.wire;
        world.note(format!("{name} opens {kind} to {}", route.server.name));
        self.channels.open(world, format!("{name}/{kind}"), route, life)
    }
}

/// What a server answers, unless its process dies meanwhile: then the connection breaks.
async fn asked_of<T>(server: &Life, answer: impl Future<Output = T>) -> Result<T, ConnectError> {
    let answer = async {
        server.pass().await;
        answer.await
    };
    tokio::select! {
        biased;
        () = server.over() => Err(failed("connection reset by peer")),
        answer = answer => Ok(answer),
    }
}

fn failed(what: &str) -> ConnectError {
    ConnectError::Failed(what.to_owned())
}

#[async_trait]
impl Transport for AgentTransport {
    async fn register(&self, registration: &Registration) -> Result<Registered, CallError> {
        if self.wire.world.is_mutated(Mutation::OverstatesCapacity) {
            let twice = Registration {
                cpu: registration.cpu * 2,
                memory: registration.memory * 2,
                ..registration.clone()
            };
            return self.alive(self.calls.register(&twice)).await;
        }
        self.alive(self.calls.register(registration)).await
    }

    async fn create_cluster(&self, name: &str) -> Result<(), CallError> {
        self.alive(self.calls.create_cluster(name)).await
    }

    async fn discover(&self, cluster: &str, instance: &str) -> Result<PollEndpoints, CallError> {
        self.alive(self.calls.discover(cluster, instance)).await
    }

    async fn submit(&self, cluster: &str, change: &StateChange) -> Result<(), CallError> {
        self.wire.life.pass().await;
        let (task, status) = (change.task.id, change.status);
        self.wire.world.note(format!("{} reports {task} {}", self.wire.name, status.name()));
        self.alive(self.calls.submit(cluster, change)).await
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, CallError> {
        self.alive(self.calls.tags(arn)).await
    }

    async fn acs(
        &self,
        query: &AcsQuery,
    ) -> Result<Channel<acs::AgentMessage, acs::ServerMessage>, ConnectError> {
        let (route, instance) = self.connect(&query.container_instance_arn).await?;
        let (ours, theirs) = self.open("acs", &route);
        let sends = query.send_credentials;
        let hello = Hello::from_query(|name| match name {
            "agentVersion" => Some(AGENT_VERSION.to_owned()),
            "agentHash" => Some("longshore".to_owned()),
            "dockerVersion" => Some(format!("DockerVersion: longshore {AGENT_VERSION}")),
            "sendCredentials" => Some(sends.to_string()),
            _ => None,
        });
        let server = route.server;
        let sessions = server.ecs.sessions().clone();
        let world = self.wire.world.clone();
        let theirs = MutatedControl { inner: theirs, world, forged: Vec::new() };
        server.spawn(async move { sessions.serve_control(theirs, instance, hello).await });
        Ok(ours)
    }

    async fn tcs(
        &self,
        query: &InstanceQuery,
    ) -> Result<Channel<tcs::AgentMessage, tcs::ServerMessage>, ConnectError> {
        let (route, instance) = self.connect(&query.container_instance_arn).await?;
        let (ours, theirs) = self.open("tcs", &route);
        let server = route.server;
        let sessions = server.ecs.sessions().clone();
        server.spawn(async move { sessions.serve_telemetry(theirs, instance).await });
        Ok(ours)
    }

    async fn node(
        &self,
        query: &InstanceQuery,
    ) -> Result<Channel<node::AgentMessage, node::ServerMessage>, ConnectError> {
        let (route, instance) = self.connect(&query.container_instance_arn).await?;
        let (ours, theirs) = self.open("node", &route);
        let server = route.server;
        let sessions = server.ecs.sessions().clone();
        server.spawn(async move { sessions.serve_node(theirs, instance).await });
        Ok(ours)
    }

    async fn stream(&self, _: Uuid) -> Result<Box<dyn Sender<node::StreamMessage>>, ConnectError> {
        Err(failed("there are no streams in a simulation"))
    }
}
