//! A server in memory: payloads are sent again until acknowledged, reports are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent::engine::{Reported, StateChange};
use agent::transport::{
    AcsQuery, CallError, Channel, Closed, ConnectError, InstanceQuery, LogsCall, ObjectQuery,
    ObjectToPut, PollEndpoints, Receiver, Registered, Registration, RoleCall, Sender, Transport,
};
use agent_protocol::task::{DesiredStatus, Task};
use agent_protocol::{acs, node, tcs};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use terms::{TaskArn, Uuid};
use tokio::sync::{Notify, mpsc};

use crate::host::Seen;

pub const INSTANCE: &str = "arn:aws:ecs:us-east-1:000000000000:container-instance/default/00000000000000000000000000000001";
pub const CLUSTER: &str = "arn:aws:ecs:us-east-1:000000000000:cluster/default";

#[derive(Default)]
pub struct State {
    /// Payloads that were not acknowledged yet, by message id.
    pending: BTreeMap<String, acs::Payload>,
    pub registrations: Vec<Registration>,
    pub queries: Vec<AcsQuery>,
    pub submits: Vec<StateChange>,
    pub from_agent: Vec<acs::AgentMessage>,
    pub telemetry: Vec<tcs::AgentMessage>,
    pub on_node: Vec<node::AgentMessage>,
    to_agent: Option<mpsc::Sender<acs::ServerMessage>>,
    to_telemetry: Option<mpsc::Sender<tcs::ServerMessage>>,
    to_node: Option<mpsc::Sender<node::ServerMessage>>,
    /// The server's ends of sessions of ECS Exec that the agent opened, by their ids.
    pub execs: BTreeMap<String, ExecEnd>,
    /// Calls of CloudWatch Logs: operation and body.
    pub logged: Vec<(&'static str, serde_json::Value)>,
    /// Objects that were written: bucket and key, and the text.
    pub objects: BTreeMap<String, String>,
    sequence: i64,
    /// What is sent at each connection, as to an agent that asks for all credentials.
    pub credentials: Vec<acs::RoleCredentials>,
    /// Calls as roles: key and target.
    pub calls: Vec<(String, String)>,
    /// What calls as roles and objects are answered with; any other is refused.
    pub answers: BTreeMap<String, serde_json::Value>,
    /// So many calls as roles fail before that.
    pub calls_that_fail: usize,
    /// Errors that the next submits get.
    pub submit_errors: Vec<CallError>,
    pub register_errors: Vec<CallError>,
}

/// The server's end of one connection of a session.
pub struct ExecEnd {
    pub to_agent: mpsc::Sender<Bytes>,
    pub from_agent: mpsc::UnboundedReceiver<Bytes>,
}

#[derive(Clone, Default)]
pub struct Server {
    pub state: Arc<Mutex<State>>,
    pub changed: Arc<Notify>,
}

impl Server {
    /// Wants a task, and says so until the agent has taken it.
    pub fn want(&self, task: Task) {
        let mut state = self.state.lock();
        state.sequence += 1;
        let payload = acs::Payload {
            message_id: format!("m{}", state.sequence),
            cluster_arn: CLUSTER.to_owned(),
            container_instance_arn: INSTANCE.to_owned(),
            generated_at: None,
            seq_num: Some(state.sequence),
            tasks: vec![task.into()],
        };
        state.pending.insert(payload.message_id.clone(), payload.clone());
        state.send(payload.into());
    }

    /// Wants a known task to stop.
    pub fn stop(&self, task: &Task) {
        self.want(Task { desired_status: DesiredStatus::Stopped, ..task.clone() });
    }

    pub fn send(&self, message: acs::ServerMessage) {
        self.state.lock().send(message);
    }

    /// Asks for something on the node channel, once it is there.
    pub async fn ask_node(&self, message: node::ServerMessage) {
        let is_open = |it: &mpsc::Sender<_>| !it.is_closed();
        self.until(|state| state.to_node.as_ref().is_some_and(is_open)).await;
        let state = self.state.lock();
        state.to_node.as_ref().unwrap().try_send(message).unwrap();
    }

    pub fn next_sequence(&self) -> i64 {
        let mut state = self.state.lock();
        state.sequence += 1;
        state.sequence
    }

    /// Ends the control channel as a rotating server does.
    pub fn drop_connection(&self) {
        self.state.lock().to_agent = None;
    }

    /// The statuses that were reported of a task, in order.
    pub fn statuses(&self, task: &TaskArn) -> Vec<Reported> {
        let state = self.state.lock();
        state.submits.iter().filter(|s| s.task == *task).map(|s| s.status).collect()
    }

