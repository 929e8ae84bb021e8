//! Paths of port 80: credentials, metadata and task protection.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::metadata::Version;
use super::{Answer, Directory, Request, Sources, metadata, protection, stats, tags, v2};
use crate::engine::TaskState;

/// Answers one request of the task at `peer`.
pub(super) async fn answer(directory: Directory, peer: IpAddr, request: Request) -> Answer {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let (first, rest): (_, Vec<_>) = (segments.next(), segments.collect());
    if let (Some("api"), [id, rest @ ..]) = (first, rest.as_slice())
        && *rest == protection::PATH
    {
        return protection::answer(&directory, id, request).await;
    }
    if request.method() != http::Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
    }
    match (first, rest.as_slice()) {
        (Some("v2"), ["credentials", id]) => credentials(&directory, peer, Some(id)).await,
        (Some("v2"), ["credentials"]) => credentials(&directory, peer, None).await,
        (Some("v1"), ["credentials"]) => credentials(&directory, peer, id_of(&query)).await,
        (Some("v2"), [what, rest @ ..]) => v2::answer(&directory, peer, what, rest).await,
        (Some("v3"), [id, rest @ ..]) => task(&directory, Version::V3, id, rest).await,
        (Some("v4"), [id, rest @ ..]) => task(&directory, Version::V4, id, rest).await,
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn id_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("id=")).filter(|id| !id.is_empty())
}

/// Credentials by their id (agent-protocol §6.2). A task that is known by its address gets its own alone,
/// whatever ids it has come to know.
async fn credentials(directory: &Directory, peer: IpAddr, id: Option<&str>) -> Answer {
    let error = |status: StatusCode, code: &str, message: &str| {
        let message = format!("CredentialsV2Request: {message}");
        let body = json!({ "code": code, "message": message, "HTTPErrorCode": status.as_u16() });
        document(status, &body)
    };
    let Some(id) = id else {
        let what = "No Credential ID in the request";
        return error(StatusCode::BAD_REQUEST, "NoIdInRequest", what);
    };
    if let Some((_, task)) = v2::of(directory, peer).await
        && task.task.role_credentials.as_ref().is_none_or(|own| own.credentials_id != id)
    {
        return error(StatusCode::BAD_REQUEST, "InvalidIdInRequest", "Credentials not found");
    }
    let agents = directory.all();
    if let Some(found) = agents.iter().find_map(|agent| agent.credentials.get(id)) {
        let body = json!({
            "RoleArn": found.role_arn,
            "AccessKeyId": found.access_key_id,
            "SecretAccessKey": found.secret_access_key,
            "Token": found.session_token,
            "Expiration": found.expiration,
        });
        return document(StatusCode::OK, &body);
    }
    if agents.iter().any(|agent| agent.view.knows_credentials(id)) {
        let what = "Credentials uninitialized for ID";
        return error(StatusCode::SERVICE_UNAVAILABLE, "CredentialsUninitialized", what);
    }
    error(StatusCode::BAD_REQUEST, "InvalidIdInRequest", "Credentials not found")
}

/// Metadata of the container whose id is in the path, and of its task (agent-protocol §6.3).
async fn task(directory: &Directory, version: Version, id: &str, rest: &[&str]) -> Answer {
    let found = directory.all().into_iter().find_map(|agent| {
        let (task, index) = agent.view.by_endpoint_id(id)?;
        Some((agent, task, index))
    });
    let Some((agent, task, index)) = found else {
        let message = unknown(version, id, rest);
        return document(StatusCode::NOT_FOUND, &Value::from(message));
    };
    let agent: Arc<Sources> = agent;
    let body = match rest {
        [] => metadata::container(&task, index, version, &agent.cluster),
        ["task"] => metadata::task(&task, version, &agent.place(&task)),
        ["taskWithTags"] => {
            let mut told = metadata::task(&task, version, &agent.place(&task));
            tags::add(&agent, &task, version, &mut told).await;
            told
        }
        ["stats"] => of_container(&agent, &task, index).await,
        ["task", "stats"] => of_task(&agent, &task).await,
        ["associations", kind] => metadata::associations(&task, index, kind),
        ["associations", kind, name] => {
            return match metadata::association(&task, index, kind, name) {
                Some(value) => text(StatusCode::OK, &value),
                None => {
                    let what = format!(
                        "{} associations handler: no association '{name}' of type '{kind}'",
                        version.name()
                    );
                    document(StatusCode::NOT_FOUND, &Value::from(what))
                }
            };
        }
        _ => return text(StatusCode::NOT_FOUND, "404 page not found\n"),
    };
    document(StatusCode::OK, &body)
}

/// What Amazon's agent says of an id that it does not know.
fn unknown(version: Version, id: &str, rest: &[&str]) -> String {
    let version = version.name();
    let of_task = "unable to get task arn from request: unable to get task Arn from v3 endpoint ID";
    let of_container =
        "unable to get container ID from request: unable to get docker ID from v3 endpoint ID";
    match rest {
        ["task", "stats"] => format!("{version} task stats handler: {of_task}: {id}"),
        ["task" | "taskWithTags"] => format!("{version} task metadata handler: {of_task}: {id}"),
        ["stats"] => format!("{version} container stats handler: {of_container}: {id}"),
        _ => format!("{version} container metadata handler: {of_container}: {id}"),
    }
}

/// What one container uses.
pub(super) async fn of_container(agent: &Sources, task: &TaskState, index: usize) -> Value {
    let now = agent.clock.now();
    stats::docker_stats(&*agent.containers, &agent.samples, task, index, now).await
}

/// What each container of a task uses, by its id.
pub(super) async fn of_task(agent: &Sources, task: &TaskState) -> Value {
    let mut all = serde_json::Map::new();
    for (index, container) in task.containers.iter().enumerate() {
        all.insert(container.id.to_string(), of_container(agent, task, index).await);
    }
    Value::Object(all)
}

/// What the limiter of Amazon's agent says.
pub(super) fn too_many() -> Answer {
    text(StatusCode::TOO_MANY_REQUESTS, "You have reached maximum request limit.")
}

pub(super) fn document(status: StatusCode, body: &Value) -> Answer {
    respond(status, "application/json", body.to_string())
}

pub(super) fn text(status: StatusCode, body: &str) -> Answer {
    respond(status, "text/plain; charset=utf-8", body.to_owned())
}

pub(super) fn respond(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
