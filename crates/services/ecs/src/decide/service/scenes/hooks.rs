//! Lifecycle hooks of deployments (ECS semantics §10.3).

use super::*;
use crate::model::{Hook, HookAction, HookStatus, HookTarget, Progress, Stage, Strategy};

fn hook(target: HookTarget, stage: Stage, action: Option<HookAction>) -> Hook {
    Hook { target, role: None, stages: vec![stage], details: None, minutes: Some(10), action }
}

fn function(stage: Stage) -> Hook {
    hook(HookTarget::Function("http://gate/".to_owned()), stage, None)
}

/// A steady service of two tasks, and its next deployment with these hooks.
fn deployed(hooks: Vec<Hook>) -> (Scene, DeploymentId, DeploymentId) {
    let configuration = DeploymentConfiguration {
        strategy: Strategy::BlueGreen,
        bake_minutes: Some(0),
        ..DeploymentConfiguration::replica()
    };
    let mut scene = Scene::steady(configuration, 2);
    scene.view.service.configuration.hooks = hooks;
    let blue = scene.primary().id;
    let green = scene.deploy();
    scene.settle();
    (scene, blue, green)
}

fn at(scene: &Scene) -> (Stage, u32) {
    let staged = scene.primary().stage.expect("it goes by stages");
    (staged.stage, staged.production)
}

/// What is asked where the primary deployment is, and how that is.
fn asked(scene: &Scene) -> Vec<(String, HookStatus)> {
    let runs = scene.primary().hooks.runs.iter();
    runs.map(|run| (run.id(), run.status)).collect()
}

/// Somebody answers the only thing that is asked.
fn answer(scene: &mut Scene, status: HookStatus) {
    let primary = scene.view.service.primary;
    let mut rows = scene.view.deployments.iter_mut();
    let one = rows.find(|one| Some(one.id) == primary).expect("there is one");
    let run = one.hooks.runs.iter_mut().find(|run| !run.status.is_over());
    run.expect("something is asked").end(status, None);
    scene.settle();
}

#[test]
fn a_deployment_stays_where_it_is_until_its_hooks_let_it_go_on() {
    let hooks = vec![
        function(Stage::PreScaleUp),
        hook(HookTarget::Pause, Stage::PreProductionTrafficShift, None),
    ];
    let (mut scene, blue, green) = deployed(hooks);
    assert_eq!((at(&scene), scene.count(green)), ((Stage::PreScaleUp, 0), 0));
    assert_eq!(asked(&scene), [("0-PRE_SCALE_UP-0".to_owned(), HookStatus::InProgress)]);
    assert_eq!(scene.primary().next_call(), Some(scene.now));
    answer(&mut scene, HookStatus::Succeeded);
    assert_eq!((at(&scene).0, scene.count(green)), (Stage::ScaleUp, 2));
    scene.agents();
    scene.pass(40);
    scene.settle();
    let name = "1-PRE_PRODUCTION_TRAFFIC_SHIFT-0".to_owned();
    assert_eq!(asked(&scene), [(name, HookStatus::AwaitingAction)]);
    assert_eq!(at(&scene), (Stage::PreProductionTrafficShift, 0));
    assert_eq!(scene.traffic.map(|traffic| traffic.production), Some(0));
    assert_eq!(scene.primary().next_call(), None, "people are not called");
    answer(&mut scene, HookStatus::Succeeded);
    assert_eq!(at(&scene), (Stage::CleanUp, 1000));
    assert_eq!((scene.count(blue), scene.count(green)), (0, 2));
}

#[test]
fn a_hook_that_fails_takes_the_deployment_back() {
    let (mut scene, blue, green) = deployed(vec![function(Stage::ProductionTrafficShift)]);
    scene.agents();
    scene.pass(40);
    scene.settle();
    assert_eq!(at(&scene), (Stage::ProductionTrafficShift, 1000));
    assert_eq!(scene.traffic.map(|traffic| traffic.production), Some(1000));
    answer(&mut scene, HookStatus::Failed);
    assert_eq!(scene.view.service.primary, Some(blue));
    assert!(scene.has_said("deployment failed: lifecycle hook failed."));
    let failed = scene.deployment(green);
    assert_eq!(
        failed.rollout_reason,
        "Lifecycle hook http://gate/ failed at PRODUCTION_TRAFFIC_SHIFT."
    );
    // The same hook is told that the traffic went back, and what it says of that changes nothing.
    let back = failed.hooks.runs.iter().find(|run| run.goes_back).expect("it is told");
    assert_eq!(back.id(), "0-PRODUCTION_TRAFFIC_SHIFT-1000-rollback");
    assert_eq!(failed.stage.map(|staged| (staged.production, staged.test)), Some((0, 0)));
    assert!(failed.next_call().is_some());
    scene.agents();
    scene.settle();
    assert_eq!((scene.count(blue), scene.count(green)), (2, 0));
    assert_eq!(scene.deployment(green).progress, Progress::RollbackSuccessful);
}

#[test]
fn who_does_not_answer_in_time_is_waited_for_no_longer() {
    for (action, primary_is_new) in [(None, false), (Some(HookAction::Continue), true)] {
        let (mut scene, _, green) =
            deployed(vec![hook(HookTarget::Pause, Stage::PreScaleUp, action)]);
        scene.pass(599);
        scene.settle();
        assert_eq!(at(&scene).0, Stage::PreScaleUp);
        scene.pass(1);
        scene.settle();
        assert_eq!(scene.view.service.primary == Some(green), primary_is_new);
        assert_eq!(scene.count(green), if primary_is_new { 2 } else { 0 });
    }
}

#[test]
fn tasks_that_do_not_come_up_in_a_day_take_the_deployment_back() {
    let (mut scene, blue, green) = deployed(Vec::new());
    scene.pass(24 * 60 * 60 - 1);
    scene.settle();
    assert_eq!(scene.view.service.primary, Some(green));
    scene.pass(1);
    scene.settle();
    assert_eq!(scene.view.service.primary, Some(blue));
    assert!(scene.has_said("deployment failed: deployment timed out."));
}

#[test]
fn nobody_is_asked_about_what_is_left_when_nothing_is() {
    let (scene, _, green) = deployed(vec![function(Stage::ReconcileService)]);
    assert_eq!((at(&scene).0, scene.count(green)), (Stage::ScaleUp, 2));
    let (mut scene, _, abandoned) = deployed(vec![function(Stage::ReconcileService)]);
    assert_eq!(scene.count(abandoned), 2);
    scene.deploy();
    scene.settle();
    let name = "0-RECONCILE_SERVICE-0".to_owned();
    assert_eq!(asked(&scene), [(name, HookStatus::InProgress)]);
    assert_eq!((at(&scene).0, scene.count(abandoned)), (Stage::ReconcileService, 0));
    scene.agents();
    scene.settle();
    assert_eq!(at(&scene).0, Stage::ReconcileService, "it is still asked");
    answer(&mut scene, HookStatus::Succeeded);
    assert_eq!(at(&scene).0, Stage::ScaleUp);
}