    /// Returns when `done` holds.
    pub async fn until(&self, mut done: impl FnMut(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            if done(&self.state.lock()) {
                return;
            }
            changed.await;
        }
    }

    pub async fn until_reported(&self, task: &TaskArn, status: Reported) {
        self.until(|state| state.submits.iter().any(|s| s.task == *task && s.status == status))
            .await;
    }

    /// As one agent sees it: cut off with its host.
    pub fn seen_by(&self, host: &Seen) -> SeenServer {
        SeenServer { server: self.clone(), host: host.clone() }
    }
}

impl State {
    fn send(&self, message: acs::ServerMessage) {
        if let Some(agent) = &self.to_agent {
            _ = agent.try_send(message);
        }
    }
}

#[derive(Clone)]
pub struct SeenServer {
    server: Server,
    host: Seen,
}

struct Out<T> {
    host: Seen,
    take: Box<dyn FnMut(T) + Send>,
}

#[async_trait]
impl<T: Send + 'static> Sender<T> for Out<T> {
    async fn send(&mut self, message: T) -> Result<(), Closed> {
        self.host.pass().await;
        (self.take)(message);
        Ok(())
    }
    async fn close(&mut self, _: &str) {}
}

struct In<T> {
    host: Seen,
    receiver: mpsc::Receiver<T>,
}

#[async_trait]
impl<T: Send + 'static> Receiver<T> for In<T> {
    async fn receive(&mut self) -> Result<T, Closed> {
        let message = self.receiver.recv().await;
        self.host.pass().await;
        message.ok_or(Closed::Cleanly)
    }
}

impl SeenServer {
    fn answer(&self, key: String, asked: String) -> Result<serde_json::Value, CallError> {
        let mut state = self.server.state.lock();
        if state.calls_that_fail > 0 {
            state.calls_that_fail -= 1;
            return Err(CallError::Transport("nobody answers".to_owned()));
        }
        state.calls.push((key, asked.clone()));
        state.answers.get(&asked).cloned().ok_or_else(|| CallError::Service {
            code: "ResourceNotFoundException".to_owned(),
            message: "Secrets Manager can't find the specified secret.".to_owned(),
        })
    }

    fn took(&self, message: acs::AgentMessage) {
        let mut state = self.server.state.lock();
        if let acs::AgentMessage::Ack(ack) = &message {
            state.pending.remove(&ack.message_id);
        }
        state.from_agent.push(message);
        self.server.changed.notify_waiters();
    }
}

#[async_trait]
impl Transport for SeenServer {
    async fn register(&self, registration: &Registration) -> Result<Registered, CallError> {
        self.host.pass().await;
        let mut state = self.server.state.lock();
        state.registrations.push(registration.clone());
        if let Some(error) = state.register_errors.pop() {
            return Err(error);
        }
        let value = |value: &Option<String>| value.clone().unwrap_or_default();
        let attributes = registration.attributes.iter().map(|(n, v)| (n.clone(), value(v)));
        Ok(Registered {
            container_instance_arn: INSTANCE.to_owned(),
            attributes: attributes.collect(),
        })
    }

    async fn create_cluster(&self, _: &str) -> Result<(), CallError> {
        Ok(())
    }

    async fn tags(&self, _: &str) -> Result<BTreeMap<String, String>, CallError> {
        self.host.pass().await;
        Ok(BTreeMap::from([("colour".to_owned(), "blue".to_owned())]))
    }

    async fn discover(&self, _: &str, _: &str) -> Result<PollEndpoints, CallError> {
        self.host.pass().await;
        let endpoint = || Some("http://server".to_owned());
        Ok(PollEndpoints { endpoint: endpoint(), telemetry_endpoint: endpoint() })
    }

    async fn submit(&self, _: &str, change: &StateChange) -> Result<(), CallError> {
        // The server's own write is an effect too: the agent may die before it hears of it.
        let server = self.server.clone();
        let change = change.clone();
        let result = self
            .host
            .effect(move |_| {
                let mut state = server.state.lock();
                if let Some(error) = state.submit_errors.pop() {
                    return Err(error);
                }
                state.submits.push(change);
                server.changed.notify_waiters();
                Ok(())
            })
            .await;
        self.server.changed.notify_waiters();
        result
    }

    async fn call_as(&self, call: RoleCall<'_>) -> Result<serde_json::Value, CallError> {
        self.host.pass().await;
        let key = call.credentials.map_or_else(String::new, |given| given.access_key_id.clone());
        let at = call.endpoint.map_or_else(String::new, |endpoint| format!("{endpoint} "));
        self.answer(key, format!("{at}{} {} {}", call.region, call.target, call.input))
    }

