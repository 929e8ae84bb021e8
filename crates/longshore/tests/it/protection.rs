//! What a task is told when it asks its agent for protection from scale-in.

use serde_json::{Value, json};

use crate::harness::Up;

/// Asks, and prints each answer: its status, and its body as it came.
const SCRIPT: &str = r#"
import os, urllib.error, urllib.request
url = os.environ["ECS_AGENT_URI"] + "/task-protection/v1/state"
def ask(method, body=None):
    request = urllib.request.Request(url, data=body, method=method)
    try:
        answer = urllib.request.urlopen(request)
        print(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode())
ask("GET")
ask("PUT", b'{"ProtectionEnabled":true,"ExpiresInMinutes":60}')
ask("PUT", b'{"ProtectionEnabled":true,"Other":1}')
"#;

/// The ARN of a task that asked, and what it was answered.
fn asked(up: &Up, more: &Value) -> (String, Vec<(u16, Value)>) {
    let mut definition = json!({
        "family": "asks",
        "containerDefinitions": [{
            "name": "main", "image": "python", "memory": 256,
            "command": ["python3", "-c", SCRIPT],
        }],
    });
    for (member, value) in more.as_object().into_iter().flatten() {
        definition[member] = value.clone();
    }
    let task = up.run_task(&definition);
    let stopped = up.await_status(&task, "STOPPED");
    let said = up.cli(&["logs", &task]);
    let answer = |line: &str| {
        let (status, body) = line.split_once(' ').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap())
    };
    let arn = stopped["taskArn"].as_str().unwrap().to_owned();
    (arn, said.lines().map(answer).collect())
}

#[test]
fn a_task_asks_in_the_name_of_its_role() {
    let up = Up::start(&["python"]);
    up.role("app", &["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]);
    let role = json!({"taskRoleArn": "arn:aws:iam::000000000000:role/app"});
    let (arn, answers) = asked(&up, &role);
    // Only tasks of services can be protected.
    let failure = json!({"failure": {"Arn": arn, "Detail": null, "Reason": "TASK_NOT_VALID"}});
    assert_eq!(answers[0], (200, failure.clone()));
    assert_eq!(answers[1], (200, failure));
    assert_eq!(answers[2].0, 400);
    assert_eq!(answers[2].1["error"]["Code"], "InvalidParameterException");

    let (arn, answers) = asked(&up, &json!({}));
    assert_eq!((answers[0].0, answers[1].0), (403, 403));
    assert_eq!(answers[0].1["error"]["Arn"], arn.as_str());
    assert_eq!(answers[0].1["error"]["Code"], "AccessDeniedException");
}
