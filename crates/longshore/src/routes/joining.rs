//! How container instances join: tokens, keys and certificates.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use http::{Method, Response, StatusCode, header};
use iam::{Iam, IamError, JOIN_TOKEN_LIFE_DEFAULT, KeyPair, TokenTerms};
use ledger::LedgerError;
use serde::Deserialize;
use serde_json::{Value, json};
use terms::Timestamp;
use wire::tls::TlsServer;
use wire::{Body, CallerKind, Route, RouteAuth, RouteRequest};

use super::{RETRY_SECONDS, answer, read};
use crate::pki::{Authority, Owner};
use crate::security::Tls;
use crate::settings::ServerSettings;

/// The longest life of a join token: 30 days.
const TOKEN_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The paths of joining.
pub(super) fn all(
    settings: &ServerSettings,
    installation: &str,
    tls: Option<&Tls>,
    iam: &Iam,
) -> Vec<Route> {
    let certifier = Certifier {
        server: tls.map(|tls| tls.server.clone()),
        authority: tls.and_then(|tls| tls.authority.clone()),
    };
    vec![
        join(settings, installation, iam, &certifier),
        renew(&certifier),
        tokens(iam, &certifier),
        revoke(iam),
    ]
}

/// What signs agents' certificates, if this server holds an authority.
#[derive(Clone)]
struct Certifier {
    server: Option<TlsServer>,
    authority: Option<Arc<Authority>>,
}

impl Certifier {
    /// The certificate for a node's request.
    fn certify(
        &self,
        name: &str,
        request: &str,
        now: Timestamp,
    ) -> Result<Option<String>, Box<Response<Body>>> {
        let Some(authority) = &self.authority else { return Ok(None) };
        let owner = Owner::Node(name.to_owned());
        authority.answer(&owner, request, now).map(Some).map_err(|error| {
            let told = json!({"message": format!("{error:#}")});
            Box::new(answer(StatusCode::BAD_REQUEST, &told))
        })
    }

    fn authority_pem(&self) -> Option<String> {
        String::from_utf8(self.server.as_ref()?.authority_pem()?).ok()
    }

