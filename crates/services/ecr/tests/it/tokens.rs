//! Registries upstream that are ECR: they give a token to a key, which is used until it ends.

use std::time::Duration;

use serde_json::{Value, json};

use super::upstream::{HOURS, Login, USER, Upstream};
use super::world::World;

const ROLE: &str = "arn:aws:iam::210987654321:role/pulls";
const TOKENS: &str = "GetAuthorizationToken";

/// A world with a rule for an ECR upstream, whose first token is good for as long as ECR's are.
async fn behind(user: &str, more: Value) -> (Upstream, World) {
    let upstream = Upstream::start(Login::Ecr).await;
    upstream.put_image("org/app", "v1", b"layer");
    let world = World::open().await;
    next_token(&upstream, &world);
    let text = json!({"username": user, "accessToken": "secret"}).to_string();
    let mut input = json!({
        "ecrRepositoryPrefix": "up", "upstreamRegistryUrl": upstream.url(),
        "upstreamRegistry": "ecr", "credentialArn": world.secret("key", &text).await,
    });
    for (name, value) in more.as_object().unwrap() {
        input[name] = value.clone();
    }
    let made = world.get("CreatePullThroughCacheRule", input).await;
    assert_eq!(made["upstreamRegistry"], "ecr");
    assert_eq!(made["customRoleArn"], more["customRoleArn"]);
    (upstream, world)
}

fn next_token(upstream: &Upstream, world: &World) {
    let now = terms::Clock::now(&world.clock).millis() / 1000;
    upstream.next_token(u64::try_from(now).unwrap() + HOURS * 3600);
}

async fn pull(world: &World, tag: &str) -> (u16, String) {
    let answer = world.send("GET", &format!("/v2/up/org/app/manifests/{tag}"), &[], b"").await;
    (answer.status, answer.code())
}

#[tokio::test]
async fn a_token_is_asked_for_once_until_it_ends() {
    let (upstream, world) = behind(USER, json!({})).await;
    let pulls = (0..8).map(|number| {
        let (world, tag) = (&world, format!("none{number}"));
        async move { pull(world, &tag).await }
    });
    for answer in futures_util::future::join_all(pulls).await {
        assert_eq!(answer, (404, "MANIFEST_UNKNOWN".to_owned()));
    }
    assert_eq!(pull(&world, "v1").await.0, 200);
    assert_eq!(upstream.asked(TOKENS), 1);
    // Shortly before its end another one is asked for, so that nobody comes too late with it.
    world.clock.advance(Duration::from_secs(HOURS * 3600 - 60));
    assert_eq!(pull(&world, "other").await.0, 404);
    assert_eq!(upstream.asked(TOKENS), 2);
    assert_eq!(upstream.asked("AssumeRole"), 0);
}

#[tokio::test]
async fn a_token_that_is_turned_away_is_used_no_more() {
    let (upstream, world) = behind(USER, json!({})).await;
    let blob = upstream.put_blob(b"no image has it");
    let read = async || world.send("GET", &format!("/v2/up/org/app/blobs/{blob}"), &[], b"").await;
    assert_eq!(pull(&world, "none").await.0, 404);
    next_token(&upstream, &world);
    assert_eq!(pull(&world, "v1").await.0, 200, "it is asked once more with a new one");
    assert_eq!(upstream.asked(TOKENS), 2);
    next_token(&upstream, &world);
    assert_eq!(read().await.body, b"no image has it");
    assert_eq!(upstream.asked(TOKENS), 3);
}

#[tokio::test]
async fn to_validate_a_rule_a_token_is_asked_for_anew() {
    let (upstream, world) = behind(USER, json!({})).await;
    assert_eq!(pull(&world, "none").await.0, 404);
    let told =
        world.get("ValidatePullThroughCacheRule", json!({"ecrRepositoryPrefix": "up"})).await;
    assert_eq!((&told["isValid"], upstream.asked(TOKENS)), (&json!(true), 2));
}

#[tokio::test]
async fn a_rules_role_asks_for_the_token() {
    let (upstream, world) = behind(USER, json!({"customRoleArn": ROLE})).await;
    let told =
        world.get("ValidatePullThroughCacheRule", json!({"ecrRepositoryPrefix": "up"})).await;
    assert_eq!((&told["isValid"], &told["customRoleArn"]), (&json!(true), &json!(ROLE)));
    assert_eq!(pull(&world, "v1").await.0, 200);
    assert_eq!(upstream.asked(&format!("AssumeRole {USER} ")), 1);
    assert_eq!(upstream.asked(&format!("{TOKENS} session t")), 1);
    // The session lasts an hour, and no token of it is used longer, whatever its end is said to be.
    world.wait(1);
    assert_eq!(pull(&world, "other").await.0, 404);
    assert_eq!(upstream.asked("AssumeRole"), 2);
}

#[tokio::test]
async fn a_key_that_upstream_does_not_know_is_told_in_its_words() {
    let (_upstream, world) = behind("stranger", json!({})).await;
    let told =
        world.get("ValidatePullThroughCacheRule", json!({"ecrRepositoryPrefix": "up"})).await;
    let expected = "The authentication to the upstream registry failed. \
                    UnrecognizedClientException: no such key";
    assert_eq!((&told["isValid"], &told["failure"]), (&json!(false), &json!(expected)));
    assert_eq!(pull(&world, "v1").await, (403, "DENIED".to_owned()));
}

#[tokio::test]
async fn a_rule_is_given_another_key_and_another_role() {
    let (_upstream, world) = behind("stranger", json!({})).await;
    let text = json!({"username": USER, "accessToken": "secret"}).to_string();
    let arn = world.secret("other", &text).await;
    let change = async |input: Value| {
        let mut input = input;
        input["ecrRepositoryPrefix"] = "up".into();
        world.get("UpdatePullThroughCacheRule", input).await
    };
    let changed = change(json!({"customRoleArn": ROLE})).await;
    assert_eq!(changed["customRoleArn"], ROLE);
    let changed = change(json!({"credentialArn": arn})).await;
    assert_eq!((&changed["credentialArn"], &changed["customRoleArn"]), (&json!(arn), &json!(ROLE)));
    assert_eq!(pull(&world, "v1").await.0, 200);
    let wrong = json!({"ecrRepositoryPrefix": "up", "customRoleArn": "arn:aws:iam::1:role/x"});
    let (status, body) = world.ask("UpdatePullThroughCacheRule", &wrong.to_string()).await;
    assert!(status == 400 && body.contains("customRoleArn"), "{body}");
}
