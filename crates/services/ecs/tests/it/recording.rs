//! What was said when Amazon's agent ran under Longshore (`./x real-agent --record`), said again: all
//! that the agent sent is answered as it was, and it gets what it got then, in a form that it reads.
//!
//! Ids and times differ from run to run: what stood where an id stands now is that id's other name.
//! What services do by themselves is left out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent_protocol::{acs, tcs};
use ecs::{Close, Gone, Hello, Received, Transport};
use serde_json::Value;
use terms::ContainerInstanceArn;
use tokio::sync::mpsc;
use wire::{Caller, CallerKind};

use super::agents_rules;
use super::server::{ACCOUNT, REGION, Server};

const RECORDING: &str = include_str!("recordings/real_agent.jsonl");
/// How long the replay waits for a frame before it gives up.
const PATIENCE: Duration = Duration::from_secs(240);
/// The node that the agent's keys are bound to.
const KEY: &str = "node-real";

/// A connection of which the test is the other end.
struct End<In, Out> {
    frames: mpsc::Receiver<In>,
    said: mpsc::Sender<Option<Out>>,
}

impl<In: Send, Out: Send> Transport for End<In, Out> {
    type In = In;
    type Out = Out;

    async fn receive(&mut self) -> Received<In> {
        self.frames.recv().await.map_or(Received::Closed, Received::Message)
    }

    async fn send(&mut self, message: Out) -> Result<(), Gone> {
        self.said.send(Some(message)).await.map_err(|_| Gone)
    }

    async fn close(&mut self, _: Close) {
        _ = self.said.send(None).await;
    }
}

/// The agent's side of one connection.
struct Channel<In, Out> {
    frames: mpsc::Sender<In>,
    said: mpsc::Receiver<Option<Out>>,
}

fn channel<In, Out>() -> (End<In, Out>, Channel<In, Out>) {
    let (frames, incoming) = mpsc::channel(256);
    let (outgoing, said) = mpsc::channel(256);
    (End { frames: incoming, said: outgoing }, Channel { frames, said })
}

impl<In, Out> Channel<In, Out> {
    /// What comes next; none if the server closes.
    async fn next(&mut self, what: &str) -> Option<Out> {
        let next = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        next.unwrap_or_else(|_| panic!("{what} did not come")).flatten()
    }
}

type Acs = Channel<acs::AgentMessage, acs::ServerMessage>;
type Tcs = Channel<tcs::AgentMessage, tcs::ServerMessage>;

#[derive(Default)]
struct Replay {
    /// Ids as recorded, and as they are now.
    ids: BTreeMap<String, String>,
    acs: Option<Acs>,
    tcs: Option<Tcs>,
    /// Answers that the recording has yet to come to, by operation.
    answers: VecDeque<(String, u16, Value)>,
    /// Tasks that came in payloads and that the recording has yet to come to.
    tasks: Vec<Value>,
    /// Messages that were not acked: their ids now.
    unacked: Vec<String>,
    counts: BTreeMap<&'static str, u32>,
}

/// Whether a word is an id: 32 hexadecimal digits, or a UUID.
fn is_id(word: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_uuid = word.len() == 36 && word.matches('-').count() == 4;
    (word.len() == 32 && hex(word)) || (is_uuid && hex(&word.replace('-', "")))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
}

impl Replay {
    /// What was recorded, with the ids of now.
    fn translate(&self, value: &Value) -> Value {
        let mut text = value.to_string();
        for (then, now) in &self.ids {
            text = text.replace(then.as_str(), now);
        }
        serde_json::from_str(&text).unwrap()
    }

