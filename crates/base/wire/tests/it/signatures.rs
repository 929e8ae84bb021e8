//! Signatures: the vectors of AWS's public Signature Version 4 test suite, and our own signer
//! against our own check.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Request};
use serde::Deserialize;
use terms::{Region, Timestamp};
use wire::sigv4::{Credentials, Signer, Verifier, presign, sign};
use wire::{Authenticator, Caller, CallerKind, CredentialLookup, Secret};

use crate::stage::{
    IDENTITY, KEY, NOW, SECRET, TOKEN, credentials, ecs_call, edge, request, send, sts_call,
};

/// A signed request of the suite: its line and headers (folded ones on one line, the target
/// percent-encoded, because no HTTP server takes them otherwise), the signature among them.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// Accepts the suite's key with every token.
struct SuiteKeys;
impl Authenticator for SuiteKeys {
    fn find(&self, key: &str, _: Option<&str>, region: &Region, _: Timestamp) -> CredentialLookup {
        assert_eq!(key, KEY);
        let caller = Caller {
            account: "123456789012".parse().unwrap(),
            region: region.clone(),
            arn: String::new(),
            user_id: String::new(),
            access_key_id: key.to_owned(),
            kind: CallerKind::Open,
        };
        CredentialLookup::Found { secret: Secret::new(SECRET), caller: caller.into() }
    }
}

/// 2015-08-30T12:36:00Z.
const SUITE_TIME: Timestamp = Timestamp::from_millis(1_440_938_160_000);
/// Its token is added to the query string after signing, as only AWS IoT asks for.
const NOT_OURS: &str = "post-sts-header-after/query";

fn suite() -> Vec<Case> {
    serde_json::from_str(include_str!("data/sigv4_suite.json")).unwrap()
}

fn parts(case: &Case) -> http::request::Parts {
    let mut request = Request::builder().method(&*case.method).uri(&*case.target).body(()).unwrap();
    for (name, value) in &case.headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    request.into_parts().0
}

#[test]
fn the_public_suite_is_verified() {
    let cases = suite();
    assert_eq!(cases.len(), 79);
    for case in cases {
        let verifier = Verifier::default();
        let body = case.body.as_bytes();
        let check =
            |parts: &_, body| verifier.verify(&SuiteKeys, parts, body, Some("service"), SUITE_TIME);
        let result = check(&parts(&case), body);
        assert_eq!(result.is_ok(), case.name != NOT_OURS, "{}: {result:?}", case.name);
        // One more header value, one more byte: no longer what was signed.
        let mut other = parts(&case);
        other.headers.append("host", HeaderValue::from_static("elsewhere"));
        assert!(check(&other, body).is_err(), "{} with another host", case.name);
        let longer = [body, b"x"].concat();
        assert!(check(&parts(&case), &longer).is_err(), "{} with another body", case.name);
    }
}

#[test]
fn the_public_suite_is_signed_alike() {
    let mut signed = 0;
    for case in suite() {
        let original = parts(&case);
        let Some(expected) = original.headers.get("authorization").cloned() else { continue };
        let ours = |name: &HeaderName| {
            matches!(name.as_str(), "host" | "content-type") || name.as_str().starts_with("x-amz-")
        };
        let unlike = |case: &Case| {
            // Our signer always signs what AWS documents; these cases are signed another way.
            case.name.contains("unnormalized")
                || case.name.starts_with("get-space")
                || case.name.starts_with("get-utf8")
                || case.name.starts_with("post-sts-header-after")
        };
        let mut parts = original.clone();
        parts.headers.remove("authorization");
        if unlike(&case) || !parts.headers.keys().all(ours) {
            continue;
        }
        let token = parts.headers.remove("x-amz-security-token");
        let credentials = Credentials {
            access_key_id: KEY.to_owned(),
            secret: Secret::new(SECRET),
            session_token: token.map(|token| token.to_str().unwrap().to_owned()),
        };
        let signer = Signer {
            credentials: &credentials,
            region: "us-east-1",
            service: "service",
            now: SUITE_TIME,
        };
        sign(&mut parts, case.body.as_bytes(), &signer);
        assert_eq!(parts.headers["authorization"], expected, "{}", case.name);
        signed += 1;
    }
    assert!(signed >= 18, "only {signed} cases were signed");
}

fn signer<'a>(credentials: &'a Credentials, service: &'static str) -> Signer<'a> {
    Signer { credentials, region: "eu-central-1", service, now: NOW }
}

#[tokio::test]
async fn our_signatures_are_accepted() {
    let edge = edge();
    for (key, token) in [(KEY, None), ("ASIATOKEN", Some(TOKEN))] {
        let credentials = credentials(key, token);
        let mut parts = ecs_call("ListClusters");
        sign(&mut parts, b"{}", &signer(&credentials, "ecs"));
        let answer = send(&edge, parts, "{}").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut parts = sts_call();
        sign(&mut parts, IDENTITY.as_bytes(), &signer(&credentials, "sts"));
        assert_eq!(send(&edge, parts, IDENTITY).await.status, 200);
    }
}

#[tokio::test]
async fn presigned_calls_are_accepted_while_they_live() {
    let check = async |service, key, token, age_seconds: u64, expires_seconds, expected: u16| {
        let credentials = credentials(key, token);
        let mut signer = signer(&credentials, service);
        signer.now = NOW - Duration::from_secs(age_seconds);
        let life = Duration::from_secs(expires_seconds);
        let query = presign("GET", "localhost", "/", IDENTITY, life, &signer);
        let answer = send(&edge(), request("GET", &format!("/?{query}"), &[]), "").await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text());
        answer
    };
    check("sts", KEY, None, 0, 60, 200).await;
    check("sts", "ASIATOKEN", Some(TOKEN), 0, 60, 200).await;
    // STS gives a quarter of an hour, whatever the request says.
    check("sts", KEY, None, 900, 60, 200).await;
    let answer = check("sts", KEY, None, 901, 604_800, 403).await;
    let text = "Signature expired: 20260102T030404Z is now earlier than 20260102T030405Z";
    assert_eq!(answer.error(), (403, "SignatureDoesNotMatch".to_owned(), text.to_owned()));
    let answer = check("sts", KEY, None, 0, 604_801, 400).await;
    let text = "X-Amz-Expires must be a number of seconds between 1 and 604800.";
    assert_eq!(answer.error(), (400, "IncompleteSignature".to_owned(), text.to_owned()));
    check("sts", KEY, None, 0, 0, 400).await;
}

#[tokio::test]
async fn further_signed_headers_are_accepted() {
    // As the login tools of Kubernetes do.
    let mut parts = sts_call();
    parts.headers.insert("x-amz-x-k8s-aws-id", HeaderValue::from_static("a  cluster "));
    let credentials = credentials(KEY, None);
    sign(&mut parts, IDENTITY.as_bytes(), &signer(&credentials, "sts"));
    assert_eq!(send(&edge(), parts, IDENTITY).await.status, 200);
}
