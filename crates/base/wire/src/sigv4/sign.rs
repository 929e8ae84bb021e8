//! The client's signature.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use terms::Timestamp;

use super::canonical::{Request, UriPath, push_encoded};
use super::keys::{derive, mac};
use super::verify::string_to_sign;
use super::{ALGORITHM, TERMINATOR, hex, instant, sha256_hex};
use crate::Secret;

/// A key pair to sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
}

/// What a signature is made with.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The key pair.
    pub credentials: &'a Credentials,
    /// The region of the credential scope.
    pub region: &'a str,
    /// The service of the credential scope, such as `ecs`.
    pub service: &'a str,
    /// The time of the signature.
    pub now: Timestamp,
}

impl Signer<'_> {
    fn credential(&self, date: &str) -> String {
        let key = &self.credentials.access_key_id;
        format!("{key}/{date}/{}/{}/{TERMINATOR}", self.region, self.service)
    }

    fn signature(&self, date: &str, to_sign: &str) -> String {
        let key = derive(&self.credentials.secret, date, self.region, self.service);
        hex(&mac(&key, to_sign.as_bytes()))
    }
}

/// Signs a request by its headers: adds `host` (from the URI, if it is missing), `x-amz-date`,
/// `x-amz-security-token` and `authorization`. Signed are host, content type and all `x-amz-`
/// headers. For a websocket upgrade the body is empty.
///
/// Header values that are no visible ASCII are left out of the request; AWS allows none.
pub fn sign(parts: &mut Parts, body: &[u8], signer: &Signer<'_>) {
    let time_text = instant::format(signer.now);
    if !parts.headers.contains_key(HOST) {
        let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
        insert(parts, HOST, &authority.unwrap_or_default());
    }
    insert(parts, HeaderName::from_static("x-amz-date"), &time_text);
    if let Some(token) = &signer.credentials.session_token {
        insert(parts, HeaderName::from_static("x-amz-security-token"), token);
    }
    let mut names: Vec<&str> = parts
        .headers
        .keys()
        .filter(|name| {
            *name == HOST || *name == CONTENT_TYPE || name.as_str().starts_with("x-amz-")
        })
        .map(HeaderName::as_str)
        .collect();
    names.sort_unstable();
    let signed_headers = names.join(";");
    let request = Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        authority: None,
    };
    let form = if signer.service == "s3" { UriPath::OBJECT } else { UriPath::STANDARD };
    let canonical = request.canonical(form, &signed_headers, &sha256_hex(body));
    let date = &time_text[..8];
    let credential = signer.credential(date);
    let signature = signer.signature(date, &string_to_sign(&time_text, &credential, &canonical));
    let authorization = format!(
        "{ALGORITHM} Credential={credential}, SignedHeaders={signed_headers}, Signature={signature}"
    );
    insert(parts, AUTHORIZATION, &authorization);
}

/// The query string, signature included, of a presigned request with an empty body to `path` of
/// `host`. `query` is what the request has besides, percent-encoded; empty for none.
pub fn presign(
    method: &str,
    host: &str,
    path: &str,
    query: &str,
    expires: Duration,
    signer: &Signer<'_>,
) -> String {
    let time_text = instant::format(signer.now);
    let credential = signer.credential(&time_text[..8]);
    let mut signed_query = String::from(query);
    let mut push = |name: &str, value: &str| {
        if !signed_query.is_empty() {
            signed_query.push('&');
        }
        signed_query.push_str(name);
        signed_query.push('=');
        push_encoded(&mut signed_query, value.as_bytes(), false);
    };
    push("X-Amz-Algorithm", ALGORITHM);
    push("X-Amz-Credential", &credential);
    push("X-Amz-Date", &time_text);
    push("X-Amz-Expires", &expires.as_secs().to_string());
    push("X-Amz-SignedHeaders", "host");
    if let Some(token) = &signer.credentials.session_token {
        push("X-Amz-Security-Token", token);
    }
    let headers = http::HeaderMap::new();
    let request =
        Request { method, path, query: &signed_query, headers: &headers, authority: Some(host) };
    let canonical = request.canonical(UriPath::STANDARD, "host", &sha256_hex(b""));
    let to_sign = string_to_sign(&time_text, &credential, &canonical);
    let signature = signer.signature(&time_text[..8], &to_sign);
    signed_query + "&X-Amz-Signature=" + &signature
}

fn insert(parts: &mut Parts, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        parts.headers.insert(name, value);
    }
}
