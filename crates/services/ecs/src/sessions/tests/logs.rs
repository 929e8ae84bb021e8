//! Output of tasks, asked for over the node channel.

use std::sync::Arc;

use agent_protocol::node::{
    AgentMessage, ChannelHeartbeatAck, LogLine, LogLines, OpenLogs, OutputStream, ServerMessage,
    StreamEnd, StreamMessage, StreamRefused,
};
use http::StatusCode;
use http_body_util::BodyExt;
use terms::{Timestamp, Uuid};
use wire::{Body, Caller, CallerKind, RouteRequest};

use super::super::logs::{answer, pump};
use super::super::testing::{Peer, instance_arn, task_id, wire};
use super::world::{World, task};
use crate::model::{DesiredStatus, TaskStatus};

/// More than any body here.
const BODY_BYTES_MAX: usize = 1024 * 1024;

type Agent = Peer<AgentMessage, ServerMessage>;
type Stream = Peer<StreamMessage, std::convert::Infallible>;

async fn world() -> World {
    let world = World::start().await;
    world.put_task(task(1, TaskStatus::Running, DesiredStatus::Running)).await;
    world
}

async fn connect(world: &World) -> Agent {
    let (transport, mut agent) = wire();
    let sessions = world.sessions.clone();
    tokio::spawn(async move { sessions.serve_node(transport, instance_arn()).await });
    let beat = agent.hear().await;
    assert!(matches!(beat, ServerMessage::Heartbeat(_)), "{beat:?}");
    agent.say(ChannelHeartbeatAck {}.into()).await;
    agent
}

fn caller(kind: CallerKind) -> Arc<Caller> {
    Arc::new(Caller {
        account: instance_arn().account,
        region: instance_arn().region,
        arn: "arn:aws:iam::000000000000:root".to_owned(),
        user_id: "000000000000".to_owned(),
        access_key_id: "AKIA".to_owned(),
        kind,
    })
}

fn request(number: u32, query: &str, kind: CallerKind) -> RouteRequest {
    let uri = format!("/_longshore/tasks/{}/logs?{query}", task_id(number));
    let (parts, ()) = http::Request::builder().uri(uri).body(()).expect("a request").into_parts();
    RouteRequest {
        parts,
        body: Body::empty(),
        caller: Some(caller(kind)),
        upgrade: None,
        source: None,
        request_id: Uuid::from_random([0; 16]),
        now: Timestamp::default(),
        endpoint: String::new(),
    }
}

/// Asks, and lets the agent answer meanwhile.
fn ask(world: &World, query: &str) -> tokio::task::JoinHandle<http::Response<Body>> {
    let request = request(1, query, CallerKind::Operator);
    let sessions = world.sessions.clone();
    tokio::spawn(async move { answer(&sessions, request).await })
}

async fn hear_open(agent: &mut Agent) -> OpenLogs {
    match agent.hear().await {
        ServerMessage::OpenLogs(open) => open,
        other => panic!("{other:?}"),
    }
}

/// The agent opens the stream.
fn open(world: &World, open: &OpenLogs) -> Stream {
    let opened = world.sessions.hub.streams.take(open.stream_id).expect("somebody waits");
    let (transport, peer) = wire();
    tokio::spawn(pump(transport, opened, tokio_util::sync::CancellationToken::new()));
    peer
}

fn lines(texts: &[&str]) -> StreamMessage {
    let line = |text: &&str| LogLine {
        container: "main".to_owned(),
        time: "2026-11-21T03:00:00.000Z".to_owned(),
        stream: OutputStream::Stdout,
        text: (*text).to_owned(),
    };
    LogLines { lines: texts.iter().map(line).collect() }.into()
}

async fn body(response: http::Response<Body>) -> String {
    let bytes = response.into_body().collect(BODY_BYTES_MAX).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test(start_paused = true)]
