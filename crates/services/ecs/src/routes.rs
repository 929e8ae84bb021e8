//! Paths of our own, as JSON: `GET /_longshore/why/<task>`, why a task is where it is;
//! `POST /_longshore/plan`, what RunTask would do;
//! `POST /_longshore/what-if`, the same in a cluster that is changed or loses something; `GET /_longshore/placements`, what was placed.
//! `service_health.rs` has its own.

mod fleet;
mod service_health;
mod usage;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use ledger::{Row, Snapshot};
use serde_json::json;
use terms::{TaskArn, TaskId};
use wire::check::{Check, describe};
use wire::protocol::JsonReader;
use wire::value::{Structure, Value};
use wire::{Body, Route, RouteAuth, RouteRequest};

use crate::api::Api;
use crate::decide::why;
use crate::error::Error;
use crate::model::Task;
use crate::tables::{ClusterKey, Scope, Tables, TaskKey, place_of, task_key};
use crate::whatif;

pub(crate) use self::fleet::route as fleet;
pub(crate) use self::service_health::route as service_health;
pub(crate) use self::usage::route as usage;

/// The path that the CLI's `why` asks.
const WHY_PATH: &str = "/_longshore/why";
/// The path that the CLI's `plan` asks.
const PLAN_PATH: &str = "/_longshore/plan";
/// The path that the CLI's `plan` asks about what would be if.
const WHAT_IF_PATH: &str = "/_longshore/what-if";
/// The path that the CLI's `status` asks.
const PLACEMENTS_PATH: &str = "/_longshore/placements";
/// The longest request that `plan` takes, in bytes.
const PLAN_MAX_BYTES: usize = 64 * 1024;

/// The route.
pub(crate) fn why(api: Arc<Api>) -> Route {
    Route::new(WHY_PATH, RouteAuth::Signed("ecs"), move |request| {
        let answer = explain(&api, &request);
        async move { answer }
    })
    .reads()
}

fn explain(api: &Api, request: &RouteRequest) -> Response<Body> {
    if request.parts.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET");
    }
    let Some(scope) = scope(request) else {
        return refuse(StatusCode::FORBIDDEN, "the request is not signed");
    };
    let text = request.rest(WHY_PATH).trim_start_matches('/');
    let snapshot = api.ledger.snapshot();
    let Some((key, task)) = find(&snapshot, &api.tables, &scope, text) else {
        return refuse(StatusCode::NOT_FOUND, &format!("there is no task '{text}'"));
    };
    let instance = snapshot.get(&api.tables.instances, &place_of(&key, &task));
    let pulls = match &instance {
        Some(instance) => api.sessions.pulls(&instance.arn, &task.arn),
        None => Vec::new(),
    };
    let why = why::explain(&task, instance.as_deref(), &pulls, request.now);
    answer(StatusCode::OK, serde_json::to_vec(&why).unwrap_or_default())
}

/// The task with this id in any cluster of the caller's, or with this ARN.
fn find(
    snapshot: &Snapshot,
    tables: &Tables,
    scope: &Scope,
    text: &str,
) -> Option<(TaskKey, Row<Task>)> {
    if let Ok(arn) = text.parse::<TaskArn>() {
        let key = task_key(&arn);
        let row = snapshot.get(&tables.tasks, &key)?;
        return (key.0.scope == *scope).then_some((key, row));
    }
    let id: TaskId = text.parse().ok()?;
    let clusters = snapshot.prefix(&tables.clusters, scope);
    clusters.into_iter().find_map(|(cluster, _): (ClusterKey, _)| {
        let key = cluster.task(id);
        snapshot.get(&tables.tasks, &key).map(|row| (key, row))
    })
}

/// The route of dry runs: the body is RunTask's, and so are the errors.
pub(crate) fn plan(api: Arc<Api>) -> Route {
    Route::new(PLAN_PATH, RouteAuth::Signed("ecs"), move |request| {
        let api = api.clone();
        async move { outlook(&api, request).await }
    })
    .reads()
}

async fn outlook(api: &Api, request: RouteRequest) -> Response<Body> {
    if request.parts.method != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "use POST");
    }
    let Some(scope) = scope(&request) else {
        return refuse(StatusCode::FORBIDDEN, "the request is not signed");
    };
    let body = match request.body.collect(PLAN_MAX_BYTES).await {
        Ok(body) => body,
        Err(error) => return refuse(error.http_status(), &error.message),
    };
    let outlook = read_request(&body)
        .and_then(|input| api.plan_run_task(&scope, &input).map_err(wire::ServiceError::from));
    told(outlook.map(|outlook| serde_json::to_vec(&outlook).unwrap_or_default()))
}

/// The route of questions about what would be if; the errors are RunTask's.
pub(crate) fn what_if(api: Arc<Api>) -> Route {
    Route::new(WHAT_IF_PATH, RouteAuth::Signed("ecs"), move |request| {
        let api = api.clone();
        async move {
            if request.parts.method != Method::POST {
                return refuse(StatusCode::METHOD_NOT_ALLOWED, "use POST");
            }
            let Some(scope) = scope(&request) else {
                return refuse(StatusCode::FORBIDDEN, "the request is not signed");
            };
            match request.body.collect(PLAN_MAX_BYTES).await {
                Ok(body) => told(whatif::what_if(&api, &scope, &body).await),
                Err(error) => refuse(error.http_status(), &error.message),
            }
        }
    })
}

/// An answer, or an error as AWS JSON has it.
fn told(outcome: Result<Vec<u8>, wire::ServiceError>) -> Response<Body> {
    match outcome {
        Ok(body) => answer(StatusCode::OK, body),
        Err(error) => {
            let status = StatusCode::from_u16(error.status);
            let told = json!({ "__type": error.code, "message": error.message });
            answer(status.unwrap_or(StatusCode::BAD_REQUEST), told.to_string().into_bytes())
        }
    }
}

/// A RunTask request as AWS JSON, checked as the model has it.
pub(crate) fn read_request<T: Structure + Value>(body: &[u8]) -> Result<T, wire::ServiceError> {
    let invalid = |text| wire::ServiceError::from(Error::invalid(text));
    let mut check = Check::strict();
    let mut input = None;
    let read = JsonReader::read_document(body, &mut check, &mut |reader| {
        input = T::read(reader, T::SCHEMA)?;
        Ok(())
    });
    read.map_err(|malformed| invalid(malformed.message))?;
    if !check.violations().is_empty() {
        return Err(invalid(describe(check.violations())));
    }
    input.ok_or_else(|| invalid("The body is null.".to_owned()))
}

/// The route that says how many tasks were placed.
pub(crate) fn placements(api: Arc<Api>) -> Route {
    Route::new(PLACEMENTS_PATH, RouteAuth::Signed("ecs"), move |request| {
        let counts = match request.parts.method {
            Method::GET => Ok(serde_json::to_vec(&api.placer.counts()).unwrap_or_default()),
            _ => Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET")),
        };
        async move { counts.map_or_else(|refusal| refusal, |told| answer(StatusCode::OK, told)) }
    })
}

/// Whose clusters the caller sees.
fn scope(request: &RouteRequest) -> Option<Scope> {
    let caller = request.caller.as_ref()?;
    Some(Scope { account: caller.account.clone(), region: caller.region.clone() })
}

fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    answer(status, json!({ "message": message }).to_string().into_bytes())
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::stream(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
