//! `GET /_longshore/why/<task>`: why a task is where it is, as JSON.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use ledger::{Row, Snapshot};
use serde_json::json;
use terms::{TaskArn, TaskId};
use wire::{Body, Route, RouteAuth, RouteRequest};

use crate::api::Api;
use crate::decide::why;
use crate::model::Task;
use crate::tables::{ClusterKey, Scope, Tables, TaskKey, task_key};

/// The path that the CLI's `why` asks.
const WHY_PATH: &str = "/_longshore/why";

/// The route.
pub(crate) fn why(api: Arc<Api>) -> Route {
    Route::new(WHY_PATH, RouteAuth::Signed("ecs"), move |request| {
        let answer = explain(&api, &request);
        async move { answer }
    })
}

fn explain(api: &Api, request: &RouteRequest) -> Response<Body> {
    if request.parts.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET");
    }
    let Some(caller) = &request.caller else {
        return refuse(StatusCode::FORBIDDEN, "the request is not signed");
    };
    let scope = Scope { account: caller.account.clone(), region: caller.region.clone() };
    let text = request.rest(WHY_PATH).trim_start_matches('/');
    let snapshot = api.ledger.snapshot();
    let Some((key, task)) = find(&snapshot, &api.tables, &scope, text) else {
        return refuse(StatusCode::NOT_FOUND, &format!("there is no task '{text}'"));
    };
    let instance = snapshot.get(&api.tables.instances, &key.0.instance(task.instance));
    let why = why::explain(&task, instance.as_deref(), request.now);
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
