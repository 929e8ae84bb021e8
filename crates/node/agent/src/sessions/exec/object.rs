//! A session's output as an object of S3: S3 cannot add to one, so it is kept until the session ends,
//! and what is more than one object may hold begins the next.

use std::fmt;
use std::sync::Arc;

use agent_protocol::node::ExecObject;
use bytes::Bytes;
use terms::TaskArn;

use super::super::Context;
use super::log::{PATIENCE, RETRY};
use crate::transport::{CallError, ObjectToPut};

/// The most bytes of one object, and so of a session's output in memory. With
/// [`MAX_SESSIONS`](agent_protocol::exec::MAX_SESSIONS) sessions that is 1 GiB at the worst.
const OBJECT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The objects of one session.
pub(super) struct ObjectLog {
    context: Arc<Context>,
    region: String,
    /// The task's role writes them, as on ECS.
    credentials_id: Option<String>,
    object: ExecObject,
    /// Objects that were written.
    count: usize,
    held: Vec<u8>,
}

impl fmt::Display for ObjectLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.object.bucket, self.object.key)
    }
}

impl ObjectLog {
    /// Nothing is written yet.
    pub(super) fn new(context: Arc<Context>, task: &TaskArn, object: ExecObject) -> Self {
        let known = context.view.task(task);
        let role = known.and_then(|known| known.task.role_credentials.clone());
        Self {
            context,
            region: task.region.to_string(),
            credentials_id: role.map(|role| role.credentials_id),
            object,
            count: 0,
            held: Vec::new(),
        }
    }

    /// Takes more output; writes an object when it is full.
    pub(super) async fn add(&mut self, text: &[u8]) -> Result<(), CallError> {
        self.held.extend_from_slice(text);
        match self.held.len() >= OBJECT_BYTES_MAX {
            true => self.put().await,
            false => Ok(()),
        }
    }

    /// Writes what is left.
    pub(super) async fn finish(&mut self) -> Result<(), CallError> {
        match self.held.is_empty() {
            true => Ok(()),
            false => self.put().await,
        }
    }

    async fn put(&mut self) -> Result<(), CallError> {
        let body = Bytes::from(std::mem::take(&mut self.held));
        let key = numbered(&self.object.key, self.count);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            // Each time anew: they are exchanged while the task lives.
            let id = self.credentials_id.as_deref();
            let credentials = id.and_then(|id| self.context.credentials.get(id));
            let object = ObjectToPut {
                credentials: credentials.as_ref(),
                region: &self.region,
                bucket: &self.object.bucket,
                key: &key,
                body: &body,
            };
            match self.context.transport.put_object(object).await {
                Ok(()) => break,
                Err(CallError::Transport(_)) if tokio::time::Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RETRY).await;
        }
        self.count += 1;
        Ok(())
    }
}

/// The key of an object that follows others: `ID.log`, `ID.1.log`, ….
fn numbered(key: &str, count: usize) -> String {
    match (count, key.strip_suffix(".log")) {
        (0, _) => key.to_owned(),
        (_, Some(stem)) => format!("{stem}.{count}.log"),
        (_, None) => format!("{key}.{count}"),
    }
}
