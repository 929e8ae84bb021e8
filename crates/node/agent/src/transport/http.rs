//! The real control plane: signed calls and websockets.
//!
//! Calls are written as plain JSON, not through the generated shapes: Amazon's agent has members
//! that the public model lacks (`clientToken`, `zoneId`; agent-protocol §1.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use ::http::Method;
use ::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use agent_protocol::{AGENT_VERSION, WEBSOCKET_PATH, acs, node, tcs};
use async_trait::async_trait;
use bytes::Bytes;
use runtime::PortBinding;
use serde_json::{Value, json};
use terms::{Clock, Region, Timestamp, Uuid};
use wire::Servers;
use wire::client::{Client, Exchange};
use wire::sigv4::Credentials;
use wire::tls::TlsClient;

use super::objects::{self, Objects};
use super::socket::{self, Codec};
use super::{
    AcsQuery, CallError, Channel, ConnectError, InstanceQuery, LogsCall, ObjectQuery, ObjectToPut,
    PollEndpoints, Registered, Registration, RoleCall, Sender, Transport,
};
use crate::engine::{ContainerChange, EXEC_AGENT, Reported, StateChange};
use crate::spec::PortRange;

/// `agentHash` in the queries of an agent that is part of `longshore up`.
const AGENT_HASH: &str = "longshore";
/// Query keys that every channel has are encoded by this rule: RFC 3986's unreserved stay.
const UNRESERVED: &[u8] = b"-._~";

/// The control plane behind an endpoint, called with a node's key.
#[derive(Clone)]
pub struct HttpTransport {
    client: Client,
    credentials: Credentials,
    region: Region,
    clock: Arc<dyn Clock>,
    tls: Option<TlsClient>,
    objects: Objects,
    hash: Arc<str>,
}

impl HttpTransport {
    /// The control plane at `endpoint` (`http://HOST:PORT` or `https://…`; several of its servers
    /// with commas between). With several, its channels go to these too, whatever endpoint is
    /// discovered.
    pub fn new(
        endpoint: &str,
        credentials: Credentials,
        region: Region,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let client =
            Client::new(endpoint, Some(credentials.clone()), region.clone(), Arc::clone(&clock));
        let (objects, hash) = (Objects::default(), AGENT_HASH.into());
        Self { client, credentials, region, clock, tls: None, objects, hash }
    }

    /// The same trusting and showing what `tls` says; without it, an `https` endpoint must be of
    /// an authority that this machine trusts.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<TlsClient>) -> Self {
        if let Some(tls) = tls {
            self.client = self.client.with_tls(tls.clone());
            self.tls = Some(tls);
        }
        self
    }

    /// The same with objects from somewhere; without this there are none.
    #[must_use]
    pub fn with_objects(mut self, objects: Objects) -> Self {
        self.objects = objects;
        self
    }

    /// The same telling this hash of the agent's program: by it the control plane knows whether
    /// there is another one to replace it by.
    #[must_use]
    pub fn with_hash(self, hash: &str) -> Self {
        Self { hash: hash.into(), ..self }
    }

    /// The same with calls that go through `exchange` instead of a socket. Channels would still be
    /// sockets, so a simulation opens its own.
    #[must_use]
    pub fn with_exchange(mut self, exchange: Arc<dyn Exchange>) -> Self {
        self.client = self.client.with_exchange(exchange);
        self
    }

    /// The servers that it goes to, and which of them answered last.
    pub fn servers(&self) -> &Servers {
        self.client.servers()
    }

    async fn call(&self, operation: &str, body: Value) -> Result<Value, CallError> {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let headers = [(HeaderName::from_static("x-amz-target"), target.as_str())];
        Self::answered(&self.client, &headers, body, "ecs").await
    }

    /// The answer of a service that speaks AWS JSON.
    async fn answered(
        client: &Client,
        more: &[(HeaderName, &str)],
        body: Value,
        service: &str,
    ) -> Result<Value, CallError> {
        let agent = format!("Amazon ECS Agent - v{AGENT_VERSION} (linux; LINUX) (Longshore)");
        let header = |text: &str| HeaderValue::from_str(text).expect("only printable characters");
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1")),
            (USER_AGENT, header(&agent)),
        ];
        headers.extend(more.iter().map(|(name, text)| (name.clone(), header(text))));
        let body = Bytes::from(body.to_string());
        let answer = client.send(Method::POST, "/", &headers, body, service).await;
        let answer = answer.map_err(|error| CallError::Transport(terms::with_causes(&error)))?;
        let json: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        if answer.status().is_success() {
            return Ok(json);
        }
        let text = |names: &[&str]| names.iter().find_map(|name| json.get(name)?.as_str());
        let code = text(&["__type", "code"]).unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        if code.is_empty() {
            return Err(CallError::Transport(format!("the server answered {}", answer.status())));
        }
        let message = text(&["message", "Message"]).unwrap_or_default().to_owned();
        Err(CallError::Service { code: code.to_owned(), message })
    }

    async fn open<C: Codec>(
        &self,
        endpoint: &str,
        path_and_query: &str,
    ) -> Result<Channel<C::Sent, C::Received>, ConnectError> {
        if self.client.servers().count() > 1 {
            let prefix = endpoint.parse::<::http::Uri>().ok();
            let prefix = prefix.as_ref().map_or("", |uri| uri.path().trim_end_matches('/'));
            return self.open_listed::<C>(&format!("{prefix}{path_and_query}")).await;
        }
        let client = Client::new(
            endpoint,
            Some(self.credentials.clone()),
            self.region.clone(),
            Arc::clone(&self.clock),
        );
        let client = match &self.tls {
            Some(tls) => client.with_tls(tls.clone()),
            None => client,
        };
        socket::connect::<C>(&client, path_and_query).await
    }

    /// Opens a channel to the server that answered last; the next try goes to another one if this
    /// one fails.
    async fn open_listed<C: Codec>(
        &self,
        path_and_query: &str,
    ) -> Result<Channel<C::Sent, C::Received>, ConnectError> {
        let url = self.client.endpoint().to_owned();
        let opened = socket::connect::<C>(&self.client.at(&url), path_and_query).await;
        if let Err(ConnectError::Failed(_) | ConnectError::Busy { .. }) = &opened {
            self.client.servers().failed(&url);
        }
        opened
    }
}

