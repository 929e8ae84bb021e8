//! Events, schedules, logs and alarms with the `aws` CLI, and what a crash leaves of deliveries.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Up, eventually};

const GROUP: &str = "arn:aws:logs:us-east-1:000000000000:log-group:/events/tasks";

fn group_with_rule(up: &Up, pattern: &Value) {
    up.aws(&["logs", "create-log-group", "--log-group-name", "/events/tasks"]);
    let pattern = pattern.to_string();
    up.aws(&["events", "put-rule", "--name", "tasks", "--event-pattern", &pattern]);
    let target = format!("Id=log,Arn={GROUP}");
    let put = up.aws(&["events", "put-targets", "--rule", "tasks", "--targets", &target]);
    assert_eq!(put["FailedEntryCount"], 0, "{put}");
}

/// The events in the log group.
fn logged(up: &Up) -> Vec<Value> {
    let page = up.aws(&["logs", "filter-log-events", "--log-group-name", "/events/tasks"]);
    let events = page["events"].as_array().cloned().unwrap_or_default();
    let message = |event: Value| serde_json::from_str(event["message"].as_str().unwrap()).unwrap();
    events.into_iter().map(message).collect()
}

fn put_event(up: &Up, detail: &Value) -> Value {
    let entry = json!([{"Source": "mine", "DetailType": "t", "Detail": detail.to_string()}]);
    up.aws(&["events", "put-events", "--entries", &entry.to_string()])
}

#[test]
fn a_task_is_told_of_state_by_state() {
    let up = Up::start(&["busybox"]);
    group_with_rule(&up, &json!({"detail-type": ["ECS Task State Change"]}));
    let task = up.run_task(&json!({
        "family": "short",
        "containerDefinitions": [
            {"name": "main", "image": "busybox", "memory": 64, "command": ["true"]},
        ],
    }));
    up.await_status(&task, "STOPPED");
    let of = |event: &Value, name: &str| event["detail"][name].clone();
    let is_told =
        eventually(|| logged(&up).iter().any(|event| of(event, "lastStatus") == "STOPPED"));
    let events = logged(&up);
    assert!(is_told, "{events:#?}");
    let versions: Vec<i64> =
        events.iter().map(|event| of(event, "version").as_i64().unwrap()).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    assert!(events.iter().all(|event| event["source"] == "aws.ecs"));
    let last = events.last().unwrap();
    assert_eq!(last["resources"][0], of(last, "taskArn"));
    assert_eq!(of(last, "containers")[0]["exitCode"], 0);
    let shown = up.cli(&["events", &task]);
    assert!(shown.contains("ECS Task State Change") && shown.contains("STOPPED"), "{shown}");
}

#[test]
fn a_rule_runs_a_task_and_calls_a_url() {
    let up = Up::start(&["busybox"]);
    let definition = json!({
        "family": "answer",
        "containerDefinitions": [
            {"name": "main", "image": "busybox", "memory": 64, "command": ["echo", "no"]},
        ],
    });
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, bodies) = mpsc::channel();
    std::thread::spawn(move || {
        // The first is refused, so the second comes again.
        for (count, connection) in listener.incoming().enumerate() {
            let mut connection = connection.unwrap();
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap() > 2 {
                let lower = line.to_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let status = if count == 0 { "503 Busy" } else { "200 OK" };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            connection.write_all(answer.as_bytes()).unwrap();
            if sender.send(String::from_utf8(body).unwrap()).is_err() {
                return;
            }
        }
    });
    let pattern = json!({"source": ["mine"]}).to_string();
    up.aws(&["events", "put-rule", "--name", "both", "--event-pattern", &pattern]);
    let targets = json!([
        {
            "Id": "task", "Arn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
            "RoleArn": "arn:aws:iam::000000000000:role/any",
            "EcsParameters": {
                "TaskDefinitionArn": "arn:aws:ecs:us-east-1:000000000000:task-definition/answer",
            },
            "InputTransformer": {
                "InputPathsMap": {"word": "$.detail.word"},
                "InputTemplate": "{\"containerOverrides\":[{\"name\":\"main\",\"command\":[\"echo\",<word>]}]}",
            },
        },
        {"Id": "url", "Arn": url, "InputPath": "$.detail"},
    ]);
    let put = ["events", "put-targets", "--rule", "both", "--targets", &targets.to_string()];
    assert_eq!(up.aws(&put)["FailedEntryCount"], 0);
    put_event(&up, &json!({"word": "yes"}));
    assert_eq!(bodies.recv().unwrap(), "{\"word\":\"yes\"}");
    assert_eq!(bodies.recv().unwrap(), "{\"word\":\"yes\"}");
    let mut tasks = Value::Null;
    let list =
        ["ecs", "list-tasks", "--started-by", "events-rule/both", "--desired-status", "STOPPED"];
    let ran = eventually(|| {
        tasks = up.aws(&list)["taskArns"].take();
        tasks.as_array().is_some_and(|tasks| tasks.len() == 1)
    });
    assert!(ran, "{tasks}");
    let task = tasks[0].as_str().unwrap();
    up.await_status(task, "STOPPED");
    assert_eq!(up.cli(&["logs", task]), "yes\n");
}

#[test]
fn what_was_acknowledged_is_delivered_after_a_kill() {
    let mut up = Up::start_with(&["--instances", "1"], &[]);
    group_with_rule(&up, &json!({"source": ["mine"]}));
    for n in 0..5 {
        put_event(&up, &json!({"n": n}));
    }
    up.process().end(Signal::SIGKILL);
    up.restart();
    let numbers = || -> std::collections::BTreeSet<i64> {
        logged(&up).iter().filter_map(|event| event["detail"]["n"].as_i64()).collect()
    };
    assert!(eventually(|| numbers().len() == 5), "{:?}", numbers());
}

#[test]
fn alarms_are_set_and_shown() {
    let up = Up::start_with(&["--instances", "1"], &[]);
    up.aws(&[
        "cloudwatch",
        "put-metric-alarm",
        "--alarm-name",
        "errors",
        "--metric-name",
        "Errors",
        "--namespace",
        "web",
        "--statistic",
        "Sum",
        "--period",
        "60",
        "--evaluation-periods",
        "1",
        "--threshold",
        "10",
        "--comparison-operator",
        "GreaterThanThreshold",
    ]);
    up.aws(&[
        "cloudwatch",
        "set-alarm-state",
        "--alarm-name",
        "errors",
        "--state-value",
        "ALARM",
        "--state-reason",
        "a test",
    ]);
    let shown = up.aws(&["cloudwatch", "describe-alarms", "--alarm-names", "errors"]);
    assert_eq!(shown["MetricAlarms"][0]["StateValue"], "ALARM");
    let set = [
        "cloudwatch",
        "set-alarm-state",
        "--alarm-name",
        "none",
        "--state-value",
        "OK",
        "--state-reason",
        "r",
    ];
    let refused = up.try_aws(&set);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("(ResourceNotFound)"), "{told}");
    up.aws(&["cloudwatch", "delete-alarms", "--alarm-names", "errors"]);
    assert_eq!(up.aws(&["cloudwatch", "describe-alarms"])["MetricAlarms"], json!([]));
}
