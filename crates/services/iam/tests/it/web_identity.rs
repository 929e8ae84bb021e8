//! `AssumeRoleWithWebIdentity` with an issuer of its own: discovery, keys, claims, and what is refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::authorization::{policy, session};
use super::plane::{Plane, element, plane, refusal};

/// An issuer that answers over plain HTTP on the loopback address.
struct Issuer {
    url: String,
    key: EcdsaKeyPair,
    /// What `keys` answers with; none closes the connection.
    keys: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
}

fn pair() -> EcdsaKeyPair {
    let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let made = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).unwrap()
}

fn key_set(id: &str, key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    let encode = |part: &[u8]| BASE64URL_NOPAD.encode(part);
    json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256",
        "x": encode(&point[1..33]), "y": encode(&point[33..]) }] })
}

async fn issuer() -> Issuer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (url, key) = (format!("http://{address}"), pair());
    let keys = Arc::new(Mutex::new(Some(key_set("one", &key))));
    let asked = Arc::new(AtomicUsize::new(0));
    let (served, count, own) = (keys.clone(), asked.clone(), url.clone());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match socket.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let body = if head.starts_with("GET /.well-known/openid-configuration ") {
                Some(json!({ "issuer": own, "jwks_uri": format!("{own}/keys") }))
            } else {
                count.fetch_add(1, Ordering::SeqCst);
                served.lock().clone()
            };
            let Some(body) = body.map(|body| body.to_string()) else { continue };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    Issuer { url, key, keys, asked }
}

impl Issuer {
    fn token_of(&self, id: &str, key: &EcdsaKeyPair, claims: &Value) -> String {
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let head = encode(&json!({ "alg": "ES256", "kid": id, "typ": "JWT" }));
        let signed = format!("{head}.{}", encode(claims));
        let made = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(made.as_ref()))
    }

    fn token(&self, claims: &Value) -> String {
        self.token_of("one", &self.key, claims)
    }

    fn claims(&self) -> Value {
        json!({ "iss": self.url, "sub": "repo:us/app:main", "aud": "sts.amazonaws.com",
            "iat": 0, "exp": 3600 })
    }

    fn bare(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}

const ROLE: &str = "arn:aws:iam::000000000000:role/ci";

/// A provider for the issuer, and a role that trusts one subject of it.
async fn world() -> (Plane, Issuer) {
    let (plane, issuer) = (plane().await, issuer().await);
    let members = [("Url", issuer.url.as_str()), ("ClientIDList.member.1", "sts.amazonaws.com")];
    plane.done("CreateOpenIDConnectProvider", &members).await;
    let url = issuer.bare();
    let trust = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
        "Principal": { "Federated": format!("arn:aws:iam::000000000000:oidc-provider/{url}") },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": { format!("{url}:aud"): "sts.amazonaws.com" },
            "StringLike": { format!("{url}:sub"): "repo:us/*" } } } })
    .to_string();
    let role = [("RoleName", "ci"), ("AssumeRolePolicyDocument", trust.as_str())];
    plane.done("CreateRole", &role).await;
    let may = policy("Allow", "iam:ListUsers", "*");
    let put = [("RoleName", "ci"), ("PolicyName", "p"), ("PolicyDocument", may.as_str())];
    plane.done("PutRolePolicy", &put).await;
    (plane, issuer)
}

async fn assume(plane: &Plane, token: &str, more: &[(&str, &str)]) -> (u16, String) {
    let base = [("RoleArn", ROLE), ("RoleSessionName", "job-7"), ("WebIdentityToken", token)];
    plane.ask_unsigned("AssumeRoleWithWebIdentity", &[&base[..], more].concat()).await
}

