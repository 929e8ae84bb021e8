//! `GET /_longshore/tasks/<task id>/logs?container=&follow=&tail=&cluster=&format=`: the output of
//! a task's containers, relayed from its instance's agent while the client reads.
//!
//! Lines come as JSON, one object a line (`container`, `time`, `stream`, `text`), or with
//! `format=text` as they were written. If the stream ends early, the last line says why:
//! `{"error": …}`.

use std::convert::Infallible;
use std::time::Duration;

use agent_protocol::node::{LogLine, MAX_TAIL_LINES, OpenLogs, StreamMessage};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use ledger::Row;
use terms::{Region, TaskId, Uuid};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wire::{Body, Caller, RouteRequest};

use super::hub::Sessions;
use super::node::{Expected, GROUPS_MAX, Lines, Opened, StreamError};
use super::transport::{Close, Received, Transport};
use crate::model::Task;
use crate::tables::Scope;

/// Prefix of the route.
pub(super) const PATH: &str = "/_longshore/tasks";

/// How long an agent may take to open a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
enum LogsError {
    #[error("the path must be {PATH}/<task id>/logs, with the 32 digits of the task's id")]
    Path,
    #[error("the query parameter '{name}' must be {expected}, not '{given}'")]
    Parameter { name: &'static str, expected: &'static str, given: String },
    #[error("only operators may read the output of tasks")]
    Denied,
    #[error("there is no task {task} in region {region}")]
    NoTask { task: TaskId, region: Region },
    #[error("task {task} has no container '{container}'; it has {}", known.join(", "))]
    NoContainer { task: TaskId, container: String, known: Vec<String> },
    #[error(
        "the agent of container instance {instance} is not connected, and the output is on its \
         machine; look there, or try again when `agentConnected` is true"
    )]
    AgentAway { instance: String },
    #[error(
        "container instance {instance} is run by Amazon's agent, which does not serve output; \
         use the instance's own `docker logs`, or a log driver"
    )]
    ForeignAgent { instance: String },
    #[error("the agent of container instance {instance} did not open the stream in {} s", OPEN_TIMEOUT.as_secs())]
    Slow { instance: String },
    #[error("{0}")]
    Stream(#[from] StreamError),
}

impl LogsError {
    fn response(&self) -> Response<Body> {
        let (code, status) = match self {
            Self::Path | Self::Parameter { .. } | Self::NoContainer { .. } => {
                ("InvalidParameterException", StatusCode::BAD_REQUEST)
            }
            Self::Denied => ("AccessDeniedException", StatusCode::FORBIDDEN),
            Self::NoTask { .. } => ("ResourceNotFoundException", StatusCode::NOT_FOUND),
            Self::AgentAway { .. } | Self::ForeignAgent { .. } | Self::Slow { .. } => {
                ("TargetNotConnectedException", StatusCode::CONFLICT)
            }
            Self::Stream(StreamError::TooMany) => {
                ("ThrottlingException", StatusCode::TOO_MANY_REQUESTS)
            }
            Self::Stream(StreamError::Refused(_)) => ("ClientException", StatusCode::CONFLICT),
        };
        let body = serde_json::json!({ "__type": code, "message": self.to_string() });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Text,
}

/// What the request asks for.
#[derive(Debug)]
struct Wanted {
    task: TaskId,
    cluster: Option<String>,
    container: Option<String>,
    follow: bool,
    tail: Option<u32>,
    format: Format,
}

/// Answers the request; the body goes on as long as there is output and the client reads.
pub(super) async fn answer(sessions: &Sessions, request: RouteRequest) -> Response<Body> {
    match open(sessions, &request).await {
        Ok((lines, format)) => relay(lines, format),
        Err(error) => error.response(),
    }
}

async fn open(sessions: &Sessions, request: &RouteRequest) -> Result<(Lines, Format), LogsError> {
    let wanted = wanted(request)?;
    let caller = request.caller.as_deref().ok_or(LogsError::Denied)?;
    if !caller.kind.operates() {
        return Err(LogsError::Denied);
    }
    let task = sessions.find(&wanted, caller)?;
    check_container(&task, wanted.container.as_deref())?;
    let (mut expected, instance) = sessions.ask(&task, &wanted)?;
    match timeout(OPEN_TIMEOUT, expected.opened()).await {
        Ok(Some(Ok(lines))) => Ok((lines, wanted.format)),
        Ok(Some(Err(error))) => Err(error.into()),
        Ok(None) => Err(LogsError::AgentAway { instance }),
        Err(_) => Err(LogsError::Slow { instance }),
    }
}

impl Sessions {
    /// The task in the caller's account and region, in the cluster asked for or in any.
    fn find(&self, wanted: &Wanted, caller: &Caller) -> Result<Row<Task>, LogsError> {
        let scope = Scope { account: caller.account.clone(), region: caller.region.clone() };
        let (snapshot, tables) = (self.hub.ledger.snapshot(), &self.hub.tables);
        let is_meant = |name: &str| wanted.cluster.as_deref().is_none_or(|cluster| cluster == name);
        let clusters = snapshot.prefix(&tables.clusters, &scope).map(|(key, _)| key);
        let found = clusters
            .filter(|key| is_meant(key.name.as_str()))
            .find_map(|key| snapshot.get(&tables.tasks, &key.task(wanted.task)));
        found.ok_or(LogsError::NoTask { task: wanted.task, region: caller.region.clone() })
    }

