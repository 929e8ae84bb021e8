//! `$ECS_AGENT_URI/task-protection/v1/state`: a task asks for protection from scale-in, or for what
//! it has (agent-protocol §6.4). The call goes on to the control plane in the name of the task's
//! role.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::task::Credentials;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Value, json};
use terms::{Clock, Region, Timestamp};
use wire::Secret;
use wire::client::{Client, ClientError};
use wire::tls::TlsClient;

use super::{Answer, Directory, Request, Sources, routes};
use crate::engine::TaskState;
use crate::fargate;

/// The control plane must answer within this time, as with Amazon's agent.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
/// Longer requests are refused, in bytes.
const BODY_MAX_BYTES: usize = 4 * 1024;
/// What follows the container's id in the path.
pub(super) const PATH: [&str; 3] = ["task-protection", "v1", "state"];

/// The control plane as tasks' calls reach it.
pub(crate) struct ControlPlane {
    /// `http://HOST:PORT` or `https://…`.
    pub(crate) server: String,
    /// Whom to trust there.
    pub(crate) tls: Option<TlsClient>,
    /// What calls are signed for.
    pub(crate) region: Region,
    /// When they are signed.
    pub(crate) clock: Arc<dyn Clock>,
}

/// The body of a PUT; other members are refused.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Wanted {
    protection_enabled: bool,
    #[serde(default)]
    expires_in_minutes: Option<i64>,
}

/// A call of the API.
#[derive(Debug, PartialEq)]
struct Call {
    operation: &'static str,
    body: Value,
}

/// What is wrong with a request, told as the agent tells what the API refused.
struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }
}

/// Answers a request of the container that the id in the path names.
pub(super) async fn answer(directory: &Directory, id: &str, request: Request) -> Answer {
    let found = directory
        .all()
        .into_iter()
        .find_map(|agent| Some((agent.view.by_endpoint_id(id)?.0, Arc::clone(&agent))));
    let Some((task, agent)) = found else {
        let message = format!("no task has the endpoint id {id}");
        let refusal = Refusal::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message);
        return show(refused("", None, &refusal));
    };
    let arn = task.task.arn.to_string();
    let outcome = async {
        let call = read(fargate::cluster_of(&task.task, &agent.cluster), &arn, request).await?;
        send(&agent, &task, &call).await
    };
    match outcome.await {
        Ok((status, request_id, body)) => show(result(&arn, status, request_id, &body)),
        Err(refusal) => show(refused(&arn, None, &refusal)),
    }
}

async fn read(cluster: &str, arn: &str, request: Request) -> Result<Call, Refusal> {
    match *request.method() {
        Method::GET => Ok(get(cluster, arn)),
        Method::PUT => {
            let body = Limited::new(request.into_body(), BODY_MAX_BYTES).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            put(cluster, arn, &body).map_err(|message| {
                let code = "InvalidParameterException";
                Refusal::new(StatusCode::BAD_REQUEST, code, message)
            })
        }
        _ => {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Err(Refusal::new(status, "InvalidParameterException", "use GET or PUT"))
        }
    }
}

fn get(cluster: &str, arn: &str) -> Call {
    Call { operation: "GetTaskProtection", body: json!({ "cluster": cluster, "tasks": [arn] }) }
}

fn put(cluster: &str, arn: &str, body: &[u8]) -> Result<Call, String> {
    let wanted: Wanted = serde_json::from_slice(body)
        .map_err(|error| format!("UpdateTaskProtection: failed to decode request: {error}"))?;
    let mut body = json!({
        "cluster": cluster,
        "tasks": [arn],
        "protectionEnabled": wanted.protection_enabled,
    });
    if let Some(minutes) = wanted.expires_in_minutes {
        body["expiresInMinutes"] = minutes.into();
    }
    Ok(Call { operation: "UpdateTaskProtection", body })
}

/// Calls the API with the task's own credentials: its status, the request's id, and the body.
async fn send(
    agent: &Sources,
    task: &TaskState,
    call: &Call,
) -> Result<(StatusCode, Option<String>, Value), Refusal> {
    let role = task.task.role_credentials.as_ref();
    let credentials = role.and_then(|role| agent.credentials.get(&role.credentials_id));
    let credentials = credentials.ok_or_else(|| {
        let message = "the task has no task role, in whose name protection could be asked for";
        Refusal::new(StatusCode::FORBIDDEN, "AccessDeniedException", message)
    })?;
    let target = format!("AmazonEC2ContainerServiceV20141113.{}", call.operation);
    let target = HeaderValue::from_str(&target).expect("an operation's name is printable");
    let headers = [
        (HeaderName::from_static("x-amz-target"), target),
        (CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1")),
    ];
    let client = agent.control_plane.client(credentials);
    let body = Bytes::from(call.body.to_string());
    let answer = client.send(Method::POST, "/", &headers, body, "ecs").await;
    let answer = answer.map_err(|error| match error {
        ClientError::Timeout { .. } => {
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, "RequestCanceled", error.to_string())
        }
        _ => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "ServerException", error.to_string()),
    })?;
    let request_id = answer.headers().get("x-amzn-requestid");
    let request_id = request_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    Ok((answer.status(), request_id, serde_json::from_slice(answer.body()).unwrap_or_default()))
}

