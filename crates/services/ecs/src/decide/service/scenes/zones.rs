//! Availability Zone rebalancing (ECS semantics §7.12).

use super::*;
use crate::decide::service::zones::PAUSE;
use crate::model::ZoneRebalancing;

/// A steady service with so many tasks in zones a, b and c.
fn spread(tasks: [usize; 3]) -> Scene {
    let desired = tasks.iter().sum::<usize>() as u32;
    let mut scene = Scene::steady(DeploymentConfiguration::replica(), desired);
    let names = ["a", "b", "c"];
    scene.view.zones = names.map(Into::into).into();
    let zones = names.iter().zip(tasks).flat_map(|(zone, count)| vec![*zone; count]);
    for (task, zone) in scene.view.tasks.iter_mut().zip(zones) {
        task.zone = Some(zone.into());
    }
    scene.view.service.rebalancing = ZoneRebalancing::Enabled;
    scene
}

fn counts(scene: &Scene) -> [usize; 3] {
    let of = |zone: &str| {
        let live = scene.view.tasks.iter().filter(|task| task.phase != Phase::Stopping);
        live.filter(|task| task.zone.as_deref() == Some(zone)).count()
    };
    [of("a"), of("b"), of("c")]
}

/// One look; what is to be stopped is taken from the fullest zone, as placement does for a spread
/// over zones.
fn look(scene: &mut Scene) -> bool {
    let fullest = |scene: &Scene| {
        let counts = counts(scene);
        (0..3).max_by_key(|&at| counts[at]).map(|at| ["a", "b", "c"][at])
    };
    let zone = fullest(scene);
    scene.view.tasks.sort_by_key(|task| task.zone.as_deref() != zone);
    scene.look()
}

#[test]
fn tasks_move_to_the_emptiest_zone_one_by_one_start_first() {
    let mut scene = spread([4, 2, 0]);
    let mut moves = 0;
    for _ in 0..100 {
        let before = counts(&scene);
        let started = scene.starts.len();
        look(&mut scene);
        if scene.starts.len() > started {
            moves += 1;
            assert_eq!(scene.starts.last().and_then(|one| one.zone.as_deref()), Some("c"));
            assert_eq!(before.iter().sum::<usize>(), 6);
        }
        let live: usize = counts(&scene).iter().sum();
        assert!((6..=7).contains(&live), "never fewer, and one more at most");
        scene.agents();
        scene.pass(20);
    }
    assert_eq!((counts(&scene), moves), ([2, 2, 2], 2));
    let said: Vec<_> = scene.said.iter().filter(|text| text.contains("AZ")).collect();
    assert_eq!(
        said,
        [
            "(service web) is not AZ balanced with 2 tasks to move. AZ Rebalancing in progress.",
            "(service web) is AZ balanced."
        ]
    );
}

#[test]
fn a_deployment_stops_it() {
    let mut scene = spread([4, 0, 0]);
    look(&mut scene);
    assert!(scene.view.service.course.rebalancing_since.is_some());
    scene.deploy();
    look(&mut scene);
    assert!(scene.view.service.course.rebalancing_since.is_none());
    let stopped = "(service web) AZ Rebalancing stopped: a deployment is in progress.";
    assert!(scene.said.iter().any(|text| text == stopped), "{:?}", scene.said);
}

#[test]
fn what_need_not_move_stays() {
    let check = |tasks, change: fn(&mut Scene)| {
        let mut scene = spread(tasks);
        change(&mut scene);
        let started = scene.starts.len();
        for _ in 0..5 {
            look(&mut scene);
            scene.pass(60);
        }
        assert_eq!(scene.starts.len(), started, "{tasks:?}");
    };
    check([2, 1, 1], |_| ());
    check([2, 2, 2], |_| ());
    check([4, 0, 0], |scene| scene.view.service.rebalancing = ZoneRebalancing::Disabled);
    check([4, 0, 0], |scene| scene.view.zones = ["a".into()].into());
    // No room for one more.
    check([4, 0, 0], |scene| scene.view.service.configuration.maximum_percent = 100);
}

#[test]
fn a_zone_without_room_is_tried_again_later() {
    let mut scene = spread([4, 2, 0]);
    let (_, decision) = decide(&scene.view, &scene.rules, scene.now);
    assert_eq!(decision.starts.len(), 1);
    // The start found no place.
    scene.view.service.course.no_place_at = Some(scene.now);
    let (_, decision) = decide(&scene.view, &scene.rules, scene.now + PAUSE / 2);
    assert!(decision.starts.is_empty());
    assert_eq!(decision.look_again_at, Some(scene.now + PAUSE));
    let (_, decision) = decide(&scene.view, &scene.rules, scene.now + PAUSE);
    assert_eq!(decision.starts.len(), 1);
}
