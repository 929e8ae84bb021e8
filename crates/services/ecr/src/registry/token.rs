//! Tokens: those of `GetAuthorizationToken`, the narrow ones of Docker's token service, and links that
//! allow one download. All are sealed and stored nowhere.

use std::time::Duration;

use ::http::header::AUTHORIZATION;
use ::http::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use terms::Timestamp;
use wire::{Body, Context, RouteRequest};

use super::access::{self, Grant, Session, registry_url};
use super::refusal::{Refusal, Words};
use super::target::Target;
use super::{Answer, json as in_json};
use crate::{Inner, Scope};

/// Where narrow tokens are given.
pub(super) const PATH: &str = "/v2/token";
/// What a seal of a login is good for.
pub(super) const LOGIN: &str = "ecr login";
/// The same of a narrow token.
pub(super) const NARROW: &str = "ecr bearer";
/// The same of a link.
const DOWNLOAD: &str = "ecr download";
/// How long a login lasts (ECR: twelve hours).
pub(crate) const LOGIN_LIFE: Duration = Duration::from_secs(12 * 3600);
/// How long a narrow token lasts.
const NARROW_LIFE: Duration = Duration::from_secs(3600);
/// How long a link works.
const DOWNLOAD_LIFE: Duration = Duration::from_secs(3600);
/// The parameter that a link has its seal in.
const DOWNLOAD_PARAMETER: &str = "X-Longshore-Download";
/// Scopes of one narrow token.
const SCOPES_MAX: usize = 64;

/// For whom a token was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Login {
    #[serde(rename = "k")]
    pub(super) access_key_id: String,
    /// The token that a temporary key is good with: the login ends when the session does. Without the
    /// key's secret, which is not here, nothing can be signed with it.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(super) session_token: Option<String>,
    #[serde(rename = "s")]
    pub(super) scope: Scope,
    #[serde(rename = "e")]
    pub(super) expires_at: Timestamp,
}

/// A login, and what is left of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Narrow {
    #[serde(rename = "l")]
    pub(super) login: Login,
    #[serde(rename = "g")]
    pub(super) grants: Option<Vec<Grant>>,
}

#[derive(Serialize, Deserialize)]
struct Download {
    #[serde(rename = "s")]
    scope: Scope,
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "d")]
    digest: String,
    #[serde(rename = "e")]
    expires_at: Timestamp,
}

/// A password for the registry, and when it ends.
pub(crate) fn login(inner: &Inner, context: &Context) -> (String, Timestamp) {
    let expires_at = context.now + LOGIN_LIFE;
    let access_key_id = context.caller.access_key_id.clone();
    let session_token = context.session_token.as_ref().map(|token| token.expose().to_owned());
    let login = Login { access_key_id, session_token, scope: Scope::of(context), expires_at };
    (inner.seal.seal(LOGIN, &login), expires_at)
}

/// A link to a blob that works without a login for a while.
pub(crate) fn download_url(inner: &Inner, context: &Context, name: &str, digest: &str) -> String {
    let download = Download {
        scope: Scope::of(context),
        name: name.to_owned(),
        digest: digest.to_owned(),
        expires_at: context.now + DOWNLOAD_LIFE,
    };
    let sealed = inner.seal.seal(DOWNLOAD, &download);
    let endpoint = registry_url(inner, &context.endpoint);
    format!("{endpoint}/v2/{name}/blobs/{digest}?{DOWNLOAD_PARAMETER}={sealed}")
}

/// The session of a link, if the request came by one that fits it.
pub(super) fn of_download(
    inner: &Inner,
    request: &RouteRequest,
    target: &Result<Target, Refusal>,
) -> Option<Session> {
    let Ok(Target::Blob(name, digest)) = target else { return None };
    if !matches!(request.parts.method, Method::GET | Method::HEAD) {
        return None;
    }
    let sealed = request.query(DOWNLOAD_PARAMETER)?;
    let download: Download = inner.seal.unseal(DOWNLOAD, &sealed)?;
    let fits = download.name == *name
        && download.digest == digest.as_str()
        && download.expires_at > request.now;
    let (scope, session_token) = (download.scope, None);
    fits.then_some(Session { scope, caller: None, grants: None, session_token })
}

/// Docker's token service: user and password for a narrow token. Only GET: clients that try POST
/// first go on to it.
pub(super) async fn serve(inner: &Inner, request: RouteRequest) -> Answer {
    if inner.setup.depot.is_none() {
        return Err(access::no_depot());
    }
    if request.parts.method != Method::GET {
        return Err(Refusal::new(Words::Unsupported, "tokens are given for GET"));
    }
    let header = request.parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let basic = header.and_then(|text| text.split_once(' '));
    let basic = basic.filter(|(kind, _)| kind.eq_ignore_ascii_case("basic"));
    let Some((_, text)) = basic else { return Err(access::challenge(inner, &request, None)) };
    let session = access::basic(inner, &request, text.trim())?;
    let Some(caller) = &session.caller else {
        return Err(access::challenge(inner, &request, None));
    };
    let query = request.parts.uri.query().unwrap_or_default();
    let expires_at = request.now + NARROW_LIFE;
    let login = Login {
        access_key_id: caller.access_key_id.clone(),
        session_token: session.session_token.clone(),
        scope: session.scope.clone(),
        expires_at,
    };
    let narrow = Narrow { login, grants: Some(grants(query)) };
    let sealed = inner.seal.seal(NARROW, &narrow);
    let told = json!({
        "token": &sealed,
        "access_token": &sealed,
        "expires_in": NARROW_LIFE.as_secs(),
        "issued_at": request.now.to_string(),
    });
    let answer: Response<Body> = in_json(StatusCode::OK, told.to_string());
    Ok(answer)
}

/// The scopes that were asked for: `repository:<name>:<action>,…`, several in one parameter or
/// several parameters. What the caller may not do is refused when it is done.
fn grants(query: &str) -> Vec<Grant> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8().ok().map(String::from)
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let values = pairs.filter(|(key, _)| *key == "scope").filter_map(|(_, value)| decode(value));
    let mut grants = Vec::new();
    for value in values {
        for scope in value.split(' ').filter(|scope| !scope.is_empty()) {
            let Some((kind, rest)) = scope.split_once(':') else { continue };
            let Some((name, verbs)) = rest.rsplit_once(':') else { continue };
            if kind.split('(').next() == Some("repository") && grants.len() < SCOPES_MAX {
                let verbs = verbs.split(',').map(str::to_owned).collect();
                grants.push(Grant { name: name.to_owned(), verbs });
            }
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read() {
        let grant = |name: &str, verbs: &[&str]| Grant {
            name: name.to_owned(),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        };
        let check =
            |query: &str, expected: &[Grant]| assert_eq!(grants(query), expected, "{query}");
        check("service=x", &[]);
        check(
            "scope=repository:a/b:pull,push&scope=repository:c:pull",
            &[grant("a/b", &["pull", "push"]), grant("c", &["pull"])],
        );
        check(
            "scope=repository%3Aapp%3Apull+repository(plugin):p:*",
            &[grant("app", &["pull"]), grant("p", &["*"])],
        );
        check("scope=registry:catalog:*&scope=nonsense", &[]);
    }
}
