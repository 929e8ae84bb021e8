//! kill -9 of each process: no container is stopped, doubled or forgotten by it.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{Process, Up, eventually};

fn sleeper() -> serde_json::Value {
    json!({
        "family": "survivor",
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 64,
            "command": ["sh", "-c", "while [ ! -e /go ]; do sleep 0.1; done; exit 9"],
        }],
    })
}

fn runtime_id(task: &serde_json::Value) -> String {
    task["containers"][0]["runtimeId"].as_str().unwrap().to_owned()
}

/// The first process of a container, as its shim put it down.
fn first_process(up: &Up, runtime_id: &str) -> i32 {
    let folder = up.data().join("node/instance-1/containers").join(runtime_id);
    let text = fs::read(folder.join("running.json")).unwrap();
    let running: serde_json::Value = serde_json::from_slice(&text).unwrap();
    i32::try_from(running["pid"].as_i64().unwrap()).unwrap()
}

/// Lets the container exit with 9: through its root file system, as `/proc` shows it.
fn let_go(pid: i32) {
    fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
}

/// Whether a process has ended, also if nobody has asked for its exit status yet.
fn is_over(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status.contains("State:\tZ"),
        Err(_) => true,
    }
}

#[test]
fn containers_outlive_server_and_agent() {
    let mut up = Up::start(&["busybox"]);
    let task = up.run_task(&sleeper());
    let before = up.await_status(&task, "RUNNING");
    let pid = first_process(&up, &runtime_id(&before));

    up.process().end(Signal::SIGKILL);
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok(), "the container died with the server");
    up.restart();

    let after = up.await_status(&task, "RUNNING");
    assert_eq!(runtime_id(&after), runtime_id(&before));
    assert_eq!(first_process(&up, &runtime_id(&after)), pid, "the container was started again");
    let_go(pid);
    let stopped = up.await_status(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 9);
}

#[test]
fn an_exit_while_nobody_looks_is_reported_later() {
    let mut up = Up::start(&["busybox"]);
    let task = up.run_task(&sleeper());
    let running = up.await_status(&task, "RUNNING");
    let pid = first_process(&up, &runtime_id(&running));
    up.process().end(Signal::SIGKILL);
    let_go(pid);
    assert!(eventually(|| is_over(pid)), "the container does not end");
    up.restart();
    let stopped = up.await_status(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 9);
    assert_eq!(stopped["stopCode"], "EssentialContainerExited");
}