    /// Learns which ids stand for which, where two answers have the same form.
    fn learn(&mut self, then: &Value, now: &Value) {
        match (then, now) {
            (Value::String(then), Value::String(now)) => {
                let (then, now): (Vec<_>, Vec<_>) = (words(then).collect(), words(now).collect());
                if then.len() == now.len() {
                    let pairs = then.into_iter().zip(now);
                    let ids = pairs.filter(|(then, now)| is_id(then) && is_id(now));
                    self.ids.extend(ids.map(|(then, now)| (then.to_owned(), now.to_owned())));
                }
            }
            (Value::Array(then), Value::Array(now)) => {
                then.iter().zip(now).for_each(|(then, now)| self.learn(then, now));
            }
            (Value::Object(then), Value::Object(now)) => {
                for (name, then) in then {
                    now.get(name).into_iter().for_each(|now| self.learn(then, now));
                }
            }
            _ => {}
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// An operator's call.
    async fn operator(&mut self, server: &Server, line: &Value) {
        let name = line["name"].as_str().unwrap();
        // Subnets have other ids in another account.
        if name.contains("Service") || line["body"]["networkConfiguration"].is_object() {
            return;
        }
        let body = self.translate(&line["body"]).to_string();
        let (status, answer) = server.call("admin", name, &body).await;
        assert_eq!(status, 200, "{name} {body}: {answer}");
        for member in ["tasks", "failures"] {
            let count = |answer: &Value| answer[member].as_array().map_or(0, Vec::len);
            assert_eq!(count(&line["answer"]), count(&answer), "{name} {body}: {answer}");
        }
        self.learn(&line["answer"], &answer);
        self.count("operator");
    }

    /// A call of the agent; how it was answered stands further below.
    async fn called(&mut self, server: &Server, line: &Value) {
        let name = line["name"].as_str().unwrap().to_owned();
        if line["headers"]["x-amz-target"].is_null() {
            return;
        }
        let body = self.translate(&line["body"]).to_string();
        // Those of tasks are not the agent's own.
        let key = if name.contains("Protection") { "admin" } else { KEY };
        let (status, answer) = server.call(key, &name, &body).await;
        self.answers.push_back((name, status, answer));
    }

    fn answered(&mut self, line: &Value) {
        let name = line["name"].as_str().unwrap();
        let found = self.answers.iter().position(|(operation, ..)| operation == name);
        let Some((_, status, answer)) = found.and_then(|at| self.answers.remove(at)) else {
            return;
        };
        if name.contains("Protection") {
            return;
        }
        assert_eq!(line["status"], status, "{name}: {answer}");
        self.learn(&line["body"], &answer);
        self.count("calls");
    }

    async fn connect(&mut self, server: &Server, line: &Value, is_refused: bool) {
        let query = self.translate(&line["query"]);
        let get = |name: &str| query[name].as_str().map(str::to_owned);
        let is_control = line["via"] == "ACS";
        let instance = if is_control { "containerInstanceArn" } else { "containerInstance" };
        let arn: ContainerInstanceArn = get(instance).unwrap().parse().unwrap();
        let admitted = server.ecs.sessions().admit(&caller(), &arn).await;
        if is_refused {
            assert_eq!(admitted.unwrap_err().status(), 400);
            return self.count("refused");
        }
        assert!(admitted.is_ok(), "{arn} is refused");
        let sessions = server.ecs.sessions().clone();
        if is_control {
            let (end, near) = channel();
            let hello = Hello::from_query(get);
            tokio::spawn({
                let arn = arn.clone();
                async move { sessions.serve_control(end, arn, hello).await }
            });
            self.acs = Some(near);
            self.unacked.clear();
            server.until_connected(&arn).await;
        } else {
            let (end, near) = channel();
            tokio::spawn(async move { sessions.serve_telemetry(end, arn).await });
            self.tcs = Some(near);
        }
    }

    /// Frames of the server until one of that type; none if it closes.
    async fn hear(&mut self, kind: &str) -> Option<Value> {
        loop {
            let acs = self.acs.as_mut().unwrap_or_else(|| panic!("{kind}: not connected"));
            let frame = acs.next(kind).await?;
            let frame: Value = serde_json::from_str(&frame.encode()).unwrap();
            let (found, body) = (frame["type"].as_str().unwrap(), &frame["message"]);
            agents_rules::check(found, body).unwrap_or_else(|wrong| panic!("{wrong}: {body}"));
            self.count("frames");
            if found == "PayloadMessage" {
                self.tasks.extend(body["tasks"].as_array().unwrap().iter().cloned());
            }
            if let Some(id) = body["messageId"].as_str().filter(|_| found != "HeartbeatMessage") {
                self.unacked.push(id.to_owned());
            }
            if found == kind {
                return Some(frame["message"].clone());
            }
        }
    }

    /// The tasks of a payload as recorded have come, or come now.
    async fn payload(&mut self, body: &Value) {
        for task in body["tasks"].as_array().unwrap() {
            if task["serviceName"].is_string() {
                continue;
            }
            let wanted = self.translate(task);
            let place = loop {
                let same = |one: &Value| {
                    one["arn"] == wanted["arn"] && one["desiredStatus"] == wanted["desiredStatus"]
                };
                if let Some(place) = self.tasks.iter().position(same) {
                    break place;
                }
                assert!(self.hear("PayloadMessage").await.is_some(), "closed: {}", wanted["arn"]);
            };
            let now = self.tasks.remove(place);
            self.learn(task, &now);
            let shown = |task: &Value| {
                let of = |one: &Value| {
                    (one["name"].clone(), one["image"].clone(), one["command"].clone())
                };
                task["containers"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
            };
            assert_eq!(shown(&now), shown(&wanted));
            self.count("tasks");
        }
    }

    async fn said(&mut self, line: &Value) {
        let (name, mut body) = (line["name"].as_str().unwrap(), self.translate(&line["body"]));
        if name == "CLOSE" {
            // What echoes the server's own close may stand before it.
            self.acs.take_if(|_| body["code"] != 1008);
            return;
        }
        let Some(acs) = &self.acs else { return };
        let mut all = vec![body.clone()];
        if name == "AckRequest" {
            // What came in one payload then may come in two now.
            let acked = std::mem::take(&mut self.unacked).into_iter().map(|id| {
                body["messageId"] = id.into();
                body.clone()
            });
            all = acked.collect();
        }
        for body in all {
            let frame = serde_json::json!({ "type": name, "message": body }).to_string();
            let message = acs::AgentMessage::decode(&frame).unwrap();
            assert!(acs.frames.send(message).await.is_ok() || name == "AckRequest", "{name}");
        }
        self.count("said");
    }

    async fn telemetry(&mut self, line: &Value) {
        let name = line["name"].as_str().unwrap();
        if name == "CLOSE" {
            self.tcs = None;
            return;
        }
        let Some(tcs) = &mut self.tcs else { return };
        let body = line["body"].to_string();
        let body = self.ids.iter().fold(body, |text, (then, now)| text.replace(then.as_str(), now));
        let head = line["signedHead"].as_str().unwrap_or("Host: 127.0.0.1");
        let frame = format!("{head}\r\n\r\n{{\"type\":\"{name}\",\"message\":{body}}}");
        let message = tcs::AgentMessage::decode_frame(&frame).unwrap();
        let wanted = message.ack();
        if tcs.frames.send(message).await.is_err() {
            return;
        }
        while tcs.next(name).await.expect("no close").kind() != wanted.kind() {}
        self.count("telemetry");
    }
}

fn caller() -> Caller {
    Caller {
        account: ACCOUNT.parse().unwrap(),
        region: REGION.parse().unwrap(),
        arn: format!("arn:aws:iam::{ACCOUNT}:user/{KEY}"),
        user_id: KEY.to_owned(),
        access_key_id: KEY.to_owned(),
        kind: CallerKind::Node { name: KEY.trim_start_matches("node-").to_owned() },
    }
}

/// The next frame of a channel from the server, or how it refused.
fn is_refused(lines: &[Value], via: &Value) -> bool {
    let mut later = lines.iter().filter(|line| line["via"] == *via);
    later.next().is_some_and(|line| line["name"] == "REFUSED")
}

#[tokio::test]
async fn amazons_agent_is_answered_as_it_was() {
    let server = Server::start_at_rest().await;
    let home = format!("arn:aws:ecs:{REGION}:000000000000:");
    let text = RECORDING.replace("000000000000", ACCOUNT);
    assert!(!RECORDING.contains(ACCOUNT) && RECORDING.contains(&home));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    server.call("admin", "CreateCluster", "{}").await;
    let mut replay = Replay::default();
    for (number, line) in lines.iter().enumerate() {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        match (text("dir").as_str(), text("via").as_str(), text("name").as_str()) {
            ("operator", ..) => replay.operator(&server, line).await,
            ("from-agent", "POST", _) => replay.called(&server, line).await,
            ("to-agent", "POST", _) => replay.answered(line),
            ("from-agent", _, "CONNECT") => {
                let refused = is_refused(&lines[number + 1..], &line["via"]);
                replay.connect(&server, line, refused).await;
            }
            ("from-agent", "ACS", "HeartbeatAckRequest") => {}
            ("from-agent", "ACS", _) => replay.said(line).await,
            ("from-agent", "TCS", _) => replay.telemetry(line).await,
            ("to-agent", "ACS", "TaskManifestMessage") => {
                let now = replay.hear("TaskManifestMessage").await.expect("a manifest");
                replay.learn(&line["body"], &now);
            }
            ("to-agent", "ACS", "PayloadMessage") => replay.payload(&line["body"]).await,
            ("to-agent", "ACS", "IAMRoleCredentialsMessage" | "TaskStopVerificationAck") => {
                // These follow from what is live at the time, services included.
            }
            ("to-agent", "ACS", "CLOSE") if line["body"]["code"] == 1008 => {
                assert_eq!(replay.hear("a close").await, None, "the server closes");
                replay.count("closed");
            }
            _ => {}
        }
    }
    let counts = &replay.counts;
    for (what, least) in [("operator", 20), ("calls", 20), ("tasks", 10), ("said", 5)] {
        assert!(counts.get(what).copied().unwrap_or(0) >= least, "{what}: {counts:?}");
    }
    for what in ["telemetry", "refused", "closed"] {
        assert!(counts.contains_key(what), "{what}: {counts:?}");
    }
}