    async fn object(&self, wanted: ObjectQuery<'_>) -> Result<Vec<u8>, CallError> {
        self.host.pass().await;
        let key = wanted.credentials.access_key_id.clone();
        let object = format!("{}/{}", wanted.bucket, wanted.key);
        let text = self.answer(key, object)?;
        Ok(text.as_str().unwrap_or_default().as_bytes().to_vec())
    }

    async fn acs(
        &self,
        query: &AcsQuery,
    ) -> Result<Channel<acs::AgentMessage, acs::ServerMessage>, ConnectError> {
        self.host.pass().await;
        let (sender, receiver) = mpsc::channel(64);
        {
            let mut state = self.server.state.lock();
            state.queries.push(query.clone());
            state.to_agent = Some(sender);
            for payload in state.pending.values() {
                state.send(payload.clone().into());
            }
            for credentials in state.credentials.clone() {
                state.send(credentials.into());
            }
        }
        self.server.changed.notify_waiters();
        let me = self.clone();
        let take = Box::new(move |message| me.took(message));
        Ok(Channel {
            sender: Box::new(Out { host: self.host.clone(), take }),
            receiver: Box::new(In { host: self.host.clone(), receiver }),
        })
    }

    async fn tcs(
        &self,
        _: &InstanceQuery,
    ) -> Result<Channel<tcs::AgentMessage, tcs::ServerMessage>, ConnectError> {
        self.host.pass().await;
        let (sender, receiver) = mpsc::channel(64);
        self.server.state.lock().to_telemetry = Some(sender);
        let server = self.server.clone();
        let take = Box::new(move |message: tcs::AgentMessage| {
            let mut state = server.state.lock();
            if let Some(agent) = &state.to_telemetry {
                _ = agent.try_send(message.ack());
            }
            state.telemetry.push(message);
            server.changed.notify_waiters();
        });
        Ok(Channel {
            sender: Box::new(Out { host: self.host.clone(), take }),
            receiver: Box::new(In { host: self.host.clone(), receiver }),
        })
    }

    async fn node(
        &self,
        _: &InstanceQuery,
    ) -> Result<Channel<node::AgentMessage, node::ServerMessage>, ConnectError> {
        self.host.pass().await;
        let (sender, receiver) = mpsc::channel(8);
        self.server.state.lock().to_node = Some(sender);
        self.server.changed.notify_waiters();
        let server = self.server.clone();
        let take = Box::new(move |message: node::AgentMessage| {
            server.state.lock().on_node.push(message);
            server.changed.notify_waiters();
        });
        Ok(Channel {
            sender: Box::new(Out { host: self.host.clone(), take }),
            receiver: Box::new(In { host: self.host.clone(), receiver }),
        })
    }

    async fn logs(
        &self,
        call: &LogsCall,
        body: serde_json::Value,
    ) -> Result<serde_json::Value, CallError> {
        self.host.pass().await;
        self.server.state.lock().logged.push((call.operation, body));
        self.server.changed.notify_waiters();
        Ok(serde_json::Value::Null)
    }

    async fn put_object(&self, object: ObjectToPut<'_>) -> Result<(), CallError> {
        self.host.pass().await;
        let text = String::from_utf8(object.body.to_vec()).unwrap();
        let key = format!("{}/{}", object.bucket, object.key);
        assert!(self.server.state.lock().objects.insert(key, text).is_none());
        self.server.changed.notify_waiters();
        Ok(())
    }

    async fn exec(&self, session: &str) -> Result<Channel<Bytes, Bytes>, ConnectError> {
        self.host.pass().await;
        let (to_agent, receiver) = mpsc::channel(64);
        // As many as a session has unacknowledged at the most.
        #[allow(clippy::disallowed_methods)]
        let (sender, from_agent) = mpsc::unbounded_channel();
        let end = ExecEnd { to_agent, from_agent };
        self.server.state.lock().execs.insert(session.to_owned(), end);
        self.server.changed.notify_waiters();
        let take = Box::new(move |frame| _ = sender.send(frame));
        Ok(Channel {
            sender: Box::new(Out { host: self.host.clone(), take }),
            receiver: Box::new(In { host: self.host.clone(), receiver }),
        })
    }

    async fn stream(&self, _: Uuid) -> Result<Box<dyn Sender<node::StreamMessage>>, ConnectError> {
        std::future::pending().await
    }
}

/// Message ids that the agent acknowledged.
pub fn acked(state: &State) -> BTreeSet<String> {
    let ack = |message: &acs::AgentMessage| match message {
        acs::AgentMessage::Ack(ack) => Some(ack.message_id.clone()),
        _ => None,
    };
    state.from_agent.iter().filter_map(ack).collect()
}
