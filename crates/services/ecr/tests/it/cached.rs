//! Pulls that go through to another registry.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use ecr::Challenge;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use wire::Body;

use super::upstream::{Login, PASSWORD, USER, Upstream};
use super::world::{KEY, Kept, OCI_INDEX, OCI_MANIFEST, READER, SECRET, World, digest, everywhere};

const TAG: &str = "/v2/up/org/app/manifests/v1";

everywhere! {
    the_api_pulls_through_as_well,
    a_pull_comes_through_and_is_kept,
    a_digest_that_nobody_pulled_before_comes_through,
    a_blob_is_answered_while_it_comes_and_comes_once,
    simultaneous_pulls_ask_upstream_once,
    a_tag_is_asked_for_again_after_a_day,
    an_index_comes_with_all_its_images,
    a_download_that_breaks_off_goes_on,
    bytes_of_another_digest_are_never_answered_whole,
    creation_templates_say_what_repositories_are_like,
    what_refers_to_an_image_upstream_is_told_and_comes_through,
}

/// Each makes a world of its own.
async fn world(kept: Kept) -> Kept {
    kept
}

/// A world with a rule for names that begin with `up/`.
async fn behind(upstream: &Upstream, kept: Kept) -> World {
    let world = World::keeping(kept).await;
    rule(&world, "up", upstream, json!({})).await;
    world
}

async fn rule(world: &World, prefix: &str, upstream: &Upstream, more: Value) {
    let mut input = json!({"ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": upstream.url()});
    for (name, value) in more.as_object().unwrap() {
        input[name] = value.clone();
    }
    world.get("CreatePullThroughCacheRule", input).await;
}

fn blob(bytes: &[u8]) -> String {
    format!("/v2/up/org/app/blobs/{}", digest(bytes))
}

/// An answer whose body is not read yet.
async fn begin(world: &World, path: &str) -> http::Response<Body> {
    let request = Request::get(path).header("host", "localhost:4566").body(Body::empty());
    world.edge.handle(request.unwrap(), None).await
}

async fn a_pull_comes_through_and_is_kept(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    let named = upstream.put_image("org/app", "v1", b"a layer");
    let world = behind(&upstream, kept).await;
    for method in ["HEAD", "GET"] {
        let answer = world.send(method, TAG, &[], b"").await;
        assert_eq!((answer.status, answer.header("docker-content-digest")), (200, named.as_str()));
        assert_eq!(answer.header("content-type"), OCI_MANIFEST);
    }
    assert_eq!(world.send("GET", &blob(b"a layer"), &[], b"").await.body, b"a layer");
    assert_eq!(world.send("HEAD", &blob(b"{}"), &[], b"").await.status, 200);
    let part = world.send("GET", &blob(b"a layer"), &["range: bytes=2-4"], b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"lay"[..]));
    world.until_kept("up/org/app", "v1", &named).await;
    upstream.go_away(true);
    let by_digest = format!("/v2/up/org/app/manifests/{named}");
    for hours in [0, 25] {
        world.wait(hours);
        world.ecr.sweep().await;
        for path in [TAG, &by_digest, &blob(b"a layer"), &blob(b"{}")] {
            assert_eq!(world.send("GET", path, &[], b"").await.status, 200, "{path}");
        }
    }
    assert_eq!(upstream.asked(&digest(b"a layer")), 1, "each blob once");
    let other = world.send("GET", "/v2/up/org/app/manifests/v2", &[], b"").await;
    assert_eq!((other.status, other.code()), (503, "UNAVAILABLE".to_owned()));
    upstream.go_away(false);
    let other = world.send("GET", "/v2/up/org/app/manifests/v2", &[], b"").await;
    assert_eq!((other.status, other.code()), (404, "MANIFEST_UNKNOWN".to_owned()));
    let nowhere = world.send("GET", "/v2/elsewhere/app/manifests/v1", &[], b"").await;
    assert_eq!(nowhere.code(), "NAME_UNKNOWN", "no rule is for it");
}

