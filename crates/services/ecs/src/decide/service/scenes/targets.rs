//! Tasks behind load balancers (ECS semantics §5.1, §7.5, §14).

use super::super::view::{Balance, Unwell};
use super::*;

#[test]
fn what_is_ready_is_made_known_and_what_leaves_goes_when_it_is_idle_or_its_time_is_over() {
    let mut scene = Scene::steady(DeploymentConfiguration::replica(), 1);
    let mut check = |balance, expected: (usize, usize, Option<Timestamp>)| {
        scene.view.tasks[0].balance = Some(balance);
        let (_, decision) = decide(&scene.view, &scene.rules, scene.now);
        let asked = decision.look_again_at.filter(|_| expected.2.is_some());
        assert_eq!(
            (decision.activates.len(), decision.releases.len(), asked),
            expected,
            "{balance:?}"
        );
    };
    let (now, later) = (scene.now, scene.now + Duration::from_secs(5));
    check(Balance::Ready, (1, 0, None));
    check(Balance::Leaving { until: later, is_idle: false }, (0, 0, Some(later)));
    check(Balance::Leaving { until: later, is_idle: true }, (0, 1, None));
    check(Balance::Leaving { until: now, is_idle: false }, (0, 1, None));
}

#[test]
fn a_target_that_fails_is_told_of_once_and_after_the_grace_period_alone() {
    let mut scene = Scene::steady(DeploymentConfiguration::replica(), 1);
    scene.view.service.grace_seconds = Some(3600);
    let task = &mut scene.view.tasks[0];
    task.check = Some(Health::Unhealthy);
    task.unwell = Some(Unwell {
        group: "arn:tg".into(),
        machine: Some("i-1".into()),
        port: Some(32768),
        reason: "Request timed out".to_owned(),
    });
    let id = task.id;
    scene.settle();
    assert!(!scene.has_said("unhealthy"));
    scene.view.service.grace_seconds = Some(0);
    scene.settle();
    scene.settle();
    let text = format!(
        "(service web) (task {id}) (instance i-1) (port 32768) is unhealthy in (target-group \
         arn:tg) due to (reason Request timed out)"
    );
    assert_eq!(scene.said.iter().filter(|said| **said == text).count(), 1, "{:#?}", scene.said);
}