/// `key=value&…`, the keys in order, both percent-encoded.
fn query(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        let mut encoded = String::with_capacity(text.len());
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || UNRESERVED.contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        encoded
    };
    let pairs: Vec<_> =
        pairs.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    pairs.join("&")
}

fn container(change: &ContainerChange) -> Value {
    let mut json = json!({ "containerName": change.name, "status": change.status.name() });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            json[name] = value;
        }
    };
    set("runtimeId", change.runtime_id.clone().map(Value::from));
    set("imageDigest", change.image_digest.clone().map(Value::from));
    set("exitCode", change.exit_code.map(Value::from));
    set("reason", change.reason.clone().map(Value::from));
    let bindings = bindings(change);
    set("networkBindings", (!bindings.is_empty()).then(|| Value::from(bindings)));
    json
}

/// A range is one entry, for its ports of the host follow each other as its own do (agent-protocol
/// §3.6).
fn bindings(change: &ContainerChange) -> Vec<Value> {
    let mut left = change.bindings.clone();
    let mut shown = Vec::new();
    for PortRange { first, last, protocol } in &change.ranges {
        let is_of = |binding: &PortBinding| {
            binding.protocol == *protocol && (*first..=*last).contains(&binding.container_port)
        };
        let mut of_range: Vec<_> = left.extract_if(.., |binding| is_of(binding)).collect();
        of_range.sort_by_key(|binding| binding.container_port);
        let (Some(one), Some(end)) = (of_range.first(), of_range.last()) else { continue };
        if end.host_port.checked_sub(one.host_port) != Some(last - first) {
            left.extend(of_range);
            continue;
        }
        shown.push(json!({
            "bindIP": one.bind_ip.to_string(),
            "containerPortRange": format!("{first}-{last}"),
            "hostPortRange": format!("{}-{}", one.host_port, end.host_port),
            "protocol": protocol.to_string(),
        }));
    }
    let one = |binding: &PortBinding| {
        json!({
            "bindIP": binding.bind_ip.to_string(),
            "containerPort": binding.container_port,
            "hostPort": binding.host_port,
            "protocol": binding.protocol.to_string(),
        })
    };
    left.iter().map(one).chain(shown).collect()
}

fn state_change(cluster: &str, change: &StateChange) -> Value {
    let mut json = json!({
        "cluster": cluster,
        "task": change.task.to_string(),
        "status": change.status.name(),
        "reason": change.reason,
        "containers": change.containers.iter().map(container).collect::<Vec<_>>(),
    });
    let times = [
        ("pullStartedAt", change.pull_started_at),
        ("pullStoppedAt", change.pull_stopped_at),
        ("executionStoppedAt", change.execution_stopped_at),
    ];
    for (name, at) in times {
        if let Some(at) = at {
            json[name] = Value::from(Timestamp::seconds_f64(at));
        }
    }
    let managed: Vec<_> = change.containers.iter().filter_map(managed_agent).collect();
    if !managed.is_empty() {
        json["managedAgents"] = Value::from(managed);
    }
    json
}

