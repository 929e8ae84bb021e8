//! Paths of the server's own that belong to no service: health, joining, tokens.

use std::time::Duration;

use ecs::Ecs;
use http::{Method, Response, StatusCode, header};
use iam::{Iam, IamError, JOIN_TOKEN_LIFE_DEFAULT, KeyPair};
use ledger::{Leadership, Ledger, LedgerError};
use serde::Deserialize;
use serde_json::{Value, json};
use wire::{Body, CallerKind, Priority, Route, RouteAuth, RouteRequest};

use crate::settings::ServerSettings;

/// The longest body that these paths take, in bytes.
const BODY_MAX_BYTES: usize = 16 * 1024;

/// When a client is told to come back that cannot be served now.
const RETRY_SECONDS: u32 = 1;

/// The longest life of a join token: 30 days.
const TOKEN_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Every route of the server itself.
pub fn all(
    settings: &ServerSettings,
    installation: &str,
    iam: &Iam,
    ecs: &Ecs,
    ledger: &Ledger,
) -> Vec<Route> {
    vec![health(), ready(settings, ecs, ledger), join(settings, installation, iam), tokens(iam)]
}

/// 200 as soon as the process answers.
fn health() -> Route {
    Route::new("/_longshore/healthz", RouteAuth::Unsigned, |_| async {
        answer(StatusCode::OK, &json!({"status": "ok"}))
    })
    .here()
    .priority(Priority::Vital)
}

/// 200 when a run-task sent now would find a server that leads and the instances that `up`
/// promised, else 503. Tells this server's role, and where the leader is.
fn ready(settings: &ServerSettings, ecs: &Ecs, ledger: &Ledger) -> Route {
    let (settings, ecs, leadership) = (settings.clone(), ecs.clone(), ledger.leadership());
    Route::new("/_longshore/readyz", RouteAuth::Unsigned, move |_| {
        let ServerSettings { account, region, cluster, instances, .. } = &settings;
        let connected = ecs.connected_instances(account, region, cluster);
        let has_instances = connected >= usize::try_from(*instances).unwrap_or(usize::MAX);
        let (role, leader) = match &*leadership.borrow() {
            Leadership::Leading => ("leader", None),
            Leadership::Following { leader } => ("follower", leader.clone()),
        };
        let is_led = role == "leader" || leader.is_some();
        let is_ready = has_instances && is_led;
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let told = json!({
            "role": role,
            "leader": leader.map(|leader| leader.url),
            "instances": {"wanted": instances, "connected": connected},
        });
        async move { answer(status, &told) }
    })
    .here()
    .priority(Priority::Vital)
}

#[derive(Deserialize)]
struct JoinRequest {
    token: String,
    name: String,
}

/// Exchanges a join token for a key bound to an instance's name.
fn join(settings: &ServerSettings, installation: &str, iam: &Iam) -> Route {
    let (settings, iam) = (settings.clone(), iam.clone());
    let installation = installation.to_owned();
    Route::new("/_longshore/join", RouteAuth::Unsigned, move |request| {
        let (settings, iam) = (settings.clone(), iam.clone());
        let installation = installation.clone();
        async move {
            let input: JoinRequest = match read(request).await {
                Ok(input) => input,
                Err(refusal) => return *refusal,
            };
            match iam.join(&input.token, &input.name).await {
                Ok(key) => {
                    let mut told = key_json(&key);
                    told["account"] = settings.account.as_str().into();
                    told["installation"] = installation.into();
                    told["region"] = settings.region.as_str().into();
                    answer(StatusCode::OK, &told)
                }
                Err(error) => refuse(&error),
            }
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenRequest {
    life_seconds: Option<u64>,
    /// Set to get a key pair bound to this instance name in place of a token.
    as_keys_for: Option<String>,
}

/// Makes join tokens, or key pairs for the real amazon-ecs-agent. For operators only.
fn tokens(iam: &Iam) -> Route {
    let iam = iam.clone();
    Route::new("/_longshore/tokens", RouteAuth::Signed("ecs"), move |request| {
        let iam = iam.clone();
        async move {
            let kind = request.caller.as_ref().map(|caller| caller.kind.clone());
            if !matches!(kind, Some(CallerKind::Operator | CallerKind::Open)) {
                let told = json!({"message": "only an operator's key may make join tokens"});
                return answer(StatusCode::FORBIDDEN, &told);
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
            match iam.create_join_token(life.min(TOKEN_LIFE_MAX)).await {
                Ok((token, expires_at)) => {
                    let told = json!({"token": token, "expiresAt": expires_at.to_string()});
                    answer(StatusCode::OK, &told)
                }
                Err(error) => refuse(&error),
            }
        }
    })
}

fn key_json(key: &KeyPair) -> Value {
    json!({"accessKeyId": key.access_key_id, "secretAccessKey": key.secret.expose()})
}

/// The JSON body of a POST.
async fn read<T: for<'de> Deserialize<'de>>(
    request: RouteRequest,
) -> Result<T, Box<Response<Body>>> {
    let refuse =
        |status, message: String| Err(Box::new(answer(status, &json!({"message": message}))));
    if request.parts.method != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "this path takes POST only".to_owned());
    }
    let body = match request.body.collect(BODY_MAX_BYTES).await {
        Ok(body) => body,
        Err(error) => return refuse(error.http_status(), error.message),
    };
    match serde_json::from_slice(&body) {
        Ok(input) => Ok(input),
        Err(error) => {
            refuse(StatusCode::BAD_REQUEST, format!("the body is not as wanted: {error}"))
        }
    }
}

fn refuse(error: &IamError) -> Response<Body> {
    let status = match error {
        IamError::UnknownToken | IamError::ExpiredToken { .. } => StatusCode::FORBIDDEN,
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

fn answer(status: StatusCode, told: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(told.to_string()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
