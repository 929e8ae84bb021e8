//! All processes killed at once, and a machine that is started anew: afterwards the state is right,
//! nothing is leaked or started twice, and no exit code or line of output is lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::apart::Apart;
use crate::harness::{Up, eventually, pid_of};

/// Counts aloud until it is let go, then ends with 9; its diary shows how often it was started.
fn counter(diary: &Path) -> Value {
    json!({
        "family": "counter",
        "volumes": [{"name": "diary", "host": {"sourcePath": diary}}],
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 32,
            "mountPoints": [{"sourceVolume": "diary", "containerPath": "/diary"}],
            "command": ["sh", "-c",
                "echo started >> /diary/$(hostname); i=0; while [ ! -e /go ]; do echo line $i; \
                 i=$((i+1)); sleep 0.02; done; echo last $i; exit 9"],
        }],
    })
}

fn start(up: &Up, count: usize) -> Vec<String> {
    let run = ["ecs", "run-task", "--task-definition", "counter", "--count", &count.to_string()];
    let placed = up.aws(&run);
    assert_eq!(placed["failures"], json!([]), "{placed:#}");
    let id =
        |task: &Value| task["taskArn"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    placed["tasks"].as_array().unwrap().iter().map(id).collect()
}

fn runtime_id(task: &Value) -> String {
    task["containers"][0]["runtimeId"].as_str().unwrap_or_default().to_owned()
}

/// Whether the lines are all that the container said, in order, the last one too.
fn is_whole(output: &str) -> bool {
    let mut lines: Vec<&str> = output.lines().collect();
    let last = lines.pop().unwrap_or_default();
    let counted = lines.iter().enumerate().all(|(n, line)| *line == format!("line {n}"));
    counted && last == format!("last {}", lines.len())
}

/// Processes whose program or arguments are of this folder.
fn processes_of(folder: &Path) -> BTreeSet<i32> {
    let folder = folder.display().to_string();
    let of = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let program = fs::read_link(entry.path().join("exe")).ok();
        let is_its = String::from_utf8_lossy(&command).contains(&folder)
            || program.is_some_and(|path| path.to_string_lossy().contains(&folder));
        is_its.then_some(pid)
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

#[test]
fn server_and_agent_killed_at_once_lose_nothing() {
    let diary = tempfile::tempdir().unwrap();
    let mut apart = Apart::start(&["busybox"]);
    let definition = counter(diary.path()).to_string();
    apart.up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition]);
    let running = start(&apart.up, 2);
    let ids: Vec<String> =
        running.iter().map(|task| runtime_id(&apart.up.await_status(task, "RUNNING"))).collect();
    let pids: Vec<i32> = ids.iter().map(|id| pid_of(&apart.up, "instance-1", id)).collect();
    // One ends while nobody looks; others have just begun, or not yet.
    let starting = start(&apart.up, 3);
    apart.kill_both(|| {
        fs::write(format!("/proc/{}/root/go", pids[0]), "").unwrap();
        let over = || {
            let status = fs::read_to_string(format!("/proc/{}/status", pids[0]));
            status.is_err() || status.is_ok_and(|status| status.contains("State:\tZ"))
        };
        assert!(eventually(over), "the container does not end");
    });
    apart.await_connected();
    let ended = apart.up.await_status(&running[0], "STOPPED");
    assert_eq!(ended["containers"][0]["exitCode"], 9, "{ended:#}");
    assert_eq!(apart.up.task(&running[1])["lastStatus"], "RUNNING");
    assert_eq!(pid_of(&apart.up, "instance-1", &ids[1]), pids[1]);
    let mut all = running;
    all.extend(starting);
    for task in &all[1..] {
        let id = runtime_id(&apart.up.await_status(task, "RUNNING"));
        let pid = pid_of(&apart.up, "instance-1", &id);
        fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    }
    for task in &all {
        let stopped = apart.up.await_status(task, "STOPPED");
        assert_eq!(stopped["containers"][0]["exitCode"], 9, "{stopped:#}");
        let started = fs::read_to_string(diary.path().join(&runtime_id(&stopped)[..12]));
        assert_eq!(started.unwrap_or_default(), "started\n", "{stopped:#}");
        let output = apart.up.cli(&["logs", task]);
        assert!(is_whole(&output), "{output}");
    }
    assert_eq!(fs::read_dir(diary.path()).unwrap().count(), all.len());
}

#[test]
fn after_a_restart_of_the_machine_the_truth_is_told_and_nothing_is_left() {
    let diary = tempfile::tempdir().unwrap();
    let mut up = Up::start_with(&["--keep-tasks"], &["busybox"]);
    let definition = counter(diary.path()).to_string();
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition]);
    let tasks = start(&up, 3);
    let ids: Vec<String> =
        tasks.iter().map(|task| runtime_id(&up.await_status(task, "RUNNING"))).collect();
    // One has ended by itself, and was reported or not.
    let pid = pid_of(&up, "instance-1", &ids[0]);
    fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    up.await_status(&tasks[0], "STOPPED");

    restart_machine(&mut up);

    let before = up.task(&tasks[0]);
    assert_eq!(before["containers"][0]["exitCode"], 9, "{before:#}");
    for task in &tasks[1..] {
        let stopped = up.await_status(task, "STOPPED");
        let container = &stopped["containers"][0];
        let reason = container["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("machine was started anew"), "{stopped:#}");
        assert_eq!(container["exitCode"], 137, "{stopped:#}");
        // What it said until then is still there.
        let output = up.cli(&["logs", task]);
        let lines: Vec<&str> = output.lines().collect();
        let counted = lines.iter().enumerate().all(|(n, line)| *line == format!("line {n}"));
        assert!(counted && !lines.is_empty(), "{output}");
    }
    // None was started again, and the instance takes new ones.
    assert_eq!(fs::read_dir(diary.path()).unwrap().count(), tasks.len());
    let next = start(&up, 1);
    let id = runtime_id(&up.await_status(&next[0], "RUNNING"));
    let pid = pid_of(&up, "instance-1", &id);
    fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    let stopped = up.await_status(&next[0], "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 9);
    up.process().end(Signal::SIGTERM);
}

/// Does what a loss of power does to an instance: every process of it is gone, so are namespaces and
/// mounts, what is below `/run` is empty, and the kernel has another id of its start.
fn restart_machine(up: &mut Up) {
    let data = up.data().to_owned();
    up.process().end(Signal::SIGKILL);
    let gone = || {
        let left = processes_of(&data);
        left.iter().for_each(|pid| _ = kill(Pid::from_raw(*pid), Signal::SIGKILL));
        left.is_empty()
    };
    assert!(eventually(gone), "{:?}", processes_of(&data));
    let folder = data.display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let of_folder = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    for mount in of_folder.filter(|mount| mount.starts_with(&folder)) {
        umount2(mount, MntFlags::MNT_DETACH).unwrap();
    }
    // Namespaces are held by these mounts alone: with them their interfaces go.
    fs::write(data.join("node/instance-1/boot"), "00000000-0000-4000-8000-000000000000\n").unwrap();
    up.restart();
}