    /// Asks the task's agent for the stream.
    fn ask(&self, task: &Task, wanted: &Wanted) -> Result<(Expected, String), LogsError> {
        let (ground, id) = crate::tables::place_of(&crate::tables::task_key(&task.arn), task);
        let instance = ground.instance_arn(id);
        let name = instance.to_string();
        let Some(channel) = self.hub.nodes.handle(&instance) else {
            let is_foreign = self.hub.control.is_connected(&instance)
                && !self.hub.view(&instance).is_own_agent();
            return Err(if is_foreign {
                LogsError::ForeignAgent { instance: name }
            } else {
                LogsError::AgentAway { instance: name }
            });
        };
        let stream_id = Uuid::from_random(self.hub.ids.next());
        let expected = self.hub.streams.expect(stream_id, instance)?;
        let request = OpenLogs {
            stream_id,
            task_arn: task.arn.clone(),
            container: wanted.container.clone(),
            follow: wanted.follow,
            tail: wanted.tail,
        };
        // A full queue means that the agent takes nothing: as good as away.
        match channel.try_send(request.into()) {
            Ok(()) => Ok((expected, name)),
            Err(_) => Err(LogsError::AgentAway { instance: name }),
        }
    }
}

fn wanted(request: &RouteRequest) -> Result<Wanted, LogsError> {
    let path = request.rest(PATH).strip_prefix('/').and_then(|rest| rest.strip_suffix("/logs"));
    let task = path.and_then(|id| id.parse().ok()).ok_or(LogsError::Path)?;
    let given = |name: &str| request.query(name).filter(|value| !value.is_empty());
    let follow = match given("follow") {
        None => false,
        Some(text) => match text.as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err(wrong("follow", "true or false", text)),
        },
    };
    let tail = match given("tail") {
        None => None,
        Some(text) => match text.parse::<u32>() {
            Ok(lines) if lines <= MAX_TAIL_LINES => Some(lines),
            _ => return Err(wrong("tail", "a number of lines up to 100000", text)),
        },
    };
    let format = match given("format") {
        None => Format::Json,
        Some(text) => match text.as_str() {
            "json" => Format::Json,
            "text" => Format::Text,
            _ => return Err(wrong("format", "json or text", text)),
        },
    };
    let (cluster, container) = (given("cluster"), given("container"));
    Ok(Wanted { task, cluster, container, follow, tail, format })
}

fn wrong(name: &'static str, expected: &'static str, given: String) -> LogsError {
    LogsError::Parameter { name, expected, given: given.chars().take(64).collect() }
}

fn check_container(task: &Task, container: Option<&str>) -> Result<(), LogsError> {
    let Some(container) = container else { return Ok(()) };
    if task.containers.iter().any(|known| known.name == container) {
        return Ok(());
    }
    let known = task.containers.iter().map(|container| container.name.to_string()).collect();
    Err(LogsError::NoContainer { task: task.arn.id, container: container.to_owned(), known })
}

/// The response whose body is the stream. Dropping it ends the stream at the agent too.
fn relay(lines: Lines, format: Format) -> Response<Body> {
    let frames = stream::unfold(lines, move |mut lines| async move {
        let group = lines.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(chunk(group, format))), lines))
    });
    let mut response = Response::new(Body::stream(StreamBody::new(frames)));
    let kind = match format {
        Format::Json => "application/x-ndjson",
        Format::Text => "text/plain; charset=utf-8",
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn chunk(group: Result<Vec<LogLine>, String>, format: Format) -> Bytes {
    let mut text = String::new();
    let mut json = |value: serde_json::Result<String>| {
        // Lines are plain data, so this cannot fail; an empty line would still be no lie.
        text.push_str(&value.unwrap_or_default());
        text.push('\n');
    };
    match (group, format) {
        (Ok(lines), Format::Json) => {
            lines.iter().for_each(|line| json(serde_json::to_string(line)));
        }
        (Err(error), Format::Json) => json(Ok(serde_json::json!({ "error": error }).to_string())),
        (Ok(lines), Format::Text) => {
            for line in lines {
                text.push_str(line.text.trim_end_matches('\n'));
                text.push('\n');
            }
        }
        (Err(error), Format::Text) => {
            text = format!("longshore: the output ends early: {error}\n");
        }
    }
    text.into()
}

/// Moves what the agent sends on a stream to the client that waits for it, at the client's pace,
/// until the sessions are to end.
pub(super) async fn pump<T: Transport<In = StreamMessage>>(
    mut transport: T,
    opened: Opened,
    stopping: CancellationToken,
) {
    let (sender, lines) = mpsc::channel(GROUPS_MAX);
    if opened.send(Ok(lines)).is_err() {
        return transport.close(Close::normal("nobody waits for this stream any more")).await;
    }
    loop {
        let received = tokio::select! {
            biased;
            () = sender.closed() => {
                return transport.close(Close::normal("the reader is gone")).await;
            }
            // A follower would hold the server's end up for as long as it may.
            () = stopping.cancelled() => {
                let _ = sender.try_send(Err("the server is shutting down".to_owned()));
                drop(sender);
                return transport.close(Close::going_away()).await;
            }
            received = transport.receive() => received,
        };
        let group = match received {
            Received::Message(StreamMessage::Lines(lines)) => Ok(lines.lines),
            Received::Message(StreamMessage::End(end)) => {
                if let Some(error) = end.error {
                    let _ = sender.send(Err(error)).await;
                }
                // The client's response ends now, not when the agent has closed its side.
                drop(sender);
                return transport.close(Close::normal("all was sent")).await;
            }
            Received::Undecodable(why) => {
                tracing::debug!(why, "an agent sent a frame that is no line of output");
                continue;
            }
            Received::Closed => Err("the agent's connection broke".to_owned()),
        };
        let is_over = group.is_err();
        if sender.send(group).await.is_err() || is_over {
            return;
        }
    }
}