/// ECS Exec in a container: there while the container runs (agent-protocol §3.6).
fn managed_agent(change: &ContainerChange) -> Option<Value> {
    let is_told = change.has_exec && change.status != Reported::Pending;
    is_told.then(|| {
        json!({
            "containerName": change.name,
            "managedAgentName": EXEC_AGENT,
            "status": change.status.name(),
        })
    })
}

fn registration(registration: &Registration) -> Value {
    let ports = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>();
    let attributes: Vec<_> = registration
        .attributes
        .iter()
        .map(|(name, value)| match value {
            Some(value) => json!({ "name": name, "value": value }),
            None => json!({ "name": name }),
        })
        .collect();
    let mut json = json!({
        "cluster": registration.cluster,
        "clientToken": registration.client_token,
        "instanceIdentityDocument": "",
        "instanceIdentityDocumentSignature": "",
        "attributes": attributes,
        "tags": [],
        "totalResources": [
            { "name": "CPU", "type": "INTEGER", "integerValue": registration.cpu },
            { "name": "MEMORY", "type": "INTEGER", "integerValue": registration.memory },
            { "name": "PORTS", "type": "STRINGSET",
              "stringSetValue": ports(&registration.tcp_ports) },
            { "name": "PORTS_UDP", "type": "STRINGSET",
              "stringSetValue": ports(&registration.udp_ports) },
        ],
    });
    if !registration.gpus.is_empty() {
        // Amazon's agent tells them as platform devices too, which the server takes as well.
        let devices: Vec<_> =
            registration.gpus.iter().map(|id| json!({ "id": id, "type": "GPU" })).collect();
        json["platformDevices"] = Value::from(devices);
    }
    if let Some(arn) = &registration.container_instance_arn {
        json["containerInstanceArn"] = Value::from(arn.clone());
    }
    json
}

fn text(json: &Value, name: &str) -> Option<String> {
    json.get(name)?.as_str().map(str::to_owned)
}

#[async_trait]
impl Transport for HttpTransport {
    async fn register(&self, wanted: &Registration) -> Result<Registered, CallError> {
        let answer = self.call("RegisterContainerInstance", registration(wanted)).await?;
        let instance = &answer["containerInstance"];
        let arn = text(instance, "containerInstanceArn").ok_or_else(|| {
            CallError::Transport("the answer to the registration has no ARN".to_owned())
        })?;
        let attributes = instance["attributes"].as_array().into_iter().flatten();
        let attributes: BTreeMap<_, _> = attributes
            .filter_map(|a| Some((text(a, "name")?, text(a, "value").unwrap_or_default())))
            .collect();
        Ok(Registered { container_instance_arn: arn, attributes })
    }

    async fn create_cluster(&self, name: &str) -> Result<(), CallError> {
        self.call("CreateCluster", json!({ "clusterName": name })).await.map(drop)
    }

    async fn discover(&self, cluster: &str, instance: &str) -> Result<PollEndpoints, CallError> {
        let body = json!({ "cluster": cluster, "containerInstance": instance, "zoneId": "" });
        let answer = self.call("DiscoverPollEndpoint", body).await?;
        Ok(PollEndpoints {
            endpoint: text(&answer, "endpoint"),
            telemetry_endpoint: text(&answer, "telemetryEndpoint"),
        })
    }

