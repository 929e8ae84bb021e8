//! The trail of calls: its routes, for `longshore audit` and `longshore why-denied`.

mod denied;

use cloudtrail::{Filter, Place, Trail};
use http::{HeaderValue, Response, StatusCode, header};
use iam::Iam;
use serde_json::{Value, json};
use terms::Timestamp;
use wire::{Body, Route, RouteAuth, RouteRequest};

use crate::observe::metrics::{forbidden, may_see};

/// Where lines are read.
pub const AUDIT_PATH: &str = "/_longshore/audit";
/// Where the chain is followed.
pub const VERIFY_PATH: &str = "/_longshore/audit/verify";
/// Where refusals are explained.
pub const WHY_DENIED_PATH: &str = "/_longshore/why-denied";
/// Most lines of one answer.
const LINES_MAX: usize = 1000;
/// Lines of one answer, unless said otherwise.
const LINES: usize = 100;

/// The routes, each answered by the server that is asked: it tells of what it answered itself.
pub fn routes(trail: &Trail, iam: &Iam) -> [Route; 3] {
    let (lines, chain) = (trail.clone(), trail.clone());
    let (of_denied, iam) = (trail.clone(), iam.clone());
    [
        Route::new(AUDIT_PATH, RouteAuth::Signed("ecs"), move |request| {
            let trail = lines.clone();
            async move { guarded(request, async |request| read(&trail, &request).await).await }
        })
        .here(),
        Route::new(VERIFY_PATH, RouteAuth::Signed("ecs"), move |request| {
            let trail = chain.clone();
            async move { guarded(request, async |request| verify(&trail, &request).await).await }
        })
        .here(),
        Route::new(WHY_DENIED_PATH, RouteAuth::Signed("ecs"), move |request| {
            let (trail, iam) = (of_denied.clone(), iam.clone());
            async move {
                guarded(request, async |request| denied::explain(&trail, &iam, &request).await)
                    .await
            }
        })
        .here(),
    ]
}

/// An answer, or why there is none.
type Told = (StatusCode, Value);

fn refuse(status: StatusCode, message: impl Into<String>) -> Told {
    (status, json!({ "message": message.into() }))
}

async fn guarded(
    request: RouteRequest,
    answer: impl AsyncFnOnce(RouteRequest) -> Told,
) -> Response<Body> {
    if !may_see(&request) {
        return forbidden();
    }
    let (status, told) = answer(request).await;
    let mut response = Response::new(Body::from(told.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn time(request: &RouteRequest, name: &str) -> Option<String> {
    let millis: i64 = request.query(name)?.parse().ok()?;
    let text = Timestamp::from_millis(millis).to_string();
    text.split_once('.').map(|(whole, _)| format!("{whole}Z"))
}

async fn read(trail: &Trail, request: &RouteRequest) -> Told {
    let text = |name: &str| request.query(name).filter(|text| !text.is_empty());
    let is_set = |name: &str| text(name).is_some_and(|value| value == "true");
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    let filter = Filter {
        since: time(request, "since"),
        until: time(request, "until"),
        who: text("who"),
        action: text("action"),
        resource: text("resource"),
        request: text("request"),
        only_denied: is_set("denied"),
        only_failed: is_set("failed"),
        ..Filter::default()
    };
    let place = match (number("after"), number("before")) {
        (Some(after), _) => Place::After(after),
        (None, before) => Place::Before(before.unwrap_or(u64::MAX)),
    };
    let limit = number("limit").and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(LINES).clamp(1, LINES_MAX);
    match trail.look(filter, place, limit).await {
        Ok((entries, next)) => {
            let next = next.map(|(Place::Before(number) | Place::After(number))| number);
            (StatusCode::OK, json!({ "entries": entries, "next": next }))
        }
        Err(error) => unreadable(&error),
    }
}

async fn verify(trail: &Trail, request: &RouteRequest) -> Told {
    let noted = request.query("hash").filter(|hash| !hash.is_empty());
    match trail.verify(noted.clone()).await {
        Ok((verified, has_noted)) => {
            let mut told = json!(verified);
            if noted.is_some() {
                told["hasNoted"] = has_noted.into();
            }
            (StatusCode::OK, told)
        }
        Err(error @ cloudtrail::TrailError::Broken { .. }) => {
            refuse(StatusCode::CONFLICT, format!("the chain is broken: {error}"))
        }
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &cloudtrail::TrailError) -> Told {
    tracing::warn!(%error, "the trail cannot be read");
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "the trail cannot be read; see the server's log")
}
