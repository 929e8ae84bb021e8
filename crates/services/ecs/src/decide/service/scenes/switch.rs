//! Deployments with two revisions side by side (ECS semantics §10).

use super::*;
use crate::model::{Stage, Strategy};

fn side_by_side(strategy: Strategy) -> DeploymentConfiguration {
    DeploymentConfiguration { strategy, bake_minutes: Some(5), ..with_breaker(true) }
}

fn stage(scene: &Scene) -> Option<Stage> {
    scene.primary().stage.map(|staged| staged.stage)
}

/// The part of production traffic that the primary deployment is to get.
fn traffic(scene: &Scene) -> u32 {
    let traffic = scene.traffic.expect("it is said where traffic goes");
    assert_eq!(Some(traffic.to), scene.view.service.primary);
    traffic.production
}

/// A steady service of two tasks, and its next deployment, whose tasks run and are healthy.
fn scaled_up(strategy: Strategy) -> (Scene, DeploymentId, DeploymentId) {
    let mut scene = Scene::steady(side_by_side(strategy), 2);
    let blue = scene.primary().id;
    let green = scene.deploy();
    scene.settle();
    assert_eq!(
        (stage(&scene), scene.count(blue), scene.count(green)),
        (Some(Stage::ScaleUp), 2, 2)
    );
    assert_eq!(traffic(&scene), 0);
    scene.agents();
    scene.pass(40);
    scene.settle();
    (scene, blue, green)
}

#[test]
fn traffic_goes_over_when_all_tasks_stand_and_the_old_ones_end_after_the_bake_time() {
    let (mut scene, blue, green) = scaled_up(Strategy::BlueGreen);
    assert_eq!((stage(&scene), traffic(&scene)), (Some(Stage::BakeTime), 1000));
    assert_eq!((scene.count(blue), scene.count(green)), (2, 2));
    scene.pass(299);
    scene.settle();
    assert_eq!(scene.count(blue), 2, "it bakes");
    scene.pass(1);
    scene.settle();
    assert_eq!((scene.count(blue), scene.count(green)), (0, 2));
    scene.agents();
    scene.settle();
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
    assert_eq!(scene.deployment(blue).status, DeploymentStatus::Inactive);
    assert!(scene.has_said("has reached a steady state."));
}

#[test]
fn a_canary_waits_with_a_part_of_the_traffic() {
    let strategy = Strategy::Canary { part: 100, bake_minutes: 2 };
    let (mut scene, blue, _) = scaled_up(strategy);
    assert_eq!((stage(&scene), traffic(&scene)), (Some(Stage::ProductionTrafficShift), 100));
    scene.pass(120);
    scene.settle();
    assert_eq!((traffic(&scene), scene.count(blue)), (1000, 2));
}

#[test]
fn what_fails_before_the_shift_never_gets_traffic() {
    let mut scene = Scene::steady(side_by_side(Strategy::BlueGreen), 2);
    let blue = scene.primary().id;
    let green = scene.deploy();
    scene.settle();
    for _ in 0..3 {
        scene.fail(green, 1);
        scene.look();
        scene.pass(3600);
        scene.settle();
        assert_eq!((scene.count(blue), traffic(&scene) % 1000), (2, 0));
    }
    assert_eq!(scene.deployment(green).rollout, RolloutState::Failed);
    assert_eq!(scene.view.service.primary, Some(blue));
    scene.agents();
    scene.settle();
    assert_eq!((scene.count(blue), scene.count(green), traffic(&scene)), (2, 0, 1000));
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
}

#[test]
fn what_fails_while_it_bakes_gives_the_traffic_back_at_once() {
    let mut configuration = side_by_side(Strategy::BlueGreen);
    configuration.alarms = Some(crate::model::DeploymentAlarms {
        names: vec!["errors".to_owned()],
        enable: true,
        rollback: true,
    });
    let mut scene = Scene::steady(configuration, 2);
    let blue = scene.primary().id;
    let green = scene.deploy();
    scene.settle();
    scene.agents();
    scene.pass(40);
    scene.settle();
    assert_eq!((stage(&scene), traffic(&scene)), (Some(Stage::BakeTime), 1000));
    scene.view.alarms.alarming = vec!["errors".to_owned()];
    scene.look();
    assert_eq!((scene.view.service.primary, traffic(&scene)), (Some(blue), 1000));
    scene.settle();
    assert_eq!((scene.count(blue), scene.count(green)), (2, 0));
}

#[test]
fn a_newer_deployment_ends_what_was_on_its_way_first() {
    let mut scene = Scene::steady(side_by_side(Strategy::BlueGreen), 1);
    let blue = scene.primary().id;
    let abandoned = scene.deploy();
    scene.settle();
    let green = scene.deploy();
    scene.view.deployments.last_mut().expect("it was made").is_alternate = true;
    scene.settle();
    assert_eq!((scene.count(blue), scene.count(abandoned), scene.count(green)), (1, 0, 1));
    assert_eq!(traffic(&scene), 0);
}
