//! How the agent speaks with the control plane: decoded messages in, decoded messages out, so that
//! a simulation can stand in for HTTP and websockets.

mod http;
mod objects;
mod socket;

use std::collections::BTreeMap;
use std::time::Duration;

use agent_protocol::task::Credentials;
use agent_protocol::{acs, node, tcs};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use terms::Uuid;

use crate::engine::StateChange;

pub use http::HttpTransport;
pub use objects::Objects;

/// A refusal or a failure of one call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server answered with an error.
    #[error("{code}: {message}")]
    Service {
        /// The error's code.
        code: String,
        /// Its text.
        message: String,
    },
    /// The server could not be reached or understood.
    #[error("{0}")]
    Transport(String),
}

impl CallError {
    /// The error's code, if the server gave one.
    pub fn code(&self) -> &str {
        match self {
            Self::Service { code, .. } => code,
            Self::Transport(_) => "",
        }
    }
}

/// What RegisterContainerInstance sends (agent-protocol §1.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// The cluster as configured.
    pub cluster: String,
    /// The saved ARN, when the instance was registered before.
    pub container_instance_arn: Option<String>,
    /// The same for all tries of one process.
    pub client_token: String,
    /// Names and values; no value is an empty one.
    pub attributes: Vec<(String, Option<String>)>,
    /// CPU units.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
    /// Reserved TCP ports.
    pub tcp_ports: Vec<u16>,
    /// Reserved UDP ports.
    pub udp_ports: Vec<u16>,
    /// The ids of its GPUs.
    pub gpus: Vec<String>,
}

/// What the server answers to a [`Registration`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registered {
    /// The container instance.
    pub container_instance_arn: String,
    /// Its attributes: those sent, and those that the server adds.
    pub attributes: BTreeMap<String, String>,
}

/// Where the channels are (agent-protocol §1.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollEndpoints {
    /// Of ACS.
    pub endpoint: Option<String>,
    /// Of TCS.
    pub telemetry_endpoint: Option<String>,
}

/// Why a channel could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The control plane does not know this instance any more.
    #[error("the control plane does not know this container instance any more: {0}")]
    Inactive(String),
    /// The control plane asks to come back later: it lets returning agents in at a bounded rate.
    #[error("the control plane asks to wait for {} seconds: {reason}", wait.as_secs())]
    Busy {
        /// What it said.
        reason: String,
        /// How long to wait at least.
        wait: Duration,
    },
    /// Anything else; worth another try.
    #[error("{0}")]
    Failed(String),
}

/// How a channel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// As agreed, or the other side just went: connect again at once.
    Cleanly,
    /// In trouble: connect again after a wait.
    Broken(String),
    /// Not taken for now: connect again after this long, and some more by chance.
    Busy(Duration),
    /// The control plane does not know this instance any more.
    Inactive(String),
}

/// A channel that did not come to be is tried again as one that ended.
impl From<ConnectError> for Closed {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Failed(error) => Self::Broken(error),
            ConnectError::Inactive(error) => Self::Inactive(error),
            ConnectError::Busy { wait, .. } => Self::Busy(wait),
        }
    }
}

/// The writing half of a channel.
#[async_trait]
pub trait Sender<T>: Send {
    /// Sends a message.
    async fn send(&mut self, message: T) -> Result<(), Closed>;
    /// Says that the channel is to end, with a reason; the reading half tells when it has.
    async fn close(&mut self, reason: &str);
    /// Returns when the other side of a channel that only sends has gone.
    async fn gone(&mut self) {
        std::future::pending::<()>().await;
    }
}

/// The reading half of a channel.
#[async_trait]
pub trait Receiver<T>: Send {
    /// The next message; what cannot be decoded is logged and left out. May be dropped and called
    /// again without losing a message.
    async fn receive(&mut self) -> Result<T, Closed>;
}

/// Both halves of a channel: what we send, what we receive.
pub struct Channel<S, R> {
    /// The writing half.
    pub sender: Box<dyn Sender<S>>,
    /// The reading half.
    pub receiver: Box<dyn Receiver<R>>,
}

/// The query of the ACS channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcsQuery {
    /// Where, from [`PollEndpoints`].
    pub endpoint: String,
    /// The cluster as configured.
    pub cluster: String,
    /// The instance.
    pub container_instance_arn: String,
    /// Whether the server is to send all credentials.
    pub send_credentials: bool,
}

