//! UpdateContainerAgent: the agent is replaced in stages while its containers run on.

use std::io::Write;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::apart::Apart;
use crate::harness::{LONGSHORE, Up, eventually, pid_of};

/// The same program in another file: it has another digest.
fn another(folder: &std::path::Path) -> String {
    let path = folder.join("longshore-next");
    std::fs::copy(LONGSHORE, &path).unwrap();
    // What a debugger wants is most of it, and would only be sent for nothing.
    let _ = std::process::Command::new("strip").arg(&path).output();
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"\nthe next one\n").unwrap();
    path.display().to_string()
}

fn instance(up: &Up) -> Value {
    let instances = up.aws(&["ecs", "list-container-instances"]);
    let arn = instances["containerInstanceArns"][0].as_str().unwrap();
    let describe = ["ecs", "describe-container-instances", "--container-instances", arn];
    up.aws(&describe)["containerInstances"][0].take()
}

fn update(up: &Up) -> std::process::Output {
    let arn = instance(up)["containerInstanceArn"].as_str().unwrap().to_owned();
    up.try_aws(&["ecs", "update-container-agent", "--container-instance", &arn])
}

#[test]
fn an_agent_is_replaced_while_its_containers_run_on() {
    let folder = tempfile::tempdir().unwrap();
    let program = another(folder.path());
    let mut apart = Apart::start_with(&["--agent-binary", &program], &["busybox"]);
    let task = apart.up.run_task(&json!({"family": "steady", "containerDefinitions": [
        {"name": "main", "image": "busybox", "memory": 32,
         "command": ["sh", "-c", "while [ ! -e /go ]; do sleep 0.1; done; exit 9"]}]}));
    let running = apart.up.await_status(&task, "RUNNING");
    let id = running["containers"][0]["runtimeId"].as_str().unwrap().to_owned();
    let pid = pid_of(&apart.up, "instance-1", &id);
    let before = instance(&apart.up);

    let answer = update(&apart.up);
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let told: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(told["containerInstance"]["agentUpdateStatus"], "PENDING", "{told:#}");
    let is_done = || instance(&apart.up)["agentUpdateStatus"] == "UPDATED";
    assert!(eventually(is_done), "{:#}", instance(&apart.up));
    let after = instance(&apart.up);
    assert_ne!(after["versionInfo"]["agentHash"], before["versionInfo"]["agentHash"]);
    assert_eq!(after["containerInstanceArn"], before["containerInstanceArn"]);
    apart.await_connected();
    assert_eq!(pid_of(&apart.up, "instance-1", &id), pid, "the container was touched");
    assert_eq!(apart.up.task(&task)["lastStatus"], "RUNNING");

    // There is nothing newer now.
    let again = update(&apart.up);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("NoUpdateAvailableException"), "{said}");

    // The next start of the installed program comes to the one that replaced it.
    apart.kill_agent();
    apart.await_connected();
    let hash = || instance(&apart.up)["versionInfo"]["agentHash"].clone();
    assert!(eventually(|| hash() == after["versionInfo"]["agentHash"]), "{}", hash());
    std::fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    let stopped = apart.up.await_status(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 9);
}

#[test]
fn a_program_that_is_none_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("no-longshore");
    std::fs::write(&program, "#!/bin/sh\necho hello\n").unwrap();
    let program = program.display().to_string();
    let apart = Apart::start_with(&["--agent-binary", &program], &[]);
    let before = instance(&apart.up)["versionInfo"]["agentHash"].clone();
    assert!(update(&apart.up).status.success());
    let is_failed = || instance(&apart.up)["agentUpdateStatus"] == "FAILED";
    assert!(eventually(is_failed), "{:#}", instance(&apart.up));
    let after = instance(&apart.up);
    assert_eq!(
        (&after["versionInfo"]["agentHash"], &after["agentConnected"]),
        (&before, &json!(true))
    );
    // What failed may be tried again.
    assert!(update(&apart.up).status.success());
}

#[test]
fn an_agent_that_is_part_of_up_is_replaced_with_it() {
    let mut up = Up::start(&[]);
    let said = update(&up);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("NoUpdateAvailableException"), "{said}");
    up.process().end(Signal::SIGTERM);
}
