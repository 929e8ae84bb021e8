//! A server on a port of its own, with a clock and ids that the test knows.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use agent_protocol::acs::{AgentMessage, HeartbeatAck, ServerMessage};
use balancer::Balancer;
use ecs::{
    Close, CredentialsRequest, Ecs, EcsSetup, EcsTables, Gone, Hello, Minted, Received,
    ServiceRules, SessionSetup, TaskCredentials, TaskEndpointSetting, Transport,
};
use elbv2::{Elb, ElbSetup, Instances};
use http::{HeaderName, HeaderValue, Method};
use ledger::{Commit, Feed, Ledger, MemoryStore, Schema, Store};
use serde_json::Value;
use terms::{Clock, ContainerInstanceArn, IdSource, Region, Timestamp};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wire::client::Client;
use wire::sigv4::Credentials;
use wire::{Authenticator, Caller, CallerKind, CredentialLookup, Edge, Secret};

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "us-east-1";
/// How long a test waits for an instance to be shown as connected before it gives up.
const CONNECTED_WITHIN: Duration = Duration::from_secs(240);
/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// Milliseconds that only the test moves.
pub struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Numbers spread over all bytes.
pub struct Counter(AtomicU64);

impl IdSource for Counter {
    fn next(&self) -> [u8; 16] {
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        u128::from(count).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
    }
}

/// Every key is good; one that begins with `node-` is a node's, one that begins with `role-` a
/// session's of that role, and `root` the account's own.
struct Keys;

const SECRET: &str = "secret";

impl Authenticator for Keys {
    fn find(&self, id: &str, _: Option<&str>, region: &Region, _: Timestamp) -> CredentialLookup {
        let kind = match id.strip_prefix("node-") {
            Some(name) => CallerKind::Node { name: name.to_owned() },
            None => CallerKind::Operator,
        };
        let caller = Caller {
            account: ACCOUNT.parse().unwrap(),
            region: region.clone(),
            arn: match id.strip_prefix("role-") {
                Some(role) => format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/session"),
                None if id == "root" => format!("arn:aws:iam::{ACCOUNT}:root"),
                None => format!("arn:aws:iam::{ACCOUNT}:user/{id}"),
            },
            user_id: id.to_owned(),
            access_key_id: id.to_owned(),
            kind,
        };
        CredentialLookup::Found { secret: Secret::new(SECRET), caller: Arc::new(caller) }
    }
}

/// Whoever asks for a role's credentials gets some that are good for six hours.
struct SixHours;

impl TaskCredentials for SixHours {
    fn mint(
        &self,
        request: CredentialsRequest,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Minted, String>> + Send + '_>> {
        let expires = Timestamp::from_millis(START_MS + 6 * 3_600_000);
        let credentials = agent_protocol::task::Credentials {
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: "token".to_owned(),
            expiration: expires.to_string(),
            role_arn: request.role_arn,
            ..Default::default()
        };
        Box::pin(async move { Ok(Minted { credentials, expires }) })
    }
}

/// A connection of an agent that does no more than answer heartbeats: so many wait for it. Without
/// answers it would be given up after a minute, and a busy machine needs longer for a test.
struct Listening(u32);

impl Transport for Listening {
    type In = AgentMessage;
    type Out = ServerMessage;

    async fn receive(&mut self) -> Received<AgentMessage> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Received::Message(HeartbeatAck::default().into())
            }
            None => std::future::pending().await,
        }
    }

    async fn send(&mut self, message: ServerMessage) -> Result<(), Gone> {
        self.0 += u32::from(matches!(message, ServerMessage::Heartbeat(_)));
        Ok(())
    }

    async fn close(&mut self, _: Close) {}
}

/// No target is registered by an instance's id but by services.
struct Nowhere;

impl Instances for Nowhere {
    fn address(&self, _: &vpc::Scope, _: &str) -> Option<std::net::IpAddr> {
        None
    }
}

