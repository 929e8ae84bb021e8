//! Registries upstream that are ECR: they give a token to a key, which is used until it ends.

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
    assert_eq!(pull(&world, "v1").await.0, 200);
    assert_eq!(pull(&world, "none").await, (404, "MANIFEST_UNKNOWN".to_owned()));
    assert_eq!(upstream.asked(TOKENS), 1);
    // Shortly before its end another one is asked for, which nobody has to miss.
    world.wait(HOURS);
    next_token(&upstream, &world);
    assert_eq!(pull(&world, "other").await.0, 404);
    assert_eq!(upstream.asked(TOKENS), 2);
    assert_eq!(upstream.asked("AssumeRole"), 0);
}

#[tokio::test]
async fn a_token_that_is_turned_away_is_used_no_more() {
    let (upstream, world) = behind(USER, json!({})).await;
    assert_eq!(pull(&world, "none").await.0, 404);
    next_token(&upstream, &world);
    assert_eq!(pull(&world, "v1").await, (403, "DENIED".to_owned()));
    assert_eq!(pull(&world, "v1").await.0, 200);
    assert_eq!(upstream.asked(TOKENS), 2);
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
