//! What an agent finds that belongs to no task, and what it takes away when it leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::Remains;
use agent::engine::Reported;
use agent::journal::MemoryJournal;

use crate::harness::{World, container, task};

/// A world whose host runs a container that no journal knows.
async fn orphaned() -> World {
    let mut world = World::new();
    let agent = world.start();
    let task = task(1, vec![container("app", "run")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    agent.task.abort();
    world.host.cut();
    world.journal = MemoryJournal::default();
    world
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_gone_before_the_instance_is_offered() {
    let world = orphaned().await;
    world.host.state.lock().removals_that_fail = 2;
    let registrations = world.server.state.lock().registrations.len();
    let agent = world.start();
    let is_registered = || world.server.state.lock().registrations.len() > registrations;
    while !is_registered() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.is_clean(), "the orphan still uses what the instance offers");
    agent.task.abort();
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_takes_all_away_and_never_starts_it_again() {
    let world = World::new();
    let agent = world.start();
    let task = task(1, vec![container("app", "run")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    agent.task.abort();
    // The first try is cut short after the container is gone.
    world.host.state.lock().detachments_that_fail = 100;
    let seen = world.host.next();
    let remains = || Remains {
        images: Arc::new(seen.clone()),
        containers: Arc::new(seen.clone()),
        networks: Arc::new(seen.clone()),
        folders: Arc::new(agent::HostFolders),
        stand_ins: agent::volumes::StandIns::default(),
        clock: world.clock.clone(),
    };
    let (journal, folder) = (|| Box::new(world.journal.clone()), Path::new("/nonexistent"));
    assert!(agent::leave(journal(), remains(), folder).await.is_err());
    world.host.state.lock().detachments_that_fail = 0;
    world.host.state.lock().containers.clear();
    let agent = world.start();
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    agent.task.abort();
    assert_eq!(world.host.state.lock().started.get("app"), Some(&1), "it was started again");
    let seen = world.host.next();
    let remains = Remains {
        images: Arc::new(seen.clone()),
        containers: Arc::new(seen.clone()),
        networks: Arc::new(seen.clone()),
        folders: Arc::new(agent::HostFolders),
        stand_ins: agent::volumes::StandIns::default(),
        clock: world.clock.clone(),
    };
    agent::leave(journal(), remains, folder).await.unwrap();
    assert!(world.is_clean());
    assert_eq!(world.journal.records(), []);
}
