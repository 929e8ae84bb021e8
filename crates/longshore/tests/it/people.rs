//! Commands for people: what they print, and what they leave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{LONGSHORE, Up, piped};

fn hello() -> String {
    format!("{}/../../examples/hello/task-definition.json", env!("CARGO_MANIFEST_DIR"))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_task_is_run_looked_at_explained_and_stopped() {
    let up = Up::start(&["nginx"]);
    let run = parsed(&up.cli(&["run", &hello(), "--output", "json"]));
    assert_eq!(run["lastStatus"], "RUNNING");
    let task = run["taskArn"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(run["addresses"][0].as_str().unwrap().starts_with("127.0.0.1:"));

    let status = up.cli(&["status"]);
    assert!(status.contains(&task) && status.contains("hello:1"), "{status}");
    let why = up.cli(&["why", &task]);
    assert!(why.starts_with("It runs on container instance"), "{why}");
    let stopped = up.cli(&["stop", &task]);
    assert!(stopped.starts_with("STOPPED"), "{stopped}");
    let why = parsed(&up.cli(&["why", &task, "--output", "json"]));
    assert_eq!(why["lastStatus"], "STOPPED");
}

#[test]
fn the_line_for_this_shell_is_all_that_clients_need() {
    let mut up = Up::start(&[]);
    let line = up.process().await_line("export AWS_ENDPOINT_URL");
    let boto3 = "import boto3; print(boto3.client('ecs').list_clusters()['clusterArns'])";
    let (aws, boto3) = ("aws ecs list-clusters".to_owned(), format!("python3 -c \"{boto3}\""));
    // Ours looks for a server of this machine before.
    let ours = format!("{LONGSHORE} status --data-dir /nonexistent --output json");
    for client in [aws, boto3, ours] {
        let mut shell = Command::new("env");
        shell.args(["-u", "AWS_REGION", "-u", "AWS_DEFAULT_REGION", "sh", "-c"]);
        let output = shell.arg(format!("{line}\n{client}")).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains(":cluster/default"), "{client}: {output:?}");
    }
}

#[test]
fn mistakes_are_told_with_the_next_step() {
    let up = Up::start(&[]);
    let error = |args: &[&str]| {
        let output = up.try_cli(args);
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(error(&["run", "/nowhere.json"]).contains("reading /nowhere.json"));
    assert!(error(&["why", "00000000000000000000000000000000"]).contains("there is no task"));
    assert!(error(&["logs", "nothing"]).contains("nor a service of the cluster default"));
    assert!(error(&["down"]).contains("still runs; end it first"));
    let taken = up.endpoint();
    let address = taken.trim_start_matches("http://");
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().display().to_string();
    let message = error(&["up", "--listen", address, "--data-dir", &folder]);
    assert!(message.contains("is in use by longshore (pid"), "{message}");
    let message = error(&["up", "--listen", "0.0.0.0:0", "--auth", "open"]);
    assert!(message.contains("needs a loopback address"), "{message}");
}

#[test]
fn pruning_keeps_what_images_need() {
    let up = Up::start(&["busybox"]);
    let pruned = parsed(&up.cli(&["image", "prune", "--output", "json"]));
    assert_eq!(pruned["layers"], 0);
    let task = up.run_task(&json!({
        "family": "kept",
        "containerDefinitions": [
            {"name": "main", "image": "busybox", "memory": 64, "command": ["true"]},
        ],
    }));
    assert_eq!(up.await_status(&task, "STOPPED")["containers"][0]["exitCode"], 0);
}

#[test]
fn without_root_nothing_is_begun() {
    // A copy where another user can reach it.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("longshore");
    fs::copy(LONGSHORE, &program).unwrap();
    let data = place.path().join("data");
    let output = Command::new(&program)
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("run as root (sudo)"), "{error}");
    assert!(!data.exists());
}

#[test]
fn a_profile_is_written_once_and_shown() {
    let up = Up::start(&[]);
    let home = tempfile::tempdir().unwrap();
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).env("HOME", home.path()).env("LONGSHORE_DATA_DIR", up.data());
        command.env_remove("AWS_CONFIG_FILE").env_remove("AWS_SHARED_CREDENTIALS_FILE");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = run(LONGSHORE, &["profile"]);
    assert!(shown.contains("+ endpoint_url") && !shown.contains(&secret(&up)), "{shown}");
    assert!(run(LONGSHORE, &["profile"]).contains("(as it is)"));
    let clusters = run("aws", &["--profile", "longshore", "ecs", "list-clusters"]);
    assert_eq!(parsed(&clusters)["clusterArns"].as_array().unwrap().len(), 1);
}

fn secret(up: &Up) -> String {
    let text = fs::read_to_string(up.data().join("credentials")).unwrap();
    let line = text.lines().find(|line| line.starts_with("aws_secret_access_key")).unwrap();
    line.split(" = ").nth(1).unwrap().to_owned()
}

