//! The messages against a recording of Amazon's agent (1.105.1), and against anything.
#![allow(clippy::unwrap_used)]

use agent_protocol::task::{Credentials, DesiredStatus, PayloadTask, Task};
use agent_protocol::{DecodeError, acs, node, tcs};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One line of the recording.
struct Recorded {
    from_agent: bool,
    channel: String,
    name: String,
    head: Option<String>,
    body: Value,
}

/// The websocket messages of the recording, without connects and closes.
fn recording() -> Vec<Recorded> {
    let lines = include_str!("../real-agent-transcript.jsonl").lines();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["via"] == "ACS" || line["via"] == "TCS")
        .filter(|line| !matches!(line["name"].as_str(), Some("CONNECT" | "CLOSE" | "REFUSED")))
        .map(|line| Recorded {
            from_agent: line["dir"] == "from-agent",
            channel: text(&line, "via"),
            name: text(&line, "name"),
            head: line["signedHead"].as_str().map(str::to_owned),
            body: line["body"].clone(),
        })
        .collect()
}

/// Every member of `sent` is in `kept` too, but for those that are null or empty.
fn assert_kept(sent: &Value, kept: &Value, path: &str) {
    match sent {
        Value::Null => {}
        Value::Array(list) if list.is_empty() => {}
        Value::Object(members) if members.is_empty() => {}
        Value::Object(members) => {
            for (name, value) in members {
                assert_kept(value, &kept[name], &format!("{path}.{name}"));
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                assert_kept(value, &kept[index], &format!("{path}[{index}]"));
            }
        }
        Value::Number(number) => assert_eq!(number.as_f64(), kept.as_f64(), "{path}"),
        other => assert_eq!(other, kept, "{path}"),
    }
}

#[test]
fn the_recorded_messages_decode_and_keep_every_member() {
    let mut count = 0;
    for message in recording() {
        let frame = json!({ "type": message.name, "message": message.body }).to_string();
        let again = match (message.channel.as_str(), message.from_agent) {
            ("ACS", false) => acs::ServerMessage::decode(&frame).unwrap().encode(),
            ("ACS", true) => acs::AgentMessage::decode(&frame).unwrap().encode(),
            ("TCS", false) => tcs::ServerMessage::decode(&frame).unwrap().encode(),
            _ => {
                let head = message.head.unwrap_or_else(|| "Host: h".to_owned());
                let frame = format!("{head}\r\n\r\n{frame}");
                tcs::AgentMessage::decode_frame(&frame).unwrap().encode()
            }
        };
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again["type"], message.name);
        assert_kept(&message.body, &again["message"], &message.name);
        count += 1;
    }
    assert!(count > 25, "{count}");
}

#[test]
fn recorded_tasks_are_valid() {
    for message in recording().iter().filter(|message| message.name == "PayloadMessage") {
        let payload: acs::Payload = serde_json::from_value(message.body.clone()).unwrap();
        for task in payload.tasks {
            assert!(matches!(task, PayloadTask::Valid(_)), "{task:?}");
        }
    }
}

const TASK: &str =
    "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef";

/// The task with one member changed.
fn decode_task(change: impl FnOnce(&mut Value)) -> PayloadTask {
    let mut task = json!({
        "arn": TASK,
        "desiredStatus": "RUNNING",
        "containers": [{ "name": "app", "image": "busybox", "essential": true }],
    });
    change(&mut task);
    serde_json::from_value(task).unwrap()
}

#[test]
fn a_bad_task_names_its_member_and_spoils_nothing_else() {
    let check = |change: fn(&mut Value), expected: &str| match decode_task(change) {
        PayloadTask::Valid(task) => panic!("{expected}: {task:?}"),
        PayloadTask::Invalid(invalid) => {
            assert!(invalid.error.contains(expected), "{}", invalid.error);
        }
    };
    assert!(matches!(decode_task(|_| {}), PayloadTask::Valid(_)));
    check(|task| task["desiredStatus"] = json!("PAUSED"), "'desiredStatus'");
    check(|task| task["containers"][0]["cpu"] = json!("many"), "'containers[0].cpu'");
    check(|task| task["containers"][0]["overrides"] = json!("{\"cpu\":1}"), "'cpu' cannot");
    check(
        |task| task["containers"][0]["portMappings"] = json!([{ "protocol": "TCP" }]),
        "protocol",
    );
    check(
        |task| task["containers"][0]["dockerConfig"] = json!({ "hostConfig": "{\"Dns\":1}" }),
        "'Dns'",
    );
    check(
        |task| task["containers"] = json!([{ "name": "a" }, { "name": "a" }]),
        "two containers are named 'a'",
    );
    check(|task| task["arn"] = json!("nonsense"), "'arn'");
}