#[test]
fn a_killed_shim_takes_its_container_along_and_it_is_told() {
    let up = Up::start(&["busybox"]);
    let task = up.run_task(&sleeper());
    let running = up.await_status(&task, "RUNNING");
    let pid = first_process(&up, &runtime_id(&running));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    kill(Pid::from_raw(parent.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    let stopped = up.await_status(&task, "STOPPED");
    let reason = stopped["containers"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("shim"), "{stopped:#}");
    assert!(eventually(|| is_over(pid)), "the container goes on unheld");
}

#[test]
fn server_and_agent_are_killed_one_by_one() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().display().to_string();
    let server_args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let mut server = Process::start(&server_args, "Longshore serves at");
    let mut up = Up::adopt(data);
    let endpoint = up.endpoint();
    let token: serde_json::Value =
        serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
    let token = token["token"].as_str().unwrap().to_owned();
    let agent_args = [
        "agent",
        "--server",
        &endpoint,
        "--token",
        &token,
        "--data-dir",
        &folder,
        "--name",
        "instance-1",
        "--zone",
        "us-east-1b",
    ];
    let mut agent = Process::start(&agent_args, "Longshore agent");
    up.load("busybox");
    let connected = |up: &Up| {
        let status: serde_json::Value =
            serde_json::from_str(&up.cli(&["status", "--output", "json"])).unwrap();
        status["containerInstances"][0]["agentConnected"] == true
    };
    assert!(eventually(|| connected(&up)), "the agent does not connect");
    let task = up.run_task(&sleeper());
    let running = up.await_status(&task, "RUNNING");
    let pid = first_process(&up, &runtime_id(&running));

    server.end(Signal::SIGKILL);
    let address = endpoint.trim_start_matches("http://").to_owned();
    let server_args = ["server", "--listen", &address, "--data-dir", &folder];
    let mut server = Process::start(&server_args, "Longshore serves at");
    assert!(eventually(|| connected(&up)), "the agent does not come back");
    agent.end(Signal::SIGKILL);
    let mut agent = Process::start(&agent_args, "Longshore agent");
    assert!(eventually(|| connected(&up)), "the restarted agent does not connect");
    assert_eq!(up.task(&task)["lastStatus"], "RUNNING");
    let_go(pid);
    let stopped = up.await_status(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 9);
    agent.end(Signal::SIGTERM);
    server.end(Signal::SIGTERM);
    up.forget();
}

/// Kills of the agent in [`an_agent_killed_again_and_again_starts_nothing_twice`].
const AGENT_KILLS: usize = 12;

#[test]
fn an_agent_killed_again_and_again_starts_nothing_twice() {
    let data = tempfile::tempdir().unwrap();
    let diary = tempfile::tempdir().unwrap();
    let folder = data.path().display().to_string();
    let server_args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let mut server = Process::start(&server_args, "Longshore serves at");
    let mut up = Up::adopt(data);
    let made: serde_json::Value =
        serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
    let (endpoint, token) = (up.endpoint(), made["token"].as_str().unwrap().to_owned());
    let agent_args = [
        "agent",
        "--server",
        &endpoint,
        "--token",
        &token,
        "--data-dir",
        &folder,
        "--name",
        "instance-1",
    ];
    let mut agent = Process::start(&agent_args, "Longshore agent");
    up.load("busybox");
    // Each container writes one line into a file that has its own name: its host name.
    let definition = json!({
        "family": "diarist",
        "volumes": [{"name": "diary", "host": {"sourcePath": diary.path()}}],
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 16,
            "mountPoints": [{"sourceVolume": "diary", "containerPath": "/diary"}],
            "command": ["sh", "-c", "echo ran >> /diary/$(hostname); sleep 0.3"],
        }],
    });
    let first = run_when_connected(&up, &definition);
    let mut tasks = vec![first];
    for kill in 0..AGENT_KILLS {
        let run = || up.aws(&["ecs", "run-task", "--task-definition", "diarist", "--count", "3"]);
        let mut placed = serde_json::Value::Null;
        assert!(eventually(|| {
            placed = run();
            placed["failures"] == json!([])
        }));
        let arns = placed["tasks"].as_array().unwrap().iter();
        tasks.extend(arns.map(|task| task["taskArn"].as_str().unwrap().to_owned()));
        // At once in some rounds, in others when the newest task has come a step further.
        let newest = tasks.last().unwrap().clone();
        match kill % 3 {
            0 => {}
            1 => assert!(eventually(|| up.task(&newest)["lastStatus"] != "PENDING")),
            _ => drop(up.await_status(&newest, "STOPPED")),
        }
        agent.end(Signal::SIGKILL);
        agent = Process::start(&agent_args, "Longshore agent");
    }
    for task in &tasks {
        let stopped = up.await_status(task, "STOPPED");
        assert_eq!(stopped["containers"][0]["exitCode"], 0, "{stopped:#}");
    }
    let entries: Vec<String> = fs::read_dir(diary.path())
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(entries.len(), tasks.len());
    assert!(entries.iter().all(|text| text == "ran\n"), "a container ran twice");
    agent.end(Signal::SIGTERM);
    server.end(Signal::SIGTERM);
    up.forget();
}

/// Runs one task as soon as the instance takes it, and gives its ARN.
fn run_when_connected(up: &Up, definition: &serde_json::Value) -> String {
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()]);
    let family = definition["family"].as_str().unwrap();
    let mut answer = serde_json::Value::Null;
    assert!(eventually(|| {
        let output =
            up.with_profile("aws").args(["ecs", "run-task", "--task-definition", family]).output();
        answer = serde_json::from_slice(&output.unwrap().stdout).unwrap_or_default();
        answer["tasks"][0].is_object()
    }));
    answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
}
