//! Registries upstream that are ECR: AWS's own, or others that speak its API. They are logged in to with
//! a token, for which a key of theirs asks, in a role of theirs if the rule names one. The key only signs.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use distribution::{Ask, Auth, Http, Plain, host_of, readable};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use serde_json::{Value, json};
use terms::{Region, Timestamp};
use wire::Secret;
use wire::client::{Client, ClientError, Exchange, Exchanged, NotExchanged};
use wire::sigv4::Credentials;

use super::flights::Flights;
use super::{Shared, UpstreamError};
use crate::Inner;
use crate::model::PrivateRegistry;

/// Tokens that are remembered.
const TOKENS_MAX: usize = 256;
/// A token is not used any more so long before its end: what begins with it has to get through.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// The largest answer of an API that is read.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// How long a role is taken for: no role allows less for the longest. Its tokens are not used longer.
const SESSION: Duration = Duration::from_secs(3600);
/// Who a role's sessions are said to be for.
const SESSION_NAME: &str = "longshore-pull-through";

/// What a token is for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Login {
    /// The registry: scheme, host and port.
    pub(super) base: String,
    /// Where it is, if its host does not say.
    pub(super) region: Region,
    /// The access key id, and the secret access key.
    pub(super) key: (String, String),
    /// The role to ask in.
    pub(super) role: Option<String>,
}

/// A token as user and password, and until when it is used.
#[derive(Clone)]
struct Token {
    auth: Auth,
    until: Timestamp,
}

/// Tokens by what they are for.
#[derive(Default)]
pub(super) struct Tokens {
    known: Mutex<HashMap<Login, Token>>,
    asked: Flights<Login, Shared<Token>>,
}

impl Tokens {
    /// Forgets the token that a registry turned away, unless there is another one by now.
    pub(super) fn forget(&self, login: &Login, auth: &Auth) {
        self.known.lock().retain(|known, token| known != login || token.auth != *auth);
    }

    /// The next one to ask gets a new token.
    pub(super) fn end(&self, login: &Login) {
        self.known.lock().remove(login);
    }

    fn known(&self, login: &Login, now: Timestamp) -> Option<Auth> {
        let known = self.known.lock();
        known.get(login).filter(|token| now < token.until).map(|token| token.auth.clone())
    }

    fn keep(&self, login: Login, token: Token) {
        let mut known = self.known.lock();
        if known.len() >= TOKENS_MAX {
            known.clear();
        }
        known.insert(login, token);
    }
}

/// Where the APIs of a registry are.
struct Endpoints {
    ecr: String,
    sts: String,
    region: Region,
}

impl Endpoints {
    /// AWS's are known by its host; with others the registry's address is the API's, too.
    fn of(login: &Login) -> Self {
        let (scheme, host) = login.base.split_once("://").unwrap_or(("https", &login.base));
        let of_aws = PrivateRegistry::of(host);
        let of_aws = of_aws.and_then(|found| Some((found, found.region.parse::<Region>().ok()?)));
        match of_aws {
            Some((found, region)) => {
                let at = |host: String| format!("{scheme}://{host}");
                Self { ecr: at(found.ecr()), sts: at(found.sts()), region }
            }
            None => Self {
                ecr: login.base.clone(),
                sts: login.base.clone(),
                region: login.region.clone(),
            },
        }
    }
}

impl Inner {
    /// Whom an ECR upstream knows us as now; and the login again, if that was remembered.
    pub(super) async fn ecr_auth(
        &self,
        login: Login,
    ) -> Result<(Auth, Option<Login>), UpstreamError> {
        let tokens = &self.upstreams.tokens;
        if let Some(auth) = tokens.known(&login, self.ledger.clock().now()) {
            return Ok((auth, Some(login)));
        }
        let token = tokens.asked.join(login.clone(), |_| false, self.ask_for_token(&login)).await?;
        tokens.keep(login, token.clone());
        Ok((token.auth, None))
    }

    async fn ask_for_token(&self, login: &Login) -> Shared<Token> {
        let at = Endpoints::of(login);
        let credentials = Credentials {
            access_key_id: login.key.0.clone(),
            secret: Secret::new(login.key.1.as_str()),
            session_token: None,
        };
        let credentials = match &login.role {
            Some(role) => self.assume(&at, credentials, role).await?,
            None => credentials,
        };
        let client = self.caller(&at.ecr, credentials, &at.region);
        let begun = self.ledger.clock().now();
        let asked = client.invoke(&shapes_ecr::SERVICE, "GetAuthorizationToken", &json!({})).await;
        let answer = asked.map_err(|error| failed(&error))?;
        let mut token = read_token(&answer).ok_or_else(|| {
            UpstreamError::Denied(format!("{} gave no token that can be read", at.ecr))
        })?;
        if login.role.is_some() {
            token.until = token.until.min(begun + (SESSION - MARGIN));
        }
        Ok(token)
    }