#[test]
fn errors_name_the_message_and_the_member() {
    let check = |frame: &str, expected: &str| {
        let error = acs::ServerMessage::decode(frame).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("", "{\"type\", \"message\"}");
    check("{\"type\":\"Nonsense\",\"message\":{}}", "'Nonsense'");
    check("{\"type\":\"PayloadMessage\",\"message\":{}}", "PayloadMessage: member '.'");
    let manifest = "{\"type\":\"TaskManifestMessage\",\"message\":{\"messageId\":\"m\",\
        \"clusterArn\":\"c\",\"containerInstanceArn\":\"i\",\"timeline\":1,\"tasks\":[{}]}}";
    check(manifest, "TaskManifestMessage: member 'tasks[0]'");
}

#[test]
fn null_members_count_as_absent() {
    let task = decode_task(|task| {
        for name in ["containers", "volumes", "family", "overrides", "roleCredentials"] {
            task[name] = Value::Null;
        }
    });
    let PayloadTask::Valid(task) = task else { panic!("{task:?}") };
    assert_eq!(*task, Task::new(TASK.parse().unwrap(), DesiredStatus::Running));
}

#[test]
fn secrets_are_not_printed() {
    let credentials = Credentials {
        secret_access_key: "hush".to_owned(),
        session_token: "hush".to_owned(),
        ..Credentials::default()
    };
    assert!(!format!("{credentials:?}").contains("hush"));
}

#[test]
fn telemetry_frames_are_split_and_joined() {
    let json = "{\"type\":\"x\"}";
    let frame = tcs::join([("X-Amz-Date", "d"), ("Host", "h")], json);
    assert_eq!(frame, format!("Host: h\r\nX-Amz-Date: d\r\n\r\n{json}"));
    assert_eq!(tcs::split(&frame).unwrap(), ("Host: h\r\nX-Amz-Date: d", json));
    assert_eq!(tcs::split(json).unwrap(), ("", json));
    assert!(matches!(tcs::split("Host: h"), Err(DecodeError::NoHeaderBlock)));
}

/// Any JSON, with the protocol's own names in it often enough to get deep.
fn value() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        "[a-zA-Z]{0,8}",
        proptest::sample::select(vec![
            "messageId",
            "tasks",
            "containers",
            "arn",
            "desiredStatus",
            "name",
            "overrides",
            "dockerConfig",
            "hostConfig",
            "timeline",
            "cpu",
            "memory",
            "taskArn",
            "metadata",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from(TASK)),
        Just(Value::from("RUNNING")),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn kind() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "PayloadMessage",
        "HeartbeatMessage",
        "TaskManifestMessage",
        "TaskStopVerificationAck",
        "IAMRoleCredentialsMessage",
        "ConfirmAttachmentMessage",
        "AckRequest",
        "PublishMetricsRequest",
        "PublishHealthRequest",
        "OpenLogs",
        "LogLines",
    ])
}

fn decode_everywhere(frame: &str) {
    _ = acs::ServerMessage::decode(frame);
    _ = acs::AgentMessage::decode(frame);
    _ = tcs::ServerMessage::decode(frame);
    _ = tcs::AgentMessage::decode_frame(frame);
    _ = node::ServerMessage::decode(frame);
    _ = node::AgentMessage::decode(frame);
    _ = node::StreamMessage::decode(frame);
}

proptest! {
    #[test]
    fn nothing_makes_decoding_panic(text in ".{0,200}") {
        decode_everywhere(&text);
    }

    #[test]
    fn no_message_makes_decoding_panic(kind in kind(), message in value()) {
        decode_everywhere(&json!({ "type": kind, "message": message }).to_string());
    }

    #[test]
    fn what_decodes_comes_back(kind in kind(), message in value()) {
        let frame = json!({ "type": kind, "message": message }).to_string();
        if let Ok(message) = acs::ServerMessage::decode(&frame) {
            prop_assert_eq!(acs::ServerMessage::decode(&message.encode()).unwrap(), message);
        }
    }
}
