//! Sessions of ECS Exec: how long they last, what is told at their end, and where they are logged.

use std::time::Duration;

use agent_protocol::exec::{
    ChannelClosed, DataChannel, Frame, HandshakeRequest, HandshakeResponse, Kind, Received, Side,
    Size, Stamp, payload,
};
use agent_protocol::node::{AgentMessage, ExecLog, ExecObject, OpenExec};
use bytes::Bytes;
use tokio::time::Instant;

use crate::harness::{Running, World, container, task};
use crate::server::{ExecEnd, Server};

const SESSION: &str = "ecs-execute-command-00000000000000001";
const MINUTE: Duration = Duration::from_secs(60);
/// What an end may take beyond its time: the last output waits for its acknowledgement.
const SLACK: Duration = Duration::from_secs(15);

/// A world whose agent runs one task.
async fn world() -> (World, Running) {
    let world = World::new();
    let agent = world.start();
    let wanted = task(1, vec![container("app", "run")]);
    world.server.want(wanted.clone());
    world.server.until_reported(&wanted.arn, agent::engine::Reported::Running).await;
    (world, agent)
}

fn open() -> OpenExec {
    OpenExec {
        session_id: SESSION.to_owned(),
        task_arn: task(1, Vec::new()).arn,
        container: "app".to_owned(),
        command: "/bin/sh".to_owned(),
        is_begun: false,
        log: None,
        object: None,
    }
}

/// The client's end, and the server between.
struct Client {
    server: Server,
    end: Option<ExecEnd>,
    data: DataChannel,
    seen: Vec<u8>,
    /// What the session's end was told with.
    over: Option<String>,
}

impl Client {
    /// Asks the agent for the session, and takes it up to the command's first word.
    async fn begin(world: &World, open: OpenExec) -> Self {
        let server = world.server.clone();
        server.ask_node(open.into()).await;
        let data = DataChannel::new(Side::Client);
        let mut client = Self { server, end: None, data, seen: Vec::new(), over: None };
        client.meet().await;
        client.until("# ").await;
        client
    }

    /// Takes the connection that the agent makes.
    async fn meet(&mut self) {
        self.server.until(|state| state.execs.contains_key(SESSION)).await;
        self.end = self.server.state.lock().execs.remove(SESSION);
        self.service(Kind::StartPublication).await;
    }

    async fn service(&self, kind: Kind) {
        let frame = Frame {
            kind,
            created_ms: 1,
            sequence: 0,
            flags: 3,
            id: [1; 16],
            payload_type: payload::NONE,
            payload: Bytes::new(),
        };
        self.send(Some(frame.encode())).await;
    }

    async fn send(&self, frames: impl IntoIterator<Item = Bytes>) {
        for frame in frames {
            self.end.as_ref().unwrap().to_agent.send(frame).await.unwrap();
        }
    }

    async fn say(&mut self, kind: u32, what: &[u8]) {
        let what = Bytes::copy_from_slice(what);
        let frame = self.data.send(Duration::ZERO, STAMP, kind, what);
        self.send(frame).await;
    }

    /// Takes in one frame; false once the agent has let the connection go.
    async fn step(&mut self) -> bool {
        let Some(frame) = self.end.as_mut().unwrap().from_agent.recv().await else { return false };
        let given = self.data.receive(Duration::ZERO, STAMP, &frame, true).unwrap();
        self.send(given.answer).await;
        match given.received {
            Received::Messages(messages) => {
                for message in messages {
                    self.take(message.kind, &message.payload).await;
                }
            }
            Received::Closed(said) => {
                let closed: ChannelClosed = serde_json::from_slice(&said).unwrap();
                self.over = Some(closed.output);
            }
            Received::Started => {
                let again = self.data.resend_all(Duration::ZERO);
                self.send(again).await;
            }
            Received::Paused => {}
        }
        true
    }

    async fn take(&mut self, kind: u32, what: &[u8]) {
        match kind {
            payload::OUTPUT => self.seen.extend_from_slice(what),
            payload::HANDSHAKE_REQUEST => {
                let request: HandshakeRequest = serde_json::from_slice(what).unwrap();
                let answer = HandshakeResponse::success("1.2.0.0", &request);
                let answer = serde_json::to_vec(&answer).unwrap();
                self.say(payload::HANDSHAKE_RESPONSE, &answer).await;
            }
            payload::HANDSHAKE_COMPLETE => {
                let size = serde_json::to_vec(&Size { cols: 80, rows: 24 }).unwrap();
                self.say(payload::SIZE, &size).await;
            }
            _ => panic!("a message of kind {kind}"),
        }
    }

    async fn until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.seen).contains(text) {
            assert!(self.step().await, "no {text:?} in {:?}", String::from_utf8_lossy(&self.seen));
        }
        self.seen.clear();
    }

    /// Reads on to the session's end, as the server does, which then lets the agent go.
    async fn ended(mut self) -> String {
        while self.over.is_none() {
            assert!(self.step().await, "the connection went without a word");
        }
        self.over.unwrap()
    }
}

const STAMP: Stamp = Stamp { created_ms: 1, id: [7; 16] };

fn hung_up(world: &World) -> bool {
    world.log().iter().any(|line| line == "hang up")
}

