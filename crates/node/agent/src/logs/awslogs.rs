//! CloudWatch Logs as a destination: Docker's awslogs driver (logs reference §1.10), but that what
//! fails is tried again instead of dropped.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::lines::{LINE_BYTES_MAX, Line};
use super::options::AwslogsOptions;
use super::{Destination, Pace, SendError};
use crate::transport::{CallError, LogsCall, Transport};
use crate::view::CredentialStore;

/// The most bytes of a PutLogEvents, each event counting ...
const BATCH_BYTES_MAX: usize = 1_048_576;
/// ... this many besides its text.
const EVENT_OVERHEAD_BYTES: usize = 26;
/// The most events of one.
const BATCH_EVENTS_MAX: usize = 10_000;
/// The longest from its first to its last event.
const BATCH_SPAN_MS: i64 = 24 * 3_600_000;
/// How long a container's start waits for a control plane that is away.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries of that.
const START_RETRY: Duration = Duration::from_millis(500);

/// A stream of a log group.
pub struct Awslogs {
    options: AwslogsOptions,
    transport: Arc<dyn Transport>,
    store: Arc<CredentialStore>,
    credentials: Option<String>,
    exists: bool,
}

impl Awslogs {
    /// A stream, written with the credentials of this id; with the instance's own without, or when
    /// they are gone.
    pub fn new(
        options: AwslogsOptions,
        transport: Arc<dyn Transport>,
        store: Arc<CredentialStore>,
        credentials: Option<String>,
    ) -> Self {
        Self { options, transport, store, credentials, exists: false }
    }

    async fn call(&self, operation: &'static str, body: Value) -> Result<Value, CallError> {
        let credentials = self.credentials.as_deref().and_then(|id| self.store.get(id));
        let call = LogsCall {
            operation,
            region: self.options.region.clone(),
            endpoint: self.options.endpoint.clone(),
            credentials,
            is_emf: self.options.is_emf && operation == "PutLogEvents",
        };
        self.transport.logs(&call, body).await
    }

    /// Makes the stream, and the group if that is wanted; what is there is success.
    async fn create(&self) -> Result<(), CallError> {
        let named = json!({
            "logGroupName": self.options.group, "logStreamName": self.options.stream
        });
        let error = match self.call("CreateLogStream", named.clone()).await {
            Err(error) if error.code() == "ResourceNotFoundException" => error,
            other => return there(other),
        };
        if !self.options.create_group {
            return Err(error);
        }
        there(self.call("CreateLogGroup", json!({ "logGroupName": self.options.group })).await)?;
        there(self.call("CreateLogStream", named).await)
    }

    async fn ensure(&mut self) -> Result<(), CallError> {
        if !self.exists && self.options.create_stream {
            self.create().await?;
        }
        self.exists = true;
        Ok(())
    }
}