async fn a_digest_that_nobody_pulled_before_comes_through(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    let named = upstream.put_image("org/app", "v1", b"layer");
    let world = behind(&upstream, kept).await;
    let path = format!("/v2/up/org/app/manifests/{named}");
    assert_eq!(world.send("GET", &path, &[], b"").await.status, 200);
    let missing = format!("/v2/up/org/app/manifests/{}", digest(b"none"));
    assert_eq!(world.send("GET", &missing, &[], b"").await.code(), "MANIFEST_UNKNOWN");
    assert_eq!(world.send("GET", &blob(b"none"), &[], b"").await.code(), "BLOB_UNKNOWN");
}

#[tokio::test]
async fn registries_that_ask_who_we_are_are_told() {
    for login in [Login::Basic, Login::Bearer] {
        let upstream = Upstream::start(login).await;
        upstream.put_image("org/app", "v1", b"layer");
        let world = World::open().await;
        let right = json!({"username": USER, "accessToken": PASSWORD}).to_string();
        let wrong = json!({"username": USER, "accessToken": "guessed"}).to_string();
        let arn = world.secret("right", &right).await;
        let other = world.secret("wrong", &wrong).await;
        let strange = world.secret("strange", "no JSON").await;
        rule(&world, "up", &upstream, json!({"credentialArn": other})).await;
        let check = async |expected: bool| {
            let input = json!({"ecrRepositoryPrefix": "up"});
            let told = world.get("ValidatePullThroughCacheRule", input).await;
            assert_eq!(told["isValid"], expected, "{told}");
            assert_eq!(told["failure"].is_null(), expected, "{told}");
        };
        let refused = world.send("GET", TAG, &[], b"").await;
        assert_eq!((refused.status, refused.code()), (403, "DENIED".to_owned()));
        let text = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(text.starts_with("The authentication to the upstream registry failed."), "{text}");
        check(false).await;
        let change = async |arn: &str| {
            let input = json!({"ecrRepositoryPrefix": "up", "credentialArn": arn});
            world.get("UpdatePullThroughCacheRule", input).await;
        };
        change(&strange).await;
        check(false).await;
        assert_eq!(world.send("GET", TAG, &[], b"").await.code(), "DENIED");
        change(&arn).await;
        check(true).await;
        assert_eq!(world.send("GET", TAG, &[], b"").await.status, 200);
        assert_eq!(world.send("GET", &blob(b"layer"), &[], b"").await.body, b"layer");
    }
}

async fn a_blob_is_answered_while_it_comes_and_comes_once(kept: Kept) {
    let upstream = Upstream::held().await;
    let layer: Vec<u8> = (0..5 * 1024 * 1024).map(|n: u32| n.to_le_bytes()[1]).collect();
    let named = upstream.put_image("org/app", "v1", &layer);
    let world = behind(&upstream, kept).await;
    assert_eq!(world.send("GET", TAG, &[], b"").await.status, 200);
    let path = blob(&layer);
    let (mut one, two) = tokio::join!(begin(&world, &path), begin(&world, &path));
    assert_eq!((one.status().as_u16(), two.status().as_u16()), (200, 200));
    let first = one.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(layer.starts_with(&first), "upstream has sent the first half alone");
    upstream.open();
    let rest = one.into_body().collect(8 << 20).await.unwrap();
    assert!([&first[..], &rest[..]].concat() == layer);
    assert!(two.into_body().collect(8 << 20).await.unwrap()[..] == layer[..]);
    world.until_kept("up/org/app", "v1", &named).await;
    assert_eq!(upstream.asked(&digest(&layer)), 1, "two clients and the import");
    assert_eq!(upstream.asked(&format!("GET {}", "/v2/org/app/manifests/v1")), 1);
}

async fn simultaneous_pulls_ask_upstream_once(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    upstream.put_image("org/app", "v1", b"layer");
    let world = Arc::new(behind(&upstream, kept).await);
    let pulls = (0..16).map(|_| {
        let world = Arc::clone(&world);
        async move { world.send("GET", TAG, &[], b"").await.status }
    });
    let statuses = futures_util::future::join_all(pulls).await;
    assert!(statuses.iter().all(|status| *status == 200));
    assert_eq!(upstream.asked("manifests/v1"), 1);
}

