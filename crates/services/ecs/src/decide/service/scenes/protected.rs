//! Protected tasks (ECS semantics §5.5), also those that are not healthy yet.

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// A service of three with all its tasks protected for an hour: on their way, or running for less
/// than it takes to be healthy.
fn protected(runs: bool) -> (Scene, DeploymentId) {
    let mut scene = Scene::new(DeploymentConfiguration::replica(), 3);
    scene.settle();
    if runs {
        scene.agents();
    }
    let until = scene.now + HOUR;
    scene.view.tasks.iter_mut().for_each(|task| task.protected_until = Some(until));
    let id = scene.primary().id;
    (scene, id)
}

#[test]
fn a_service_that_shrinks_keeps_them() {
    for runs in [false, true] {
        let (mut scene, id) = protected(runs);
        scene.view.service.desired = 1;
        scene.settle();
        assert_eq!(scene.count(id), 3, "running: {runs}");
        scene.pass(HOUR.as_secs());
        scene.settle();
        assert_eq!(scene.count(id), 1, "running: {runs}");
    }
}

#[test]
fn a_deployment_leaves_them() {
    for runs in [false, true] {
        let (mut scene, first) = protected(runs);
        scene.deploy();
        scene.settle();
        assert_eq!(scene.count(first), 3, "running: {runs}");
        scene.pass(HOUR.as_secs());
        scene.roll();
        assert_eq!(scene.count(first), 0, "running: {runs}");
        assert_eq!(scene.primary().rollout, RolloutState::Completed);
    }
}

#[test]
fn failed_checks_end_it() {
    let (mut scene, id) = protected(true);
    scene.view.tasks.iter_mut().for_each(|task| task.check = Some(Health::Unhealthy));
    scene.deploy();
    // In less than an hour.
    scene.roll();
    assert_eq!(scene.count(id), 0);
}
