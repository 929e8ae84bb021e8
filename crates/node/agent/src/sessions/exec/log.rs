//! What a session prints, written where the cluster's configuration says: to a log stream, to an
//! object, or to both.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::node::{ExecLog, OpenExec};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::Context;
use super::object::ObjectLog;
use crate::transport::{CallError, LogsCall};

/// Reads of the terminal that wait to be written; then the terminal waits.
const WAITING_MAX: usize = 64;

/// How long output is gathered.
const GATHER: Duration = Duration::from_secs(2);

/// The most bytes of one event, well below what one call takes.
const EVENT_BYTES_MAX: usize = 128 * 1024;

/// How long a log that is away is waited for, and how often it is tried.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// Begins to write; ends when the sender is dropped and all is written, or when it cannot. None if
/// the session is logged nowhere.
pub(super) fn begin(
    context: &Arc<Context>,
    open: &OpenExec,
) -> Option<(mpsc::Sender<Bytes>, JoinHandle<()>)> {
    if open.log.is_none() && open.object.is_none() {
        return None;
    }
    let (sender, output) = mpsc::channel(WAITING_MAX);
    let object = open.object.clone();
    let writer = Writer {
        context: Arc::clone(context),
        log: open.log.clone(),
        object: object.map(|object| ObjectLog::new(Arc::clone(context), &open.task_arn, object)),
    };
    Some((sender, tokio::spawn(writer.write(output))))
}

struct Writer {
    context: Arc<Context>,
    /// None once it could not be written.
    log: Option<ExecLog>,
    /// None once it could not be written.
    object: Option<ObjectLog>,
}

impl Writer {
    async fn write(mut self, mut output: mpsc::Receiver<Bytes>) {
        let made = self.make_stream().await;
        self.keep_log(made);
        while self.log.is_some() || self.object.is_some() {
            let Some(text) = gather(&mut output).await else { break };
            let put = self.put_events(&text).await;
            self.keep_log(put);
            if let Some(object) = &mut self.object {
                let put = object.add(&text).await;
                self.keep_object(put);
            }
        }
        if let Some(object) = &mut self.object {
            let put = object.finish().await;
            self.keep_object(put);
        }
    }

    fn keep_log(&mut self, done: Result<(), CallError>) {
        if let Err(error) = done
            && let Some(ExecLog { group, stream, .. }) = self.log.take()
        {
            tracing::warn!(group, stream, %error, "the output of a session is not logged");
        }
    }

    fn keep_object(&mut self, done: Result<(), CallError>) {
        if let Err(error) = done
            && let Some(object) = self.object.take()
        {
            tracing::warn!(%object, %error, "the output of a session is not logged");
        }
    }

    async fn make_stream(&self) -> Result<(), CallError> {
        let Some(log) = &self.log else { return Ok(()) };
        let named = json!({ "logGroupName": log.group, "logStreamName": log.stream });
        match self.call(log, "CreateLogStream", named).await {
            Err(error) if error.code() != "ResourceAlreadyExistsException" => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn put_events(&self, text: &[u8]) -> Result<(), CallError> {
        let Some(log) = &self.log else { return Ok(()) };
        let event = json!({
            "timestamp": self.context.clock.now().millis(),
            "message": String::from_utf8_lossy(text),
        });
        let body = json!({
            "logGroupName": log.group,
            "logStreamName": log.stream,
            "logEvents": [event],
        });
        self.call(log, "PutLogEvents", body).await
    }

    async fn call(
        &self,
        log: &ExecLog,
        operation: &'static str,
        body: Value,
    ) -> Result<(), CallError> {
        let region = log.region.clone();
        let call = LogsCall { operation, region, endpoint: None, credentials: None, is_emf: false };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.context.transport.logs(&call, body.clone()).await {
                Ok(_) => return Ok(()),
                Err(CallError::Transport(_)) if tokio::time::Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// What comes within a short time; none at the end.
async fn gather(output: &mut mpsc::Receiver<Bytes>) -> Option<Vec<u8>> {
    let mut text = output.recv().await?.to_vec();
    let until = tokio::time::sleep(GATHER);
    tokio::pin!(until);
    while text.len() < EVENT_BYTES_MAX {
        tokio::select! {
            biased;
            () = &mut until => break,
            more = output.recv() => match more {
                Some(more) => text.extend_from_slice(&more),
                None => break,
            },
        }
    }
    Some(text)
}
