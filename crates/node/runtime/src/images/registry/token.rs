//! Answers to a registry's challenge: basic credentials, or a token from its token service.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::challenge::{self, Challenge};
use super::http::{Ask, Http};
use super::{Session, parse_url, words};
use crate::images::{ImageError, PullError, RegistryAuth};

/// The largest answer of a token service.
const TOKEN_BYTES_MAX: u64 = 256 * 1024;
/// How we introduce ourselves to token services.
const CLIENT_ID: &str = "longshore";

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// All challenges of an answer.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|text| text.to_str().ok());
    texts.flat_map(challenge::parse).collect()
}

/// The `Authorization` that answers one of the challenges, a token before a password. `None` if we have
/// nothing to answer with.
pub(super) async fn answer(
    http: &Http,
    session: &Session,
    challenges: &[Challenge],
) -> Result<Option<HeaderValue>, PullError> {
    let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    if let Some(Challenge::Bearer { realm, service, scope }) = bearer {
        return token(http, session, realm, service.as_deref(), scope.as_deref()).await.map(Some);
    }
    match (&session.auth, challenges.contains(&Challenge::Basic)) {
        (RegistryAuth::Basic { username, password }, true) => Ok(Some(basic(username, password))),
        _ => Ok(None),
    }
}

fn basic(username: &str, password: &str) -> HeaderValue {
    let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
    secret(&format!("Basic {pair}")).expect("base64 is ASCII")
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn token(
    http: &Http,
    session: &Session,
    realm: &str,
    service: Option<&str>,
    scope: Option<&str>,
) -> Result<HeaderValue, PullError> {
    let default_scope = format!("repository:{}:pull", session.reference.repository());
    let mut fields = vec![("scope", scope.unwrap_or(&default_scope)), ("client_id", CLIENT_ID)];
    fields.extend(service.map(|service| ("service", service)));
    let ask = match &session.auth {
        RegistryAuth::IdentityToken(token) => {
            fields.extend([("grant_type", "refresh_token"), ("refresh_token", token)]);
            let mut ask = Ask::get(parse_url(realm)?, session.plain.clone(), "a token");
            ask.method = Method::POST;
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            ask.headers.insert(CONTENT_TYPE, form);
            ask.body = Bytes::from(encode(&fields));
            ask
        }
        auth => {
            if let RegistryAuth::Basic { username, .. } = auth {
                fields.push(("account", username));
            }
            let separator = if realm.contains('?') { '&' } else { '?' };
            let url = parse_url(&format!("{realm}{separator}{}", encode(&fields)))?;
            let mut ask = Ask::get(url, session.plain.clone(), "a token");
            if let RegistryAuth::Basic { username, password } = auth {
                ask.headers.insert(AUTHORIZATION, basic(username, password));
            }
            ask
        }
    };
    let url = ask.url.clone();
    let response = http.send(ask.clone()).await?;
    match response.status() {
        StatusCode::OK => {}
        // Some services answer wrong credentials with 400 or 404.
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            let body = http.body(response.into_body(), &url, "an error", TOKEN_BYTES_MAX).await;
            let message = words(&body.unwrap_or_default(), status);
            return Err(PullError::Denied { reference: session.reference.clone(), message });
        }
        _ => return Err(session.error(response, &ask).await),
    }
    let what = "the token service's answer";
    let body = http.body(response.into_body(), &url, what, TOKEN_BYTES_MAX).await?;
    let malformed = |problem: String| PullError::Image(ImageError::malformed(what, problem));
    let answer: TokenAnswer =
        serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| malformed("it holds no token".to_owned()))?;
    secret(&format!("Bearer {token}")).ok_or_else(|| malformed("its token is no text".to_owned()))
}

/// `application/x-www-form-urlencoded`.
fn encode(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let byte = |b: u8| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                char::from(b).to_string()
            }
            b => format!("%{b:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let pairs: Vec<_> =
        fields.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
    pairs.join("&")
}