async fn a_tag_is_asked_for_again_after_a_day(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    let old = upstream.put_image("org/app", "v1", b"old");
    let world = behind(&upstream, kept).await;
    let shown = async || {
        let answer = world.send("GET", TAG, &[], b"").await;
        answer.header("docker-content-digest").to_owned()
    };
    assert_eq!(shown().await, old);
    world.until_kept("up/org/app", "v1", &old).await;
    world.wait(25);
    assert_eq!((shown().await, shown().await), (old.clone(), old.clone()));
    assert_eq!(upstream.asked("HEAD /v2/org/app/manifests/v1"), 1, "it is the same, for a day");
    let new = upstream.put_image("org/app", "v1", b"new");
    world.wait(23);
    assert_eq!(shown().await, old, "a day is not over");
    world.wait(2);
    assert_eq!(shown().await, new);
    world.until_kept("up/org/app", "v1", &new).await;
}

#[tokio::test]
async fn what_was_pushed_here_is_not_asked_for_upstream() {
    let upstream = Upstream::start(Login::Nobody).await;
    let theirs = upstream.put_image("app", "theirs", b"theirs");
    let world = World::open().await;
    rule(&world, "ROOT", &upstream, json!({})).await;
    world.repository("app").await;
    let ours = world.image("app", Some("ours"), b"ours").await;
    let asked = upstream.asked("manifests");
    world.wait(48);
    let answer = world.send("GET", "/v2/app/manifests/ours", &[], b"").await;
    assert_eq!(answer.header("docker-content-digest"), ours);
    assert_eq!(upstream.asked("manifests"), asked);
    let answer = world.send("GET", "/v2/app/manifests/theirs", &[], b"").await;
    assert_eq!(answer.header("docker-content-digest"), theirs);
    world.until_kept("app", "theirs", &theirs).await;
    // A push takes the tag over.
    let mine = world.image("app", Some("theirs"), b"mine").await;
    world.wait(48);
    let answer = world.send("GET", "/v2/app/manifests/theirs", &[], b"").await;
    assert_eq!(answer.header("docker-content-digest"), mine);
}

async fn an_index_comes_with_all_its_images(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    let (one, two) =
        (upstream.put_image("org/app", "one", b"1"), upstream.put_image("org/app", "two", b"2"));
    let size = |named: &str| upstream.manifest_bytes("org/app", named);
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": one, "size": size(&one)},
        {"mediaType": OCI_MANIFEST, "digest": two, "size": size(&two)},
    ]});
    let named = upstream.put_manifest("org/app", "v1", OCI_INDEX, &index);
    let world = behind(&upstream, kept).await;
    assert_eq!(world.send("GET", TAG, &[], b"").await.header("content-type"), OCI_INDEX);
    world.until_kept("up/org/app", "v1", &named).await;
    upstream.go_away(true);
    for child in [&one, &two] {
        let path = format!("/v2/up/org/app/manifests/{child}");
        assert_eq!(world.send("GET", &path, &[], b"").await.status, 200);
    }
    for layer in [b"1", b"2"] {
        assert_eq!(world.send("GET", &blob(layer), &[], b"").await.body, layer);
    }
}

async fn a_download_that_breaks_off_goes_on(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    let layer = vec![7_u8; 3 * 1024 * 1024];
    let named = upstream.put_image("org/app", "v1", &layer);
    let world = behind(&upstream, kept).await;
    upstream.break_once_after(2 * 1024 * 1024);
    assert_eq!(world.send("GET", TAG, &[], b"").await.status, 200);
    world.until_kept("up/org/app", "v1", &named).await;
    assert!(world.send("GET", &blob(&layer), &[], b"").await.body == layer);
}

async fn bytes_of_another_digest_are_never_answered_whole(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    let layer = vec![1_u8; 2 * 1024 * 1024];
    upstream.put_image("org/app", "v1", &layer);
    upstream.put_wrong_blob(&digest(&layer), &vec![2_u8; 2 * 1024 * 1024]);
    let world = behind(&upstream, kept).await;
    world.repository("up/org/app").await;
    let answer = begin(&world, &blob(&layer)).await;
    if answer.status() == 200 {
        assert!(answer.into_body().collect(8 << 20).await.is_err(), "it breaks off");
    }
    let looked = world.send("HEAD", &blob(&layer), &[], b"").await;
    assert_ne!(looked.status, 200);
    upstream.put_blob(&layer);
    assert!(world.send("GET", &blob(&layer), &[], b"").await.body == layer, "mended upstream");
}