impl ControlPlane {
    fn client(&self, credentials: Credentials) -> Client {
        let credentials = wire::sigv4::Credentials {
            access_key_id: credentials.access_key_id,
            secret: Secret::new(credentials.secret_access_key),
            session_token: Some(credentials.session_token),
        };
        let clock = Arc::clone(&self.clock);
        let client = Client::new(&self.server, Some(credentials), self.region.clone(), clock);
        let client = match &self.tls {
            Some(tls) => client.with_tls(tls.clone()),
            None => client,
        };
        client.with_timeout(CALL_TIMEOUT)
    }
}

/// What the task is told of the API's answer.
fn result(
    arn: &str,
    status: StatusCode,
    request_id: Option<String>,
    body: &Value,
) -> (StatusCode, Value) {
    if !status.is_success() {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let code = text("__type").unwrap_or("ServerException");
        let code = code.rsplit('#').next().unwrap_or(code);
        let message = text("message").or_else(|| text("Message")).unwrap_or_default();
        return refused(arn, request_id, &Refusal::new(status, code, message));
    }
    let first = |list: &str| body.get(list).and_then(|list| list.get(0));
    if let Some(failure) = first("failures") {
        let member = |name: &str| failure.get(name).cloned().unwrap_or_default();
        let (arn, detail, reason) = (member("arn"), member("detail"), member("reason"));
        let failure = json!({ "Arn": arn, "Detail": detail, "Reason": reason });
        return (StatusCode::OK, json!({ "failure": failure }));
    }
    let Some(task) = first("protectedTasks") else {
        let message = "the answer tells of no task";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return refused(arn, request_id, &Refusal::new(status, "ServerException", message));
    };
    let until = task.get("expirationDate").and_then(Value::as_f64);
    let until = until.map(|seconds| Timestamp::from_seconds_f64(seconds).to_string());
    let protection = json!({
        "ExpirationDate": until,
        "ProtectionEnabled": task.get("protectionEnabled"),
        "TaskArn": task.get("taskArn"),
    });
    (StatusCode::OK, json!({ "protection": protection }))
}

fn refused(arn: &str, request_id: Option<String>, refusal: &Refusal) -> (StatusCode, Value) {
    let error = json!({ "Arn": arn, "Code": refusal.code, "Message": refusal.message });
    let mut body = json!({ "error": error });
    if let Some(id) = request_id {
        body["requestID"] = id.into();
    }
    (refusal.status, body)
}

fn show((status, body): (StatusCode, Value)) -> Answer {
    routes::respond(status, "application/json", body.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:ecs:us-east-1:123456789012:task/default/00000000000000000000000000000001";

    #[test]
    fn requests_become_calls_for_the_task_itself() {
        let check = |body: &str, expected: Option<Value>| {
            let call = put("default", ARN, body.as_bytes()).ok();
            assert_eq!(call.map(|call| call.body), expected, "{body}");
        };
        let base = json!({ "cluster": "default", "tasks": [ARN], "protectionEnabled": true });
        check(r#"{"ProtectionEnabled":true}"#, Some(base.clone()));
        let mut with_time = base;
        with_time["expiresInMinutes"] = 60.into();
        check(r#"{"ProtectionEnabled":true,"ExpiresInMinutes":60}"#, Some(with_time));
        check(r#"{"ExpiresInMinutes":60}"#, None);
        check(r#"{"ProtectionEnabled":"true"}"#, None);
        check(r#"{"ProtectionEnabled":true,"Cluster":"other"}"#, None);
        check("", None);
        assert_eq!(get("default", ARN).body, json!({ "cluster": "default", "tasks": [ARN] }));
    }

    #[test]
    fn answers_are_told_as_amazons_agent_tells_them() {
        let check = |status: u16, body: Value, expected: Value| {
            let status = StatusCode::from_u16(status).unwrap();
            let (shown, answer) = result(ARN, status, Some("r-1".to_owned()), &body);
            assert_eq!(answer, expected);
            assert_eq!(shown, status);
        };
        let protected =
            json!({ "taskArn": ARN, "protectionEnabled": true, "expirationDate": 1_767_225_600.0 });
        check(
            200,
            json!({ "protectedTasks": [protected], "failures": [] }),
            json!({ "protection": {
                "ExpirationDate": "2026-01-01T00:00:00.000Z",
                "ProtectionEnabled": true,
                "TaskArn": ARN,
            } }),
        );
        check(
            200,
            json!({ "protectedTasks": [{ "taskArn": ARN, "protectionEnabled": false }] }),
            json!({ "protection": {
                "ExpirationDate": null,
                "ProtectionEnabled": false,
                "TaskArn": ARN,
            } }),
        );
        check(
            200,
            json!({ "failures": [{ "arn": ARN, "reason": "TASK_NOT_VALID" }] }),
            json!({ "failure": { "Arn": ARN, "Detail": null, "Reason": "TASK_NOT_VALID" } }),
        );
        check(
            400,
            json!({ "__type": "AccessDeniedException", "message": "no" }),
            json!({
                "requestID": "r-1",
                "error": { "Arn": ARN, "Code": "AccessDeniedException", "Message": "no" },
            }),
        );
    }
}
