//! Tasks that become unhealthy, and tasks whose instance is lost (ECS semantics §7.3 to §7.5, §4).

use super::*;

/// A steady service of tasks with health checks, all of which pass.
fn checked(configuration: DeploymentConfiguration, desired: u32) -> Scene {
    let mut scene = Scene::new(configuration, desired);
    scene.has_checks = true;
    for _ in 0..5 {
        scene.settle();
        scene.agents();
        say(&mut scene, Health::Unknown, Health::Healthy);
    }
    scene.settle();
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
    scene
}

/// Tasks whose checks said one thing say another.
fn say(scene: &mut Scene, from: Health, to: Health) {
    let tasks = scene.view.tasks.iter_mut().filter(|task| task.check == Some(from));
    tasks.for_each(|task| task.check = Some(to));
}

fn fail(scene: &mut Scene, count: usize) {
    let healthy = |task: &&mut Seen| task.check == Some(Health::Healthy);
    let tasks = scene.view.tasks.iter_mut().filter(healthy).take(count);
    tasks.for_each(|task| task.check = Some(Health::Unhealthy));
}

fn live(scene: &Scene, check: Health) -> usize {
    let live = scene.view.tasks.iter().filter(|task| task.phase != Phase::Stopping);
    live.filter(|task| task.check == Some(check)).count()
}

#[test]
fn a_replacement_starts_first_and_the_bad_one_goes_when_it_is_healthy() {
    let mut scene = checked(DeploymentConfiguration::replica(), 3);
    fail(&mut scene, 1);
    scene.settle();
    assert_eq!((live(&scene, Health::Unhealthy), live(&scene, Health::Unknown)), (1, 1));
    scene.agents();
    scene.settle();
    assert_eq!(live(&scene, Health::Unhealthy), 1, "it is not replaced yet");
    say(&mut scene, Health::Unknown, Health::Healthy);
    scene.settle();
    assert_eq!((live(&scene, Health::Unhealthy), live(&scene, Health::Healthy)), (0, 3));
}

#[test]
fn without_room_they_go_one_at_a_time() {
    let configuration = DeploymentConfiguration {
        maximum_percent: 100,
        minimum_healthy_percent: 0,
        ..DeploymentConfiguration::replica()
    };
    let mut scene = checked(configuration, 3);
    fail(&mut scene, 2);
    scene.look();
    assert_eq!((live(&scene, Health::Unhealthy), live(&scene, Health::Healthy)), (1, 1));
    for _ in 0..6 {
        scene.settle();
        assert!(live(&scene, Health::Healthy) >= 1);
        scene.agents();
        say(&mut scene, Health::Unknown, Health::Healthy);
    }
    scene.settle();
    assert_eq!((live(&scene, Health::Unhealthy), live(&scene, Health::Healthy)), (0, 3));
}

#[test]
fn when_the_replacement_is_bad_too_one_of_them_goes() {
    let mut scene = checked(DeploymentConfiguration::replica(), 2);
    fail(&mut scene, 1);
    for _ in 0..4 {
        scene.settle();
        scene.agents();
        say(&mut scene, Health::Unknown, Health::Unhealthy);
        let live = live(&scene, Health::Unhealthy) + live(&scene, Health::Healthy);
        assert!(live <= 4, "never more than 200 percent");
    }
    scene.settle();
    scene.agents();
    say(&mut scene, Health::Unknown, Health::Healthy);
    scene.settle();
    assert_eq!((live(&scene, Health::Unhealthy), live(&scene, Health::Healthy)), (0, 2));
}

#[test]
fn in_its_grace_a_task_is_not_replaced() {
    let mut scene = checked(DeploymentConfiguration::replica(), 2);
    scene.view.service.grace_seconds = Some(60);
    let started = scene.starts.len();
    fail(&mut scene, 1);
    scene.pass(59);
    scene.settle();
    assert_eq!(scene.starts.len(), started);
    scene.pass(1);
    scene.settle();
    assert_eq!(scene.starts.len(), started + 1);
}

#[test]
fn while_a_deployment_rolls_a_task_is_replaced_by_its_own_revision() {
    let configuration =
        DeploymentConfiguration { maximum_percent: 150, ..DeploymentConfiguration::replica() };
    let mut scene = checked(configuration, 4);
    let (first, next) = (scene.primary().id, scene.deploy());
    scene.settle();
    assert_eq!((scene.count(first), scene.count(next)), (4, 2));
    // An old one is lost before a new one can do in its place.
    scene.view.tasks.remove(0);
    scene.settle();
    assert_eq!((scene.count(first), scene.count(next)), (4, 2));
    assert_eq!(scene.starts.last().map(|start| start.of), Some(first));
    // More are wanted: both revisions grow.
    scene.view.service.desired = 8;
    scene.settle();
    assert!(scene.count(first) > 4 && scene.count(next) > 2, "{:?}", scene.starts);
    assert_eq!(scene.count(first) + scene.count(next), 12);
}

#[test]
fn tasks_of_a_lost_instance_are_replaced_at_once_and_count_no_more() {
    let configuration =
        DeploymentConfiguration { maximum_percent: 100, ..DeploymentConfiguration::replica() };
    let mut scene = checked(configuration, 3);
    scene.rules.lost_after = Some(Duration::from_secs(60));
    let away = scene.now;
    scene.view.tasks[0].ground.away_since = Some(away);
    let (_, decision) = decide(&scene.view, &scene.rules, scene.now);
    assert_eq!(decision.look_again_at, Some(away + Duration::from_secs(60)));
    scene.pass(59);
    assert!(!scene.look(), "the agent may come back");
    scene.pass(1);
    scene.settle();
    let stopping = scene.view.tasks.iter().filter(|task| task.phase == Phase::Stopping).count();
    assert_eq!((stopping, scene.count(scene.primary().id)), (1, 3));
    // It stays so for as long as the agent stays away, and that disturbs nothing.
    for _ in 0..3 {
        let is_new = |task: &&mut Seen| task.phase == Phase::Pending;
        let now = scene.now;
        scene.view.tasks.iter_mut().filter(is_new).for_each(|task| {
            (task.phase, task.check) = (Phase::Running(now), Some(Health::Healthy));
        });
        scene.pass(600);
        scene.settle();
    }
    assert_eq!(live(&scene, Health::Healthy), 3);
    assert!(scene.said.iter().any(|text| text == "(service web) has reached a steady state."));
    // Without the setting nothing is given up, as on ECS.
    let mut scene = checked(DeploymentConfiguration::replica(), 3);
    scene.view.tasks[0].ground.away_since = Some(scene.now);
    scene.pass(1_000_000);
    assert!(!scene.look());
}
