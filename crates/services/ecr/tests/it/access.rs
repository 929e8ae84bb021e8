//! Who may push and pull, and how they log in.

use data_encoding::BASE64;
use ecr::Challenge;
use serde_json::json;

use super::world::{CLOSED, KEY, READER, SECRET, SESSION, TOKEN, World};

fn basic(user: &str, password: &str) -> Option<String> {
    Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())))
}

#[tokio::test]
async fn strangers_are_asked_who_they_are() {
    let mut world = World::closed(Challenge::Basic).await;
    let wrong = [
        None,
        basic(KEY, "wrong"),
        basic("AWS", "wrong"),
        Some("Basic !".to_owned()),
        Some("Bearer x".to_owned()),
        Some("Negotiate x".to_owned()),
    ];
    for authorization in wrong {
        world.authorization = authorization;
        for path in ["/v2/", "/v2/app/manifests/v1", "/v2/nowhere"] {
            let answer = world.send("GET", path, &[], b"").await;
            assert_eq!((answer.status, answer.body.as_slice()), (401, &b"Not Authorized\n"[..]));
            let challenge = "Basic realm=\"http://localhost:4566/\",service=\"ecr.amazonaws.com\"";
            assert_eq!(answer.header("www-authenticate"), challenge);
        }
    }
}

#[tokio::test]
async fn keys_log_in_and_rights_hold() {
    let mut world = World::closed(Challenge::Basic).await;
    world.authorization = basic(KEY, SECRET);
    assert_eq!(world.send("GET", "/v2/", &[], b"").await.status, 200);
    assert_eq!(world.send("GET", "/v2/app/tags/list", &[], b"").await.code(), "NAME_UNKNOWN");
    world.authorization = basic(READER, SECRET);
    let refused = world.send("POST", "/v2/app/blobs/uploads/", &[], b"").await;
    assert_eq!((refused.status, refused.code()), (403, "DENIED".to_owned()));
    let told = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(told.starts_with(
        "User: arn:aws:iam::123456789012:user/AKIAREADERREADERRE00 is not authorized to perform: \
         ecr:InitiateLayerUpload on resource: arn:aws:ecr:us-east-1:123456789012:repository/app"
    ), "{told}");
    let pull = world.send("GET", "/v2/app/manifests/v1", &[], b"").await;
    assert_eq!(pull.code(), "NAME_UNKNOWN", "pulling is allowed");
}

#[tokio::test]
async fn narrow_tokens_do_what_they_were_asked_for() {
    let mut world = World::closed(Challenge::Bearer).await;
    let asked = world.send("GET", "/v2/", &[], b"").await;
    let challenge = "Bearer realm=\"http://localhost:4566/v2/token\",service=\"ecr.amazonaws.com\"";
    assert_eq!(asked.header("www-authenticate"), challenge);
    assert_eq!(world.send("GET", "/v2/token", &[], b"").await.status, 401);
    world.authorization = basic(KEY, SECRET);
    assert_eq!(world.send("POST", "/v2/token", &[], b"").await.status, 405, "GET is tried then");
    let token = world.send("GET", "/v2/token?scope=repository:app:pull", &[], b"").await.json();
    assert_eq!(token["token"], token["access_token"]);
    assert_eq!(token["expires_in"], 3600);
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    world.authorization = Some(bearer);
    assert_eq!(world.send("GET", "/v2/", &[], b"").await.status, 200);
    assert_eq!(world.send("GET", "/v2/app/manifests/v1", &[], b"").await.code(), "NAME_UNKNOWN");
    for (method, path) in [("POST", "/v2/app/blobs/uploads/"), ("GET", "/v2/other/manifests/v1")] {
        let refused = world.send(method, path, &[], b"").await;
        assert_eq!((refused.status, refused.code()), (401, "UNAUTHORIZED".to_owned()));
        let told = refused.header("www-authenticate").to_owned();
        assert!(
            told.contains("error=\"insufficient_scope\"") && told.contains("scope=\"repository:")
        );
    }
    world.wait(1);
    let over = world.send("GET", "/v2/", &[], b"").await;
    assert_eq!((over.status, over.code()), (401, "DENIED".to_owned()));
    assert!(over.header("www-authenticate").contains("error=\"invalid_token\""));
}

