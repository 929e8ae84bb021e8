//! What tags are fixed to (ECS semantics §7.9).

use super::*;
use crate::model::{Consistency, Resolution, Revision, RevisionImage};

/// A service of containers that say so of their images' tags.
fn scene(consistencies: &[Consistency]) -> Scene {
    let mut scene = Scene::new(DeploymentConfiguration::replica(), 4);
    let image = |(number, consistency): (usize, &Consistency)| RevisionImage {
        container: number.to_string(),
        image: "web:latest".to_owned(),
        digest: None,
        consistency: *consistency,
    };
    let images: Vec<_> = consistencies.iter().enumerate().map(image).collect();
    scene.view.revisions.values_mut().for_each(|one| one.images.clone_from(&images));
    scene
}

fn brought(scene: &Scene) -> &Revision {
    &scene.view.revisions[&scene.primary().revision]
}

fn fixed(scene: &Scene) -> Vec<Option<&str>> {
    brought(scene).images.iter().map(|image| image.digest.as_deref()).collect()
}

/// The task at this place reports what its containers run.
fn tell(scene: &mut Scene, at: usize, digest: &str) {
    let count = brought(scene).images.len();
    let told = (0..count).map(|number| (number.to_string(), digest.to_owned()));
    scene.view.tasks[at].digests = Some(told.collect());
}

#[test]
fn the_first_task_fixes_what_all_later_ones_run() {
    let mut scene = scene(&[Consistency::Unsaid, Consistency::Disabled, Consistency::Enabled]);
    scene.settle();
    assert_eq!(brought(&scene).resolution, Resolution::Open);
    tell(&mut scene, 0, "sha256:a");
    scene.settle();
    assert_eq!(fixed(&scene), [Some("sha256:a"), None, Some("sha256:a")]);
    assert_eq!(brought(&scene).resolution, Resolution::Fixed);
    tell(&mut scene, 1, "sha256:b");
    scene.settle();
    assert_eq!(fixed(&scene), [Some("sha256:a"), None, Some("sha256:a")]);
}

#[test]
fn after_three_failures_tags_are_used_as_written_unless_one_is_to_be_fixed() {
    for (consistency, expected) in [
        (Consistency::Unsaid, Resolution::GivenUp),
        (Consistency::Disabled, Resolution::GivenUp),
        (Consistency::Enabled, Resolution::Open),
    ] {
        let mut scene = scene(&[consistency]);
        let id = scene.primary().id;
        for round in 1..=3 {
            scene.settle();
            assert_eq!(brought(&scene).resolution, Resolution::Open, "{round}");
            scene.fail(id, 1);
            scene.settle();
            scene.pass(60);
        }
        assert_eq!(brought(&scene).resolution, expected, "{consistency:?}");
    }
}

#[test]
fn without_tasks_nothing_is_resolved() {
    let mut scene = scene(&[Consistency::Unsaid]);
    scene.view.service.desired = 0;
    scene.roll();
    assert_eq!(scene.primary().rollout, RolloutState::Completed);
    assert_eq!(brought(&scene).resolution, Resolution::Open);
    // A forced deployment brings a revision of its own, and resolves anew.
    scene.view.service.desired = 1;
    scene.settle();
    tell(&mut scene, 0, "sha256:a");
    scene.settle();
    assert_eq!(fixed(&scene), [Some("sha256:a")]);
}
