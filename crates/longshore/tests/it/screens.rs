//! Screens on real terminals: `longshore top` and `longshore deploy`, with keys, signals and windows
//! of all sizes.

use serde_json::{Value, json};

use crate::harness::{LONGSHORE, Up, eventually};

/// Runs `longshore` on a terminal and plays the steps (`screen.py` lists them); gives the last screen.
fn play(up: &Up, words: &[&str], steps: &Value) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/screen.py");
    let mut command = up.with_profile("python3");
    command.arg(script).arg(steps.to_string()).arg(LONGSHORE).args(words);
    let output = command.env("LONGSHORE_DATA_DIR", up.data()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Registers a definition whose tasks end at once when they are told to, and makes a service of it.
fn service(up: &Up, count: u32) {
    let script = "trap 'exit 0' TERM; sleep 600 & wait";
    let definition = json!({
        "family": "web",
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 16, "command": ["sh", "-c", script],
        }],
    });
    let register = ["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()];
    up.aws(&register);
    let desired = count.to_string();
    let create = ["ecs", "create-service", "--service-name", "web", "--task-definition", "web"];
    up.aws(&[&create[..], &["--desired-count", &desired]].concat());
    let describe = ["ecs", "describe-services", "--services", "web"];
    assert!(eventually(|| up.aws(&describe)["services"][0]["runningCount"] == count));
}

#[test]
fn top_shows_everything_in_windows_of_all_sizes() {
    let up = Up::start_with(&["--settle-seconds", "0", "--instances", "2"], &["busybox"]);
    service(&up, 2);
    let steps = json!([
        ["expect", "[2 services]"],
        ["expect", "web      default  ACTIVE"],
        ["send", "3"],
        ["expect", "[3 tasks]"],
        ["expect", "1 to 2 of 2"],
        ["send", "\t"],
        ["expect", "[4 instances]"],
        ["expect", "connected"],
        // A window with room for one row, and a narrow one.
        ["size", 5, 200],
        ["expect", "1 to 1 of 2"],
        ["send", "\u{1b}[B"],
        ["expect", "2 to 2 of 2"],
        ["size", 24, 200],
        ["expect", "1 to 2 of 2"],
        ["size", 10, 30],
        ["expect", "1 clusters  1 services  2 inst"],
        ["size", 24, 80],
        ["send", "\u{1b}[Z"],
        ["expect", "[3 tasks]"],
        ["send", "1"],
        ["expect", "[1 clusters]"],
        ["expect", "default"],
        ["send", "q"],
        ["end", 0],
    ]);
    play(&up, &["top"], &steps);
    for end in [json!(["send", "\u{3}"]), json!(["signal", "SIGTERM"])] {
        play(&up, &["top"], &json!([["expect", "[2 services]"], end, ["end", 0]]));
    }
}

#[test]
fn a_deployment_is_drawn_left_and_followed_again() {
    let flags = ["--settle-seconds", "600", "--instances", "1"];
    let up = Up::start_with(&flags, &["busybox"]);
    service(&up, 2);
    // They run, and without health checks they are not healthy for ten minutes.
    let steps = json!([["expect", "▓▓▓  2 of 2 running"], ["send", "\u{3}"], ["end", 130],]);
    let left = play(&up, &["deploy", "web", "--attach"], &steps);
    for part in ["IN PROGRESS", "'longshore deploy web --attach' follows it again", "--stop-type"] {
        assert!(left.contains(part), "{part}: {left}");
    }
}