/// The query of the TCS channel and of the node channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceQuery {
    /// Where, from [`PollEndpoints`]; the node channel has its own place on the server.
    pub endpoint: String,
    /// The cluster as configured.
    pub cluster: String,
    /// The instance.
    pub container_instance_arn: String,
}

/// A call of CloudWatch Logs, for a container's log driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsCall {
    /// The operation.
    pub operation: &'static str,
    /// The region that it is signed for; the agent's own without.
    pub region: Option<String>,
    /// Another endpoint than the control plane.
    pub endpoint: Option<String>,
    /// Whose keys sign it; the instance's without.
    pub credentials: Option<Credentials>,
    /// Whether its lines are of the embedded metric format.
    pub is_emf: bool,
}

/// A call of a service, usually with a role's credentials.
#[derive(Clone, Copy)]
pub struct RoleCall<'a> {
    /// The role's; the instance's own without.
    pub credentials: Option<&'a Credentials>,
    /// Another endpoint than the control plane.
    pub endpoint: Option<&'a str>,
    /// The region that is asked.
    pub region: &'a str,
    /// The service's name in signatures, as in `ssm`.
    pub service: &'static str,
    /// As in `AmazonSSM.GetParameters`.
    pub target: &'static str,
    /// The input, as JSON.
    pub input: &'a Value,
}

/// An object that is fetched with a role's credentials.
#[derive(Clone, Copy)]
pub struct ObjectQuery<'a> {
    /// The role's.
    pub credentials: &'a Credentials,
    /// The region that the agent is in.
    pub region: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// The most bytes that are taken.
    pub max_bytes: usize,
}

/// An object that is written with a role's credentials.
#[derive(Clone, Copy)]
pub struct ObjectToPut<'a> {
    /// The role's; a folder needs none.
    pub credentials: Option<&'a Credentials>,
    /// The region that the agent is in.
    pub region: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// What it holds.
    pub body: &'a Bytes,
}

/// The control plane as the agent sees it.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// RegisterContainerInstance.
    async fn register(&self, registration: &Registration) -> Result<Registered, CallError>;

    /// CreateCluster, when the default one is missing.
    async fn create_cluster(&self, name: &str) -> Result<(), CallError>;

    /// DiscoverPollEndpoint.
    async fn discover(&self, cluster: &str, instance: &str) -> Result<PollEndpoints, CallError>;

    /// SubmitTaskStateChange.
    async fn submit(&self, cluster: &str, change: &StateChange) -> Result<(), CallError>;

    /// ListTagsForResource: the tags of a task or of the instance.
    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, CallError>;

    /// Opens ACS.
    async fn acs(
        &self,
        query: &AcsQuery,
    ) -> Result<Channel<acs::AgentMessage, acs::ServerMessage>, ConnectError>;

    /// Opens TCS.
    async fn tcs(
        &self,
        query: &InstanceQuery,
    ) -> Result<Channel<tcs::AgentMessage, tcs::ServerMessage>, ConnectError>;

    /// Opens the node channel.
    async fn node(
        &self,
        query: &InstanceQuery,
    ) -> Result<Channel<node::AgentMessage, node::ServerMessage>, ConnectError>;

    /// Calls CloudWatch Logs with a body in JSON. A control plane that has none answers so.
    async fn logs(
        &self,
        call: &LogsCall,
        body: serde_json::Value,
    ) -> Result<serde_json::Value, CallError> {
        let _ = body;
        Err(CallError::Transport(format!("{} is not answered here", call.operation)))
    }

    /// Calls a service of the control plane as a role; the answer is never logged.
    async fn call_as(&self, _call: RoleCall<'_>) -> Result<Value, CallError> {
        Err(CallError::Transport("no service is called as a role here".to_owned()))
    }

    /// Fetches an object.
    async fn object(&self, _wanted: ObjectQuery<'_>) -> Result<Vec<u8>, CallError> {
        Err(CallError::Transport("there are no objects here".to_owned()))
    }

    /// Writes an object, in the place of an older one.
    async fn put_object(&self, _object: ObjectToPut<'_>) -> Result<(), CallError> {
        Err(CallError::Transport("there are no objects here".to_owned()))
    }

    /// Opens a stream that the server asked for on the node channel.
    async fn stream(&self, id: Uuid) -> Result<Box<dyn Sender<node::StreamMessage>>, ConnectError>;

    /// Opens the agent's side of a session of ECS Exec; frames go both ways as they are.
    async fn exec(&self, _session: &str) -> Result<Channel<Bytes, Bytes>, ConnectError> {
        Err(ConnectError::Failed("there are no sessions here".to_owned()))
    }
}