pub struct Server {
    pub ecs: Ecs,
    pub ledger: Ledger,
    pub vpc: vpc::Tables,
    clock: Arc<TestClock>,
    endpoint: String,
    _running: DropGuard,
}

impl Server {
    /// A server that keeps nothing: each transaction is done at once.
    pub async fn start() -> Self {
        Self::start_with(Box::new(MemoryStore::new())).await
    }

    /// The same, and services stay as their operations leave them.
    pub async fn start_at_rest() -> Self {
        Self::start_as(Box::new(MemoryStore::new()), true).await
    }

    pub async fn start_with(store: Box<dyn Store>) -> Self {
        Self::start_as(store, false).await
    }

    async fn start_as(store: Box<dyn Store>, at_rest: bool) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
        let ids = Arc::new(Counter(AtomicU64::new(0)));
        let mut schema = Schema::new();
        let tables = EcsTables::declare(&mut schema);
        let vpc_tables = vpc::Tables::declare(&mut schema);
        let elb_tables = elbv2::Tables::declare(&mut schema);
        let certificates = certificates::Tables::declare(&mut schema);
        let ledger = Ledger::open(schema, store, clock.clone(), ids.clone()).unwrap();
        let sessions = SessionSetup {
            task_endpoint: TaskEndpointSetting::None,
            credentials: Arc::new(SixHours),
            ecr_endpoint: None,
            registry: None,
        };
        let setup = EcsSetup {
            ids: ids.clone(),
            agent_endpoint: None,
            stopped_task_retention: ecs::STOPPED_TASK_RETENTION_MIN,
            sessions,
            services: ServiceRules::default(),
            vpc: vpc_tables,
        };
        let ecs = Ecs::new(tables, ledger.clone(), setup);
        ecs.balance(elb_tables);
        let elb = ElbSetup { vpc: vpc_tables, certificates, instances: Arc::new(Nowhere) };
        let elb = Elb::new(elb_tables, ledger.clone(), elb);
        let shutdown = CancellationToken::new();
        let edge = Edge::builder(Arc::new(Keys), clock.clone(), ids);
        let mut edge = edge.service(ecs.service()).service(elb.service());
        for route in ecs.routes() {
            edge = edge.route(route);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(edge.build().serve(listener, shutdown.clone()));
        let (running, token) = (ecs.clone(), shutdown.clone());
        let (balancer, of_elb) = (Balancer::new(clock.clone()), shutdown.clone());
        tokio::spawn(async move {
            if !at_rest {
                elb.run(&balancer, of_elb).await;
            }
        });
        tokio::spawn(async move {
            if at_rest { running.run_at_rest(token).await } else { running.run(token).await }
        });
        Self { ecs, ledger, vpc: vpc_tables, clock, endpoint, _running: shutdown.drop_guard() }
    }

