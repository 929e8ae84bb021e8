//! Tasks from definition to exit code, with the `aws` CLI.

use serde_json::{Value, json};

use crate::harness::{Up, eventually, fetch};

fn busybox(family: &str, command: &[&str]) -> Value {
    json!({
        "family": family,
        "containerDefinitions": [
            {
                "name": "main", "image": "busybox", "memory": 64, "command": command,
                "stopTimeout": 2,
            },
        ],
    })
}

#[test]
fn a_task_runs_is_waited_for_and_stops() {
    let up = Up::start(&["busybox"]);
    let task = up.run_task(&busybox("sleeper", &["sleep", "600"]));
    up.aws(&["ecs", "wait", "tasks-running", "--tasks", &task]);
    let listed = up.aws(&["ecs", "list-tasks"]);
    assert_eq!(listed["taskArns"].as_array().unwrap().len(), 1);
    up.aws(&["ecs", "stop-task", "--task", &task, "--reason", "enough"]);
    up.aws(&["ecs", "wait", "tasks-stopped", "--tasks", &task]);
    let stopped = up.task(&task);
    assert_eq!(stopped["stopCode"], "UserInitiated");
    assert_eq!(stopped["stoppedReason"], "enough");
    assert_eq!(up.aws(&["ecs", "list-tasks"])["taskArns"], json!([]));
}

#[test]
fn an_exit_code_reaches_the_api() {
    let up = Up::start(&["busybox"]);
    let task = up.run_task(&busybox("exits", &["sh", "-c", "echo out; echo err >&2; exit 3"]));
    let stopped = up.await_status(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 3);
    assert_eq!(stopped["stopCode"], "EssentialContainerExited");
    assert_eq!(stopped["stoppedReason"], "Essential container in task exited");
    assert_eq!(up.cli(&["logs", &task]), "out\n");
}

#[test]
fn a_published_port_answers() {
    let up = Up::start(&["nginx"]);
    let task = up.run_task(&json!({
        "family": "web",
        "containerDefinitions": [{
            "name": "web", "image": "nginx", "memory": 64,
            "portMappings": [{"containerPort": 80}],
        }],
    }));
    let running = up.await_status(&task, "RUNNING");
    let port = &running["containers"][0]["networkBindings"][0]["hostPort"];
    let page = || fetch(&format!("http://127.0.0.1:{port}/"));
    assert!(eventually(|| page().is_some()), "no page on port {port}");
}

#[test]
fn a_missing_image_is_told() {
    let up = Up::start(&[]);
    let mut definition = busybox("missing", &["true"]);
    definition["containerDefinitions"][0]["image"] = "127.0.0.1:1/none:latest".into();
    let task = up.run_task(&definition);
    let stopped = up.await_status(&task, "STOPPED");
    assert_eq!(stopped["stopCode"], "TaskFailedToStart");
    let reason = stopped["containers"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("CannotPull"), "{reason}");
}
