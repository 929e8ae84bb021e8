//! kill -9 of each process: no container is stopped, doubled or forgotten by it.

use std::collections::BTreeSet;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::json;

use crate::apart::Apart;
use crate::chance::Chance;
use crate::harness::{PATIENCE, Up, eventually};

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
    let mut apart = Apart::start(&["busybox"]);
    let task = apart.up.run_task(&sleeper());
    let running = apart.up.await_status(&task, "RUNNING");
    let pid = first_process(&apart.up, &runtime_id(&running));
    apart.kill_server();
    apart.await_connected();
    apart.kill_agent();
    apart.await_connected();
    assert_eq!(apart.up.task(&task)["lastStatus"], "RUNNING");
    let_go(pid);
    let stopped = apart.up.await_status(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 9);
}

/// Kills in [`kills_at_random_moments_lose_nothing_and_start_nothing_twice`].
const KILLS: usize = 24;
/// Tasks that each round starts.
const TASKS_A_ROUND: usize = 3;
/// What is seen of each task on its way: its container's folder is made, then its entry in the diary;
/// that is written, and at the end touched once more.
const EVENTS_A_TASK: usize = 4;

/// What happens in folders, one thing after the other.
struct Events {
    inotify: OwnedFd,
    seen: usize,
}

impl Events {
    /// Of files that are made, come in or have been written in these folders from now on.
    fn in_folders(folders: &[&Path]) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        let kinds = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
        for folder in folders {
            inotify::add_watch(&inotify, *folder, kinds).unwrap();
        }
        Self { inotify, seen: 0 }
    }

    /// Returns as soon as `count` things have happened.
    fn await_count(&mut self, count: usize) {
        while self.seen < count {
            let mut ready = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            let patience = PollTimeout::try_from(PATIENCE).unwrap();
            assert!(poll(&mut ready, patience).unwrap() > 0, "{} of {count} happened", self.seen);
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
            while events.next().is_ok() {
                self.seen += 1;
            }
        }
    }
}

#[test]
fn kills_at_random_moments_lose_nothing_and_start_nothing_twice() {
    let mut chance = Chance::new();
    let diary = tempfile::tempdir().unwrap();
    let mut apart = Apart::start(&["busybox"]);
    // Each container writes one line into a file that has its own name: its host name.
    let definition = json!({
        "family": "diarist",
        "volumes": [{"name": "diary", "host": {"sourcePath": diary.path()}}],
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 16,
            "mountPoints": [{"sourceVolume": "diary", "containerPath": "/diary"}],
            "command": ["sh", "-c",
                "echo ran >> /diary/$(hostname); sleep 0.3; : >> /diary/$(hostname)"],
        }],
    });
    apart.up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()]);
    let (mut tasks, mut killed) = (Vec::new(), BTreeSet::new());
    for _ in 0..KILLS {
        apart.await_connected();
        let containers = apart.up.data().join("node/instance-1/containers");
        let mut events = Events::in_folders(&[&containers, diary.path()]);
        let count = TASKS_A_ROUND.to_string();
        let run = ["ecs", "run-task", "--task-definition", "diarist", "--count", &count];
        let placed = apart.up.aws(&run);
        assert_eq!(placed["failures"], json!([]), "{placed:#}");
        let arns = placed["tasks"].as_array().unwrap().iter();
        tasks.extend(arns.map(|task| task["taskArn"].as_str().unwrap().to_owned()));
        // How far they are is left to chance; what happens after that event, to the processor.
        events.await_count(chance.below(TASKS_A_ROUND * EVENTS_A_TASK + 1));
        match chance.below(4) {
            0 => apart.kill_server(),
            1 => apart.kill_agent(),
            _ => killed.extend(kill_a_shim(&apart.up, &mut chance)),
        }
    }
    for task in &tasks {
        let stopped = apart.up.await_status(task, "STOPPED");
        let container = &stopped["containers"][0];
        let id = runtime_id(&stopped);
        let entry = fs::read_to_string(diary.path().join(&id[..12])).unwrap_or_default();
        if killed.contains(&id) {
            assert!(entry == "ran\n" || entry.is_empty(), "{chance:?}: {id} ran twice");
            let told = container["exitCode"].is_i64() || container["reason"].is_string();
            assert!(told, "{chance:?}: {stopped:#}");
        } else {
            assert_eq!(entry, "ran\n", "{chance:?}: {stopped:#}");
            assert_eq!(container["exitCode"], 0, "{chance:?}: {stopped:#}");
        }
    }
    let entries = fs::read_dir(diary.path()).unwrap().count();
    assert!(entries <= tasks.len(), "{chance:?}: {entries} containers for {} tasks", tasks.len());
}

/// Kills the parent of some container that runs now; answers the container's id.
fn kill_a_shim(up: &Up, chance: &mut Chance) -> Option<String> {
    let folder = fs::read_dir(up.data().join("node/instance-1/containers")).ok()?;
    let mut running = Vec::new();
    for entry in folder.filter_map(Result::ok) {
        let text = fs::read(entry.path().join("running.json")).unwrap_or_default();
        let told: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        if let Some(shim) = told["pid"].as_i64().and_then(parent) {
            running.push((entry.file_name().into_string().unwrap(), shim));
        }
    }
    running.sort();
    let (id, shim) = running.get(chance.below(running.len().max(1)))?.clone();
    kill(Pid::from_raw(shim), Signal::SIGKILL).ok()?;
    Some(id)
}

/// The parent of a process, unless that is no shim any more.
fn parent(pid: i64) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    let parent = parent.trim().parse().ok()?;
    let program = fs::read_link(format!("/proc/{parent}/exe")).ok()?;
    program.to_string_lossy().contains("shim").then_some(parent)
}