    /// The token with the authority's hash behind it, so that it tells whom to trust.
    fn pin(&self, token: String) -> String {
        match self.server.as_ref().and_then(TlsServer::authority) {
            Some(authority) => format!("{token}.{}", HEXLOWER.encode(&authority.key_hash)),
            None => token,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JoinRequest {
    token: String,
    name: String,
    /// PKCS #10 as PEM: asks for a certificate too.
    certificate_request: Option<String>,
}

/// Exchanges a join token for a key, and a certificate, bound to an instance's name.
fn join(settings: &ServerSettings, installation: &str, iam: &Iam, certifier: &Certifier) -> Route {
    let (settings, iam, certifier) = (settings.clone(), iam.clone(), certifier.clone());
    let installation = installation.to_owned();
    Route::new("/_longshore/join", RouteAuth::Unsigned, move |request| {
        let (settings, iam, certifier) = (settings.clone(), iam.clone(), certifier.clone());
        let (installation, now) = (installation.clone(), request.now);
        async move {
            let input: JoinRequest = match read(request).await {
                Ok(input) => input,
                Err(refusal) => return *refusal,
            };
            // What follows the dot is for the instance, not for us.
            let token = input.token.split('.').next().unwrap_or_default();
            let certificate = match &input.certificate_request {
                // Before the token is used: a request that is no good shall not use it up.
                Some(asked) => certifier.certify(&input.name, asked, now),
                None => Ok(None),
            };
            let certificate = match certificate {
                Ok(certificate) => certificate,
                Err(refusal) => return *refusal,
            };
            match iam.join(token, &input.name).await {
                Ok(key) => {
                    let mut told = key_json(&key);
                    told["account"] = settings.account.as_str().into();
                    told["installation"] = installation.into();
                    told["region"] = settings.region.as_str().into();
                    told["certificate"] = certificate.into();
                    told["authority"] = certifier.authority_pem().into();
                    answer(StatusCode::OK, &told)
                }
                Err(error) => refuse(&error),
            }
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewRequest {
    certificate_request: String,
}

/// A new certificate for the container instance whose key signs the request.
fn renew(certifier: &Certifier) -> Route {
    let certifier = certifier.clone();
    Route::new("/_longshore/certificate", RouteAuth::Signed("ecs"), move |request| {
        let certifier = certifier.clone();
        let (kind, now) = (kind(&request), request.now);
        async move {
            let Some(CallerKind::Node { name }) = kind else {
                let told = json!({"message": "only a container instance's key gets a certificate"});
                return answer(StatusCode::FORBIDDEN, &told);
            };
            let input: RenewRequest = match read(request).await {
                Ok(input) => input,
                Err(refusal) => return *refusal,
            };
            match certifier.certify(&name, &input.certificate_request, now) {
                Ok(certificate) => answer(StatusCode::OK, &json!({"certificate": certificate})),
                Err(refusal) => *refusal,
            }
        }
    })
    .here()
}

fn kind(request: &RouteRequest) -> Option<CallerKind> {
    request.caller.as_ref().map(|caller| caller.kind.clone())
}

/// The refusal for who is no operator.
fn for_operators(request: &RouteRequest) -> Result<(), Box<Response<Body>>> {
    match kind(request) {
        Some(kind) if kind.operates() => Ok(()),
        _ => {
            let told = json!({"message": "only an operator's key may handle join tokens"});
            Err(Box::new(answer(StatusCode::FORBIDDEN, &told)))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenRequest {
    life_seconds: Option<u64>,
    uses: Option<u32>,
    name: Option<String>,
    /// Set to get a key pair bound to this instance name in place of a token.
    as_keys_for: Option<String>,
}

/// Makes and lists join tokens, or makes key pairs for the real amazon-ecs-agent.
fn tokens(iam: &Iam, certifier: &Certifier) -> Route {
    let (iam, certifier) = (iam.clone(), certifier.clone());
    Route::new("/_longshore/tokens", RouteAuth::Signed("ecs"), move |request| {
        let (iam, certifier) = (iam.clone(), certifier.clone());
        async move {
            if let Err(refusal) = for_operators(&request) {
                return *refusal;
            }
            if request.parts.method == Method::GET {
                return answer(StatusCode::OK, &listed(&iam));
            }
            let input: TokenRequest = match read(request).await {
                Ok(input) => input,
                Err(refusal) => return *refusal,
            };
            if let Some(name) = &input.as_keys_for {
                return match iam.node_key(name).await {
                    Ok(key) => answer(StatusCode::OK, &key_json(&key)),
                    Err(error) => refuse(&error),
                };
            }
            let life = input.life_seconds.map_or(JOIN_TOKEN_LIFE_DEFAULT, Duration::from_secs);
            let life = life.min(TOKEN_LIFE_MAX);
            match iam
                .create_join_token(TokenTerms { life, uses: input.uses, name: input.name })
                .await
            {
                Ok((token, expires_at)) => {
                    let token = certifier.pin(token);
                    let told = json!({"token": token, "expiresAt": expires_at.to_string()});
                    answer(StatusCode::OK, &told)
                }
                Err(error) => refuse(&error),
            }
        }
    })
}

fn listed(iam: &Iam) -> Value {
    let tokens = iam.join_tokens().into_iter().map(|token| {
        json!({
            "id": token.id,
            "expiresAt": token.expires_at.to_string(),
            "usesLeft": token.uses_left,
            "name": token.name,
        })
    });
    json!({"tokens": tokens.collect::<Vec<_>>()})
}

#[derive(Deserialize)]
struct RevokeRequest {
    id: String,
}

/// Withdraws a join token.
fn revoke(iam: &Iam) -> Route {
    let iam = iam.clone();
    Route::new("/_longshore/tokens/revoke", RouteAuth::Signed("ecs"), move |request| {
        let iam = iam.clone();
        async move {
            if let Err(refusal) = for_operators(&request) {
                return *refusal;
            }
            let input: RevokeRequest = match read(request).await {
                Ok(input) => input,
                Err(refusal) => return *refusal,
            };
            match iam.revoke_join_token(&input.id).await {
                Ok(()) => answer(StatusCode::OK, &json!({})),
                Err(error) => refuse(&error),
            }
        }
    })
}

fn key_json(key: &KeyPair) -> Value {
    json!({"accessKeyId": key.access_key_id, "secretAccessKey": key.secret.expose()})
}

fn refuse(error: &IamError) -> Response<Body> {
    let status = match error {
        IamError::UnknownToken
        | IamError::ExpiredToken { .. }
        | IamError::UsedToken
        | IamError::TokenOfOther(_) => StatusCode::FORBIDDEN,
        IamError::NameTaken(_) => StatusCode::CONFLICT,
        IamError::NoSuchToken(_) => StatusCode::NOT_FOUND,
        IamError::NodeName(_) => StatusCode::BAD_REQUEST,
        IamError::Ledger(LedgerError::NotLeading { .. } | LedgerError::Crowded) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        IamError::Ledger(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = answer(status, &json!({"message": error.to_string()}));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = header::HeaderValue::from(RETRY_SECONDS);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
