//! Shims killed in numbers and together with their agent; a disk that is really full under a node.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::apart::Apart;
use crate::harness::{Up, eventually, pid_of};

fn sleeper() -> Value {
    json!({
        "family": "held",
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 16,
            "command": ["sh", "-c", "echo begun; while [ ! -e /go ]; do sleep 0.1; done; exit 9"],
        }],
    })
}

/// Starts so many tasks; their ids and their containers', once they run.
fn start(up: &Up, count: usize) -> Vec<(String, String)> {
    let definition = sleeper().to_string();
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition]);
    let mut tasks = Vec::new();
    while tasks.len() < count {
        let most = (count - tasks.len()).min(10).to_string();
        let run = ["ecs", "run-task", "--task-definition", "held", "--count", &most];
        let answer = up.aws(&run);
        assert_eq!(answer["failures"], json!([]), "{answer:#}");
        let arns = answer["tasks"].as_array().unwrap().iter();
        tasks.extend(arns.map(|task| task["taskArn"].as_str().unwrap().to_owned()));
    }
    let id = |arn: &String| {
        let running = up.await_status(arn, "RUNNING");
        running["containers"][0]["runtimeId"].as_str().unwrap().to_owned()
    };
    tasks.iter().map(|arn| (arn.rsplit('/').next().unwrap().to_owned(), id(arn))).collect()
}

fn pid(up: &Up, container: &str) -> i32 {
    pid_of(up, "instance-1", container)
}

/// The shim of a container: its first process's parent.
fn shim(up: &Up, container: &str) -> Pid {
    let status = fs::read_to_string(format!("/proc/{}/status", pid(up, container))).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(parent.trim().parse().unwrap())
}

fn is_over(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status.contains("State:\tZ"),
        Err(_) => true,
    }
}

fn let_go(pid: i32) {
    fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
}

/// A task whose shim was killed has stopped, says so, and its container's process is gone.
fn check_killed(up: &Up, task: &str, pid: i32) {
    let stopped = up.await_status(task, "STOPPED");
    let reason = stopped["containers"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("shim"), "{stopped:#}");
    assert!(eventually(|| is_over(pid)), "a container goes on unheld");
    assert_eq!(up.cli(&["logs", task]), "begun\n");
}

#[test]
fn shims_that_are_killed_in_numbers_are_told_and_leave_nothing() {
    let up = Up::start(&["busybox"]);
    let tasks = start(&up, 16);
    let pids: Vec<i32> = tasks.iter().map(|(_, container)| pid(&up, container)).collect();
    let shims: Vec<Pid> = tasks.iter().map(|(_, container)| shim(&up, container)).collect();
    shims[..12].iter().for_each(|shim| kill(*shim, Signal::SIGKILL).unwrap());
    for ((task, _), pid) in tasks.iter().zip(&pids).take(12) {
        check_killed(&up, task, *pid);
    }
    for ((task, container), pid) in tasks.iter().zip(&pids).skip(12) {
        assert_eq!(up.task(task)["containers"][0]["runtimeId"], json!(container));
        let_go(*pid);
        assert_eq!(up.await_status(task, "STOPPED")["containers"][0]["exitCode"], 9);
    }
}

#[test]
fn a_shim_that_is_killed_together_with_agent_and_server_is_told_when_they_are_back() {
    let mut apart = Apart::start(&["busybox"]);
    let tasks = start(&apart.up, 6);
    let pids: Vec<i32> = tasks.iter().map(|(_, container)| pid(&apart.up, container)).collect();
    let shims: Vec<Pid> = tasks.iter().map(|(_, container)| shim(&apart.up, container)).collect();
    // Half of the shims go while nobody looks; of the others one container ends then.
    apart.kill_both(|| {
        shims[..3].iter().for_each(|shim| kill(*shim, Signal::SIGKILL).unwrap());
        let_go(pids[3]);
        assert!(eventually(|| is_over(pids[3])));
    });
    apart.await_connected();
    for ((task, _), pid) in tasks.iter().zip(&pids).take(3) {
        check_killed(&apart.up, task, *pid);
    }
    assert_eq!(apart.up.await_status(&tasks[3].0, "STOPPED")["containers"][0]["exitCode"], 9);
    for ((task, container), before) in tasks.iter().zip(&pids).skip(4) {
        let running = apart.up.await_status(task, "RUNNING");
        assert_eq!(running["containers"][0]["runtimeId"], json!(container));
        assert_eq!(pid(&apart.up, container), *before, "it was started again");
        let_go(*before);
        assert_eq!(apart.up.await_status(task, "STOPPED")["containers"][0]["exitCode"], 9);
    }
}

/// A small disk of its own, mounted.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(mib: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        run("mkfs.ext4", &["-q", "-m", "0", &image.display().to_string()]);
        let disk = Self { folder };
        fs::create_dir(disk.path()).unwrap();
        let (image, at) = (image.display().to_string(), disk.path().display().to_string());
        run("mount", &["-o", "loop", &image, &at]);
        disk
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Takes all room there is.
    fn fill(&self) {
        for (number, piece) in [1 << 20, 4096, 512].into_iter().enumerate() {
            let mut file = fs::File::create(self.path().join(format!("fill-{number}"))).unwrap();
            while file.write_all(&vec![1; piece]).is_ok() {}
            // What is not yet on the disk would find no room later.
            let _ = file.sync_all();
        }
    }

    fn make_room(&self) {
        (0..3).for_each(|number| {
            fs::remove_file(self.path().join(format!("fill-{number}"))).unwrap();
        });
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[&self.path().display().to_string()]);
    }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}");
}

fn up_on(folder: &Path) -> Up {
    let mut up = Up::adopt(tempfile::TempDir::new_in(folder).unwrap());
    up.restart();
    up.load("busybox");
    up
}

#[test]
fn a_full_disk_costs_no_task_and_no_exit_code() {
    let disk = Disk::new(320);
    let mut up = up_on(&disk.path());
    let tasks = start(&up, 4);
    let pids: Vec<i32> = tasks.iter().map(|(_, container)| pid(&up, container)).collect();
    disk.fill();
    // It ends while there is no room for a word about it but what was kept free for that.
    let_go(pids[0]);
    assert!(eventually(|| is_over(pids[0])));
    let first = up.await_status(&tasks[0].0, "STOPPED");
    assert_eq!(first["containers"][0]["exitCode"], 9, "{first:#}");
    // Another one ends while there is neither room nor anybody.
    up.process().end(Signal::SIGKILL);
    let_go(pids[1]);
    assert!(eventually(|| is_over(pids[1])));
    disk.make_room();
    up.restart();
    let second = up.await_status(&tasks[1].0, "STOPPED");
    assert_eq!(second["containers"][0]["exitCode"], 9, "{second:#}");
    for ((task, container), before) in tasks.iter().zip(&pids).skip(2) {
        let running = up.await_status(task, "RUNNING");
        assert_eq!(running["containers"][0]["runtimeId"], json!(container));
        assert_eq!(pid(&up, container), *before, "it was started again");
        let_go(*before);
        assert_eq!(up.await_status(task, "STOPPED")["containers"][0]["exitCode"], 9);
    }
    let (after, _) = start(&up, 1).remove(0);
    assert_eq!(up.task(&after)["lastStatus"], "RUNNING");
    drop(up);
}
