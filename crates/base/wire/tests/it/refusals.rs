//! Requests that are refused for their signature, in both protocols: code, status and text.

use std::time::Duration;

use http::HeaderValue;
use http::request::Parts;
use wire::sigv4::{Signer, sign};

use crate::stage::{
    Answer, IDENTITY, KEY, NOW, assert_marked, credentials, ecs_call, edge, send, sts_call,
};

/// The call `signer` makes, changed by `change` after it was signed.
async fn refused(
    json: bool,
    key: &str,
    token: Option<&str>,
    adjust: impl FnOnce(&mut Signer<'_>),
    change: impl FnOnce(&mut Parts),
) -> Answer {
    let credentials = credentials(key, token);
    let (mut parts, body) =
        if json { (ecs_call("ListClusters"), "{}") } else { (sts_call(), IDENTITY) };
    let service = if json { "ecs" } else { "sts" };
    let mut signer = Signer { credentials: &credentials, region: "us-east-1", service, now: NOW };
    adjust(&mut signer);
    sign(&mut parts, body.as_bytes(), &signer);
    change(&mut parts);
    let answer = send(&edge(), parts, body).await;
    assert_marked(&answer);
    answer
}

#[derive(Clone, Copy)]
enum Kind {
    Missing,
    Incomplete,
    Token,
    Expired,
    Signature,
}

impl Kind {
    fn expected(self, json: bool) -> (u16, &'static str) {
        match (self, json) {
            (Self::Missing, true) => (400, "MissingAuthenticationTokenException"),
            (Self::Missing, false) => (403, "MissingAuthenticationToken"),
            (Self::Incomplete, true) => (400, "IncompleteSignatureException"),
            (Self::Incomplete, false) => (400, "IncompleteSignature"),
            (Self::Token, true) => (400, "UnrecognizedClientException"),
            (Self::Token, false) => (403, "InvalidClientTokenId"),
            (Self::Expired, true) => (400, "ExpiredTokenException"),
            (Self::Expired, false) => (403, "ExpiredToken"),
            (Self::Signature, true) => (400, "InvalidSignatureException"),
            (Self::Signature, false) => (403, "SignatureDoesNotMatch"),
        }
    }
}

#[track_caller]
fn assert_refused(answer: &Answer, json: bool, kind: Kind, text: &str) {
    let (status, code) = kind.expected(json);
    assert_eq!(answer.error(), (status, code.to_owned(), text.to_owned()));
}

fn edited(parts: &mut Parts, edit: impl FnOnce(&str) -> String) {
    let text = edit(parts.headers["authorization"].to_str().unwrap());
    parts.headers.insert("authorization", HeaderValue::from_str(&text).unwrap());
}

const INVALID: &str = "The security token included in the request is invalid.";
const EXPIRED: &str = "The security token included in the request is expired";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

#[tokio::test]
async fn keys_and_tokens() {
    for json in [true, false] {
        let check = async |key, token, kind, text| {
            assert_refused(&refused(json, key, token, |_| {}, |_| {}).await, json, kind, text);
        };
        check("AKIAUNKNOWN", None, Kind::Token, INVALID).await;
        check("AKIAINACTIVE", None, Kind::Token, INVALID).await;
        check("ASIATOKEN", None, Kind::Token, INVALID).await;
        check("ASIATOKEN", Some("another"), Kind::Token, INVALID).await;
        check(KEY, Some("a token for a key without"), Kind::Token, INVALID).await;
        check("ASIAEXPIRED", Some("whatever"), Kind::Expired, EXPIRED).await;
    }
}

#[tokio::test]
async fn clocks() {
    for json in [true, false] {
        let check = async |millis: i64, text: Option<&str>| {
            let now = terms::Timestamp::from_millis(NOW.millis() + millis);
            let answer = refused(json, KEY, None, |signer| signer.now = now, |_| {}).await;
            match text {
                Some(text) => assert_refused(&answer, json, Kind::Signature, text),
                None => assert_eq!(answer.status, 200),
            }
        };
        check(300_000, None).await;
        check(-300_000, None).await;
        check(301_000, Some("Signature not yet current: 20260102T030906Z is still later than 20260102T030905Z (20260102T030405Z + 5 min.)")).await;
        check(-301_000, Some("Signature expired: 20260102T025904Z is now earlier than 20260102T025905Z (20260102T030405Z - 5 min.)")).await;
    }
}

#[tokio::test]
async fn scopes() {
    for json in [true, false] {
        let service = if json { "ecs" } else { "sts" };
        let check = async |from: &str, to: &str, text: &str| {
            let answer = refused(
                json,
                KEY,
                None,
                |_| {},
                |parts| edited(parts, |text| text.replace(from, to)),
            )
            .await;
            assert_refused(&answer, json, Kind::Signature, text);
        };
        check("us-east-1", "US_EAST", "Credential should be scoped to a valid region. ").await;
        check(
            &format!("us-east-1/{service}/"),
            "us-east-1/logs/",
            &format!("Credential should be scoped to correct service: '{service}'. "),
        )
        .await;
        check(
            "aws4_request",
            "aws5_request",
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'.",
        )
        .await;
        check("/20260102/", "/20260101/", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260101' != '20260102', from '20260102T030405Z'.").await;
        check("us-east-1", "eu-west-1", MISMATCH).await;
        let wrong = format!(
            "Credential should be scoped to a valid region. Credential should be scoped to correct service: '{service}'. "
        );
        check(&format!("us-east-1/{service}/"), "-/logs/", &wrong).await;
    }
}

#[tokio::test]
async fn forms_of_the_header() {
    for json in [true, false] {
        let check = async |change: &dyn Fn(&mut Parts), kind, text: &str| {
            let answer = refused(json, KEY, None, |_| {}, change).await;
            assert_refused(&answer, json, kind, text);
        };
        let header = |text: &'static str| {
            move |parts: &mut Parts| {
                parts.headers.insert("authorization", HeaderValue::from_static(text));
            }
        };
        let nothing = if json {
            "Missing Authentication Token"
        } else {
            "Request is missing Authentication Token"
        };
        check(&|parts| drop(parts.headers.remove("authorization")), Kind::Missing, nothing).await;
        check(
            &header("Basic YWxpY2U6c2VjcmV0"),
            Kind::Incomplete,
            "Unsupported signature algorithm 'Basic'; only AWS4-HMAC-SHA256 is supported.",
        )
        .await;
        check(
            &header("AWS4-HMAC-SHA256 SignedHeaders=host"),
            Kind::Incomplete,
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter.",
        )
        .await;
        check(
            &|parts| drop(parts.headers.remove("x-amz-date")),
            Kind::Incomplete,
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        )
        .await;
        check(
            &|parts| drop(parts.headers.insert("x-amz-date", HeaderValue::from_static("today"))),
            Kind::Incomplete,
            "Date must be in ISO-8601 'basic format'. Got 'today'. See http://en.wikipedia.org/wiki/ISO_8601",
        )
        .await;
        check(
            &|parts| edited(parts, |text| text.replace("/us-east-1", "")),
            Kind::Incomplete,
            &format!("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKIDEXAMPLE/20260102/{}/aws4_request'", if json { "ecs" } else { "sts" }),
        )
        .await;
        check(
            &|parts| edited(parts, |text| text.replace(KEY, &"K".repeat(300))),
            Kind::Incomplete,
            "Credential must not be longer than 256 bytes.",
        )
        .await;
        check(
            &|parts| edited(parts, |text| text[..text.len() - 1].to_owned()),
            Kind::Incomplete,
            "Signature must be 64 hexadecimal digits.",
        )
        .await;
    }
}

#[tokio::test]
async fn headers_that_are_signed() {
    for json in [true, false] {
        let check = async |change: &dyn Fn(&mut Parts), kind, text: &str| {
            let answer = refused(json, KEY, None, |_| {}, change).await;
            assert_refused(&answer, json, kind, text);
        };
        check(
            &|parts| edited(parts, |text| text.replace("host;", "")),
            Kind::Signature,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        )
        .await;
        check(
            &|parts| edited(parts, |text| text.replace("host;", "host;x-absent;")),
            Kind::Signature,
            "'x-absent' is named as a SignedHeader, but it does not exist in the HTTP request",
        )
        .await;
        check(
            &|parts| drop(parts.headers.insert("host", HeaderValue::from_static("elsewhere"))),
            Kind::Signature,
            MISMATCH,
        )
        .await;
    }
}

#[tokio::test]
async fn both_places_at_once() {
    for json in [true, false] {
        let change = |parts: &mut Parts| {
            parts.uri = "/?X-Amz-Signature=00".parse().unwrap();
        };
        let answer = refused(json, KEY, None, |_| {}, change).await;
        let text = "The request has a signature in the Authorization header and in the query string; only one is allowed.";
        assert_refused(&answer, json, Kind::Incomplete, text);
    }
}

#[tokio::test]
async fn bodies() {
    for json in [true, false] {
        let check = async |sent: &'static str, text: &str| {
            let credentials = credentials(KEY, None);
            let (mut parts, body) =
                if json { (ecs_call("ListClusters"), "{}") } else { (sts_call(), IDENTITY) };
            parts.headers.insert("x-amz-content-sha256", HeaderValue::from_static(sent));
            let service = if json { "ecs" } else { "sts" };
            let (region, now) = ("us-east-1", NOW);
            sign(
                &mut parts,
                body.as_bytes(),
                &Signer { credentials: &credentials, region, service, now },
            );
            let answer = send(&edge(), parts, body).await;
            assert_refused(&answer, json, Kind::Signature, text);
        };
        check(
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
        .await;
        let unsigned = "This service requires a signed request body; 'x-amz-content-sha256' must be the SHA-256 of the body.";
        check("UNSIGNED-PAYLOAD", unsigned).await;
        check("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", unsigned).await;
    }
    // Without the header the body is hashed all the same.
    let parts = crate::stage::signed(ecs_call("ListClusters"), "{}", "ecs");
    assert_refused(&send(&edge(), parts, "{ }").await, true, Kind::Signature, MISMATCH);
}

#[tokio::test]
async fn what_must_be_signed() {
    let mut parts = crate::stage::signed(ecs_call("ListClusters"), "{}", "ecs");
    edited(&mut parts, |text| text.replace(";x-amz-target", ""));
    let text = "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.";
    assert_refused(&send(&edge(), parts, "{}").await, true, Kind::Signature, text);
}

#[tokio::test]
async fn a_date_header_serves_where_there_is_no_other() {
    // Made by hand: our signer always sends X-Amz-Date. The check gets as far as the signature.
    let change = |parts: &mut Parts| {
        parts.headers.remove("x-amz-date");
        let date = HeaderValue::from_static("Fri, 02 Jan 2026 03:04:05 GMT");
        parts.headers.insert("date", date);
        edited(parts, |text| text.replace("x-amz-date", "date"));
    };
    let answer = refused(true, KEY, None, |_| {}, change).await;
    assert_refused(&answer, true, Kind::Signature, MISMATCH);
    let stale = |parts: &mut Parts| {
        change(parts);
        let date = HeaderValue::from_static("Fri, 02 Jan 2026 02:04:05 GMT");
        parts.headers.insert("date", date);
    };
    let answer = refused(true, KEY, None, |_| {}, stale).await;
    assert!(answer.error().2.starts_with("Signature expired: 20260102T020405Z"));
}

#[tokio::test]
async fn the_policy_sets_the_skew() {
    let policy = wire::sigv4::Policy { skew: Duration::from_secs(900) };
    let edge = crate::stage::builder().service(crate::stage::ecs_service()).policy(policy).build();
    let credentials = credentials(KEY, None);
    let now = NOW - Duration::from_secs(899);
    let mut parts = ecs_call("ListClusters");
    let signer = Signer { credentials: &credentials, region: "us-east-1", service: "ecs", now };
    sign(&mut parts, b"{}", &signer);
    assert_eq!(send(&edge, parts, "{}").await.status, 200);
}
