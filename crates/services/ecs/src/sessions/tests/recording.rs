//! What Amazon's agent (1.105.1) sent when it was run, frame by frame: all of it is taken, and
//! answered as it was then.

use agent_protocol::{acs, tcs};
use serde_json::Value;

use super::super::hub::Hello;
use super::super::routes::{AcsFraming, TcsFraming};
use super::super::websocket::Framing;

/// One JSON object a line: `dir`, `via`, `name`, `query`, `signedHead`, `body`.
const RECORDING: &str = include_str!("real_agent.jsonl");

fn lines() -> impl Iterator<Item = Value> {
    RECORDING.lines().map(|line| serde_json::from_str(line).expect("JSON"))
}

fn text<'a>(line: &'a Value, member: &str) -> &'a str {
    line[member].as_str().unwrap_or_default()
}

/// The frame as it came: the message, and on TCS the signed header block before it.
fn frame(line: &Value) -> String {
    let message = serde_json::json!({ "type": line["name"], "message": line["body"] }).to_string();
    match line["signedHead"].as_str() {
        Some(head) => format!("{head}\r\n\r\n{message}"),
        None if text(line, "via") == "TCS" => format!("Host: 127.0.0.1:8123\r\n\r\n{message}"),
        None => message,
    }
}

#[test]
fn every_frame_of_the_agent_is_a_message_we_know() {
    let mut counts = (0, 0);
    for line in lines().filter(|line| text(line, "dir") == "from-agent") {
        let is_frame = !matches!(text(&line, "name"), "CONNECT" | "CLOSE");
        match text(&line, "via") {
            "ACS" if is_frame => {
                let message = AcsFraming::decode(&frame(&line)).expect("an ACS message");
                assert_eq!(message.kind(), text(&line, "name"));
                counts.0 += 1;
            }
            "TCS" if is_frame => {
                let message = TcsFraming::decode(&frame(&line)).expect("a TCS message");
                assert_eq!(message.kind(), text(&line, "name"));
                counts.1 += 1;
            }
            _ => {}
        }
    }
    assert_eq!(counts, (3, 4));
}

#[test]
fn telemetry_is_acked_as_it_was() {
    let mut last: Option<tcs::AgentMessage> = None;
    let mut acks = 0;
    for line in lines().filter(|line| text(line, "via") == "TCS") {
        match (text(&line, "dir"), text(&line, "name")) {
            ("from-agent", "CONNECT" | "CLOSE") => {}
            ("from-agent", _) => last = TcsFraming::decode(&frame(&line)).ok(),
            _ => {
                let ack = last.take().expect("a request before its ack").ack();
                assert_eq!(ack.kind(), text(&line, "name"));
                assert_eq!(TcsFraming::encode(&ack), frame_of_ack(&line));
                acks += 1;
            }
        }
    }
    assert_eq!(acks, 3);
}

fn frame_of_ack(line: &Value) -> String {
    let frame = Frame { kind: &line["name"], message: &line["body"] };
    serde_json::to_string(&frame).expect("JSON")
}

/// Members in the order in which we write them.
#[derive(serde::Serialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a Value,
    message: &'a Value,
}

#[test]
fn the_agents_query_tells_its_versions() {
    let is_connect = |line: &Value| text(line, "name") == "CONNECT" && text(line, "via") == "ACS";
    let line = lines().find(is_connect).expect("a connect");
    let get = |name: &str| line["query"][name].as_str().map(str::to_owned);
    let hello = Hello::from_query(get);
    assert!(hello.sends_credentials);
    assert_eq!(hello.versions.agent.as_deref(), Some("1.105.1"));
    assert_eq!(hello.versions.hash.as_deref(), Some("a8b3e7d3"));
    assert_eq!(hello.versions.docker.as_deref(), Some("DockerVersion: 20.10.24+dfsg1"));
    let later = lines().filter(is_connect).nth(2).expect("a later connect");
    let get = |name: &str| later["query"][name].as_str().map(str::to_owned);
    assert!(!Hello::from_query(get).sends_credentials);
}

#[test]
fn what_the_server_says_is_none_of_the_agents_messages() {
    let beat = acs::Heartbeat { message_id: Some("1".to_owned()), healthy: true };
    let frame = AcsFraming::encode(&beat.into());
    assert_eq!(frame, r#"{"type":"HeartbeatMessage","message":{"messageId":"1","healthy":true}}"#);
    assert!(AcsFraming::decode(&frame).is_err());
}
