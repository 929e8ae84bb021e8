//! Answers to a registry's challenge: basic credentials, or a token from its token service.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::Deserialize;

use crate::ClientError;
use crate::challenge::{self, Challenge};
use crate::http::{Ask, Http, Plain, words};

/// The largest answer of a token service.
const TOKEN_BYTES_MAX: u64 = 256 * 1024;
/// How we introduce ourselves to token services.
const CLIENT_ID: &str = "longshore";

/// Credentials for a registry.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub enum Auth {
    /// None.
    #[default]
    Anonymous,
    /// User name and password; exchanged for a token where the registry wants one.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: String,
    },
    /// An identity token (`docker login`'s `identitytoken`), exchanged for a bearer token.
    IdentityToken(String),
}

/// Never the secret.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(f, "Basic({username})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// Who answers a challenge, and for what.
pub struct Asker<'a> {
    /// With which credentials.
    pub auth: &'a Auth,
    /// Whether the token service may be spoken to without TLS.
    pub plain: &'a Plain,
    /// What is asked for if the challenge does not say: `repository:NAME:pull`.
    pub scope: &'a str,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// All challenges of an answer.
pub fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|text| text.to_str().ok());
    texts.flat_map(challenge::parse).collect()
}

/// The `Authorization` that answers one of the challenges, a token before a password. `None` if there is
/// nothing to answer with.
///
/// # Errors
/// What the token service answered, or why it was not reached.
pub async fn answer(
    http: &Http,
    asker: &Asker<'_>,
    challenges: &[Challenge],
) -> Result<Option<HeaderValue>, ClientError> {
    let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    if let Some(Challenge::Bearer { realm, service, scope }) = bearer {
        return token(http, asker, realm, service.as_deref(), scope.as_deref()).await.map(Some);
    }
    match (asker.auth, challenges.contains(&Challenge::Basic)) {
        (Auth::Basic { username, password }, true) => Ok(Some(basic(username, password))),
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

fn parse_url(text: &str) -> Result<Uri, ClientError> {
    text.parse().map_err(|_| ClientError::malformed("the token service's address", text))
}

/// What is sent to the token service.
fn question(
    asker: &Asker<'_>,
    realm: &str,
    service: Option<&str>,
    scope: Option<&str>,
) -> Result<Ask, ClientError> {
    let mut fields = vec![("scope", scope.unwrap_or(asker.scope)), ("client_id", CLIENT_ID)];
    fields.extend(service.map(|service| ("service", service)));
    if let Auth::IdentityToken(token) = asker.auth {
        fields.extend([("grant_type", "refresh_token"), ("refresh_token", token)]);
        let mut ask = Ask::get(parse_url(realm)?, asker.plain.clone(), "a token");
        ask.method = Method::POST;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        ask.headers.insert(CONTENT_TYPE, form);
        ask.body = Bytes::from(encode(&fields));
        return Ok(ask);
    }
    if let Auth::Basic { username, .. } = asker.auth {
        fields.push(("account", username));
    }
    let separator = if realm.contains('?') { '&' } else { '?' };
    let url = parse_url(&format!("{realm}{separator}{}", encode(&fields)))?;
    let mut ask = Ask::get(url, asker.plain.clone(), "a token");
    if let Auth::Basic { username, password } = asker.auth {
        ask.headers.insert(AUTHORIZATION, basic(username, password));
    }
    Ok(ask)
}

async fn token(
    http: &Http,
    asker: &Asker<'_>,
    realm: &str,
    service: Option<&str>,
    scope: Option<&str>,
) -> Result<HeaderValue, ClientError> {
    let ask = question(asker, realm, service, scope)?;
    let url = ask.url.clone();
    let response = http.send(ask.clone()).await?;
    match response.status() {
        StatusCode::OK => {}
        // Some services answer wrong credentials with 400 or 404.
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            let body = http.body(response.into_body(), &url, "an error", TOKEN_BYTES_MAX).await;
            let message = words(&body.unwrap_or_default(), status);
            return Err(ClientError::Denied { message });
        }
        _ => return Err(http.refusal(response, &ask).await),
    }
    let what = "the token service's answer";
    let body = http.body(response.into_body(), &url, what, TOKEN_BYTES_MAX).await?;
    let malformed = |problem: String| ClientError::malformed(what, problem);
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
