//! What EventBridge is told of.

use ecr::Destination;
use ledger::Feed;
use serde_json::{Value, json};
use wire::Secret;

use super::upstream::{Login, Upstream};
use super::world::{KEY, OCI_MANIFEST, World};

/// What a world tells of, as it happens: type, resources and detail.
struct Hearing {
    feed: Feed,
}

impl Hearing {
    fn of(world: &World) -> Self {
        Self { feed: world.ledger.subscribe() }
    }

    /// All that was told since.
    async fn heard(&mut self, world: &World) -> Vec<Value> {
        let mut heard = Vec::new();
        while self.feed.position() < world.ledger.snapshot().revision() {
            let commit = self.feed.next().await.unwrap();
            heard.extend(world.ecr.event_source().of_commit(&commit).iter().map(told));
        }
        heard
    }
}

fn told(moment: &events::Moment) -> Value {
    assert_eq!(moment.source, "aws.ecr");
    assert_eq!(moment.scope.account.as_str(), "123456789012");
    let detail: Value = serde_json::from_str(&(moment.detail)()).unwrap();
    json!([moment.detail_type, moment.resources, detail])
}

fn action(digest: &str, deed: &str, tag: Option<&str>) -> Value {
    let mut detail = json!({"result": "SUCCESS", "repository-name": "app", "image-digest": digest,
        "action-type": deed});
    if let Some(tag) = tag {
        detail["image-tag"] = json!(tag);
    }
    json!(["ECR Image Action", [], detail])
}

const ARN: &str = "arn:aws:ecr:us-east-1:123456789012:repository/app";

#[tokio::test]
async fn pushes_and_deletions_are_told_by_their_tags() {
    let world = World::open().await;
    let mut hearing = Hearing::of(&world);
    world.repository("app").await;
    let one = world.image("app", Some("v1"), b"one").await;
    assert_eq!(hearing.heard(&world).await, [action(&one, "PUSH", Some("v1"))]);
    world.image("app", Some("v1"), b"one").await;
    assert_eq!(hearing.heard(&world).await, [] as [Value; 0], "nothing changed");
    let untagged = world.image("app", None, b"two").await;
    assert_eq!(hearing.heard(&world).await, [action(&untagged, "PUSH", None)]);
    // Two tags, one of which meant another image.
    let manifest = world.manifest("app", b"two").await.to_string();
    let kind = format!("content-type: {OCI_MANIFEST}");
    let path = format!("/v2/app/manifests/{untagged}?tag=v1&tag=v2");
    assert_eq!(world.send("PUT", &path, &[&kind], manifest.as_bytes()).await.status, 201);
    let pushed = |tag: &'static str| action(&untagged, "PUSH", Some(tag));
    assert_eq!(hearing.heard(&world).await, [pushed("v1"), pushed("v2")]);
    world.send("DELETE", "/v2/app/manifests/v2", &[], b"").await;
    assert_eq!(hearing.heard(&world).await, [action(&untagged, "DELETE", Some("v2"))]);
    let ids = json!([{"imageDigest": one}, {"imageDigest": untagged}]);
    world.get("BatchDeleteImage", json!({"repositoryName": "app", "imageIds": ids})).await;
    let mut gone = hearing.heard(&world).await;
    gone.sort_by_key(Value::to_string);
    let mut expected = [action(&one, "DELETE", None), action(&untagged, "DELETE", Some("v1"))];
    expected.sort_by_key(Value::to_string);
    assert_eq!(gone, expected);
}

#[tokio::test]
async fn what_refers_to_an_image_and_what_is_put_away_is_told_as_such() {
    let world = World::open().await;
    world.repository("app").await;
    let subject = world.image("app", Some("v1"), b"one").await;
    let mut hearing = Hearing::of(&world);
    let mut manifest = world.manifest("app", b"signature").await;
    manifest["artifactType"] = json!("application/x.signature");
    manifest["subject"] = json!({"mediaType": OCI_MANIFEST, "digest": subject, "size": 2});
    let referrer = world.put("app", None, &manifest, OCI_MANIFEST).await;
    let mut expected = action(&referrer, "PUSH", None);
    expected[0] = json!("ECR Referrer Action");
    assert_eq!(hearing.heard(&world).await, [expected]);
    let class = async |class: &str| {
        let input = json!({"repositoryName": "app", "imageId": {"imageTag": "v1"},
            "targetStorageClass": class});
        world.get("UpdateImageStorageClass", input).await;
    };
    class("ARCHIVE").await;
    let told = hearing.heard(&world).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        told[0][2],
        json!({
            "result": "SUCCESS", "repository-name": "app", "image-digest": subject,
            "action-type": "UPDATE_STORAGE_CLASS", "target-storage-class": "ARCHIVE",
            "manifest-media-type": OCI_MANIFEST,
            "artifact-media-type": "application/vnd.oci.image.config.v1+json",
        })
    );
    class("STANDARD").await;
    let told = hearing.heard(&world).await;
    assert_eq!(told[0][2]["target-storage-class"], "STANDARD", "{told:?}");
    assert_eq!(told[0][2]["last-activated-at"], "2026-01-02T03:04:05.678Z");
}

#[tokio::test]
async fn scans_are_told_when_they_are_over() {
    let world = World::open().await;
    world.repository("app").await;
    let digest = world.image("app", Some("v1"), b"one").await;
    let mut hearing = Hearing::of(&world);
    let input = json!({"repositoryName": "app", "imageId": {"imageDigest": digest}});
    world.get("StartImageScan", input).await;
    assert_eq!(hearing.heard(&world).await, [] as [Value; 0]);
    world.ecr.scan().await;
    let detail = json!({"scan-status": "FINDINGS_UNAVAILABLE", "repository-name": "app",
        "finding-severity-counts": {}, "image-digest": digest, "image-tags": ["v1"]});
    assert_eq!(hearing.heard(&world).await, [json!(["ECR Image Scan", [ARN], detail])]);
}

