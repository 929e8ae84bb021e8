//! What goes by itself: blobs that nobody names, and images that a lifecycle policy takes; and what
//! never goes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::world::{Kept, OCI_MANIFEST, World, digest, everywhere};

everywhere! {
    what_nobody_names_goes_after_a_day,
    a_deleted_repository_leaves_no_files,
    a_lifecycle_policy_takes_images,
}

async fn world(kept: Kept) -> World {
    World::keeping(kept).await
}

async fn what_nobody_names_goes_after_a_day(world: World) {
    world.repository("app").await;
    let kept = world.image("app", Some("v1"), b"kept").await;
    let loose = world.blob("app", b"loose").await;
    world.ecr.sweep().await;
    assert_eq!(world.files().await, 4, "it was pushed just now");
    world.wait(25);
    let seen = world.send("HEAD", &format!("/v2/app/blobs/{loose}"), &[], b"").await;
    assert_eq!(seen.status, 200);
    world.ecr.sweep().await;
    assert_eq!(world.files().await, 4, "somebody who looked at it may name it");
    world.wait(25);
    world.ecr.sweep().await;
    assert_eq!(world.files().await, 3);
    assert_eq!(world.send("GET", &format!("/v2/app/blobs/{loose}"), &[], b"").await.status, 404);
    world.send("DELETE", &format!("/v2/app/manifests/{kept}"), &[], b"").await;
    world.ecr.sweep().await;
    assert_eq!(world.files().await, 0, "manifest, configuration and layer");
}

async fn a_deleted_repository_leaves_no_files(world: World) {
    world.repository("app").await;
    world.repository("other").await;
    world.image("app", Some("v1"), b"shared").await;
    world.image("other", Some("v1"), b"shared").await;
    world.get("DeleteRepository", json!({"repositoryName": "app", "force": true})).await;
    world.ecr.sweep().await;
    assert_eq!(world.files().await, 3, "the other has them");
    world.get("DeleteRepository", json!({"repositoryName": "other", "force": true})).await;
    world.ecr.sweep().await;
    assert_eq!(world.files().await, 0);
}

async fn a_lifecycle_policy_takes_images(world: World) {
    world.repository("app").await;
    for tag in ["v1", "v2", "v3"] {
        world.image("app", Some(tag), tag.as_bytes()).await;
        world.wait(1);
    }
    let policy = json!({"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any",
        "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}]});
    let input = json!({"repositoryName": "app", "lifecyclePolicyText": policy.to_string()});
    world.get("PutLifecyclePolicy", input).await;
    world.ecr.sweep().await;
    let tags = world.send("GET", "/v2/app/tags/list", &[], b"").await.json();
    assert_eq!(tags["tags"], json!(["v3"]));
    let told = world.get("GetLifecyclePolicy", json!({"repositoryName": "app"})).await;
    assert!(told["lastEvaluatedAt"].as_f64().unwrap() > 0.0);
}

/// What a client does at random.
#[derive(Clone, Debug)]
enum Step {
    Blob(u8),
    Image(u8, u8),
    Untag(u8),
    Delete(u8),
    Wait,
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6_u8).prop_map(Step::Blob),
        (0..4_u8, 0..6_u8).prop_map(|(tag, layer)| Step::Image(tag, layer)),
        (0..4_u8).prop_map(Step::Untag),
        (0..6_u8).prop_map(Step::Delete),
        Just(Step::Wait),
        Just(Step::Sweep),
    ]
}

/// The model: what each repository's tags mean, and which images are there.
#[derive(Default)]
struct Model {
    tags: BTreeMap<u8, u8>,
    images: BTreeSet<u8>,
}

async fn play(clients: &[Vec<Step>], kept: Kept) {
    let world = World::keeping(kept).await;
    // Each client has a repository; their layers are the same bytes, so they share files.
    let runs = clients.iter().enumerate().map(|(number, steps)| {
        let world = &world;
        async move {
            let name = format!("client-{number}");
            world.repository(&name).await;
            let mut model = Model::default();
            for step in steps {
                act(world, &name, step, &mut model).await;
            }
            (name, model)
        }
    });
    let ended = futures_util::future::join_all(runs).await;
    world.wait(48);
    world.ecr.sweep().await;
    let mut expected = BTreeSet::new();
    for (name, model) in ended {
        for (tag, layer) in &model.tags {
            let path = format!("/v2/{name}/manifests/t{tag}");
            let answer = world.send("GET", &path, &[], b"").await;
            assert_eq!(answer.status, 200, "{path}");
            let manifest = answer.json();
            assert_eq!(manifest["layers"][0]["digest"], digest(&[*layer]));
        }
        for layer in &model.images {
            for bytes in [vec![*layer], b"{}".to_vec()] {
                let path = format!("/v2/{name}/blobs/{}", digest(&bytes));
                assert_eq!(world.send("GET", &path, &[], b"").await.body, bytes, "{path}");
            }
            expected.extend([digest(&[*layer]), digest(b"{}"), image(&[*layer]).1]);
        }
    }
    assert_eq!(world.files().await, expected.len(), "no more is kept than is needed");
}

/// The manifest of a layer, and its digest.
fn image(layer: &[u8]) -> (String, String) {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/x", "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": "application/y", "digest": digest(layer), "size": layer.len()}],
    })
    .to_string();
    let named = digest(manifest.as_bytes());
    (manifest, named)
}

async fn act(world: &World, name: &str, step: &Step, model: &mut Model) {
    match step {
        Step::Blob(layer) => drop(world.blob(name, &[*layer]).await),
        Step::Image(tag, layer) => {
            world.blob(name, b"{}").await;
            world.blob(name, &[*layer]).await;
            let (manifest, _) = image(&[*layer]);
            let kind = format!("content-type: {OCI_MANIFEST}");
            let path = format!("/v2/{name}/manifests/t{tag}");
            let answer = world.send("PUT", &path, &[&kind], manifest.as_bytes()).await;
            assert_eq!(answer.status, 201, "what was just pushed can be named");
            model.tags.insert(*tag, *layer);
            model.images.insert(*layer);
        }
        Step::Untag(tag) => {
            let answer =
                world.send("DELETE", &format!("/v2/{name}/manifests/t{tag}"), &[], b"").await;
            assert_eq!(answer.status == 202, model.tags.remove(tag).is_some());
        }
        Step::Delete(layer) => {
            let path = format!("/v2/{name}/manifests/{}", image(&[*layer]).1);
            let answer = world.send("DELETE", &path, &[], b"").await;
            assert_eq!(answer.status == 202, model.images.remove(layer));
            model.tags.retain(|_, meant| meant != layer);
        }
        Step::Wait => world.clock.advance(std::time::Duration::from_secs(600)),
        Step::Sweep => world.ecr.sweep().await,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_named_is_ever_taken(
        clients in prop::collection::vec(prop::collection::vec(step(), 1..24), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4).enable_all().build().unwrap();
        for kept in [Kept::OnDisk, Kept::InBucket(bucket::Bucket::in_memory())] {
            runtime.block_on(play(&clients, kept));
        }
    }
}