#[tokio::test]
async fn who_may_not_import_gets_what_is_kept() {
    let upstream = Upstream::start(Login::Nobody).await;
    upstream.put_image("org/app", "v1", b"layer");
    let basic = |user: &str| {
        Some(format!("Basic {}", BASE64.encode(format!("{user}:{SECRET}").as_bytes())))
    };
    let mut world = World::closed(Challenge::Basic).await;
    let input = json!({"ecrRepositoryPrefix": "up", "upstreamRegistryUrl": upstream.url()});
    world.call("CreatePullThroughCacheRule", &input).await;
    world.authorization = basic(READER);
    let refused = world.send("GET", TAG, &[], b"").await;
    assert_eq!((refused.status, refused.code()), (403, "DENIED".to_owned()));
    let text = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(text.contains("ecr:BatchImportUpstreamImage"), "{text}");
    assert_eq!(upstream.asked("v1"), 0);
    world.authorization = basic(KEY);
    let named = world.send("GET", TAG, &[], b"").await.header("docker-content-digest").to_owned();
    let mut rest = tokio::time::interval(Duration::from_millis(2));
    let images = json!({"repositoryName": "up/org/app"});
    while world.call("DescribeImages", &images).await["imageDetails"][0]["imageTags"][0] != "v1" {
        rest.tick().await;
    }
    world.authorization = basic(READER);
    let kept = world.send("GET", TAG, &[], b"").await;
    assert_eq!((kept.status, kept.header("docker-content-digest")), (200, named.as_str()));
}

async fn creation_templates_say_what_repositories_are_like(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    let named = upstream.put_image("org/app", "v1", b"layer");
    let world = behind(&upstream, kept).await;
    world
        .get(
            "CreateRepositoryCreationTemplate",
            json!({"prefix": "up", "appliedFor": ["PULL_THROUGH_CACHE"],
                "imageTagMutability": "IMMUTABLE"}),
        )
        .await;
    assert_eq!(world.send("GET", TAG, &[], b"").await.status, 200);
    world.until_kept("up/org/app", "v1", &named).await;
    let told = world.get("DescribeRepositories", json!({})).await;
    assert_eq!(told["repositories"][0]["imageTagMutability"], "IMMUTABLE");
    upstream.put_image("org/app", "v1", b"other");
    world.wait(48);
    let answer = world.send("GET", TAG, &[], b"").await;
    assert_eq!(answer.header("docker-content-digest"), named, "its tags do not move");
}

async fn the_api_pulls_through_as_well(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    let named = upstream.put_image("org/app", "v1", b"a layer");
    let world = behind(&upstream, kept).await;
    let ask = async |id: Value| {
        let input = json!({"repositoryName": "up/org/app", "imageIds": [id]});
        world.get("BatchGetImage", input).await
    };
    let told = ask(json!({"imageTag": "v1"})).await;
    let image = &told["images"][0];
    assert_eq!(image["imageId"], json!({"imageDigest": named, "imageTag": "v1"}), "{told}");
    assert_eq!(digest(image["imageManifest"].as_str().unwrap().as_bytes()), named);
    assert_eq!(image["imageManifestMediaType"], OCI_MANIFEST);
    world.until_kept("up/org/app", "v1", &named).await;
    let code = |told: &Value| told["failures"][0]["failureCode"].as_str().unwrap().to_owned();
    assert_eq!(code(&ask(json!({"imageTag": "v2"})).await), "ImageNotFound");
    upstream.go_away(true);
    assert_eq!(ask(json!({"imageTag": "v1"})).await["images"][0]["imageId"]["imageDigest"], *named);
    assert_eq!(code(&ask(json!({"imageTag": "v2"})).await), "UpstreamUnavailable");
    let other = json!({"repositoryName": "elsewhere", "imageIds": [{"imageTag": "v1"}]});
    let (status, body) = world.ask("BatchGetImage", &other.to_string()).await;
    assert!(status == 400 && body.contains("RepositoryNotFoundException"), "{body}");
}