#[tokio::test]
async fn replications_are_told_when_they_are_over() {
    let there = World::open().await;
    let place = |region: &str, url: String| Destination {
        registry: "123456789012".parse().unwrap(),
        region: region.parse().unwrap(),
        url,
        username: KEY.to_owned(),
        password: Secret::new("any"),
    };
    let here =
        World::with(vec![place("eu-west-1", format!("http://{}", there.serve().await))]).await;
    here.repository("app").await;
    let rule = json!({"destinations": [{"region": "eu-west-1", "registryId": "123456789012"}]});
    let input = json!({"replicationConfiguration": {"rules": [rule]}});
    here.get("PutReplicationConfiguration", input).await;
    let digest = here.image("app", Some("v1"), b"one").await;
    let (mut hearing, mut beyond) = (Hearing::of(&here), Hearing::of(&there));
    here.ecr.replicate().await;
    let detail = json!({"result": "SUCCESS", "repository-name": "app", "image-digest": digest,
        "source-account": "123456789012", "source-region": "us-east-1", "action-type": "REPLICATE",
        "image-tag": "v1"});
    let arn = ARN.replace("us-east-1", "eu-west-1");
    assert_eq!(hearing.heard(&here).await, [json!(["ECR Replication Action", [arn], detail])]);
    let arrived = beyond.heard(&there).await;
    assert_eq!(arrived, [action(&digest, "PUSH", None), action(&digest, "PUSH", Some("v1"))]);
}

#[tokio::test]
async fn what_comes_through_is_told() {
    let upstream = Upstream::start(Login::Nobody).await;
    let named = upstream.put_image("org/app", "v1", b"a layer");
    let world = World::open().await;
    let input = json!({"ecrRepositoryPrefix": "up", "upstreamRegistryUrl": upstream.url()});
    world.get("CreatePullThroughCacheRule", input).await;
    let mut hearing = Hearing::of(&world);
    let before = world.ledger.snapshot().revision();
    assert_eq!(world.send("GET", "/v2/up/org/app/manifests/v1", &[], b"").await.status, 200);
    world.until_kept("up/org/app", "v1", &named).await;
    let heard = hearing.heard(&world).await;
    let arn = ARN.replace("/app", "/up/org/app");
    let detail = json!({"rule-version": "1", "sync-status": "SUCCESS", "ecr-repository-prefix": "up",
        "repository-name": "up/org/app", "upstream-registry-url": upstream.url(), "image-tag": "v1",
        "image-digest": named});
    assert_eq!(
        heard.last(),
        Some(&json!(["ECR Pull Through Cache Action", [arn], detail])),
        "{heard:?}"
    );
    // By those who did not see it, too; not what upstream was only asked about since.
    let found = |since| -> Vec<Value> {
        let found = world.ecr.event_source().found_after(&world.ledger.snapshot(), since);
        let found = found.iter().map(|(_, moment)| told(moment));
        found.filter(|one| one[0] == "ECR Pull Through Cache Action").collect()
    };
    assert_eq!(found(before), heard[heard.len() - 1..]);
    let since = world.ledger.snapshot().revision();
    world.wait(25);
    assert_eq!(world.send("GET", "/v2/up/org/app/manifests/v1", &[], b"").await.status, 200);
    assert!(world.ledger.snapshot().revision() > since, "when it was asked is written down");
    assert_eq!(found(since), [] as [Value; 0]);
}

#[tokio::test]
async fn what_nobody_saw_is_told_as_it_is() {
    let world = World::open().await;
    world.repository("app").await;
    world.image("app", Some("old"), b"old").await;
    let restored = world.image("app", Some("v0"), b"zero").await;
    let class = async |tag: &str, class: &str| {
        let input = json!({"repositoryName": "app", "imageId": {"imageTag": tag},
            "targetStorageClass": class});
        world.get("UpdateImageStorageClass", input).await;
    };
    class("v0", "ARCHIVE").await;
    let before = world.ledger.snapshot().revision();
    let tagged = world.image("app", Some("v1"), b"one").await;
    let untagged = world.image("app", None, b"two").await;
    let put_away = world.image("app", Some("v3"), b"three").await;
    class("v3", "ARCHIVE").await;
    class("v0", "STANDARD").await;
    class("old", "STANDARD").await; // It is.
    let found = world.ecr.event_source().found_after(&world.ledger.snapshot(), before);
    assert!(found.is_sorted_by_key(|(revision, _)| *revision));
    let found: Vec<Value> = found.iter().map(|(_, moment)| told(moment)).collect();
    for expected in [action(&tagged, "PUSH", Some("v1")), action(&untagged, "PUSH", None)] {
        assert_eq!(found.iter().filter(|one| **one == expected).count(), 1, "{found:?}");
    }
    for (class, digest) in [("ARCHIVE", put_away), ("STANDARD", restored)] {
        let is_of = |one: &&Value| one[2]["target-storage-class"] == class;
        assert_eq!(found.iter().find(is_of).unwrap()[2]["image-digest"], json!(digest));
    }
    let pushes = found.iter().filter(|one| one[2]["action-type"] == "PUSH");
    assert_eq!(pushes.count(), 3, "what was there before did not come: {found:?}");
    assert!(!found.iter().any(|one| one[2]["image-tag"] == "old"), "{found:?}");
}
