//! Instances that drain (ECS semantics §4.1), also while a deployment stands that failed.

use super::*;
use crate::model::Progress;

/// The instance of these tasks drains.
fn drain(scene: &mut Scene, of: DeploymentId, count: usize) {
    let tasks = scene.view.tasks.iter_mut().filter(|task| task.of == of).take(count);
    tasks.for_each(|task| task.ground.is_draining = true);
}

fn draining(scene: &Scene) -> usize {
    let live = scene.view.tasks.iter().filter(|task| task.phase != Phase::Stopping);
    live.filter(|task| task.ground.is_draining).count()
}

fn healthy(scene: &Scene) -> usize {
    let since = |task: &&Seen| match task.phase {
        Phase::Running(at) => scene.now.since(at) >= scene.rules.settle,
        Phase::Pending | Phase::Stopping => false,
    };
    scene.view.tasks.iter().filter(since).count()
}

/// A service of four whose second deployment failed, with nothing rolled back.
fn failed(configuration: DeploymentConfiguration) -> (Scene, DeploymentId, DeploymentId) {
    let mut scene = Scene::steady(configuration, 4);
    let (first, next) = (scene.primary().id, scene.deploy());
    for _ in 0..3 {
        scene.settle();
        scene.fail(next, 1);
        scene.settle();
        scene.pass(60);
    }
    assert_eq!(scene.primary().id, next);
    assert_eq!(scene.primary().rollout, RolloutState::Failed);
    (scene, first, next)
}

#[test]
fn what_was_before_a_failed_deployment_leaves_start_first() {
    let (mut scene, first, next) = failed(with_breaker(false));
    scene.roll();
    let ran = scene.count(next);
    assert_eq!(scene.count(first), 4);
    drain(&mut scene, first, 3);
    for _ in 0..20 {
        let before = healthy(&scene);
        scene.settle();
        assert!(healthy(&scene) >= 4.min(before), "the minimum holds");
        scene.agents();
        scene.pass(20);
    }
    assert_eq!((draining(&scene), scene.count(first), scene.count(next)), (0, 4, ran));
}

#[test]
fn tasks_of_the_failed_deployment_leave_as_far_as_the_minimum_allows() {
    let (mut scene, first, next) = failed(with_breaker(false));
    scene.roll();
    let ran = scene.count(next);
    assert!(ran > 0, "{:#?}", scene.view);
    drain(&mut scene, next, ran);
    scene.roll();
    assert_eq!((draining(&scene), scene.count(first), scene.count(next)), (0, 4, 0));
}

#[test]
fn where_percentages_forbid_it_that_is_said() {
    let mut scene = Scene::steady(with_breaker(false), 2);
    // The first deployment's tasks are all there is, and it counts as failed.
    scene.view.deployments[0].rollout = RolloutState::Failed;
    let only = scene.primary().id;
    drain(&mut scene, only, 2);
    scene.settle();
    assert_eq!(scene.count(only), 2);
    assert!(scene.has_said("was unable to stop or start tasks during a deployment"));
    scene.view.service.configuration.minimum_healthy_percent = 50;
    scene.settle();
    assert_eq!(scene.count(only), 1);
}

#[test]
fn a_daemon_that_percentages_forbid_to_replace_says_so() {
    // A quarter of one is one.
    let configuration = DeploymentConfiguration {
        minimum_healthy_percent: 25,
        maximum_percent: 100,
        ..DeploymentConfiguration::replica()
    };
    let mut scene = Scene::new(configuration, 1);
    scene.view.service.scheduling = crate::model::SchedulingStrategy::Daemon;
    scene.view.eligible = [ContainerInstanceId::from_bytes([1; 16])].into();
    scene.roll();
    let first = scene.primary().id;
    assert_eq!((scene.count(first), scene.primary().rollout), (1, RolloutState::Completed));
    scene.deploy();
    scene.roll();
    assert_eq!(scene.count(first), 1);
    assert!(scene.has_said("was unable to stop or start tasks during a deployment"));
    scene.view.service.configuration.minimum_healthy_percent = 0;
    scene.roll();
    assert_eq!((scene.count(first), scene.primary().rollout), (0, RolloutState::Completed));
}

#[test]
fn a_daemon_that_leaves_a_draining_instance_is_not_counted_for_one_that_is_replaced() {
    let configuration = DeploymentConfiguration {
        minimum_healthy_percent: 50,
        maximum_percent: 100,
        ..DeploymentConfiguration::replica()
    };
    let instance = |number| ContainerInstanceId::from_bytes([number; 16]);
    let mut scene = Scene::new(configuration, 3);
    scene.view.service.scheduling = crate::model::SchedulingStrategy::Daemon;
    scene.view.eligible = [1, 2].map(instance).into();
    scene.roll();
    assert_eq!(healthy(&scene), 2);
    // A third instance comes that has no task yet, one of the two drains, and all are replaced.
    let (first, _) = (scene.primary().id, scene.deploy());
    scene.view.eligible = [2, 3].map(instance).into();
    drain(&mut scene, first, 1);
    scene.look();
    assert_eq!((draining(&scene), healthy(&scene)), (0, 1), "the minimum holds: one of two");
    scene.roll();
    assert_eq!((scene.count(first), healthy(&scene)), (0, 2));
}

#[test]
fn what_is_started_again_beside_a_stopped_deployment_is_not_lost_sight_of() {
    let mut scene = Scene::steady(DeploymentConfiguration::replica(), 1);
    let (first, next) = (scene.primary().id, scene.deploy());
    scene.settle();
    scene.agents();
    // A person stops it when its task runs; that becomes healthy, and stands for all there is to be.
    let one = scene.view.deployments.iter_mut().find(|one| one.id == next);
    one.expect("it is there").progress = Progress::StopRequested;
    scene.look();
    assert_eq!(scene.primary().rollout, RolloutState::Failed);
    scene.pass(40);
    scene.look();
    assert_eq!((scene.count(first), scene.count(next)), (1, 1));
    // The task of before ends, and another is started in its place.
    scene.view.tasks.retain(|task| task.of != first);
    scene.look();
    assert_eq!((scene.count(first), scene.count(next)), (1, 1));
    assert_ne!(scene.deployment(first).status, DeploymentStatus::Inactive);
    // So it counts when there is something new, and goes with the rest.
    let newest = scene.deploy();
    for _ in 0..6 {
        scene.settle();
        let live = [first, next, newest].map(|of| scene.count(of)).iter().sum::<usize>();
        assert!(live <= 2, "{live} tasks, at most 2 may be");
        scene.agents();
        scene.pass(40);
    }
    scene.roll();
    assert_eq!([first, next, newest].map(|of| scene.count(of)), [0, 0, 1]);
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
}