#[tokio::test]
async fn the_api_asks_who_may_have_images_come_through() {
    let upstream = Upstream::start(Login::Nobody).await;
    upstream.put_image("org/app", "v1", b"a layer");
    let world = World::closed(Challenge::Basic).await;
    let made = json!({"ecrRepositoryPrefix": "up", "upstreamRegistryUrl": upstream.url()});
    world.call("CreatePullThroughCacheRule", &made).await;
    let input = json!({"repositoryName": "up/org/app", "imageIds": [{"imageTag": "v1"}]});
    let (status, body) = world.signed_by(READER, "BatchGetImage", &input).await;
    assert_eq!((status, body["__type"].as_str()), (400, Some("AccessDeniedException")), "{body}");
    assert!(body["message"].as_str().unwrap().contains("ecr:BatchImportUpstreamImage"), "{body}");
    assert_eq!(world.call("BatchGetImage", &input).await["images"].as_array().unwrap().len(), 1);
}

/// A signature of an image, upstream.
fn sign(upstream: &Upstream, subject: &str, kind: &str) -> String {
    let empty = upstream.put_blob(b"{}");
    let empty =
        json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2});
    let size = upstream.manifest_bytes("org/app", subject);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind, "config": empty,
        "layers": [empty], "annotations": {"by": "upstream"},
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": size},
    });
    upstream.put_manifest("org/app", kind, OCI_MANIFEST, &manifest)
}

/// A list of referrers, as a registry or a client makes it.
fn list(named: &[(&str, &str)]) -> Value {
    let descriptor = |(digest, kind): &(&str, &str)| {
        json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 1, "artifactType": kind,
            "annotations": {"by": "upstream"}})
    };
    let manifests: Vec<_> = named.iter().map(descriptor).collect();
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
}

async fn what_refers_to_an_image_upstream_is_told_and_comes_through(kept: Kept) {
    let upstream = Upstream::start(Login::Nobody).await;
    let subject = upstream.put_image("org/app", "v1", b"a layer");
    let (sig, sbom) = (sign(&upstream, &subject, "sig"), sign(&upstream, &subject, "sbom"));
    let world = behind(&upstream, kept).await;
    world.send("GET", TAG, &[], b"").await;
    world.until_kept("up/org/app", "v1", &subject).await;
    let path = format!("/v2/up/org/app/referrers/{subject}");
    let told = async |path: &str| {
        let answer = world.send("GET", path, &[], b"").await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let manifests = answer.json()["manifests"].as_array().unwrap().clone();
        let digests = manifests.iter().map(|one| one["digest"].as_str().unwrap().to_owned());
        digests.collect::<Vec<_>>()
    };
    let mut both = vec![sig.clone(), sbom.clone()];
    both.sort();
    assert_eq!(told(&path).await, [""; 0], "a registry without lists, where nobody keeps one");
    // A client's list, under a tag.
    let tag = subject.replace(':', "-");
    upstream.put_manifest("org/app", &tag, OCI_INDEX, &list(&[(&sig, "sig")]));
    assert_eq!(told(&path).await, [sig.as_str()]);
    // The registry's own, in two pages.
    upstream.put_referrers(
        "org/app",
        &subject,
        &[list(&[(&sig, "sig")]), list(&[(&sbom, "sbom")])],
    );
    assert_eq!(told(&path).await, both);
    assert_eq!(told(&format!("{path}?artifactType=sbom")).await, [sbom.as_str()]);
    let input = json!({"repositoryName": "up/org/app", "subjectId": {"imageDigest": subject}});
    let listed = world.get("ListImageReferrers", input.clone()).await;
    assert_eq!(listed["referrers"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(listed["referrers"][0]["annotations"]["by"], "upstream");
    upstream.go_away(true);
    assert_eq!(world.send("GET", &path, &[], b"").await.status, 503, "nothing is kept");
    let (status, body) = world.ask("ListImageReferrers", &input.to_string()).await;
    assert!(status == 400 && body.contains("UnableToListUpstreamImageReferrers"), "{body}");
    upstream.go_away(false);
    // One that was pulled is kept, and told while upstream is away.
    let pull = world.send("GET", &format!("/v2/up/org/app/manifests/{sig}"), &[], b"").await;
    assert_eq!(pull.status, 200);
    world.until_there("up/org/app", &sig).await;
    assert_eq!(told(&path).await, both);
    upstream.go_away(true);
    assert_eq!(told(&path).await, [sig.as_str()]);
}