#[test]
fn the_machine_is_examined() {
    let output = Command::new(LONGSHORE)
        .args(["doctor", "--output", "json", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let findings = parsed(&String::from_utf8(output.stdout).unwrap());
    assert!(
        findings.as_array().unwrap().iter().all(|finding| finding["ok"] == true),
        "{findings:#}"
    );
}

#[test]
fn a_clean_end_leaves_nothing_behind() {
    let mut up = Up::start(&["busybox"]);
    let task = up.run_task(&json!({
        "family": "left",
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 64, "command": ["sleep", "600"],
            "stopTimeout": 2, "portMappings": [{"containerPort": 80}],
        }],
    }));
    up.await_status(&task, "RUNNING");
    let bridge = bridge_of(&up).expect("the instance has a bridge");
    assert_eq!(up.process().end(Signal::SIGTERM), Some(0));
    assert_eq!(leftovers(&up, &bridge, &task), Vec::<String>::new());
}

#[test]
fn down_clears_what_a_crash_left() {
    let mut up = Up::start(&["busybox"]);
    let task = up.run_task(&json!({
        "family": "crashed",
        "containerDefinitions": [
            {"name": "main", "image": "busybox", "memory": 64, "command": ["sleep", "600"]},
        ],
    }));
    up.await_status(&task, "RUNNING");
    let bridge = bridge_of(&up).expect("the instance has a bridge");
    up.process().end(Signal::SIGKILL);
    assert!(!leftovers(&up, &bridge, &task).is_empty(), "the container went with the server");
    up.cli(&["down"]);
    assert_eq!(leftovers(&up, &bridge, &task), Vec::<String>::new());
}

/// The bridge that carries the data folder in its alias.
fn bridge_of(up: &Up) -> Option<String> {
    let folder = up.data().display().to_string();
    let names = fs::read_dir("/sys/class/net").unwrap().flatten();
    names.map(|entry| entry.file_name().into_string().unwrap()).find(|name| {
        let alias = fs::read_to_string(format!("/sys/class/net/{name}/ifalias"));
        alias.is_ok_and(|alias| alias.contains(&folder))
    })
}

/// Mounts, processes, bridge, firewall table and cgroups that still belong to the data folder or
/// the task.
fn leftovers(up: &Up, bridge: &str, task: &str) -> Vec<String> {
    let folder = up.data().display().to_string();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mut left: Vec<String> = mounts
        .lines()
        .filter(|line| line.contains(&folder))
        .map(|l| format!("mount {l}"))
        .collect();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&folder) {
            left.push(format!("process {command}"));
        }
    }
    // Once it is gone its name may be another's, as that of the table.
    let bridge_is_there = bridge_of(up).is_some();
    let is_anothers = !bridge_is_there && fs::exists(format!("/sys/class/net/{bridge}")).unwrap();
    if bridge_is_there {
        left.push(format!("bridge {bridge}"));
    }
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let cgroup = hierarchy.path().join("ecs").join(task);
        if cgroup.exists() {
            left.push(format!("cgroup {}", cgroup.display()));
        }
    }
    let tables = Command::new("nft").args(["list", "tables"]).output().unwrap();
    let table_is_there =
        String::from_utf8_lossy(&tables.stdout).contains(&format!("ip {bridge}\n"));
    if table_is_there && !is_anothers {
        left.push(format!("table {bridge}"));
    }
    left
}

/// The examples of the guides in YAML, by where they stand.
fn examples() -> Vec<(String, String)> {
    let guides = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides");
    let mut found = Vec::new();
    for entry in fs::read_dir(guides).unwrap().map(Result::unwrap) {
        let text = fs::read_to_string(entry.path()).unwrap();
        for (number, part) in text.split("```yaml\n").skip(1).enumerate() {
            let (example, _) = part.split_once("\n```").unwrap();
            let name = format!("{} {}", entry.file_name().display(), number + 1);
            found.push((name, example.to_owned()));
        }
    }
    found
}

#[test]
fn examples_for_ci_systems_are_yaml_and_their_scripts_are_shell() {
    let read = "import sys, json, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let (mut names, mut scripts) = (Vec::new(), 0);
    for (name, example) in examples() {
        let output = piped("python3", &["-c", read], &example);
        let document: Value = serde_json::from_str(&output).unwrap();
        // GitHub's steps and GitLab's scripts.
        let steps = document["steps"].as_array().cloned().unwrap_or_default();
        let jobs = document["test"]["script"].as_array().cloned().unwrap_or_default();
        let lines = steps.iter().filter_map(|step| step["run"].as_str().map(str::to_owned));
        let lines = lines.chain(jobs.iter().map(|line| line.as_str().unwrap().to_owned()));
        for script in lines {
            // GitHub puts its own values in before a shell sees them.
            let script = script.replace("${{ job.services.longshore.id }}", "container");
            piped("bash", &["-n"], &script);
            scripts += 1;
        }
        names.push(name);
    }
    assert!(names.iter().any(|name| name == "one-machine.md 2") && scripts > 3, "{names:?}");
}
