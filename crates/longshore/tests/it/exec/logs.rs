//! Where sessions are logged, as the cluster's configuration says.

use std::fs;

use serde_json::{Value, json};

use super::{reachable, session, sleeper, text};
use crate::harness::{Up, eventually};

/// Sets the cluster's `executeCommandConfiguration`.
fn configure(up: &Up, exec: &Value) {
    let configuration = json!({ "executeCommandConfiguration": exec }).to_string();
    let update = ["ecs", "update-cluster", "--cluster", "default", "--configuration"];
    up.aws(&[&update[..], &[&configuration]].concat());
}

/// Runs `echo WORD` in a session.
fn say(up: &Up, task: &str, word: &str) {
    let (output, code) = text(super::exec(up, task, &["echo", word], b""));
    assert_eq!((output.trim(), code), (word, Some(0)));
}

/// The streams of sessions in a log group, with what they hold.
fn logged(up: &Up, group: &str) -> Vec<String> {
    let streams = up.aws(&["logs", "describe-log-streams", "--log-group-name", group]);
    let names = streams["logStreams"].as_array().unwrap().iter();
    let names = names.map(|stream| stream["logStreamName"].as_str().unwrap());
    let of_sessions = names.filter(|name| name.starts_with("ecs-execute-command-"));
    let read = |name: &str| {
        let get = ["logs", "get-log-events", "--log-group-name", group, "--log-stream-name", name];
        let told = up.aws(&get);
        let events = told["events"].as_array().unwrap().iter();
        events.map(|event| event["message"].as_str().unwrap()).collect()
    };
    of_sessions.map(read).collect()
}

#[test]
fn sessions_are_logged_where_the_cluster_says() {
    let up = Up::start(&["busybox"]);
    for group in ["/tasks", "/sessions"] {
        up.aws(&["logs", "create-log-group", "--log-group-name", group]);
    }
    let mut definition = sleeper("logged");
    definition["containerDefinitions"][0]["logConfiguration"] = json!({
        "logDriver": "awslogs",
        "options": {"awslogs-group": "/tasks", "awslogs-region": "us-east-1",
                    "awslogs-stream-prefix": "main"},
    });
    let task = reachable(&up, &definition);

    say(&up, &task, "by default");
    assert!(eventually(|| logged(&up, "/tasks") == ["by default\r\n"]), "DEFAULT");

    let log = json!({"cloudWatchLogGroupName": "/sessions", "s3BucketName": "audit",
                     "s3KeyPrefix": "exec/"});
    configure(&up, &json!({"logging": "OVERRIDE", "logConfiguration": log}));
    say(&up, &task, "overridden");
    assert!(eventually(|| logged(&up, "/sessions") == ["overridden\r\n"]), "OVERRIDE");
    let folder = up.data().join("s3/audit/exec");
    let objects = || -> Vec<String> {
        let entries = fs::read_dir(&folder).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        let whole = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
        whole.map(|path| fs::read_to_string(path).unwrap()).collect()
    };
    assert!(eventually(|| objects() == ["overridden\r\n"]), "{:?}", objects());

    configure(&up, &json!({"logging": "NONE"}));
    say(&up, &task, "unlogged");
    // It would have been logged by the time that a later session is.
    configure(&up, &json!({"logging": "DEFAULT"}));
    say(&up, &task, "by default again");
    assert!(eventually(|| logged(&up, "/tasks").len() == 2), "DEFAULT again");
    let all = [logged(&up, "/tasks"), logged(&up, "/sessions"), objects()].concat();
    assert!(!all.iter().any(|text| text.contains("unlogged")), "{all:?}");
}

#[test]
fn encryption_that_is_not_there_is_refused_with_the_session() {
    let up = Up::start(&["busybox"]);
    let task = reachable(&up, &sleeper("encrypted"));
    let refused = |exec: &Value, what: &str| {
        configure(&up, exec);
        let told = up.try_cli(&["exec", &task, "--", "true"]);
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.contains(what), "{told}");
    };
    refused(&json!({"logging": "DEFAULT", "kmsKeyId": "k"}), "kmsKeyId");
    let group = json!({"cloudWatchLogGroupName": "g", "cloudWatchEncryptionEnabled": true});
    let exec = json!({"logging": "OVERRIDE", "logConfiguration": group});
    refused(&exec, "cloudWatchEncryptionEnabled");
    let bucket = json!({"s3BucketName": "b", "s3EncryptionEnabled": true});
    refused(&json!({"logging": "OVERRIDE", "logConfiguration": bucket}), "s3EncryptionEnabled");
    // A log that cannot be written does not keep the session from beginning, as on ECS.
    let gone = json!({"cloudWatchLogGroupName": "nonesuch"});
    configure(&up, &json!({"logging": "OVERRIDE", "logConfiguration": gone}));
    say(&up, &task, "all the same");
    let opened = session(&up, &task, "true");
    assert!(opened["sessionId"].is_string());
}