#[tokio::test]
async fn a_token_of_an_issuer_opens_a_role() {
    let (plane, issuer) = world().await;
    let (status, made) = assume(&plane, &issuer.token(&issuer.claims()), &[]).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(element(&made, "Audience"), "sts.amazonaws.com");
    assert_eq!(element(&made, "Provider"), issuer.url);
    assert_eq!(element(&made, "SubjectFromWebIdentityToken"), "repo:us/app:main");
    let own = session(&made);
    let who = plane.ask(&own, "GetCallerIdentity", &[]).await.1;
    assert_eq!(element(&who, "Arn"), "arn:aws:sts::000000000000:assumed-role/ci/job-7");
    assert_eq!(plane.ask(&own, "ListUsers", &[]).await.0, 200);
    assert_eq!(plane.ask(&own, "ListRoles", &[]).await.0, 403);
    let limit = policy("Allow", "iam:ListRoles", "*");
    let (_, made) =
        assume(&plane, &issuer.token(&issuer.claims()), &[("Policy", limit.as_str())]).await;
    assert_eq!(plane.ask(&session(&made), "ListUsers", &[]).await.0, 403);
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "its keys are kept");
    // No other operation is open to who signs nothing.
    let unsigned = refusal(plane.ask_unsigned("GetCallerIdentity", &[]).await);
    assert!(unsigned.starts_with("403 MissingAuthenticationToken"), "{unsigned}");
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told() {
    let (plane, issuer) = world().await;
    let with = |name: &str, value: Value| {
        let mut claims = issuer.claims();
        claims[name] = value;
        issuer.token(&claims)
    };
    let check = async |token: String, expected: &str| {
        let told = refusal(assume(&plane, &token, &[]).await);
        assert!(told.starts_with(expected), "{told}");
    };
    check("no.token".to_owned(), "400 InvalidIdentityToken: The ID Token provided is not").await;
    let unknown = "400 InvalidIdentityToken: No OpenIDConnect provider found in your account for \
                   https://elsewhere.test";
    check(with("iss", "https://elsewhere.test".into()), unknown).await;
    let audience = "400 InvalidIdentityToken: Incorrect token audience";
    check(with("aud", "other".into()), audience).await;
    check(with("azp", "other".into()), audience).await;
    check(with("sub", Value::Null), "400 InvalidIdentityToken: Missing a required claim").await;
    let over = "400 ExpiredTokenException: Token expired: current date/time 0 must be before the \
                expiration date/time 0";
    check(with("exp", 0.into()), over).await;
    check(with("nbf", 3_000.into()), "400 InvalidIdentityToken: The token is not valid yet").await;
    let refused = "403 AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity";
    check(with("sub", "repo:others/app".into()), refused).await;
    let forged = issuer.token_of("one", &pair(), &issuer.claims());
    check(forged, "400 InvalidIdentityToken: The token's signature is not of its issuer").await;
    let absent = [("RoleArn", "arn:aws:iam::000000000000:role/none"), ("RoleSessionName", "s1")];
    let token = issuer.token(&issuer.claims());
    let absent = [&absent[..], &[("WebIdentityToken", token.as_str())]].concat();
    let absent = plane.ask_unsigned("AssumeRoleWithWebIdentity", &absent).await;
    assert_eq!(refusal(absent), refused);
    let long = assume(&plane, &token, &[("DurationSeconds", "3601")]).await;
    assert!(refusal(long).contains("exceeds the MaxSessionDuration"));
}

#[tokio::test]
async fn keys_that_change_are_fetched_and_those_that_cannot_be_had_are_named() {
    let (plane, issuer) = world().await;
    *issuer.keys.lock() = None;
    let token = issuer.token(&issuer.claims());
    let unreachable = refusal(assume(&plane, &token, &[]).await);
    assert!(
        unreachable.starts_with("400 IDPCommunicationError: Couldn't retrieve"),
        "{unreachable}"
    );
    // Strangers cannot have it asked as often as they like.
    *issuer.keys.lock() = Some(key_set("one", &issuer.key));
    let asked = issuer.asked.load(Ordering::SeqCst);
    assert_ne!(assume(&plane, &token, &[]).await.0, 200);
    assert_eq!(issuer.asked.load(Ordering::SeqCst), asked);
    plane.world.clock.advance(std::time::Duration::from_secs(11));
    assert_eq!(assume(&plane, &token, &[]).await.0, 200);
    // A key with a new name is looked for at once after that while.
    let next = pair();
    *issuer.keys.lock() = Some(key_set("two", &next));
    let rotated = issuer.token_of("two", &next, &issuer.claims());
    plane.world.clock.advance(std::time::Duration::from_secs(11));
    assert_eq!(assume(&plane, &rotated, &[]).await.0, 200);
    let old = refusal(assume(&plane, &token, &[]).await);
    assert!(old.starts_with("400 InvalidIdentityToken"), "{old}");
}

#[tokio::test]
async fn a_token_may_tag_its_session_if_the_role_trusts_it() {
    let (plane, issuer) = world().await;
    let mut claims = issuer.claims();
    claims["https://aws.amazon.com/tags"] = json!({ "principal_tags": { "team": ["blue"] } });
    let refused = refusal(assume(&plane, &issuer.token(&claims), &[]).await);
    assert_eq!(refused, "403 AccessDenied: Not authorized to perform sts:TagSession");
    let url = issuer.bare();
    let trust = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
        "Principal": { "Federated": format!("arn:aws:iam::000000000000:oidc-provider/{url}") },
        "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
        "Condition": { "StringEquals": { "aws:RequestTag/team": "blue" } } } })
    .to_string();
    let update = [("RoleName", "ci"), ("PolicyDocument", trust.as_str())];
    plane.done("UpdateAssumeRolePolicy", &update).await;
    assert_eq!(assume(&plane, &issuer.token(&claims), &[]).await.0, 200);
    claims["https://aws.amazon.com/tags"] = json!({ "principal_tags": { "team": ["red"] } });
    assert_eq!(assume(&plane, &issuer.token(&claims), &[]).await.0, 403);
}