fn there(answer: Result<Value, CallError>) -> Result<(), CallError> {
    match answer {
        Err(error) if error.code() != "ResourceAlreadyExistsException" => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The events of one PutLogEvents, in their order in time, and how many lines they are of.
fn batch(lines: &[Line]) -> (Vec<(i64, &str)>, usize) {
    let mut events: Vec<(i64, &str)> = Vec::new();
    let (mut bytes, mut count) = (0, 0);
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    for line in lines {
        let at = line.at_ns.div_euclid(1_000_000);
        let parts = split(&line.text);
        let added: usize = parts.iter().map(|part| part.len() + EVENT_OVERHEAD_BYTES).sum();
        let (from, to) = (first.min(at), last.max(at));
        let fits = bytes + added <= BATCH_BYTES_MAX
            && events.len() + parts.len() <= BATCH_EVENTS_MAX
            && to - from <= BATCH_SPAN_MS;
        if !fits && count > 0 {
            break;
        }
        (first, last) = (from, to);
        bytes += added;
        count += 1;
        events.extend(parts.into_iter().map(|part| (at, part)));
    }
    events.sort_by_key(|(at, _)| *at);
    (events, count)
}

/// A line's parts, none longer than an event; an empty line has none.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.len() > LINE_BYTES_MAX {
        let mut at = LINE_BYTES_MAX;
        while !rest.is_char_boundary(at) {
            at -= 1;
        }
        let (part, after) = rest.split_at(at);
        parts.push(part);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

#[async_trait]
impl Destination for Awslogs {
    async fn prepare(&mut self) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + START_PATIENCE;
        loop {
            let error = match self.ensure().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let may_pass = matches!(error, CallError::Transport(_)) || is_throttled(&error);
            if !may_pass || tokio::time::Instant::now() >= deadline {
                return Err(format!("failed to create Cloudwatch log stream: {error}"));
            }
            tokio::time::sleep(START_RETRY).await;
        }
    }

    async fn send(&mut self, lines: &[Line]) -> Result<usize, SendError> {
        let later = |error: CallError| SendError::Later(error.to_string());
        let (events, count) = batch(lines);
        if events.is_empty() {
            return Ok(count);
        }
        self.ensure().await.map_err(later)?;
        let events: Vec<Value> = events
            .into_iter()
            .map(|(at, text)| json!({ "timestamp": at, "message": text }))
            .collect();
        let body = json!({
            "logGroupName": self.options.group,
            "logStreamName": self.options.stream,
            "logEvents": events,
        });
        let group = &self.options.group;
        match self.call("PutLogEvents", body).await {
            Ok(answer) => {
                if let Some(rejected) = answer.get("rejectedLogEventsInfo") {
                    tracing::warn!(%group, %rejected, "log events are too old or too new");
                }
                Ok(count)
            }
            Err(error) => match error.code() {
                // The stream may have been deleted; it is made again at the next try.
                "ResourceNotFoundException" => {
                    self.exists = false;
                    Err(later(error))
                }
                "InvalidParameterException" | "ValidationException" => {
                    Err(SendError::Never(error.to_string()))
                }
                _ => Err(later(error)),
            },
        }
    }

    fn pace(&self) -> Pace {
        Pace {
            interval: self.options.interval,
            // Short lines' overhead has room too, and JSON that makes six bytes of each: a request
            // must stay below the 4 MiB that a server takes.
            bytes_max: BATCH_BYTES_MAX / 4,
            lines_max: BATCH_EVENTS_MAX,
        }
    }
}

fn is_throttled(error: &CallError) -> bool {
    let code = error.code();
    code.contains("Throttl") || code.contains("ServiceUnavailable") || code == "InternalFailure"
}

#[cfg(test)]
mod tests {
    use super::super::lines::Source;
    use super::*;

    fn line(at_ms: i64, text: String) -> Line {
        Line { at_ns: at_ms * 1_000_000, source: Source::Stdout, text, start: 0 }
    }

    #[test]
    fn batches_keep_the_limits() {
        let many: Vec<Line> = (0..10_001).map(|n| line(n, "x".to_owned())).collect();
        assert_eq!(batch(&many).1, 10_000);
        let long: Vec<Line> = (0..9).map(|n| line(n, "x".repeat(200_000))).collect();
        assert_eq!(batch(&long).1, 5);
        let days: Vec<Line> = (0..4).map(|n| line(n * BATCH_SPAN_MS / 2, "x".to_owned())).collect();
        assert_eq!(batch(&days).1, 3);
        let lines = [line(5, "b".to_owned()), line(3, "a".to_owned()), line(5, String::new())];
        let (events, count) = batch(&lines);
        assert_eq!((events, count), (vec![(3, "a"), (5, "b")], 3));
        let wide = line(1, "é".repeat(200_000));
        let parts = split(&wide.text);
        assert_eq!(parts.concat(), wide.text);
        assert!(parts.iter().all(|part| part.len() <= LINE_BYTES_MAX));
    }
}
