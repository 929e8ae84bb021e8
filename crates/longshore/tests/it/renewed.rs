//! What changes under a container while it runs: its role's credentials, and the room on its disk.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::signal::Signal;
use nix::sys::statvfs::statvfs;
use serde_json::{Value, json};

use crate::harness::{Up, eventually};
use crate::security::call;

/// A server that starts again has forgotten what it gave out, and gives out anew.
#[test]
fn a_container_finds_its_roles_new_credentials_where_the_old_ones_were() {
    let mut up = Up::start(&["busybox"]);
    let shared = tempfile::tempdir().unwrap();
    let script = "while :; do wget -qO /shared/new \
                  http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI 2>/dev/null \
                  && mv /shared/new /shared/keys; sleep 0.2; done";
    up.role("app", &["ecs:ListTasks"]);
    up.run_task(&json!({
        "family": "renewed", "taskRoleArn": "arn:aws:iam::000000000000:role/app",
        "volumes": [{"name": "shared", "host": {"sourcePath": shared.path()}}],
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 32, "stopTimeout": 2,
            "command": ["sh", "-c", script],
            "mountPoints": [{"sourceVolume": "shared", "containerPath": "/shared"}],
        }],
    }));
    let keys = || -> Option<Value> {
        let text = fs::read_to_string(shared.path().join("keys")).ok()?;
        serde_json::from_str(&text).ok()
    };
    let signs = |up: &Up, keys: &Value| {
        let key = json!({
            "accessKeyId": keys["AccessKeyId"], "secretAccessKey": keys["SecretAccessKey"],
            "sessionToken": keys["Token"],
        });
        call(up, &key, "ListTasks", &json!({})).0
    };
    assert!(eventually(|| keys().is_some()), "it has credentials");
    let old = keys().unwrap();
    assert_eq!(signs(&up, &old), 200);
    up.process().end(Signal::SIGKILL);
    up.restart();
    let is_new = || keys().is_some_and(|keys| keys["AccessKeyId"] != old["AccessKeyId"]);
    assert!(eventually(is_new), "they are the same");
    let new = keys().unwrap();
    assert_eq!((signs(&up, &new), signs(&up, &old)), (200, 200));
    assert!(new["Expiration"].as_str() >= old["Expiration"].as_str());
}

/// A disk of its own: a file system in a file, taken off at the end.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (image, at) = (folder.path().join("image"), folder.path().join("disk"));
        fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
        fs::create_dir(&at).unwrap();
        let run = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).arg(&image).output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program}: {error}");
        };
        run("mkfs.ext4", &["-q", "-F", "-m", "0"]);
        run("mount", &["-o", "loop", "--target", at.to_str().unwrap(), "--source"]);
        Self(folder)
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("disk")
    }

    /// Takes room until only this many percent are left.
    fn leave(&self, percent: u64) {
        let told = statvfs(&self.path()).unwrap();
        let block = told.fragment_size();
        let (all, free) = (told.blocks() * block, told.blocks_available() * block);
        let taken = free - all * percent / 100;
        let file =
            fs::OpenOptions::new().create(true).append(true).open(self.path().join("filler"));
        let file = file.unwrap();
        let from = i64::try_from(file.metadata().unwrap().len()).unwrap();
        fallocate(&file, FallocateFlags::empty(), from, i64::try_from(taken).unwrap()).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let taken_off = Command::new("umount").arg(self.path()).status();
        assert!(std::thread::panicking() || taken_off.is_ok_and(|status| status.success()));
    }
}

/// What a stopped task left goes a minute after its end, and so long this test takes.
#[test]
fn a_disk_that_gets_low_loses_what_stopped_tasks_left_and_a_full_one_takes_no_task() {
    let disk = Disk::new();
    let mut up = Up::adopt(tempfile::tempdir_in(disk.path()).unwrap());
    up.set_flags(&["--disk-low", "40%", "--disk-full", "10%"]);
    up.restart();
    up.load("busybox");
    let definition = json!({"family": "short", "containerDefinitions": [
        {"name": "main", "image": "busybox", "memory": 32, "command": ["echo", "said"]}]});
    let task = up.run_task(&definition);
    let stopped = up.await_status(&task, "STOPPED");
    let id = stopped["containers"][0]["runtimeId"].as_str().unwrap();
    let left = up.data().join("node/instance-1/containers").join(id);
    assert!(left.exists());
    disk.leave(25);
    assert!(patiently(|| !left.exists()), "{}", left.display());

    disk.leave(5);
    let run = || up.aws(&["ecs", "run-task", "--task-definition", "short"]);
    let mut answer = Value::Null;
    let is_refused = eventually(|| {
        answer = run();
        answer["failures"][0]["reason"] == "RESOURCE:DISK"
    });
    assert!(is_refused, "{answer:#}");
    disk.free();
    let is_taken = eventually(|| {
        answer = run();
        answer["failures"] == json!([])
    });
    assert!(is_taken, "{answer:#}");
    let arn = answer["tasks"][0]["taskArn"].as_str().unwrap();
    up.await_status(arn.rsplit('/').next().unwrap(), "STOPPED");
    drop(up);
    assert!(Path::new(&disk.path()).exists());
}

/// As `eventually`, for what takes more than a minute by itself.
fn patiently(mut holds: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(300) {
        if holds() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    false
}