    pub fn advance(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A caller with this key.
    pub fn client(&self, key: &str) -> Client {
        let credentials = Credentials {
            access_key_id: key.to_owned(),
            secret: Secret::new(SECRET),
            session_token: None,
        };
        let region = REGION.parse().unwrap();
        Client::new(&self.endpoint, Some(credentials), region, self.clock.clone())
    }

    /// Calls an operation with a body as it is, and gives the status and the answer as it is.
    pub async fn call(&self, key: &str, operation: &str, body: &str) -> (u16, Value) {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let headers = [
            (HeaderName::from_static("x-amz-target"), HeaderValue::from_str(&target).unwrap()),
            (http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1")),
        ];
        let body = body.to_owned().into();
        let answer = self.client(key).send(Method::POST, "/", &headers, body, "ecs").await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    /// Calls an operation of load balancing with a form, and gives the answer's text.
    pub async fn balance(&self, form: &str) -> String {
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = [(http::header::CONTENT_TYPE, form_type)];
        let body = format!("{form}&Version=2015-12-01").into();
        let client = self.client("admin");
        let answer = client.send(Method::POST, "/", &headers, body, "elasticloadbalancing").await;
        let answer = answer.unwrap();
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{form}: {text}");
        text
    }

    /// GETs a path of ours.
    pub async fn get(&self, key: &str, path: &str) -> (u16, Value) {
        let answer = self.client(key).send(Method::GET, path, &[], "".into(), "ecs").await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    /// POSTs to a path of ours.
    pub async fn post(&self, key: &str, path: &str, body: &str) -> (u16, Value) {
        let body = body.to_owned().into();
        let answer = self.client(key).send(Method::POST, path, &[], body, "ecs").await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    /// Gives an instance an agent's session, and waits until its row says so.
    pub async fn connect(&self, instance: &str) {
        let arn: ContainerInstanceArn = instance.parse().unwrap();
        let (ecs, id) = (self.ecs.clone(), arn.clone());
        tokio::spawn(async move {
            let transport = Listening(0);
            let versions = |name: &str| match name {
                "agentVersion" => Some("1.105.1".to_owned()),
                "agentHash" => Some("a8b3e7d3".to_owned()),
                "dockerVersion" => Some("DockerVersion: 20.10.24".to_owned()),
                _ => None,
            };
            ecs.sessions().serve_control(transport, id, Hello::from_query(versions)).await;
            Ok::<_, Infallible>(())
        });
        self.until_connected(&arn).await;
    }

    /// Waits until the instance's row says that its agent is connected.
    pub async fn until_connected(&self, arn: &ContainerInstanceArn) {
        let mut feed = self.ledger.subscribe();
        let connected = async {
            while !self.is_connected(arn).await {
                feed.next().await.unwrap();
            }
        };
        let shown = tokio::time::timeout(CONNECTED_WITHIN, connected).await;
        shown.unwrap_or_else(|_| panic!("{arn} is not shown as connected"));
    }

    async fn is_connected(&self, arn: &ContainerInstanceArn) -> bool {
        if arn.cluster.as_str() == "longshore-fargate-fleet" {
            let (_, told) = self.get("admin", "/_longshore/fleet").await;
            let nodes = told["nodes"].as_array().unwrap();
            let id = arn.id.to_string();
            return nodes.iter().any(|node| node["id"] == *id && node["connected"] == true);
        }
        let body =
            format!(r#"{{"cluster":"{}","containerInstances":["{}"]}}"#, arn.cluster, arn.id);
        let (_, answer) = self.call("admin", "DescribeContainerInstances", &body).await;
        answer["containerInstances"][0]["agentConnected"] == true
    }

    /// Registers an instance and connects it; gives its ARN.
    pub async fn instance(&self, cluster: &str, cpu: u32, memory: u32) -> String {
        self.instance_of(cluster, None, cpu, memory).await
    }

    /// The same, of a capacity provider.
    pub async fn instance_of(
        &self,
        cluster: &str,
        provider: Option<&str>,
        cpu: u32,
        memory: u32,
    ) -> String {
        let attribute =
            |name| format!(r#"{{"name":"longshore.capacity-provider","value":"{name}"}}"#);
        let attributes = provider.map(attribute).unwrap_or_default();
        let body = format!(
            r#"{{"cluster":"{cluster}","attributes":[{attributes}],"totalResources":[
                {{"name":"CPU","type":"INTEGER","integerValue":{cpu}}},
                {{"name":"MEMORY","type":"INTEGER","integerValue":{memory}}}]}}"#
        );
        let (_, answer) = self.call("admin", "RegisterContainerInstance", &body).await;
        let arn = answer["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
        self.connect(&arn).await;
        arn
    }
}

/// What was committed since the last time, up to what the ledger shows now. It shows a commit
/// before it tells of it, so the last may have to be waited for.
pub async fn committed(feed: &mut Feed, ledger: &Ledger) -> Vec<Arc<Commit>> {
    let shown = ledger.snapshot().revision();
    let mut commits = Vec::new();
    while feed.position() < shown {
        commits.push(feed.next().await.expect("a test commits less than a feed holds"));
    }
    commits
}