    /// The keys of a session in a role.
    async fn assume(
        &self,
        at: &Endpoints,
        credentials: Credentials,
        role: &str,
    ) -> Result<Credentials, UpstreamError> {
        let client = self.caller(&at.sts, credentials, &at.region);
        let seconds = SESSION.as_secs().to_string();
        let said =
            [("RoleArn", role), ("RoleSessionName", SESSION_NAME), ("DurationSeconds", &seconds)];
        let said = said.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let asked = client.query(&shapes_sts::SERVICE, "AssumeRole", &said).await;
        let answer = asked.map_err(|error| failed(&error))?;
        let text = |name: &str| answer["Credentials"][name].as_str().map(str::to_owned);
        let read = || {
            Some(Credentials {
                access_key_id: text("AccessKeyId")?,
                secret: Secret::new(text("SecretAccessKey")?),
                session_token: Some(text("SessionToken")?),
            })
        };
        read().ok_or_else(|| {
            UpstreamError::Denied(format!("{} gave no keys for the role that can be read", at.sts))
        })
    }

    /// Calls an API as this key, by the rules that registries are spoken to by.
    fn caller(&self, url: &str, credentials: Credentials, region: &Region) -> Client {
        let clock = Arc::clone(self.ledger.clock());
        let exchange = OverHttp(Arc::clone(&self.upstreams.client));
        Client::new(url, Some(credentials), region.clone(), clock).with_exchange(Arc::new(exchange))
    }
}

/// The token of an answer to `GetAuthorizationToken`.
fn read_token(answer: &Value) -> Option<Token> {
    let told = &answer["authorizationData"][0];
    let pair = BASE64.decode(told["authorizationToken"].as_str()?.as_bytes()).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (username, password) = pair.split_once(':')?;
    let auth = Auth::Basic { username: username.to_owned(), password: password.to_owned() };
    // Seconds of Unix time; one that does not say is not used twice.
    let end = told["expiresAt"].as_f64().unwrap_or_default() * 1000.0;
    let until = Timestamp::from_millis((end as i64).saturating_sub(MARGIN.as_millis() as i64));
    Some(Token { auth, until })
}

/// What an API's refusal means.
fn failed(error: &ClientError) -> UpstreamError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let text = readable(&format!("{error}{}", cause.unwrap_or_default()));
    match error {
        ClientError::Service { status, .. } if *status >= 500 => UpstreamError::Away(text),
        ClientError::Service { .. } if error.is_transient() => UpstreamError::Throttled(text),
        ClientError::Transport { .. } | ClientError::Timeout { .. } => UpstreamError::Away(text),
        _ => UpstreamError::Denied(text),
    }
}

/// Calls that go the way that pulls go: with the authorities that the operator named, and without TLS only
/// where the URL says so. APIs do not redirect: what a signature is for is at its address.
struct OverHttp(Arc<Http>);

impl Exchange for OverHttp {
    fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Exchanged> + Send>> {
        let http = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let url: Uri = parts.uri;
            let plain = match url.scheme_str() {
                Some("http") => Plain::To(host_of(&url)),
                _ => Plain::Never,
            };
            let ask = Ask {
                method: parts.method,
                url: url.clone(),
                headers: parts.headers,
                body: body.to_bytes(),
                plain,
                what: "a token".to_owned(),
            };
            let broken = |error: distribution::ClientError| NotExchanged::Broken(error.to_string());
            let answer = http.send_to(ask).await.map_err(broken)?;
            let (parts, body) = answer.into_parts();
            let bytes = http.body(body, &url, "a token", ANSWER_BYTES_MAX).await;
            Ok(Response::from_parts(parts, Bytes::from(bytes.map_err(broken)?)))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_used_until_shortly_before_their_end() {
        let told = |token: &str| {
            let token = BASE64.encode(token.as_bytes());
            json!({"authorizationData": [{"authorizationToken": token, "expiresAt": 1000.5}]})
        };
        let token = read_token(&told("AWS:a:b")).unwrap();
        assert_eq!(token.until, Timestamp::from_millis(1_000_500 - 300_000));
        let expected = Auth::Basic { username: "AWS".to_owned(), password: "a:b".to_owned() };
        assert!(token.auth == expected);
        for wrong in [json!({}), json!({"authorizationData": []}), told("nothing")] {
            assert!(read_token(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn refusals_are_told_from_silence() {
        let of = |status: u16, code: &str| {
            let (code, message) = (code.to_owned(), "m".to_owned());
            failed(&ClientError::Service { code, status, message, body: None })
        };
        let denied = of(400, "UnrecognizedClientException");
        assert_eq!(denied, UpstreamError::Denied("UnrecognizedClientException: m".to_owned()));
        assert!(matches!(of(400, "ThrottlingException"), UpstreamError::Throttled(_)));
        assert!(matches!(of(500, "ServerException"), UpstreamError::Away(_)));
    }
}
