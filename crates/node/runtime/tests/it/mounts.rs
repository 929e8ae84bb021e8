//! Mounts over what every container has, as Docker has them.

use std::fs;
use std::path::Path;

use runtime::containers::{Mount, MountSource, PidMode};
use runtime::{Containers, CreateError};

use crate::ground::Ground;

fn bind(source: &Path, target: &str) -> Mount {
    let source = MountSource::Bind(source.to_owned());
    Mount { source, target: target.into(), read_only: false }
}

fn tmpfs(target: &str) -> Mount {
    let source = MountSource::Tmpfs { size_bytes: Some(1 << 20), options: Vec::new() };
    Mount { source, target: target.into(), read_only: false }
}

/// The names in the host's `/dev`, and what its `ptmx` is.
fn devices() -> (Vec<String>, fs::FileType) {
    let entries = fs::read_dir("/dev").unwrap().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    (names, fs::symlink_metadata("/dev/ptmx").unwrap().file_type())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_devices_may_be_mounted() {
    let ground = Ground::new().await;
    let before = devices();
    let look = "echo said > /dev/null && ls /dev | wc -l; df /dev/shm; touch /dev/shm/own";
    let mut spec = ground.shell(look);
    spec.mounts = vec![bind(Path::new("/dev"), "/dev")];
    let (exit, said) = ground.run(spec).await;
    assert_eq!(exit.code, 0, "{said}");
    assert!(said.starts_with(&format!("{}\n", before.0.len())), "{before:?} {said}");
    // The container's own memory, not the host's.
    assert!(said.contains(" 65536 ") && !Path::new("/dev/shm/own").exists(), "{said}");
    let mut spec = ground.shell("touch /dev/made 2>&1; cat /proc/1/status | grep CapEff");
    spec.mounts = vec![Mount { read_only: true, ..bind(Path::new("/dev"), "/dev/") }];
    spec.init = true;
    let (exit, said) = ground.run(spec).await;
    assert_eq!(exit.code, 0, "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    let after = devices();
    assert_eq!(after.0, before.0, "nothing is made in the host's folder");
    assert_eq!(after.1, before.1);
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_processes_and_settings_may_be_mounted() {
    let ground = Ground::new().await;
    let mut spec = ground.shell("cat /proc/sys/kernel/ostype; ls -d /proc/[0-9]* | wc -l; ls /sys");
    spec.mounts = vec![bind(Path::new("/proc"), "/proc"), bind(Path::new("/sys"), "/sys")];
    let (exit, said) = ground.run(spec).await;
    assert_eq!(exit.code, 0, "{said}");
    let count: usize = said.lines().nth(1).unwrap().parse().unwrap();
    assert!(count > 3 && said.starts_with("Linux\n") && said.contains("kernel"), "{said}");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_above_is_mounted_before_what_is_below() {
    let ground = Ground::new().await;
    let (outer, inner) = (ground.data.path().join("outer"), ground.data.path().join("inner"));
    let settings = ground.data.path().join("settings");
    for (folder, name) in [(&outer, "upper"), (&inner, "lower"), (&settings, "kept")] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(name), "").unwrap();
    }
    let mut spec = ground.shell("ls /a /a/b /scratch/x /etc; cat /etc/hosts; ls /dev");
    spec.mounts = vec![
        bind(&inner, "/a/b"),
        bind(&outer, "/a"),
        bind(&inner, "/scratch/x"),
        tmpfs("/scratch"),
        bind(&settings, "/etc"),
    ];
    let (exit, said) = ground.run(spec).await;
    assert_eq!(exit.code, 0, "{said}");
    let lists = ["/a:\nb\nupper\n", "/a/b:\nlower\n", "/scratch/x:\nlower\n", "localhost", "null"];
    assert!(lists.iter().all(|list| said.contains(list)), "{said}");
    // Memory over the devices: they are made in it, and work if it lets them.
    let mut spec = ground.shell("echo x > /dev/null; ls /dev/shm; df /dev");
    let source = MountSource::Tmpfs { size_bytes: Some(1 << 20), options: vec!["dev".into()] };
    spec.mounts = vec![Mount { source, ..tmpfs("/dev") }];
    let (exit, said) = ground.run(spec).await;
    assert!(exit.code == 0 && said.contains(" 1024 "), "{said}");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_that_would_hide_processes_are_refused() {
    let ground = Ground::new().await;
    let folder = ground.data.path().join("volume");
    fs::create_dir_all(&folder).unwrap();
    for (mount, why) in [
        (bind(&folder, "/proc"), "\"/proc\" cannot be mounted because it is not of type proc"),
        (tmpfs("/x/../proc/"), "\"/proc\" cannot be mounted because it is not of type proc"),
        (
            bind(&folder, "/proc/self"),
            "\"/proc/self\" cannot be mounted because it is inside /proc",
        ),
        (bind(&folder, "/"), "destination can't be '/'"),
    ] {
        let mut spec = ground.shell("true");
        spec.mounts = vec![mount];
        let error = ground.containers.create(spec).await.unwrap_err();
        assert!(matches!(&error, CreateError::Specification { member: "mountPoints", .. }));
        assert!(error.to_string().contains(why), "{error}");
    }
    let emulated = ground.data.path().join("uptime");
    fs::write(&emulated, "1.00 1.00\n").unwrap();
    let mut spec = ground.shell("cat /proc/uptime");
    spec.mounts = vec![bind(&emulated, "/proc/uptime")];
    let (exit, said) = ground.run(spec).await;
    assert_eq!((exit.code, said.as_str()), (0, "1.00 1.00\n"));
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_sees_its_limits_and_may_not_lift_them() {
    let ground = Ground::new().await;
    let files = "cd /sys/fs/cgroup; for f in memory.max memory/memory.limit_in_bytes; \
                 do test -e $f || continue;";
    let limited = |script: &str| {
        let mut spec = ground.shell(&format!("{files} {script}; done"));
        spec.resources.memory_limit_bytes = Some(64 << 20);
        spec
    };
    let (_, said) = ground.run(limited("cat $f; echo 134217728 > $f; cat $f; touch own")).await;
    assert_eq!(said.matches("67108864\n").count(), 2, "{said}");
    assert_eq!(said.matches("Read-only file system").count(), 2, "{said}");
    let mut privileged = limited("echo 33554432 > $f; cat $f");
    privileged.privileged = true;
    let (_, said) = ground.run(privileged).await;
    assert_eq!(said, "33554432\n");
    ground.end().await;
}

/// The cgroups were once those of the host's process with the container's number, if there was one.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_a_tasks_processes_mean_nothing_to_the_host() {
    let ground = Ground::new().await;
    let shared = |script: &str| {
        let mut spec = ground.shell(script);
        spec.pid_mode = PidMode::Task;
        spec.resources.memory_limit_bytes = Some(64 << 20);
        spec
    };
    let is_free = |pid: &u32| !Path::new(&format!("/proc/{pid}")).exists();
    let last = (300..30_000).step_by(100).find(|last| (*last..last + 100).all(|pid| is_free(&pid)));
    let mut counting = shared(&format!("echo {} > /proc/sys/kernel/ns_last_pid", last.unwrap()));
    counting.privileged = true;
    assert_eq!(ground.run(counting).await.0.code, 0);
    let look = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes";
    let (_, said) = ground.run(shared(look)).await;
    assert!(said.contains("67108864\n"), "{said}");
    ground.end().await;
}
