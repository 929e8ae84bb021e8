//! `GET /_longshore/history?resource=…&since=…`: what the CLI's `history` asks.

use std::sync::Arc;

use http::{HeaderValue, Method, Response, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use terms::Timestamp;
use wire::{Body, Route, RouteAuth, RouteRequest};

use super::store::{HistoryStore, Subject};
use crate::observe::metrics::{forbidden, may_see};

/// The path.
pub const HISTORY_PATH: &str = "/_longshore/history";
/// The least of an id that is looked for.
const PREFIX_CHARS_MIN: usize = 4;

/// The route, for operators.
pub fn route(store: Arc<Mutex<HistoryStore>>) -> Route {
    Route::new(HISTORY_PATH, RouteAuth::Signed("ecs"), move |request| {
        let store = store.clone();
        async move {
            if !may_see(&request) {
                return forbidden();
            }
            let (status, told) = answer(request, store).await;
            respond(status, &told)
        }
    })
}

async fn answer(request: RouteRequest, store: Arc<Mutex<HistoryStore>>) -> (StatusCode, Value) {
    let refuse = |status, message: &str| (status, json!({"message": message}));
    if request.parts.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET");
    }
    let Some(resource) = request.query("resource").filter(|text| !text.is_empty()) else {
        return refuse(StatusCode::BAD_REQUEST, "name a resource: ?resource=…");
    };
    let since = request.query("since").and_then(|since| since.parse().ok()).unwrap_or(0);
    let named = request.caller.as_ref().map_or_else(Vec::new, |caller| {
        let arn = |rest: String| format!("arn:aws:ecs:{}:{}:{rest}", caller.region, caller.account);
        let service = match resource.contains('/') {
            true => format!("service/{resource}"),
            false => format!("service/default/{resource}"),
        };
        vec![arn(format!("cluster/{resource}")), arn(service)]
    });
    let read = move || read(&store.lock(), &resource, &named, Timestamp::from_millis(since));
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the history cannot be read");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "the history cannot be read; see the log")
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "reading the history failed"),
    }
}

fn read(
    store: &HistoryStore,
    resource: &str,
    named: &[String],
    since: Timestamp,
) -> anyhow::Result<(StatusCode, Value)> {
    let mut subjects = match Subject::of_arn(resource) {
        Some(subject) => vec![subject],
        None if resource.len() >= PREFIX_CHARS_MIN && !resource.contains(':') => {
            store.matches(resource)?
        }
        None => Vec::new(),
    };
    if subjects.is_empty() {
        let named: Vec<Subject> = named.iter().filter_map(|arn| Subject::of_arn(arn)).collect();
        for subject in &named {
            if subjects.is_empty() && !store.entries(subject, since)?.is_empty() {
                subjects.push(subject.clone());
            }
        }
        if subjects.is_empty() {
            subjects.extend(named.into_iter().take(1));
        }
    }
    let subject = match &subjects[..] {
        [subject] => subject,
        several => {
            let names: Vec<_> = several.iter().take(8).map(Subject::as_str).collect();
            let message = format!("'{resource}' may be any of {}, …", names.join(", "));
            return Ok((StatusCode::CONFLICT, json!({"message": message})));
        }
    };
    let entries = store.entries(subject, since)?;
    let kept_since = store.since().map(|since| since.to_string());
    if entries.is_empty() && since.millis() == 0 {
        let message = format!(
            "nothing is kept of '{resource}': name a task, a container instance, a cluster or a \
             service by ARN, by the begin of its id ({PREFIX_CHARS_MIN} characters or more) or, a \
             cluster or a service (CLUSTER/NAME), by name"
        );
        return Ok((StatusCode::NOT_FOUND, json!({"message": message, "keptSince": kept_since})));
    }
    let told = json!({
        "resource": entries.first().map_or(resource, |entry| entry.arn.as_str()),
        "keptSince": kept_since,
        "entries": entries,
    });
    Ok((StatusCode::OK, told))
}

fn respond(status: StatusCode, told: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(told.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
