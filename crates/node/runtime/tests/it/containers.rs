//! Containers from creation to removal.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use runtime::containers::{
    Dns, HostEntry, IpcMode, MachineView, Mount, MountSource, Network, PidMode, Resources,
    TaskLimits, Ulimit,
};
use runtime::{
    CallError, ContainerEvent, ContainerState, Containers, CreateError, ExecOutcome, Signal,
};

use crate::ground::{Ground, output};

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_output_are_kept() {
    let ground = Ground::new().await;
    let (exit, output) = ground.run(ground.shell("echo hello; echo oops >&2; exit 7")).await;
    assert_eq!((exit.code, exit.oom, exit.reason), (7, false, None));
    assert!(output.contains("hello\n") && output.contains("oops\n"), "{output}");
    assert!(exit.started_at.is_some());
    let (exit, _) = ground.run(ground.shell("kill -9 $$; kill -15 $$")).await;
    assert_eq!(exit.code, 0, "the first process of a namespace is spared its own signals");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_containers() {
    let ground = Ground::new().await;
    let mut events = ground.containers.events();
    for (script, signal, code) in [
        ("sleep 1000", Signal::KILL, 137),
        ("trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done", Signal::TERM, 3),
    ] {
        let spec = ground.shell(script);
        let id = spec.id.clone();
        let pid = ground.containers.create(spec).await.unwrap().pid;
        let created = ground.containers.status(&id).await.unwrap().state;
        assert_eq!(created, ContainerState::Created { pid });
        ground.containers.start(&id).await.unwrap();
        if signal == Signal::TERM {
            while !output(&ground.containers.log_path(&id)).contains("ready") {
                tokio::task::yield_now().await;
            }
        }
        ground.containers.signal(&id, signal).await.unwrap();
        let ContainerEvent::Exited { exit, .. } = events.recv().await.unwrap();
        assert_eq!(exit.code, code);
        ground.containers.signal(&id, signal).await.unwrap();
        ground.containers.remove(&id, false).await.unwrap();
        assert!(matches!(ground.containers.start(&id).await, Err(CallError::Unknown(_))));
    }
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_memory_is_told_apart() {
    let ground = Ground::new().await;
    let mut spec = ground.shell("dd if=/dev/zero of=/dev/null bs=100M count=1");
    spec.resources.memory_limit_bytes = Some(16 << 20);
    let (exit, output) = ground.run(spec).await;
    assert!(exit.oom, "{exit:?} {output}");
    let mut spec = ground.spec(&["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]);
    spec.resources.memory_limit_bytes = Some(16 << 20);
    let (exit, _) = ground.run(spec).await;
    assert_eq!((exit.code, exit.oom), (137, true));
    // The task's limit counts as well.
    let limits = TaskLimits { memory_limit_bytes: Some(16 << 20), cpu_limit_units: Some(512) };
    ground.containers.prepare_task(&ground.task, &limits).await.unwrap();
    let (exit, _) = ground
        .run(ground.spec(&["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]))
        .await;
    assert_eq!((exit.code, exit.oom), (137, true));
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_takes_itself_to_be_on_a_smaller_machine() {
    let ground = Ground::new().await;
    let files = "/proc/meminfo /proc/cpuinfo /sys/devices/system/cpu/online";
    let mut spec = ground.shell(&format!("cat {files}; ls -l {files}"));
    spec.machine = Some(MachineView { cpus: 1, memory_bytes: 512 << 20 });
    let (exit, said) = ground.run(spec).await;
    assert_eq!(exit.code, 0, "{said}");
    let lines = |name: &str| said.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((lines("MemTotal:         524288 kB"), lines("processor")), (1, 1), "{said}");
    assert!(said.lines().any(|line| line == "0"), "{said}");
    // What the task mounts there itself stays.
    let mut spec = ground.shell("grep MemTotal /proc/meminfo");
    spec.machine = Some(MachineView { cpus: 1, memory_bytes: 512 << 20 });
    let source = MountSource::Bind(PathBuf::from("/proc/meminfo"));
    spec.mounts = vec![Mount { source, target: "/proc/meminfo".into(), read_only: true }];
    let (_, said) = ground.run(spec).await;
    let host = fs::read_to_string("/proc/meminfo").unwrap();
    assert_eq!(said.trim(), host.lines().next().unwrap());
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_dockers() {
    const DEFAULT_CAPABILITIES: &str = "00000000a80425fb";
    let ground = Ground::new().await;
    let (exit, said) = ground.run(ground.shell("cat /proc/1/status; cat /proc/self/status")).await;
    assert_eq!(exit.code, 0);
    let lines = |name: &str| said.lines().filter(|l| l.starts_with(name)).collect::<Vec<_>>();
    assert_eq!(lines("Seccomp:"), ["Seccomp:\t2", "Seccomp:\t2"]);
    for name in ["CapEff:", "CapPrm:", "CapBnd:"] {
        let expected = format!("{name}\t{DEFAULT_CAPABILITIES}");
        assert_eq!(lines(name), [expected.as_str(), expected.as_str()]);
    }
    assert_eq!(lines("CapAmb:")[0], "CapAmb:\t0000000000000000");
    assert_eq!(lines("CapInh:")[0], "CapInh:\t0000000000000000");
    assert_eq!(lines("NoNewPrivs:")[0], "NoNewPrivs:\t0");

    let (_, said) = ground.run(ground.shell("unshare -m true; mount -t tmpfs none /tmp")).await;
    assert_eq!(
        said.matches("Operation not permitted").count() + said.matches("denied").count(),
        2,
        "{said}"
    );

    let mut spec = ground
        .shell("cat /proc/1/status; cat /proc/kcore 2>/dev/null | head -c 1 | wc -c; ls /sys/firmware | wc -l");
    spec.cap_add = vec!["NET_ADMIN".into()];
    spec.cap_drop = vec!["CHOWN".into()];
    spec.no_new_privileges = true;
    let (_, said) = ground.run(spec).await;
    assert!(said.contains("CapEff:\t00000000a80435fa"), "{said}");
    assert!(said.contains("NoNewPrivs:\t1") && said.contains("Seccomp:\t2"), "{said}");
    assert!(said.ends_with("0\n0\n"), "{said}");

    let mut spec = ground.shell("cat /proc/1/status; mount -t tmpfs none /tmp && echo mounted");
    spec.privileged = true;
    let (_, said) = ground.run(spec).await;
    assert!(said.contains("Seccomp:\t0") && said.contains("mounted"), "{said}");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_from_the_images_files() {
    let ground = Ground::new().await;
    for (user, expected) in [
        ("", "uid=0(root) gid=0(root)"),
        ("web", "uid=33(web) gid=34(web) groups=40(logs)"),
        ("33:0", "uid=33(web) gid=0(root)"),
        ("1000:1000", "uid=1000 gid=1000"),
    ] {
        let mut spec = ground.shell("id; echo $HOME; pwd; cat /proc/self/status");
        spec.user = Some(user.to_owned());
        spec.workdir = Some(PathBuf::from("/new/work/place"));
        let (exit, said) = ground.run(spec).await;
        let got = said.lines().next().unwrap_or_default();
        let got = got.replace("groups=34(web),", "groups=");
        assert!(got.starts_with(expected), "{expected} in {said}");
        assert!(said.contains("/new/work/place\n"));
        assert_eq!(said.contains("CapEff:\t0000000000000000"), !user.is_empty(), "{said}");
        assert_eq!(exit.code, 0);
    }
    let mut spec = ground.shell("id");
    spec.user = Some("nobody-here".into());
    let error = ground.containers.create(spec).await.unwrap_err().to_string();
    assert_eq!(error, "unable to find user nobody-here: no matching entries in passwd file");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_volumes_and_tmpfs() {
    let ground = Ground::new().await;
    let volume = ground.data.path().join("volumes/new");
    let mut spec = ground.shell(
        "touch /no 2>&1; echo kept > /data/file; touch /given/no 2>&1; echo x > /scratch/x; \
         df /scratch /dev/shm; cat /scratch/x; ls -d /dev/null /dev/pts /dev/mqueue",
    );
    spec.read_only_root = true;
    let bind = |source: &PathBuf, target: &str, read_only| Mount {
        source: MountSource::Bind(source.clone()),
        target: target.into(),
        read_only,
    };
    spec.mounts = vec![
        bind(&volume, "/data", false),
        bind(&volume, "/given", true),
        Mount {
            source: MountSource::Tmpfs {
                size_bytes: Some(1 << 20),
                options: vec!["mode=700".into()],
            },
            target: "/scratch".into(),
            read_only: false,
        },
    ];
    spec.shm_size_bytes = Some(128 << 20);
    let (exit, said) = ground.run(spec).await;
    assert_eq!(said.matches("Read-only file system").count(), 2, "{said}");
    assert!(said.contains(" 1024 ") && said.contains(" 131072 "), "{said}");
    assert_eq!(exit.code, 0, "{said}");
    assert_eq!(fs::read_to_string(volume.join("file")).unwrap(), "kept\n");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_environment() {
    let ground = Ground::new().await;
    let mut spec = ground.shell(
        "ulimit -n; ulimit -Hn; env; hostname; cat /etc/hosts /etc/hostname /etc/resolv.conf; \
         cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true",
    );
    spec.ulimits = vec![Ulimit { name: "nofile".into(), soft: 99, hard: 100 }];
    spec.env = vec!["A=1".into(), "B=x=y".into(), "A=2".into()];
    spec.hostname = Some("here".into());
    spec.extra_hosts = vec![HostEntry { name: "db".into(), address: [10, 1, 2, 3].into() }];
    spec.dns = Dns { servers: vec![[10, 9, 8, 7].into()], search: vec!["a.example".into()] };
    spec.resources = Resources {
        cpu_shares: Some(256),
        cpu_limit_units: Some(512),
        memory_limit_bytes: Some(64 << 20),
        memory_reservation_bytes: Some(32 << 20),
        pids_limit: Some(50),
        ..Resources::default()
    };
    let (exit, said) = ground.run(spec).await;
    assert_eq!(exit.code, 0);
    for expected in [
        "99\n100\n",
        "A=2\n",
        "B=x=y\n",
        "HOSTNAME=here\n",
        "HOME=/root\n",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
        "\nhere\n",
        "10.1.2.3\tdb\n",
        "nameserver 10.9.8.7\n",
        "search a.example\n",
    ] {
        assert!(said.contains(expected), "{expected:?} in {said}");
    }
    assert!(!said.contains("A=1\n"));
    let mut spec = ground.shell("true");
    spec.ulimits = vec![Ulimit { name: "files".into(), soft: 1, hard: 1 }];
    let error = ground.containers.create(spec).await.unwrap_err();
    assert!(matches!(&error, CreateError::Specification { member: "ulimits", .. }), "{error}");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_and_processes_may_be_the_hosts() {
    let ground = Ground::new().await;
    let (_, said) = ground.run(ground.shell("ip addr; ps")).await;
    assert!(said.contains("lo: <LOOPBACK,UP") && !said.contains("eth0"), "{said}");
    let mut spec = ground.shell("ip addr; ps | wc -l; hostname");
    spec.network = Network::Host;
    spec.pid_mode = PidMode::Host;
    let (_, said) = ground.run(spec).await;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(said.contains(host.trim()), "{said}");
    // What is left in the host's process namespace goes with its container.
    let mut spec = ground.shell("sleep 1000 & echo done");
    spec.pid_mode = PidMode::Host;
    let (exit, _) = ground.run(spec).await;
    assert_eq!(exit.code, 0);
    ground.end().await;
}

/// One that is no first process of a namespace would die of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_breaks_before_the_start_is_none_of_the_commands() {
    let ground = Ground::new().await;
    let mut events = ground.containers.events();
    let mut spec = ground.shell("exit 4");
    spec.pid_mode = PidMode::Host;
    let id = spec.id.clone();
    let pid = ground.containers.create(spec).await.unwrap().pid;
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGPIPE).unwrap();
    ground.containers.start(&id).await.unwrap();
    let ContainerEvent::Exited { exit, .. } = events.recv().await.unwrap();
    assert_eq!(exit.code, 4);
    ground.end().await;
}

/// Processes and memory are shared from the first container of the task to the last; each may end
/// on the way.
#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_task_may_share_processes_and_memory() {
    let ground = Ground::new().await;
    let shared = |script: &str| {
        let mut spec = ground.shell(script);
        (spec.pid_mode, spec.ipc_mode) = (PidMode::Task, IpcMode::Task);
        spec
    };
    let say = "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc";
    let (_, first) = ground.run(shared(&format!("{say}; echo note > /dev/shm/note"))).await;
    let long = shared("exec sleep 4321");
    let id = long.id.clone();
    ground.containers.create(long).await.unwrap();
    ground.containers.start(&id).await.unwrap();
    let (_, second) = ground.run(shared(say)).await;
    assert_eq!(first, second);
    let (_, own) = ground.run(ground.shell(say)).await;
    assert_ne!(first, own);
    let (_, said) = ground.run(shared("cat /dev/shm/note; ps")).await;
    assert!(said.starts_with("note\n") && said.contains("sleep 4321"), "{said}");
    // Behind the process that holds the namespaces is nothing of the host's.
    let mut curious = shared("ls -A /proc/1/root /proc/1/fd; touch /proc/1/root/x 2>&1");
    curious.privileged = true;
    let (_, said) = ground.run(curious).await;
    let nothing = "/proc/1/fd:\n\n/proc/1/root:\ntouch: /proc/1/root/x: Read-only file system\n";
    assert_eq!(said, nothing);
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_may_be_without_shared_memory() {
    let ground = Ground::new().await;
    let mut spec = ground.shell("readlink /proc/self/ns/ipc; ls -d /dev/mqueue /dev/shm 2>&1");
    spec.ipc_mode = IpcMode::None;
    let (_, said) = ground.run(spec).await;
    let host = fs::read_link("/proc/self/ns/ipc").unwrap().display().to_string();
    assert!(said.contains("ls: /dev/shm: No such file") && !said.contains(&host), "{said}");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_cannot_be_run_say_why() {
    let ground = Ground::new().await;
    for (command, expected) in [
        ("nothere", "exec: \"nothere\": executable file not found in $PATH"),
        ("/not/there", "exec: \"/not/there\": stat /not/there: no such file or directory"),
        ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
    ] {
        let error =
            ground.containers.create(ground.spec(&[command])).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = ground.containers.create(ground.spec(&[])).await.unwrap_err().to_string();
    assert!(error.starts_with("command: no command specified"), "{error}");
    let (exit, said) = ground.run(ground.spec(&["notrunnable"])).await;
    assert_ne!(exit.code, 0);
    assert!(said.contains("exec /bin/notrunnable: exec format error"), "{said}");
    assert!(ground.containers.list().await.is_empty());
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_beside_the_containers_own() {
    let ground = Ground::new().await;
    let mut spec = ground.spec(&["/bin/sleep", "1000"]);
    spec.user = Some("web".into());
    spec.env = vec!["A=here".into()];
    spec.hostname = Some("inside".into());
    let id = spec.id.clone();
    ground.containers.create(spec).await.unwrap();
    let command = |script: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let long = Duration::from_secs(60);
    let early = ground.containers.exec(&id, command("true"), long).await.unwrap_err();
    assert_eq!(early.to_string(), "the container is not running");
    ground.containers.start(&id).await.unwrap();

    let script = "id; echo $A $HOME; hostname; ps; cat /proc/self/status /proc/self/cgroup; exit 4";
    let ExecOutcome::Exited { code, output } =
        ground.containers.exec(&id, command(script), long).await.unwrap()
    else {
        panic!("it ended");
    };
    assert_eq!(code, 4, "{output}");
    // With cgroup v2 the container has a cgroup namespace, in which its own is the root.
    let is_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let cgroup = if is_v2 { "0::/\n" } else { id.as_str() };
    for expected in
        ["uid=33(web)", "here /var/www\n", "inside\n", "sleep 1000", "Seccomp:\t2", cgroup]
    {
        assert!(output.contains(expected), "{expected} in {output}");
    }
    assert!(output.contains("CapBnd:\t00000000a80425fb"), "{output}");

    let missing = ground.containers.exec(&id, vec!["nothere".into()], long).await.unwrap();
    let output = "exec: \"nothere\": executable file not found in $PATH\n".to_owned();
    assert_eq!(missing, ExecOutcome::Exited { code: 127, output });
    // Long enough for a busy machine to begin it.
    let short = Duration::from_secs(10);
    let slow = ground.containers.exec(&id, command("echo a; exec sleep 999"), short).await.unwrap();
    assert_eq!(slow, ExecOutcome::TimedOut { output: "a\n".into() });
    let gone =
        ground.containers.exec(&id, command("ps | grep -c 'sleep [9]99'"), long).await.unwrap();
    assert_eq!(gone, ExecOutcome::Exited { code: 1, output: "0\n".into() });
    let stats = ground.containers.stats(&id).await.unwrap();
    assert!(stats.memory_usage_bytes > 0 && stats.cpu_usage_ns > 0 && stats.pids >= 1, "{stats:?}");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_turned_over_and_long_lines_are_cut() {
    let ground = Ground::new().await;
    let mut spec = ground.shell("seq 1 2000; yes long | head -n 8000 | tr -d '\\n'; echo -n end");
    spec.logs.size_max_bytes = 64 * 1024;
    spec.logs.files_max = 3;
    let id = spec.id.clone();
    let mut events = ground.containers.events();
    ground.containers.create(spec).await.unwrap();
    ground.containers.start(&id).await.unwrap();
    let _ = events.recv().await.unwrap();
    let log = ground.containers.log_path(&id);
    let part = |age: u32| PathBuf::from(format!("{}.{age}", log.display()));
    for file in [log.clone(), part(1), part(2)] {
        assert!(fs::metadata(&file).unwrap().len() <= 64 * 1024, "{}", file.display());
    }
    assert!(!part(3).exists());
    assert!(output(&log).ends_with("end\n"));
    let all = output(&part(2)) + &output(&part(1)) + &output(&log);
    assert!(all.contains("\n1999\n2000\nlonglong"), "{all}");
    ground.containers.remove(&id, true).await.unwrap();
    assert!(log.exists());
    assert_eq!(fs::read_dir(log.parent().unwrap()).unwrap().count(), 3);
    ground.containers.remove(&id, false).await.unwrap();
    assert!(!log.exists());
    ground.end().await;
}
