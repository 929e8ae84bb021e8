//! What a session prints, written to a log stream as the cluster's configuration says.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::node::ExecLog;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::Context;
use crate::transport::{CallError, LogsCall};

/// Reads of the terminal that wait to be written; then the terminal waits.
const WAITING_MAX: usize = 64;

/// How long output is gathered.
const GATHER: Duration = Duration::from_secs(2);

/// The most bytes of one event, well below what one call takes.
const EVENT_BYTES_MAX: usize = 128 * 1024;

/// How long a log that is away is waited for, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);

/// Begins to write; ends when the sender is dropped and all is written, or when it cannot.
pub(super) fn begin(context: Arc<Context>, log: ExecLog) -> (mpsc::Sender<Bytes>, JoinHandle<()>) {
    let (sender, output) = mpsc::channel(WAITING_MAX);
    let writing = tokio::spawn(async move {
        let (group, stream) = (log.group.clone(), log.stream.clone());
        if let Err(error) = (Writer { context, log }).write(output).await {
            tracing::warn!(group, stream, %error, "the output of a session is not logged");
        }
    });
    (sender, writing)
}

struct Writer {
    context: Arc<Context>,
    log: ExecLog,
}

impl Writer {
    async fn write(&self, mut output: mpsc::Receiver<Bytes>) -> Result<(), CallError> {
        let named = json!({ "logGroupName": self.log.group, "logStreamName": self.log.stream });
        match self.call("CreateLogStream", named).await {
            Err(error) if error.code() != "ResourceAlreadyExistsException" => return Err(error),
            Ok(()) | Err(_) => {}
        }
        while let Some(first) = output.recv().await {
            let mut text = first.to_vec();
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
            let event = json!({
                "timestamp": self.context.clock.now().millis(),
                "message": String::from_utf8_lossy(&text),
            });
            let body = json!({
                "logGroupName": self.log.group,
                "logStreamName": self.log.stream,
                "logEvents": [event],
            });
            self.call("PutLogEvents", body).await?;
        }
        Ok(())
    }

    async fn call(&self, operation: &'static str, body: Value) -> Result<(), CallError> {
        let region = self.log.region.clone();
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
