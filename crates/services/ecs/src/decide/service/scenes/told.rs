//! What is told to EventBridge alone (ECS semantics §17).

use super::*;
use crate::model::SchedulingStrategy;

fn instance(number: u8) -> ContainerInstanceId {
    ContainerInstanceId::from_bytes([number; 16])
}

/// The counts that were told, and the lines on health.
fn told(scene: &mut Scene) -> (Vec<String>, Vec<String>) {
    let said = std::mem::take(&mut scene.said);
    let of = |text: &str| said.iter().filter(|said| said.contains(text)).cloned().collect();
    (of("has a desired count of"), of("describe the health"))
}

#[test]
fn a_daemons_count_is_told_when_its_instances_come_and_go() {
    let configuration = DeploymentConfiguration {
        minimum_healthy_percent: 0,
        maximum_percent: 100,
        ..DeploymentConfiguration::replica()
    };
    let mut scene = Scene::new(configuration, 0);
    scene.view.service.scheduling = SchedulingStrategy::Daemon;
    scene.view.eligible = [instance(1), instance(2)].into();
    scene.roll();
    assert_eq!(told(&mut scene).0, ["(service web) has a desired count of 2."]);
    scene.roll();
    assert!(told(&mut scene).0.is_empty(), "it is as it was");
    scene.view.eligible = [instance(2)].into();
    scene.roll();
    assert_eq!(told(&mut scene).0, ["(service web) has a desired count of 1."]);
}

#[test]
fn what_a_person_says_is_not_told() {
    let mut scene = Scene::steady(DeploymentConfiguration::replica(), 2);
    scene.view.service.desired = 5;
    scene.roll();
    assert!(told(&mut scene).0.is_empty());
}

#[test]
fn checks_that_are_not_heard_of_for_a_minute_are_told_once() {
    let mut scene = Scene::new(DeploymentConfiguration::replica(), 2);
    scene.has_checks = true;
    scene.settle();
    scene.agents();
    scene.view.tasks.iter_mut().for_each(|task| task.check = Some(Health::Healthy));
    scene.roll();
    let away = scene.now;
    scene.view.tasks[0].ground.away_since = Some(away);
    scene.pass(59);
    let (_, decision) = decide(&scene.view, &scene.rules, scene.now);
    assert_eq!(decision.look_again_at, Some(away + Duration::from_secs(60)));
    scene.look();
    assert!(told(&mut scene).1.is_empty());
    scene.pass(1);
    scene.look();
    let id = scene.view.tasks[0].id;
    let text = format!("(service web) was unable to describe the health of (task {id}).");
    assert_eq!(told(&mut scene).1, [text]);
    scene.pass(600);
    scene.look();
    assert!(told(&mut scene).1.is_empty(), "it was said");
    // Tasks without checks are RUNNING or not, which nobody needs to be asked for.
    let mut scene = Scene::steady(DeploymentConfiguration::replica(), 2);
    scene.view.tasks[0].ground.away_since = Some(scene.now);
    scene.pass(100);
    scene.look();
    assert!(told(&mut scene).1.is_empty());
}

#[test]
fn a_task_whose_checks_are_not_heard_of_is_told_before_it_is_given_up() {
    let mut scene = Scene::new(DeploymentConfiguration::replica(), 1);
    (scene.has_checks, scene.rules.lost_after) = (true, Some(Duration::from_secs(20)));
    scene.settle();
    scene.agents();
    scene.view.tasks[0].check = Some(Health::Healthy);
    scene.roll();
    scene.view.tasks[0].ground.away_since = Some(scene.now);
    scene.pass(20);
    scene.said.clear();
    scene.look();
    assert!(scene.said[0].contains("describe the health"), "{:?}", scene.said);
    assert_eq!(scene.view.tasks[0].phase, Phase::Stopping);
}
