//! Sessions over real sockets, through the whole edge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent_protocol::acs::{Ack, AgentMessage, ServerMessage};
use agent_protocol::node::{self, LogLine, LogLines, OutputStream, StreamEnd};
use futures_util::{SinkExt, StreamExt};
use terms::{Region, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use wire::{Authenticator, CredentialLookup, Edge};

use super::super::testing::{CountedIds, HeldClock, instance_arn, task_id};
use super::world::{World, instance, task};
use crate::model::{DesiredStatus, InstanceStatus, TaskStatus};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Knows nobody; the edge is open.
struct Nobody;

impl Authenticator for Nobody {
    fn find(&self, _: &str, _: Option<&str>, _: &Region, _: Timestamp) -> CredentialLookup {
        CredentialLookup::Unknown
    }
}

pub(super) struct Served {
    pub(super) world: World,
    address: SocketAddr,
    _stop: tokio_util::sync::DropGuard,
}

impl Served {
    pub(super) async fn start() -> Self {
        let world = World::start().await;
        let clock = HeldClock::at(Timestamp::from_millis(1_795_226_828_000));
        let mut edge = Edge::builder(Arc::new(Nobody), clock, Arc::new(CountedIds::default()));
        for route in world.sessions.routes() {
            edge = edge.route(route);
        }
        let edge = edge.open(true).build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        tokio::spawn({
            let stop = stop.clone();
            async move { edge.serve(listener, stop).await }
        });
        Self { world, address, _stop: stop.drop_guard() }
    }

    fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    pub(super) async fn connect(&self, path: &str) -> Result<Socket, tungstenite::Error> {
        connect_async(self.url(path)).await.map(|(socket, _)| socket)
    }

    pub(super) async fn connect_control(&self) -> Socket {
        let path = format!(
            "/acs/ws?agentHash=a8b3e7d3&agentVersion=1.105.1&clusterArn=default\
             &containerInstanceArn={}&dockerVersion=DockerVersion:+20.10.24&protocolVersion=2\
             &sendCredentials=true&seqNum=1",
            instance_arn()
        );
        self.connect(&path).await.expect("an upgrade")
    }
}

pub(super) async fn hear(socket: &mut Socket) -> String {
    loop {
        match socket.next().await.expect("not the end").expect("no error") {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn say(socket: &mut Socket, frame: String) {
    socket.send(Message::text(frame)).await.expect("sent");
}

fn refusal(error: tungstenite::Error) -> (u16, String) {
    match error {
        tungstenite::Error::Http(response) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).expect("text"))
        }
        other => panic!("{other:?}"),
    }
}

/// What must come comes; only a hang takes as long.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(240), future).await.expect("it comes")
}

#[tokio::test]
async fn a_control_session_over_a_socket() {
    let served = Served::start().await;
    let mut socket = soon(served.connect_control()).await;
    let beat = soon(hear(&mut socket)).await;
    assert!(beat.starts_with(r#"{"type":"HeartbeatMessage""#), "{beat}");
    let manifest = soon(hear(&mut socket)).await;
    assert!(manifest.starts_with(r#"{"type":"TaskManifestMessage""#), "{manifest}");
    say(&mut socket, "no message at all".to_owned()).await;
    served.world.put_task(task(1, TaskStatus::Pending, DesiredStatus::Running)).await;
    let ServerMessage::Payload(payload) =
        ServerMessage::decode(&soon(hear(&mut socket)).await).expect("a message")
    else {
        panic!("a payload")
    };
    let ack = Ack { message_id: payload.message_id, ..Ack::default() };
    say(&mut socket, AgentMessage::from(ack).encode()).await;
    let docker = served.world.instance().agent.docker_version;
    assert_eq!(docker.as_deref(), Some("DockerVersion: 20.10.24"));

    served.world.put_instance(instance(InstanceStatus::Inactive)).await;
    let close = loop {
        match soon(socket.next()).await.expect("not the end").expect("no error") {
            Message::Close(Some(frame)) => break frame,
            Message::Text(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(u16::from(close.code), 1008);
    assert!(close.reason.starts_with("InactiveInstanceException"), "{close:?}");
}

#[tokio::test]
async fn upgrades_are_refused_before_they_happen() {
    let served = Served::start().await;
    let refused =
        async |path: &str| refusal(soon(served.connect(path)).await.expect_err("refused"));
    let (status, body) = refused("/acs/ws?containerInstanceArn=nonsense").await;
    assert_eq!(status, 400);
    assert!(body.contains("must be the ARN of a container instance"), "{body}");
    let unknown = instance_arn().to_string().replace('a', "b").replace("brn:bws", "arn:aws");
    let unknown = unknown.replace("contbiner-instbnce", "container-instance");
    let unknown = unknown.replace("us-ebst-1", "us-east-1").replace("defbult", "default");
    let (status, body) = refused(&format!("/acs/ws?containerInstanceArn={unknown}")).await;
    assert_eq!(status, 400);
    assert!(body.contains(r#""type":"InactiveInstanceException""#), "{body}");
    let (status, _) = refused(&format!("/tcs/ws?containerInstance={unknown}")).await;
    assert_eq!(status, 400);
    let (status, body) = refused("/_longshore/streams/00000000-0000-4000-8000-000000000000").await;
    assert_eq!(status, 404);
    assert!(body.contains("nobody waits for this stream"), "{body}");

    served.world.shutdown.cancel();
    served.world.until(|world| world.sessions.hub.control.check_room().is_err()).await;
    let (status, body) = refused(&format!("/acs/ws?containerInstanceArn={}", instance_arn())).await;
    assert_eq!(status, 503);
    assert!(body.contains("shutting down"), "{body}");
}

#[tokio::test]
async fn output_travels_over_two_sockets_to_a_third() {
    let served = Served::start().await;
    served.world.put_task(task(1, TaskStatus::Running, DesiredStatus::Running)).await;
    let channel =
        format!("{}?cluster=default&containerInstance={}", node::CHANNEL_PATH, instance_arn());
    let mut channel = soon(served.connect(&channel)).await.expect("a channel");
    soon(hear(&mut channel)).await;
    let clock = HeldClock::at(Timestamp::default());
    let endpoint = format!("http://{}", served.address);
    let client = wire::client::Client::new(&endpoint, None, instance_arn().region, clock);
    let path = format!("/_longshore/tasks/{}/logs?format=text", task_id(1));
    let asked = tokio::spawn(async move {
        client.send(http::Method::GET, &path, &[], bytes::Bytes::new(), "ecs").await
    });
    let open = soon(hear(&mut channel)).await;
    let Ok(node::ServerMessage::OpenLogs(open)) = node::ServerMessage::decode(&open) else {
        panic!("{open}")
    };
    let path = format!("{}{}", node::STREAM_PATH_PREFIX, open.stream_id);
    let mut stream = soon(served.connect(&path)).await.expect("a stream");
    let line = LogLine {
        container: "main".to_owned(),
        time: String::new(),
        stream: OutputStream::Stdout,
        text: "hello".to_owned(),
    };
    let lines = LogLines { lines: vec![line] };
    say(&mut stream, node::StreamMessage::from(lines).encode()).await;
    say(&mut stream, node::StreamMessage::from(StreamEnd::default()).encode()).await;
    let response = soon(asked).await.expect("no panic").expect("a response");
    assert_eq!(response.status(), 200);
    assert_eq!(&response.body()[..], b"hello\n");
}