#[tokio::test]
async fn a_blob_is_mounted_from_where_the_caller_may_pull() {
    let mut world = World::closed(Challenge::Bearer).await;
    world.authorization = basic(KEY, SECRET);
    for name in ["app", "other"] {
        world.call("CreateRepository", &json!({ "repositoryName": name })).await;
    }
    let named = world.blob("app", b"hello").await;
    let other = "scope=repository:other:pull,push";
    for (scopes, status) in
        [(other.to_owned(), 202), (format!("{other}&scope=repository:app:pull"), 201)]
    {
        world.authorization = basic(KEY, SECRET);
        let token = world.send("GET", &format!("/v2/token?{scopes}"), &[], b"").await.json();
        world.authorization = Some(format!("Bearer {}", token["token"].as_str().unwrap()));
        let path = format!("/v2/other/blobs/uploads/?mount={named}");
        assert_eq!(world.send("POST", &path, &[], b"").await.status, status, "{scopes}");
    }
}

#[tokio::test]
async fn a_login_lasts_twelve_hours() {
    let mut world = World::open().await;
    world.repository("app").await;
    let data = world.get("GetAuthorizationToken", json!({})).await["authorizationData"][0].clone();
    let token = data["authorizationToken"].as_str().unwrap();
    let text = String::from_utf8(BASE64.decode(token.as_bytes()).unwrap()).unwrap();
    assert!(text.starts_with("AWS:"));
    world.authorization = Some(format!("Basic {token}"));
    world.wait(11);
    assert_eq!(world.send("GET", "/v2/app/tags/list", &[], b"").await.status, 200);
    world.wait(1);
    let over = world.send("GET", "/v2/app/tags/list", &[], b"").await;
    assert_eq!((over.status, over.code()), (401, "DENIED".to_owned()));
}

#[tokio::test]
async fn a_sessions_login_ends_with_it() {
    let mut world = World::closed(Challenge::Bearer).await;
    let credentials = wire::sigv4::Credentials {
        access_key_id: SESSION.to_owned(),
        secret: wire::Secret::new(SECRET),
        session_token: Some(TOKEN.to_owned()),
    };
    let login = world.login(&credentials).await;
    world.authorization = Some(login.clone());
    // Docker takes a narrow token for it, and works with that.
    let token = world.send("GET", "/v2/token?scope=repository:app:pull", &[], b"").await.json();
    let bearer = Some(format!("Bearer {}", token["token"].as_str().unwrap()));
    for authorization in [Some(login.clone()), bearer] {
        world.authorization = authorization;
        assert_eq!(world.send("GET", "/v2/", &[], b"").await.status, 200);
        let pull = world.send("GET", "/v2/app/manifests/v1", &[], b"").await;
        assert_eq!(pull.code(), "NAME_UNKNOWN", "pulling is allowed");
    }
    world.wait(2);
    world.authorization = Some(login);
    let over = world.send("GET", "/v2/", &[], b"").await;
    assert_eq!((over.status, over.code()), (401, "DENIED".to_owned()), "long before twelve hours");
}

#[tokio::test]
async fn policies_hold_for_pulls() {
    let mut world = World::closed(Challenge::Basic).await;
    world.authorization = basic(READER, SECRET);
    let path = format!("/v2/{CLOSED}/manifests/v1");
    let refused = world.send("GET", &path, &[], b"").await;
    assert_eq!((refused.status, refused.code()), (403, "DENIED".to_owned()));
    let told = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert_eq!(told, "with an explicit deny in an identity-based policy");
}