    async fn submit(&self, cluster: &str, change: &StateChange) -> Result<(), CallError> {
        self.call("SubmitTaskStateChange", state_change(cluster, change)).await.map(drop)
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, CallError> {
        let answer = self.call("ListTagsForResource", json!({ "resourceArn": arn })).await?;
        let tags = answer["tags"].as_array().into_iter().flatten();
        Ok(tags
            .filter_map(|tag| Some((text(tag, "key")?, text(tag, "value").unwrap_or_default())))
            .collect())
    }

    async fn acs(
        &self,
        wanted: &AcsQuery,
    ) -> Result<Channel<acs::AgentMessage, acs::ServerMessage>, ConnectError> {
        let query = query(&[
            ("agentHash", &self.hash),
            ("agentVersion", AGENT_VERSION),
            ("clusterArn", &wanted.cluster),
            ("containerInstanceArn", &wanted.container_instance_arn),
            ("dockerVersion", &format!("DockerVersion: longshore {AGENT_VERSION}")),
            ("protocolVersion", "2"),
            ("sendCredentials", if wanted.send_credentials { "true" } else { "false" }),
            ("seqNum", "1"),
        ]);
        let path = format!("{WEBSOCKET_PATH}?{query}");
        self.open::<socket::Acs>(&wanted.endpoint, &path).await
    }

    async fn tcs(
        &self,
        wanted: &InstanceQuery,
    ) -> Result<Channel<tcs::AgentMessage, tcs::ServerMessage>, ConnectError> {
        let query = query(&[
            ("agentHash", &self.hash),
            ("agentVersion", AGENT_VERSION),
            ("cluster", &wanted.cluster),
            ("containerInstance", &wanted.container_instance_arn),
            ("dockerVersion", &format!("longshore {AGENT_VERSION}")),
        ]);
        let path = format!("{WEBSOCKET_PATH}?{query}");
        self.open::<socket::Tcs>(&wanted.endpoint, &path).await
    }

    async fn node(
        &self,
        wanted: &InstanceQuery,
    ) -> Result<Channel<node::AgentMessage, node::ServerMessage>, ConnectError> {
        let query = query(&[
            ("cluster", &wanted.cluster),
            ("containerInstance", &wanted.container_instance_arn),
        ]);
        let path = format!("{}?{query}", node::CHANNEL_PATH);
        self.open_listed::<socket::Node>(&path).await
    }

    async fn logs(&self, call: &LogsCall, body: Value) -> Result<Value, CallError> {
        let region = match &call.region {
            Some(region) => region.parse().map_err(|_| CallError::Service {
                code: "InvalidParameterException".to_owned(),
                message: format!("'{region}' is no region"),
            })?,
            None => self.region.clone(),
        };
        let credentials = match &call.credentials {
            Some(given) => Credentials {
                access_key_id: given.access_key_id.clone(),
                secret: wire::Secret::new(given.secret_access_key.clone()),
                session_token: Some(given.session_token.clone()),
            },
            None => self.credentials.clone(),
        };
        let client = match &call.endpoint {
            Some(endpoint) => self.client.at(endpoint),
            None => self.client.clone(),
        };
        let client = client.signing_as(credentials, region);
        let target = format!("Logs_20140328.{}", call.operation);
        let emf = (HeaderName::from_static("x-amzn-logs-format"), "json/emf");
        let mut headers = vec![(HeaderName::from_static("x-amz-target"), target.as_str())];
        headers.extend(call.is_emf.then_some(emf));
        Self::answered(&client, &headers, body, "logs").await
    }

    async fn call_as(&self, wanted: RoleCall<'_>) -> Result<Value, CallError> {
        let region: Result<Region, _> = wanted.region.parse();
        let region = region.map_err(|error| CallError::Transport(format!("{error}")))?;
        let credentials = match wanted.credentials {
            Some(given) => objects::key_of(given),
            None => self.credentials.clone(),
        };
        let client = match wanted.endpoint {
            Some(endpoint) => self.client.at(endpoint),
            None => self.client.clone(),
        };
        let client = client.signing_as(credentials, region);
        let headers = [(HeaderName::from_static("x-amz-target"), wanted.target)];
        Self::answered(&client, &headers, wanted.input.clone(), wanted.service).await
    }

    async fn object(&self, wanted: ObjectQuery<'_>) -> Result<Vec<u8>, CallError> {
        self.objects.get(wanted, &self.clock).await
    }

    async fn put_object(&self, object: ObjectToPut<'_>) -> Result<(), CallError> {
        self.objects.put(object, &self.clock).await
    }

    async fn stream(&self, id: Uuid) -> Result<Box<dyn Sender<node::StreamMessage>>, ConnectError> {
        let path = format!("{}{id}", node::STREAM_PATH_PREFIX);
        let channel = self.open_listed::<socket::Stream>(&path).await?;
        Ok(socket::watched(channel))
    }

    async fn exec(&self, session: &str) -> Result<Channel<Bytes, Bytes>, ConnectError> {
        let path = format!("{}/{session}", agent_protocol::exec::AGENT_PATH);
        self.open_listed::<socket::Data>(&path).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        let text = query(&[("a", "DockerVersion: 1"), ("b", "arn:aws:ecs/x")]);
        assert_eq!(text, "a=DockerVersion%3A%201&b=arn%3Aaws%3Aecs%2Fx");
    }
}
