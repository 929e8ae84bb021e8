//! Paths of the server's own that belong to no service: health here, joining in its own file.

mod joining;

use std::sync::atomic::{AtomicBool, Ordering};

use ecs::Ecs;
use http::{Method, Response, StatusCode, header};
use iam::Iam;
use ledger::{Leadership, Ledger};
use serde::Deserialize;
use serde_json::{Value, json};
use wire::{Body, Priority, Route, RouteAuth, RouteRequest};

use crate::security::Tls;
use crate::settings::ServerSettings;

/// The longest body that these paths take, in bytes.
const BODY_MAX_BYTES: usize = 16 * 1024;

/// When a client is told to come back that cannot be served now.
const RETRY_SECONDS: u32 = 1;

/// Every route of the server itself.
pub fn all(
    settings: &ServerSettings,
    installation: &str,
    tls: Option<&Tls>,
    iam: &Iam,
    ecs: &Ecs,
    ledger: &Ledger,
) -> Vec<Route> {
    let own = [health(), ready(settings, ecs, ledger)];
    own.into_iter().chain(joining::all(settings, installation, tls, iam)).collect()
}

/// 200 as soon as the process answers.
fn health() -> Route {
    Route::new("/_longshore/healthz", RouteAuth::Unsigned, |_| async {
        answer(StatusCode::OK, &json!({"status": "ok"}))
    })
    .here()
    .priority(Priority::Vital)
}

/// 200 when a run-task sent now would find a server that leads, its cluster, and the instances that
/// `up` promised, else 503. Tells this server's role, and where the leader is.
fn ready(settings: &ServerSettings, ecs: &Ecs, ledger: &Ledger) -> Route {
    let (settings, ecs, leadership) = (settings.clone(), ecs.clone(), ledger.leadership());
    // Later it may be deleted, which is no reason to call the server not ready.
    let has_begun = AtomicBool::new(false);
    Route::new("/_longshore/readyz", RouteAuth::Unsigned, move |_| {
        let ServerSettings { account, region, cluster, instances, .. } = &settings;
        let has_begun = has_begun.load(Ordering::Relaxed) || {
            let known = ecs.knows_cluster(account, region, cluster);
            has_begun.store(known, Ordering::Relaxed);
            known
        };
        let connected = ecs.connected_instances(account, region, cluster);
        let has_instances = connected >= usize::try_from(*instances).unwrap_or(usize::MAX);
        let (role, leader) = match &*leadership.borrow() {
            Leadership::Leading => ("leader", None),
            Leadership::Following { leader } => ("follower", leader.clone()),
        };
        let is_led = role == "leader" || leader.is_some();
        let is_ready = has_begun && has_instances && is_led;
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

fn answer(status: StatusCode, told: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(told.to_string()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
