//! What containers share with others: volumes and memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use agent::engine::Reported;
use agent_protocol::task::{Container, DockerVolume, MountPoint, Task, Volume};
use runtime::containers::{IpcMode, MountSource};

use crate::harness::{World, container, task};

/// A task that mounts Docker's volume `name`, of scope shared.
fn with_shared(number: u32, name: &str, autoprovision: bool) -> Task {
    let docker = DockerVolume {
        scope: "shared".to_owned(),
        autoprovision,
        labels: BTreeMap::from([("made".to_owned(), autoprovision.to_string())]),
        ..DockerVolume::default()
    };
    let volume = Volume {
        name: name.to_owned(),
        kind: Some("docker".to_owned()),
        docker_volume_configuration: Some(docker),
        ..Volume::default()
    };
    let mut app = container("app", "exit 0 10");
    app.mount_points = vec![MountPoint {
        source_volume: name.to_owned(),
        container_path: "/data".to_owned(),
        ..MountPoint::default()
    }];
    Task { volumes: vec![volume], ..task(number, vec![app]) }
}

#[tokio::test(start_paused = true)]
async fn a_shared_volume_that_the_task_does_not_make_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.folder = folder.path().to_owned();
    let _agent = world.start();
    let shared = folder.path().join("volumes/shared");
    let run = async |task: Task| {
        world.server.want(task.clone());
        world.server.until_reported(&task.arn, Reported::Stopped).await;
        let state = world.server.state.lock();
        let stopped = state
            .submits
            .iter()
            .find(|submit| submit.task == task.arn && submit.status == Reported::Stopped);
        stopped.unwrap().containers[0].reason.clone()
    };
    let expected = "CannotCreateVolumeError: initialize volume: volume detection failed, volume \
                    'data' does not exist and autoprovision is set to false";
    assert_eq!(run(with_shared(1, "data", false)).await.as_deref(), Some(expected));
    assert!(!shared.join("data").exists());
    // Made by a task that may; its labels are not compared with those of one that may not.
    assert_eq!(run(with_shared(2, "data", true)).await, None);
    assert_eq!(run(with_shared(3, "data", false)).await, None);
    // Made by whoever runs the machine.
    fs::create_dir_all(shared.join("given")).unwrap();
    assert_eq!(run(with_shared(4, "given", false)).await, None);
}

/// The folder that a task's container sees as its volume.
fn behind(world: &World, task: &Task) -> MountSource {
    let state = world.host.state.lock();
    let id = task.arn.id.to_string();
    let fake = state.containers.values().find(|fake| fake.spec.task == id).unwrap();
    fake.spec.mounts.iter().find(|mount| mount.target.ends_with("data")).unwrap().source.clone()
}

#[tokio::test(start_paused = true)]
async fn a_shared_volume_is_what_it_was_made_as_whatever_a_later_definition_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.folder = folder.path().to_owned();
    let _agent = world.start();
    let with_options = |mut task: Task, device: &Path| {
        let docker = task.volumes[0].docker_volume_configuration.as_mut().unwrap();
        let options = [("type", "none"), ("o", "bind"), ("device", device.to_str().unwrap())];
        docker.driver_opts = options.map(|(name, value)| (name.into(), value.into())).into();
        task
    };
    let (first, other) = (folder.path().join("first"), folder.path().join("other"));
    fs::create_dir_all(&first).unwrap();
    let run = async |task: &Task| {
        world.server.want(task.clone());
        world.server.until_reported(&task.arn, Reported::Running).await;
        behind(&world, task)
    };
    let running = |mut task: Task| {
        task.containers[0] = Container {
            mount_points: task.containers[0].mount_points.clone(),
            ..container("app", "run")
        };
        task
    };
    let made = running(with_options(with_shared(1, "data", true), &first));
    assert_eq!(run(&made).await, MountSource::Bind(first.clone()));
    // Those that do not make it get the one that is there.
    let plain = running(with_shared(2, "data", false));
    assert_eq!(run(&plain).await, MountSource::Bind(first.clone()));
    let odd = running(with_options(with_shared(3, "data", false), &other));
    assert_eq!(run(&odd).await, MountSource::Bind(first));
    // A folder that somebody made is that folder.
    let given = folder.path().join("volumes/shared/given");
    fs::create_dir_all(&given).unwrap();
    let odd = running(with_options(with_shared(4, "given", false), &other));
    assert_eq!(run(&odd).await, MountSource::Bind(given));
}

#[tokio::test(start_paused = true)]
async fn the_mode_of_shared_memory_is_the_tasks() {
    let world = World::new();
    let _agent = world.start();
    let modes =
        [(None, IpcMode::Own), (Some("none"), IpcMode::None), (Some("host"), IpcMode::Host)];
    for (number, (mode, expected)) in (1..).zip(modes) {
        let mut task = task(number, vec![container("app", "run")]);
        task.ipc_mode = mode.map(str::to_owned);
        world.server.want(task.clone());
        world.server.until_reported(&task.arn, Reported::Running).await;
        let state = world.host.state.lock();
        let id = task.arn.id.to_string();
        let fake = state.containers.values().find(|fake| fake.spec.task == id).unwrap();
        assert_eq!(fake.spec.ipc_mode, expected);
    }
}
