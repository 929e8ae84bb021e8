//! The deployment circuit breaker (ECS semantics §8.1).

use super::*;
use crate::model::{MonitorStatus, Progress, TaskCounts, Threshold};

/// `max(3, min(200, ceil(desired / 2)))`.
fn formula(desired: u32) -> usize {
    (desired.div_ceil(2) as usize).clamp(3, 200)
}

/// Lets so many tasks of a first deployment fail, and gives whether that ended it.
fn is_ended_by(configuration: DeploymentConfiguration, desired: u32, failures: usize) -> bool {
    let mut scene = Scene::new(configuration, desired);
    let id = scene.primary().id;
    let mut left = failures;
    while left > 0 {
        scene.look();
        let some = left.min(scene.count(id));
        assert!(some > 0, "nothing is started any more");
        scene.fail(id, some);
        left -= some;
        // Past whatever holds starts back.
        scene.pass(30 * 60);
    }
    scene.look();
    scene.primary().rollout == RolloutState::Failed
}

#[test]
fn it_trips_at_the_formula_for_every_desired_count() {
    for desired in 1..=1_000 {
        let threshold = formula(desired);
        let of = |failures| is_ended_by(with_breaker(true), desired, failures);
        assert!(!of(threshold - 1), "{desired}");
        assert!(of(threshold), "{desired}");
    }
}

#[test]
fn it_trips_at_other_thresholds() {
    let check = |threshold: Threshold, desired, failures| {
        let breaker = CircuitBreaker { threshold, ..with_breaker(true).breaker };
        let configuration = DeploymentConfiguration { breaker, ..with_breaker(true) };
        let of = |failures| is_ended_by(configuration.clone(), desired, failures);
        assert!(!of(failures - 1) && of(failures), "{threshold:?} {desired}");
    };
    check(Threshold::Count(1), 500, 1);
    check(Threshold::Count(7), 1, 7);
    check(Threshold::UnboundedPercent(1), 10, 1);
    check(Threshold::UnboundedPercent(100), 300, 300);
    check(Threshold::BoundedPercent(100), 300, 200);
    check(Threshold::BoundedPercent(1), 300, 3);
}

#[test]
fn what_it_says_when_it_trips() {
    let mut scene = Scene::steady(with_breaker(true), 2);
    let (first, next) = (scene.primary().id, scene.deploy());
    for _ in 0..3 {
        scene.settle();
        scene.fail(next, 1);
        scene.look();
        scene.pass(60);
    }
    let failed = scene.deployment(next).clone();
    assert_eq!(failed.rollout_reason, "ECS deployment circuit breaker: tasks failed to start.");
    assert_eq!((failed.failed_tasks, failed.breaker), (3, MonitorStatus::Triggered));
    assert_eq!(failed.progress, Progress::RollbackInProgress);
    let back = format!("ECS deployment circuit breaker: rolling back to deploymentId {first}.");
    assert_eq!(scene.primary().rollout_reason, back);
    let said =
        format!("(service web) (deployment {next}) deployment failed: tasks failed to start.");
    assert!(scene.said.contains(&said), "{:?}", scene.said);
    assert!(scene.has_said(&format!("rolling back to deployment {first}.")));
    scene.roll();
    // What it was, and what was before it, as it was when it was over.
    let failed = scene.deployment(next).clone();
    assert_eq!(failed.progress, Progress::RollbackSuccessful);
    let (requested, running) = (2, 2);
    let counts = TaskCounts { requested, running, pending: 0 };
    assert_eq!(failed.source_counts, [(scene.deployment(first).revision, counts)]);
    let completed = format!("ECS deployment {first} completed.");
    assert_eq!(scene.primary().rollout_reason, completed);
    assert!(scene.has_said(&format!("(deployment {first}) deployment completed.")));
    assert!(scene.has_said("(service web) has reached a steady state."));
}

