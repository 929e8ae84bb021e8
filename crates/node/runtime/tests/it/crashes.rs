//! What happens to containers and networks when those who hold them are killed.

use std::fs;
use std::sync::Arc;

use runtime::containers::{IpcMode, Network, PidMode};
use runtime::networks::{LinuxNetworks, NetworkOptions};
use runtime::{
    ContainerEvent, ContainerId, ContainerState, Containers, Networks, PortMapping, Protocol,
};

use crate::ground::{Ground, HostClock, left, open, output};

/// The shim of a container, by its command line.
fn shim_of(id: &ContainerId) -> i32 {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find_map(|process| {
            let command = fs::read(process.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).into_owned();
            (command.contains("\0hold\0") && command.contains(id.as_str()))
                .then(|| process.file_name().to_string_lossy().parse().unwrap())
        })
        .unwrap()
}

fn kill(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_taken_up_again() {
    let ground = Ground::new().await;
    let lasting = ground.shell("echo before; read x < /go; echo after; exit 5");
    let short = ground.shell("exit 6");
    let created = ground.spec(&["/bin/true"]);
    let ids = [lasting.id.clone(), short.id.clone(), created.id.clone()];
    let mut events = ground.containers.events();
    for spec in [lasting, short, created] {
        let id = spec.id.clone();
        let upper = spec.rootfs.upper.clone();
        nix::unistd::mkfifo(&upper.join("go"), nix::sys::stat::Mode::from_bits_truncate(0o600))
            .unwrap();
        ground.containers.create(spec).await.unwrap();
        if id != ids[2] {
            ground.containers.start(&id).await.unwrap();
        }
    }
    // Gone without a word, as after kill -9: its sockets close, its shims do not care.
    let Ground { data, task, containers } = ground;
    let ContainerEvent::Exited { id, .. } = events.recv().await.unwrap();
    assert_eq!(id, ids[1]);
    drop(containers);

    let containers = Arc::new(open(data.path()).await);
    let state = async |id| containers.status(id).await.unwrap().state;
    assert!(matches!(state(&ids[0]).await, ContainerState::Running { .. }));
    assert!(matches!(state(&ids[1]).await, ContainerState::Exited(exit) if exit.code == 6));
    assert!(matches!(state(&ids[2]).await, ContainerState::Created { .. }));
    let mut events = containers.events();
    let long = std::time::Duration::from_secs(60);
    // The container may end before the command's own end is told.
    let go = ["sh", "-c", "echo > /go"].map(str::to_owned).to_vec();
    let _ = containers.exec(&ids[0], go, long).await;
    let ContainerEvent::Exited { id, exit } = events.recv().await.unwrap();
    assert_eq!((id, exit.code), (ids[0].clone(), 5));
    assert_eq!(output(&containers.log_path(&ids[0])), "before\nafter\n");
    Ground { data, task, containers }.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_takes_its_container_along() {
    let ground = Ground::new().await;
    let mut events = ground.containers.events();
    let spec = ground.shell("sleep 1000 & sleep 1000");
    let id = spec.id.clone();
    let pid = ground.containers.create(spec).await.unwrap().pid;
    ground.containers.start(&id).await.unwrap();
    kill(shim_of(&id));
    let ContainerEvent::Exited { exit, .. } = events.recv().await.unwrap();
    assert_eq!(exit.code, 137);
    assert_eq!(exit.reason.as_deref(), Some("the container was killed because its shim was"));
    assert!(!fs::exists(format!("/proc/{pid}/root/bin")).unwrap());

    // While nobody looks: the next one finds out.
    let spec = ground.spec(&["/bin/sleep", "1000"]);
    let id = spec.id.clone();
    ground.containers.create(spec).await.unwrap();
    ground.containers.start(&id).await.unwrap();
    let Ground { data, task, containers } = ground;
    let shim = shim_of(&id);
    drop(containers);
    kill(shim);
    let containers = Arc::new(open(data.path()).await);
    let state = containers.status(&id).await.unwrap().state;
    assert!(matches!(state, ContainerState::Exited(exit) if exit.reason.is_some()));
    Ground { data, task, containers }.end().await;
}

/// What an agent leaves that dies after it wrote a container's folder, before it started the shim.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_begins_again_whose_shim_was_never_started() {
    const WRITTEN_BEFORE: [&str; 7] =
        ["bundle", "container.json", "holding.json", "hostname", "hosts", "resolv.conf", "config"];
    let ground = Ground::new().await;
    let spec = ground.shell("echo ran; exit 4");
    let id = spec.id.clone();
    let first = ground.containers.create(spec.clone()).await.unwrap().pid;
    let shim = shim_of(&id);
    let folder = ground.containers.log_path(&id).parent().unwrap().to_owned();
    let Ground { data, task, containers } = ground;
    kill(shim);
    // What keeps the container writes down that it ended; that is taken away below, as all else.
    while !matches!(containers.status(&id).await.unwrap().state, ContainerState::Exited(_)) {
        tokio::task::yield_now().await;
    }
    drop(containers);
    let is_over = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    };
    while !is_over(shim) {
        tokio::task::yield_now().await;
    }
    // It waits for its start, and nobody is there to give it.
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(first),
        nix::sys::signal::Signal::SIGKILL,
    );
    while !is_over(first) {
        tokio::task::yield_now().await;
    }
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !WRITTEN_BEFORE.iter().any(|kept| name.starts_with(kept)) {
            match entry.file_type().unwrap().is_dir() {
                true => fs::remove_dir_all(entry.path()).unwrap(),
                false => fs::remove_file(entry.path()).unwrap(),
            }
        }
    }
    // Nor was its root ever mounted.
    fs::remove_dir_all(&spec.rootfs.work).unwrap();
    fs::create_dir(&spec.rootfs.work).unwrap();
    let containers = Arc::new(open(data.path()).await);
    assert!(containers.status(&id).await.is_none(), "nothing was made of it");
    assert!(!folder.exists());
    let ground = Ground { data, task, containers };
    let (exit, said) = ground.run(spec).await;
    assert_eq!((exit.code, said.as_str()), (4, "ran\n"));
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_shim_is_small() {
    const KIB_MAX: u64 = 2048;
    let ground = Ground::new().await;
    let spec = ground.spec(&["/bin/sleep", "1000"]);
    let id = spec.id.clone();
    ground.containers.create(spec).await.unwrap();
    ground.containers.start(&id).await.unwrap();
    let memory = format!("/proc/{}/smaps_rollup", shim_of(&id));
    let small = async || {
        loop {
            let text = fs::read_to_string(&memory).unwrap();
            let pss = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
            if pss.trim().trim_end_matches(" kB").parse::<u64>().unwrap() < KIB_MAX {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let long = std::time::Duration::from_secs(60);
    tokio::time::timeout(long, small()).await.expect("it gives memory back");
    // It works on with what it takes again.
    let script = ["sh", "-c", "exit 9"].map(str::to_owned).to_vec();
    let outcome = ground.containers.exec(&id, script, long).await.unwrap();
    assert_eq!(outcome, runtime::ExecOutcome::Exited { code: 9, output: String::new() });
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_taken_up_again_and_swept() {
    let ground = Ground::new().await;
    let (node, run) = (ground.data.path().join("node"), ground.data.path().join("run"));
    // None are made ahead: what makes them would outlast its owner here, but not a killed process.
    let options = NetworkOptions { ready: 0, ..NetworkOptions::default() };
    let open_networks = async || LinuxNetworks::open(&node, &run, options.clone()).await.unwrap();
    let networks = open_networks().await;
    let mut spec = ground.spec(&["/bin/sleep", "1000"]);
    let ports = [PortMapping { container_port: 80, host_port: 0, protocol: Protocol::Udp }];
    let attachment = networks.attach(&spec.id, &ports).await.unwrap();
    assert_eq!(networks.attach(&spec.id, &ports).await.unwrap(), attachment);
    let namespace = attachment.namespace.clone();
    spec.network = Network::Namespace { path: namespace.clone(), address: None };
    let id = spec.id.clone();
    ground.containers.create(spec).await.unwrap();
    ground.containers.start(&id).await.unwrap();
    drop(networks);

    let networks = open_networks().await;
    assert_eq!(networks.list().await, std::slice::from_ref(&attachment));
    let mut listener = networks.listen(([169, 254, 170, 2], 80).into()).await.unwrap();
    let long = std::time::Duration::from_secs(60);
    let nc = ["nc", "169.254.170.2", "80"].map(str::to_owned).to_vec();
    let accept = async { listener.accept().await.unwrap().1 };
    let (caller, _) = tokio::join!(accept, ground.containers.exec(&id, nc, long));
    assert_eq!(caller.ip(), attachment.address, "who calls is known by its address");
    drop(networks);
    let Ground { data, task, containers } = ground;
    drop(containers);

    let bin = data.path().join("bin");
    let swept = runtime::sweep(&node, &bin, &run, Arc::new(HostClock)).await.unwrap();
    assert_eq!(swept, 1);
    assert_eq!(left(data.path(), &task), Vec::<String>::new());
    assert_eq!(fs::read_dir(run.join("netns")).unwrap().count(), 0);
}

/// What a task shares is made before its first container, and is there after its last.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_task_without_containers_shared_is_swept() {
    let ground = Ground::new().await;
    let mut spec = ground.shell("exit 0");
    (spec.pid_mode, spec.ipc_mode) = (PidMode::Task, IpcMode::Task);
    ground.run(spec).await;
    let Ground { data, task, containers } = ground;
    drop(containers);
    let held = left(data.path(), &task);
    assert!(held.iter().any(|one| one.contains("/shm")), "{held:?}");
    let (node, bin, run) =
        (data.path().join("node"), data.path().join("bin"), data.path().join("run"));
    assert_eq!(runtime::sweep(&node, &bin, &run, Arc::new(HostClock)).await.unwrap(), 0);
    assert_eq!(left(data.path(), &task), Vec::<String>::new());
}
