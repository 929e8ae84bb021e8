//! Events, schedules, logs and alarms with the `aws` CLI, and what a crash leaves of deliveries.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{LONGSHORE, PATIENCE, Up, eventually};

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

/// An HTTP endpoint that answers so, call by call, the last way for ever; its URL, and the bodies that
/// come.
fn endpoint(answers: &'static [&'static str]) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, bodies) = mpsc::channel();
    std::thread::spawn(move || {
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
            let status = answers[count.min(answers.len() - 1)];
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            connection.write_all(answer.as_bytes()).unwrap();
            if sender.send(String::from_utf8(body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, bodies)
}

#[test]
fn a_failed_deployment_calls_a_webhook() {
    let flags = ["--settle-seconds", "0", "--throttle-first-seconds", "0", "--instances", "1"];
    let mut up = Up::start_with(&flags, &["busybox"]);
    let (url, bodies) = endpoint(&["200 OK"]);
    // As docs/guides/deploying.md has it.
    let pattern = json!({
        "source": ["aws.ecs"], "detail-type": ["ECS Deployment State Change"],
        "detail": {"eventName": ["SERVICE_DEPLOYMENT_FAILED"]},
    });
    let pattern = pattern.to_string();
    up.aws(&["events", "put-rule", "--name", "failed-deployments", "--event-pattern", &pattern]);
    let target = format!("Id=chat,Arn={url}");
    let put = ["events", "put-targets", "--rule", "failed-deployments", "--targets", &target];
    assert_eq!(up.aws(&put)["FailedEntryCount"], 0);
    let definition = json!({
        "family": "bad",
        "containerDefinitions": [
            {"name": "main", "image": "busybox", "memory": 16, "command": ["/nowhere"]},
        ],
    });
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()]);
    let create = json!({
        "serviceName": "web", "taskDefinition": "bad", "desiredCount": 1,
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": true, "rollback": false},
        },
    });
    let made = up.aws(&["ecs", "create-service", "--cli-input-json", &create.to_string()]);
    let event: Value = serde_json::from_str(&bodies.recv().unwrap()).unwrap();
    assert_eq!((&event["version"], &event["source"]), (&json!("0"), &json!("aws.ecs")));
    assert_eq!(event["resources"], json!([made["service"]["serviceArn"]]));
    let detail = &event["detail"];
    assert_eq!(detail["eventType"], "ERROR");
    assert_eq!(detail["deploymentId"], made["service"]["deployments"][0]["id"]);
    let reason = detail["reason"].as_str().unwrap();
    assert!(reason.contains("circuit breaker"), "{event:#}");

    // And it is remembered, whatever becomes of the server.
    let is_remembered = || {
        let history = up.cli(&["history", "default/web"]);
        history.contains("began") && history.contains("IN_PROGRESS → FAILED")
    };
    assert!(eventually(is_remembered), "{}", up.cli(&["history", "default/web"]));
    up.process().end(Signal::SIGKILL);
    up.restart();
    let history = up.cli(&["history", "default/web"]);
    assert_eq!(history.matches("IN_PROGRESS → FAILED").count(), 1, "{history}");
}

#[test]
fn what_no_target_takes_is_listed() {
    let up = Up::start_with(&["--instances", "1"], &[]);
    let pattern = json!({"source": ["mine"]}).to_string();
    up.aws(&["events", "put-rule", "--name", "lost", "--event-pattern", &pattern]);
    let (refusing, calls) = endpoint(&["503 Busy"]);
    let queue = "arn:aws:sqs:us-east-1:000000000000:dead";
    let targets = json!([
        {"Id": "busy", "Arn": refusing, "RetryPolicy": {"MaximumRetryAttempts": 1},
         "DeadLetterConfig": {"Arn": queue}},
        {"Id": "group", "Arn": "arn:aws:logs:us-east-1:000000000000:log-group:/none"},
    ]);
    let put = ["events", "put-targets", "--rule", "lost", "--targets", &targets.to_string()];
    assert_eq!(up.aws(&put)["FailedEntryCount"], 0);
    let kept = up.aws(&["events", "list-targets-by-rule", "--rule", "lost"]);
    assert_eq!(kept["Targets"][0]["DeadLetterConfig"]["Arn"], queue);
    let put = put_event(&up, &json!({"word": "lost"}));
    let id = put["Entries"][0]["EventId"].as_str().unwrap();
    let mut letters = Vec::new();
    let is_told = eventually(|| {
        let lines = up.cli(&["events", "--dead-letters", "--output", "json"]);
        letters = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        letters.len() == 2
    });
    assert!(is_told, "{letters:#?}");
    assert_eq!(calls.iter().take(2).count(), 2, "it was tried again");
    letters.sort_by_key(|letter: &Value| letter["targetId"].to_string());
    assert!(letters.iter().all(|letter| letter["eventId"] == id));
    let of = |at: usize, name: &str| letters[at][name].clone();
    assert_eq!((of(0, "targetId"), of(0, "attempts")), (json!("busy"), json!(2)));
    assert_eq!(of(0, "errorCode"), "503");
    assert_eq!(of(0, "exhaustedRetryCondition"), "MaximumRetryAttempts");
    // What is not there will not be there the next time.
    assert_eq!(
        (of(1, "errorCode"), of(1, "attempts")),
        (json!("ResourceNotFoundException"), json!(1))
    );
    assert!(up.cli(&["events", "--dead-letters"]).contains("after 2 attempts  503"));
}

/// A command whose lines of JSON are read as they come; ended when dropped.
struct Followed {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl Followed {
    fn start(up: &Up, words: &[&str]) -> Self {
        let mut command = Command::new(LONGSHORE);
        command.args(words).env("LONGSHORE_DATA_DIR", up.data()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                drop(sender.send(serde_json::from_str(&line).unwrap()));
            }
        });
        Self { child, lines }
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("a line comes")
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn events_are_followed_over_a_restart() {
    let mut up = Up::start_with(&["--instances", "1"], &[]);
    let follow = Followed::start(&up, &["events", "--follow", "--output", "json", "mine"]);
    put_event(&up, &json!({"n": 1}));
    let first = follow.next();
    assert_eq!(first["detail"]["n"], 1);
    up.process().end(Signal::SIGKILL);
    up.restart();
    put_event(&up, &json!({"n": 2}));
    assert_eq!(follow.next()["detail"]["n"], 2, "and the first is not shown again");
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
    // The first call is refused, so the second comes again.
    let (url, bodies) = endpoint(&["503 Busy", "200 OK"]);
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
