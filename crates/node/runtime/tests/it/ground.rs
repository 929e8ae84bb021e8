//! A place to run containers in: a data folder and a root file system made of busybox.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use runtime::containers::LinuxContainers;
use runtime::images::RootFs;
use runtime::{ContainerEvent, ContainerId, ContainerSpec, Containers, Exit};
use tempfile::TempDir;
use terms::{Clock, Timestamp};

/// A container that runs longer than this will never end.
const ENDS_WITHIN: Duration = Duration::from_secs(240);

pub(crate) struct HostClock;

impl Clock for HostClock {
    #[allow(clippy::disallowed_methods)] // the clock of the tests' process
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(since.as_millis() as i64)
    }
}

/// A name no other test of this or another process uses.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{:08x}{:08x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn new_id() -> ContainerId {
    let digits = unique();
    format!("{digits}{digits}{digits}{digits}").parse().unwrap()
}

/// A data folder. Whatever a test that failed left of containers and networks is gone with it.
pub(crate) struct Data(TempDir);

impl Data {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if held(self.path()).is_empty() {
            return;
        }
        // An instance each: the folder itself, and those that a test made in it.
        let inner = fs::read_dir(self.path()).unwrap().flatten().map(|entry| entry.path());
        let folders: Vec<_> = inner.chain([self.path().to_owned()]).collect();
        let bin = self.path().join("bin");
        let swept = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            for folder in folders.iter().filter(|folder| folder.join("node").exists()) {
                let (node, run) = (folder.join("node"), folder.join("run"));
                let swept =
                    runtime.block_on(runtime::sweep(&node, &bin, &run, Arc::new(HostClock)));
                if let Err(error) = swept {
                    eprintln!("{}: {error}", folder.display());
                }
            }
        });
        let _ = swept.join();
    }
}

pub(crate) struct Ground {
    pub(crate) data: Data,
    pub(crate) task: String,
    pub(crate) containers: Arc<LinuxContainers>,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let data = Data(tempfile::tempdir().unwrap());
        make_image(&data.path().join("image"));
        let containers = Arc::new(open(data.path()).await);
        Self { data, task: format!("test-{}", unique()), containers }
    }

    /// A container of busybox that runs `script`.
    pub(crate) fn shell(&self, script: &str) -> ContainerSpec {
        self.spec(&["/bin/sh", "-c", script])
    }

    pub(crate) fn spec(&self, args: &[&str]) -> ContainerSpec {
        let id = new_id();
        let own = self.data.path().join("upper").join(id.as_str());
        let rootfs = RootFs {
            lower: vec![self.data.path().join("image")],
            upper: own.join("upper"),
            work: own.join("work"),
        };
        fs::create_dir_all(&rootfs.upper).unwrap();
        fs::create_dir_all(&rootfs.work).unwrap();
        let args = args.iter().map(|a| (*a).to_owned()).collect();
        ContainerSpec::new(id, &self.task, rootfs, args)
    }

    /// Runs a container to its end: how it ended, and its output.
    pub(crate) async fn run(&self, spec: ContainerSpec) -> (Exit, String) {
        let id = spec.id.clone();
        let mut events = self.containers.events();
        self.containers.create(spec).await.unwrap();
        self.containers.start(&id).await.unwrap();
        let exit = loop {
            let event = tokio::time::timeout(ENDS_WITHIN, events.recv()).await;
            let ContainerEvent::Exited { id: ended, exit } = event.expect("it ends").unwrap();
            if ended == id {
                break exit;
            }
        };
        let output = output(&self.containers.log_path(&id));
        self.containers.remove(&id, false).await.unwrap();
        (exit, output)
    }

    /// Ends everything and checks that nothing is left.
    pub(crate) async fn end(self) {
        for status in self.containers.list().await {
            self.containers.remove(&status.id, false).await.unwrap();
        }
        self.containers.remove_task(&self.task).await.unwrap();
        // A shim has answered before it is gone.
        let gone = async {
            while !left(self.data.path(), &self.task).is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(ENDS_WITHIN, gone).await;
        assert_eq!(left(self.data.path(), &self.task), Vec::<String>::new());
    }
}

pub(crate) async fn open(data: &Path) -> LinuxContainers {
    LinuxContainers::open(&data.join("node"), &data.join("bin"), Arc::new(HostClock)).await.unwrap()
}

/// Both outputs' text, as the log has it.
pub(crate) fn output(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["log"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Mounts, bridges, processes and cgroups of this data folder or task.
pub(crate) fn left(data: &Path, task: &str) -> Vec<String> {
    let mut found = held(data);
    for tree in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        if tree.path().join("ecs").join(task).exists() {
            found.push(format!("cgroup {} {task}", tree.path().display()));
        }
    }
    found
}

/// Mounts, bridges and processes of this data folder.
fn held(data: &Path) -> Vec<String> {
    let data = data.to_string_lossy();
    let mut found = Vec::new();
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
        if line.contains(data.as_ref()) {
            found.push(format!("mount {line}"));
        }
    }
    for interface in fs::read_dir("/sys/class/net").unwrap().flatten() {
        let owner = fs::read_to_string(interface.path().join("ifalias")).unwrap_or_default();
        if owner.contains(data.as_ref()) {
            found.push(format!("bridge {}", interface.path().display()));
        }
    }
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(data.as_ref()) {
            found.push(format!("process {}", String::from_utf8_lossy(&command)));
        }
    }
    found
}

/// Busybox with the files that every image has.
fn make_image(root: &Path) {
    for directory in ["bin", "etc", "tmp", "root", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in COMMANDS {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nweb:x:34:\nlogs:x:40:web\n").unwrap();
    fs::write(root.join("bin/notrunnable"), "\x7fnothing").unwrap();
    fs::set_permissions(root.join("bin/notrunnable"), fs::Permissions::from_mode(0o755)).unwrap();
}

const COMMANDS: &[&str] = &[
    "sh", "cat", "echo", "env", "grep", "head", "hostname", "id", "ip", "kill", "ls", "mkdir",
    "mount", "nc", "nproc", "ping", "ps", "pwd", "seq", "sleep", "tail", "touch", "true", "ulimit",
    "unshare", "wget", "yes", "dd", "httpd", "df", "stat", "wc", "tr", "date", "chmod", "mknod",
];

/// Where a root file system of this data folder's containers lies.
#[allow(dead_code)]
pub(crate) fn image(data: &Path) -> PathBuf {
    data.join("image")
}
