//! What is kept, and for how long: images by age, and output where its instance is gone.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::apart::Apart;
use crate::harness::{Up, eventually};
use crate::secrets::registry;

/// The images that a store has names for.
fn images(data: &Path) -> Vec<String> {
    let names = fs::read_dir(data.join("images/references")).unwrap().flatten();
    let read = |file: fs::DirEntry| fs::read_to_string(file.path()).unwrap_or_default();
    names.map(read).collect()
}

#[test]
fn images_that_nobody_used_for_long_go_and_the_others_stay() {
    let flags = ["--image-cleanup-interval", "200ms", "--image-cleanup-age", "1s"];
    let flags = [&flags[..], &["--task-cleanup-wait", "1s"]].concat();
    let up = Up::start_with(&flags, &["busybox"]);
    let registry = registry("");
    let definition = |family: &str, script: &str| {
        json!({"family": family, "containerDefinitions": [{
            "name": "main", "image": format!("{registry}/shop/{family}:1"), "memory": 16,
            "command": ["sh", "-c", script]}]})
    };
    let has = |name: &str| images(up.data()).iter().any(|image| image.contains(name));
    let goes = up.run_task(&definition("goes", "echo ran"));
    up.await_status(&goes, "STOPPED");
    assert!(eventually(|| !has("shop/goes")), "{:?}", images(up.data()));
    assert!(has("busybox"), "what was loaded stays");
    let stays = up.run_task(&definition("stays", "exec sleep 600"));
    up.await_status(&stays, "RUNNING");
    // It comes again when it is needed again.
    let again = up.run_task(&definition("goes", "echo ran"));
    let stopped = up.await_status(&again, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 0, "{stopped:#}");
    // What runs keeps its image, and every name of it.
    assert!(has("shop/stays") && has("shop/goes"), "{:?}", images(up.data()));
    up.aws(&["ecs", "stop-task", "--task", &stays]);
    assert!(eventually(|| !has("shop/")), "{:?}", images(up.data()));
    assert!(has("busybox"), "{:?}", images(up.data()));
}

#[test]
fn output_is_found_in_its_log_group_when_its_instance_is_away() {
    let mut apart = Apart::start(&["busybox"]);
    let options = json!({
        "awslogs-group": "/kept", "awslogs-region": "us-east-1", "awslogs-create-group": "true",
        "awslogs-stream-prefix": "p",
    });
    let container = |name: &str, script: &str, log: Value| {
        json!({"name": name, "image": "busybox", "memory": 16, "essential": name == "main",
               "command": ["sh", "-c", script], "logConfiguration": log})
    };
    let awslogs = json!({"logDriver": "awslogs", "options": options});
    let definition = json!({"family": "kept", "containerDefinitions": [
        container("main", "echo one; echo two", awslogs),
        container("side", "echo aside", json!({"logDriver": "json-file"})),
    ]});
    let task = apart.up.run_task(&definition);
    apart.up.await_status(&task, "STOPPED");
    let sent = || {
        let groups = apart.up.try_aws(&["logs", "filter-log-events", "--log-group-name", "/kept"]);
        String::from_utf8_lossy(&groups.stdout).contains("two")
    };
    assert!(eventually(sent), "the output is not sent");
    apart.end_agent();
    assert!(eventually(|| apart.up.cli(&["logs", &task]) == "one\ntwo\n"));
    assert_eq!(apart.up.cli(&["logs", "--tail", "1", &task]), "two\n");
    let shown = apart.up.cli(&["logs", "--output", "json", &task]);
    let first: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    assert_eq!((&first["container"], &first["text"]), (&json!("main"), &json!("one\n")));
    // Of what was on that instance alone nothing is known.
    let side = apart.up.try_cli(&["logs", "--container", "side", &task]);
    let why = String::from_utf8_lossy(&side.stderr);
    assert!(!side.status.success() && why.contains("not connected"), "{why}");
}