async fn output_is_relayed_as_it_comes() {
    let world = world().await;
    let mut agent = connect(&world).await;
    let response = ask(&world, "container=main&follow=true&tail=10&format=text");
    let asked = hear_open(&mut agent).await;
    assert_eq!(
        (asked.container.as_deref(), asked.follow, asked.tail),
        (Some("main"), true, Some(10))
    );
    let stream = open(&world, &asked);
    stream.say(lines(&["one\n", "two"])).await;
    let mut response = response.await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let first = response.body_mut().frame().await.expect("a frame").expect("no error");
    assert_eq!(first.into_data().ok().as_deref(), Some(&b"one\ntwo\n"[..]), "before the end");
    stream.say(lines(&["three"])).await;
    stream.say(StreamEnd { error: None }.into()).await;
    assert_eq!(body(response).await, "three\n");
}

#[tokio::test(start_paused = true)]
async fn an_early_end_is_told_in_the_last_line() {
    let world = world().await;
    let mut agent = connect(&world).await;
    let response = ask(&world, "");
    let asked = hear_open(&mut agent).await;
    let stream = open(&world, &asked);
    stream.say(lines(&["one"])).await;
    stream.say(StreamEnd { error: Some("the disk is gone".to_owned()) }.into()).await;
    let text = body(response.await.expect("a response")).await;
    let expected = concat!(
        r#"{"container":"main","time":"2026-11-21T03:00:00.000Z","stream":"stdout","text":"one"}"#,
        "\n",
        r#"{"error":"the disk is gone"}"#,
        "\n",
    );
    assert_eq!(text, expected);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_ends_the_stream() {
    let world = world().await;
    let mut agent = connect(&world).await;
    let response = ask(&world, "follow=1");
    let asked = hear_open(&mut agent).await;
    let mut stream = open(&world, &asked);
    drop(response.await.expect("a response"));
    assert_eq!(stream.hear_close().await.code, 1000);
}

#[track_caller]
fn check(status: StatusCode, text: &str, expected: StatusCode, part: &str) {
    assert_eq!(status, expected, "{text}");
    assert!(text.contains(part), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_had_is_told() {
    let world = world().await;
    let refused = async |number, query: &str, kind| {
        let response = answer(&world.sessions, request(number, query, kind)).await;
        (response.status(), body(response).await)
    };
    let operator = || CallerKind::Operator;
    let (status, text) = refused(1, "", operator()).await;
    check(status, &text, StatusCode::CONFLICT, "is not connected");
    let (status, text) = refused(2, "", operator()).await;
    check(status, &text, StatusCode::NOT_FOUND, "there is no task");
    let (status, text) = refused(1, "cluster=other", operator()).await;
    check(status, &text, StatusCode::NOT_FOUND, "there is no task");
    let (status, text) = refused(1, "container=web", operator()).await;
    check(status, &text, StatusCode::BAD_REQUEST, "no container 'web'; it has main");
    let (status, text) = refused(1, "tail=many", operator()).await;
    check(status, &text, StatusCode::BAD_REQUEST, "'tail' must be a number");
    let node = CallerKind::Node { name: "node-1".to_owned() };
    let (status, text) = refused(1, "", node).await;
    check(status, &text, StatusCode::FORBIDDEN, "only operators");
}

#[tokio::test(start_paused = true)]
async fn an_agent_may_refuse_or_never_come() {
    let world = world().await;
    let mut agent = connect(&world).await;
    let response = ask(&world, "");
    let asked = hear_open(&mut agent).await;
    let reason = "the task's files are gone".to_owned();
    agent.say(StreamRefused { stream_id: asked.stream_id, reason }.into()).await;
    let response = response.await.expect("a response");
    let (status, text) = (response.status(), body(response).await);
    check(status, &text, StatusCode::CONFLICT, "files are gone");

    let response = ask(&world, "");
    let asked = hear_open(&mut agent).await;
    let response = response.await.expect("a response");
    let (status, text) = (response.status(), body(response).await);
    check(status, &text, StatusCode::CONFLICT, "did not open");
    assert!(world.sessions.hub.streams.take(asked.stream_id).is_none(), "nobody waits any more");
}
