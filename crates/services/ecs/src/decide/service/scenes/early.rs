//! Deployments that are a success before they are whole (ECS semantics §8.3).

use super::*;
use crate::model::{DeploymentAlarms, EarlySuccess, Progress};

/// Half of the tasks are enough; tasks are replaced one at a time.
fn early(deferred: bool) -> DeploymentConfiguration {
    DeploymentConfiguration {
        minimum_healthy_percent: 50,
        maximum_percent: 125,
        early: Some(EarlySuccess { healthy_percent: 50, deferred }),
        ..with_breaker(true)
    }
}

/// Lets tasks come, and become healthy, once.
fn step(scene: &mut Scene) {
    scene.settle();
    scene.agents();
    scene.pass(40);
    scene.settle();
}

#[test]
fn deferred_does_not_wait_for_what_was_before() {
    let mut scene = Scene::steady(early(true), 4);
    let (first, next) = (scene.primary().id, scene.deploy());
    // What was before is protected, and stays for the time being.
    let until = scene.now + Duration::from_secs(3_600);
    scene.view.tasks.iter_mut().for_each(|task| task.protected_until = Some(until));
    scene.view.service.configuration.maximum_percent = 200;
    step(&mut scene);
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
    assert_eq!(scene.primary().progress, Progress::Successful);
    assert_eq!((scene.count(first), scene.count(next)), (4, 4));
    // Neither failures nor alarms take it back any more.
    scene.view.service.configuration.alarms =
        Some(DeploymentAlarms { names: vec!["errors".to_owned()], enable: true, rollback: true });
    scene.view.alarms.alarming = vec!["errors".to_owned()];
    scene.settle();
    assert_eq!(scene.primary().id, next);
    scene.pass(3_600);
    scene.roll();
    assert_eq!((scene.count(first), scene.count(next)), (0, 4));
    assert_eq!(scene.primary().id, next);
}

#[test]
fn blocking_waits_for_what_was_before() {
    let mut scene = Scene::steady(early(false), 4);
    let (first, next) = (scene.primary().id, scene.deploy());
    let mut steps = 0;
    while scene.primary().rollout == RolloutState::InProgress {
        step(&mut scene);
        steps += 1;
        assert!(steps < 50, "{:#?}", scene.view);
        let is_complete = scene.primary().rollout == RolloutState::Completed;
        assert!(!is_complete || scene.count(first) == 0);
    }
    assert_eq!(scene.primary().id, next);
    scene.roll();
    assert_eq!((scene.count(first), scene.count(next)), (0, 4));
}

#[test]
fn a_healthy_task_is_needed_whatever_the_share() {
    let configuration = DeploymentConfiguration {
        minimum_healthy_percent: 0,
        early: Some(EarlySuccess { healthy_percent: 0, deferred: true }),
        ..DeploymentConfiguration::replica()
    };
    let mut scene = Scene::steady(configuration, 2);
    scene.deploy();
    scene.settle();
    assert_eq!(scene.primary().rollout, RolloutState::InProgress);
    step(&mut scene);
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
}