#[test]
fn what_is_gone_back_to_is_in_progress_before_it_is_complete() {
    let breaker = CircuitBreaker { threshold: Threshold::Count(1), ..with_breaker(true).breaker };
    let mut scene = Scene::steady(DeploymentConfiguration { breaker, ..with_breaker(true) }, 1);
    let (first, next) = (scene.primary().id, scene.deploy());
    scene.settle();
    // Nothing is left of what failed, and nothing is missing of what was before.
    scene.fail(next, 1);
    scene.look();
    assert_eq!((scene.primary().id, scene.primary().rollout), (first, RolloutState::InProgress));
    scene.pass(1);
    scene.look();
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
}

#[test]
fn a_healthy_task_makes_the_count_begin_anew_unless_it_is_cumulative() {
    for resets in [true, false] {
        let breaker = CircuitBreaker { reset_on_healthy: resets, ..with_breaker(false).breaker };
        let configuration = DeploymentConfiguration { breaker, ..with_breaker(false) };
        let mut scene = Scene::new(configuration, 3);
        let id = scene.primary().id;
        scene.settle();
        scene.fail(id, 2);
        scene.settle();
        assert_eq!(scene.primary().failed_tasks, 2);
        // The third comes to run, and is healthy after its forty seconds.
        scene.agents();
        scene.pass(60);
        scene.settle();
        assert_eq!(scene.primary().failed_tasks, if resets { 0 } else { 2 });
        scene.fail(id, 1);
        scene.settle();
        let is_failed = scene.primary().rollout == RolloutState::Failed;
        assert_eq!(is_failed, !resets);
    }
}

#[test]
fn with_nothing_to_go_back_to_it_stalls() {
    let mut scene = Scene::new(with_breaker(true), 2);
    let id = scene.primary().id;
    for _ in 0..2 {
        scene.settle();
        let pending = scene.count(id);
        scene.fail(id, pending);
        scene.settle();
        scene.pass(60);
    }
    assert_eq!(scene.primary().rollout, RolloutState::Failed);
    assert_eq!(scene.primary().progress, Progress::RollbackFailed);
    let started = scene.starts.len();
    scene.roll();
    assert_eq!(scene.starts.len(), started);
}

/// A service of two whose tasks need not settle, and a deployment of what ends `lives` seconds
/// after it came to run. What becomes of the new one, and how many of the old ones are left.
fn crashes(configuration: DeploymentConfiguration, lives: u64) -> (RolloutState, usize) {
    let mut scene = Scene::new(configuration, 2);
    scene.rules.settle = Duration::ZERO;
    scene.roll();
    let (first, next) = (scene.primary().id, scene.deploy());
    let mut least = 2;
    for _ in 0..10 {
        scene.settle();
        scene.agents();
        scene.settle();
        scene.pass(lives);
        scene.settle();
        least = least.min(scene.count(first));
        let running = |task: &&Seen| task.of == next && matches!(task.phase, Phase::Running(_));
        let running = scene.view.tasks.iter().filter(running).count();
        scene.crash(next, running);
        // Past whatever holds starts back.
        scene.pass(60);
    }
    scene.settle();
    (scene.deployment(next).rollout, least)
}

#[test]
fn what_ends_right_after_its_start_is_on_trial_even_where_nothing_settles() {
    for lives in [0, 1, 4] {
        assert_eq!(crashes(with_breaker(true), lives), (RolloutState::Failed, 2), "{lives} s");
    }
    // Who lives longer is as healthy as the operator says, and so is everybody without a breaker.
    assert_eq!(crashes(with_breaker(true), 5), (RolloutState::Completed, 0));
    let without = DeploymentConfiguration::replica();
    assert_eq!(crashes(without, 0), (RolloutState::Completed, 0));
}

#[test]
fn the_trial_is_over_with_the_deployment() {
    let mut scene = Scene::new(with_breaker(true), 2);
    scene.rules.settle = Duration::ZERO;
    scene.settle();
    scene.agents();
    let (_, decision) = decide(&scene.view, &scene.rules, scene.now);
    assert_eq!(decision.look_again_at, Some(scene.now + Duration::from_secs(5)));
    scene.pass(5);
    scene.settle();
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
    // From then on a task counts as soon as it runs.
    scene.view.service.desired = 3;
    scene.settle();
    scene.agents();
    scene.said.clear();
    scene.settle();
    assert!(scene.has_said("has reached a steady state."), "{:?}", scene.said);
}