/// That this lasted so long, and not much longer.
#[track_caller]
fn check_lasted(since: Instant, time: Duration) {
    let lasted = since.elapsed();
    assert!(lasted >= time && lasted < time + SLACK, "{lasted:?}, not {time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_after_twenty_minutes_without_a_key_or_output() {
    let (world, agent) = world().await;
    let mut client = Client::begin(&world, open()).await;
    tokio::time::sleep(19 * MINUTE).await;
    client.say(payload::OUTPUT, b"x").await;
    client.until("x").await;
    let since = Instant::now();
    assert_eq!(client.ended().await, "Your session timed out due to inactivity.");
    check_lasted(since, 20 * MINUTE);
    agent.shutdown.cancel();
    agent.task.await.unwrap().unwrap();
    assert!(hung_up(&world));
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_ends_although_its_client_acknowledges_nothing() {
    let (world, _agent) = world().await;
    let mut client = Client::begin(&world, open()).await;
    client.say(payload::OUTPUT, b"x").await;
    let since = Instant::now();
    // The echo is never read, so it stays unacknowledged.
    tokio::time::sleep(20 * MINUTE + Duration::from_secs(11)).await;
    assert_eq!(client.ended().await, "Your session timed out due to inactivity.");
    check_lasted(since, 20 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_its_client_ends_after_five_minutes() {
    let (world, _agent) = world().await;
    let mut client = Client::begin(&world, open()).await;
    client.service(Kind::PausePublication).await;
    tokio::time::sleep(4 * MINUTE).await;
    client.service(Kind::StartPublication).await;
    client.say(payload::OUTPUT, b"back").await;
    client.until("back").await;
    client.service(Kind::PausePublication).await;
    let since = Instant::now();
    assert_eq!(client.ended().await, "Nobody was connected to the session for too long.");
    check_lasted(since, 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_its_server_ends_after_five_minutes() {
    let (world, _agent) = world().await;
    let mut client = Client::begin(&world, open()).await;
    // The agent comes again by itself.
    client.end = None;
    tokio::time::sleep(4 * MINUTE).await;
    client.meet().await;
    client.say(payload::OUTPUT, b"back").await;
    client.until("back").await;
    client.end = None;
    let since = Instant::now();
    while !hung_up(&world) {
        // Connections that nobody serves are let go.
        world.server.state.lock().execs.clear();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    check_lasted(since, 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_agent_and_says_so() {
    let (world, agent) = world().await;
    let client = Client::begin(&world, open()).await;
    agent.shutdown.cancel();
    assert_eq!(client.ended().await, "The agent that held the session was stopped or replaced.");
    agent.task.await.unwrap().unwrap();
    assert!(hung_up(&world));
    // The next one does not begin the command again.
    let _next = world.start();
    let again = OpenExec { is_begun: true, ..open() };
    world.server.ask_node(again.into()).await;
    let refused = |message: &AgentMessage| match message {
        AgentMessage::ExecRefused(refused) => refused.reason.contains("the session is over"),
        _ => false,
    };
    world.server.until(|state| state.on_node.iter().any(refused)).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_session_prints_is_logged_up_to_its_end() {
    let (world, _agent) = world().await;
    let log = ExecLog { group: "/g".to_owned(), stream: SESSION.to_owned(), region: None };
    let mut client = Client::begin(&world, OpenExec { log: Some(log), ..open() }).await;
    for word in ["one\r", "two\r"] {
        client.say(payload::OUTPUT, word.as_bytes()).await;
        client.until(word).await;
        tokio::time::sleep(MINUTE).await;
    }
    client.say(payload::OUTPUT, b"exit\r").await;
    assert_eq!(client.ended().await, "");
    world.server.until(|state| state.logged.len() == 4).await;
    let logged = std::mem::take(&mut world.server.state.lock().logged);
    let operations: Vec<_> = logged.iter().map(|(operation, _)| *operation).collect();
    assert_eq!(operations, ["CreateLogStream", "PutLogEvents", "PutLogEvents", "PutLogEvents"]);
    let texts = logged[1..].iter().map(|(_, body)| body["logEvents"][0]["message"].as_str());
    assert_eq!(texts.collect::<Option<Vec<_>>>().unwrap(), ["# one\r", "two\r", "exit\r"]);
    for (_, body) in &logged {
        assert_eq!(
            (&body["logGroupName"], &body["logStreamName"]),
            (&"/g".into(), &SESSION.into())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_session_prints_becomes_objects_of_4_mib() {
    let (world, _agent) = world().await;
    let object = ExecObject { bucket: "logs".to_owned(), key: format!("exec/{SESSION}.log") };
    let mut client = Client::begin(&world, OpenExec { object: Some(object), ..open() }).await;
    let mut typed = String::from("# ");
    for number in 0..4200 {
        let line = format!("{number:01023}\r");
        client.say(payload::OUTPUT, line.as_bytes()).await;
        client.until(&line).await;
        typed += &line;
    }
    client.say(payload::OUTPUT, b"exit\r").await;
    typed += "exit\r";
    assert_eq!(client.ended().await, "");
    world.server.until(|state| state.objects.len() == 2).await;
    let objects = std::mem::take(&mut world.server.state.lock().objects);
    let part = |name: &str| objects[&format!("logs/exec/{SESSION}{name}.log")].as_str();
    assert!(part("").len() >= 4 * 1024 * 1024 && part("").len() < 5 * 1024 * 1024);
    assert_eq!(format!("{}{}", part(""), part(".1")), typed);
}
