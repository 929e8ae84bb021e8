//! Alarms, and the time that a deployment bakes (ECS semantics §8.2).

use super::*;
use crate::model::{DeploymentAlarms, MonitorStatus, Progress};

fn with_alarms(rollback: bool, bake_minutes: Option<u32>) -> DeploymentConfiguration {
    DeploymentConfiguration {
        alarms: Some(DeploymentAlarms { names: vec!["errors".to_owned()], enable: true, rollback }),
        bake_minutes,
        ..DeploymentConfiguration::replica()
    }
}

fn alarm(scene: &mut Scene) {
    scene.view.alarms.alarming = vec!["errors".to_owned()];
}

/// A service that was deployed with nothing to bake, and is deployed anew.
fn deploying(configuration: DeploymentConfiguration) -> (Scene, DeploymentId, DeploymentId) {
    let mut scene = Scene::steady(DeploymentConfiguration::replica(), 2);
    scene.view.service.configuration = configuration;
    let first = scene.primary().id;
    let next = scene.deploy();
    scene.settle();
    (scene, first, next)
}

#[test]
fn an_alarm_takes_the_service_back() {
    let (mut scene, first, next) = deploying(with_alarms(true, Some(1)));
    assert_eq!(scene.deployment(next).alarms, MonitorStatus::Monitoring);
    alarm(&mut scene);
    scene.look();
    let failed = scene.deployment(next).clone();
    assert_eq!(failed.rollout, RolloutState::Failed);
    assert_eq!(failed.rollout_reason, "ECS deployment failed: alarm detected.");
    assert_eq!((failed.alarms, failed.triggered.len()), (MonitorStatus::Triggered, 1));
    assert_eq!(failed.progress, Progress::RollbackInProgress);
    assert_eq!(scene.primary().id, first);
    let back = format!("ECS deployment alarms: rolling back to deploymentId {first}.");
    assert_eq!(scene.primary().rollout_reason, back);
    let said = format!("(service web) (deployment {next}) deployment failed: alarm detected.");
    assert!(scene.said.contains(&said), "{:?}", scene.said);
    // The alarm stays where it is, and what is gone back to is not watched.
    scene.roll();
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
    assert_eq!(scene.deployment(next).progress, Progress::RollbackSuccessful);
    assert_eq!((scene.count(first), scene.count(next)), (2, 0));
}

#[test]
fn without_rollback_an_alarm_leaves_it_as_it_is() {
    let (mut scene, first, next) = deploying(with_alarms(false, Some(1)));
    scene.agents();
    alarm(&mut scene);
    scene.settle();
    assert_eq!(scene.primary().id, next);
    assert_eq!(scene.primary().rollout, RolloutState::Failed);
    assert_eq!(scene.primary().progress, Progress::Stopped);
    let started = scene.starts.len();
    scene.roll();
    assert_eq!(scene.starts.len(), started, "nothing is started any more");
    assert_eq!((scene.count(first), scene.count(next)), (2, 2));
}

#[test]
fn an_alarm_of_before_the_start_is_none_of_its_doing() {
    let mut scene = Scene::steady(DeploymentConfiguration::replica(), 2);
    scene.view.service.configuration = with_alarms(true, Some(10));
    alarm(&mut scene);
    let next = scene.deploy();
    scene.settle();
    assert_eq!(scene.deployment(next).alarms, MonitorStatus::Disabled);
    // Nor does it bake: nobody watches.
    scene.roll();
    assert_eq!(scene.primary().id, next);
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
    assert_eq!(scene.primary().progress, Progress::Successful);
}

/// Rolls the new deployment out, and gives after how many seconds it is complete.
fn bakes_for(configuration: DeploymentConfiguration, looks_back: u64) -> u64 {
    let (mut scene, _, next) = deploying(configuration);
    scene.view.alarms.looks_back = Duration::from_secs(looks_back);
    for _ in 0..3 {
        scene.agents();
        scene.pass(40);
        scene.settle();
    }
    assert_eq!(scene.count(next), 2);
    let since = scene.deployment(next).baking_since.expect("it bakes");
    while scene.primary().rollout == RolloutState::InProgress {
        scene.pass(1);
        scene.settle();
    }
    assert_eq!(scene.primary().alarms, MonitorStatus::Complete);
    scene.now.since(since).as_secs()
}

#[test]
fn it_bakes_as_long_as_is_said_or_as_alarms_look_back() {
    assert_eq!(bakes_for(with_alarms(true, Some(7)), 60), 7 * 60);
    assert_eq!(bakes_for(with_alarms(true, None), 120), 120);
    // Under five minutes if the service does not say.
    assert_eq!(bakes_for(with_alarms(true, None), 3_600), 5 * 60);
}

#[test]
fn an_alarm_while_it_bakes_takes_the_service_back() {
    let (mut scene, first, next) = deploying(with_alarms(true, Some(5)));
    for _ in 0..3 {
        scene.agents();
        scene.pass(40);
        scene.settle();
    }
    assert_eq!((scene.count(first), scene.count(next)), (0, 2));
    assert!(scene.primary().baking_since.is_some());
    alarm(&mut scene);
    scene.settle();
    assert_eq!(scene.primary().id, first);
    scene.roll();
    assert_eq!((scene.count(first), scene.count(next)), (2, 0));
}

#[test]
fn what_is_lost_while_it_bakes_makes_it_begin_anew() {
    let (mut scene, _, next) = deploying(with_alarms(true, Some(5)));
    for _ in 0..3 {
        scene.agents();
        scene.pass(40);
        scene.settle();
    }
    let before = scene.primary().baking_since;
    assert!(before.is_some());
    scene.view.tasks.retain(|task| task.of != next || task.phase == Phase::Stopping);
    scene.settle();
    assert_eq!(scene.primary().baking_since, None);
    scene.agents();
    scene.pass(40);
    scene.settle();
    assert!(scene.primary().baking_since > before);
}
