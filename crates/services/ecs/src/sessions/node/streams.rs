//! Streams that were asked for and have not been opened yet.

use std::collections::HashMap;
use std::sync::Arc;

use agent_protocol::node::LogLine;
use parking_lot::Mutex;
use terms::{ContainerInstanceArn, Uuid};
use tokio::sync::{mpsc, oneshot};

/// The most streams that may wait for their agents at a time, over all instances.
const WAITING_MAX: usize = 1024;

/// Groups of lines that may wait for a client that reads slowly; then the agent waits too.
pub(crate) const GROUPS_MAX: usize = 16;

/// What comes out of a stream: groups of lines, then perhaps why it ended early.
pub(crate) type Lines = mpsc::Receiver<Result<Vec<LogLine>, String>>;

/// Why there is no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamError {
    /// [`WAITING_MAX`] is reached.
    #[error("{WAITING_MAX} streams wait for their agents already; try again in a moment")]
    TooMany,
    /// The agent said no.
    #[error("the agent refused: {0}")]
    Refused(String),
}

/// Where an opened stream goes.
pub(crate) type Opened = oneshot::Sender<Result<Lines, StreamError>>;

/// The streams that wait, by id.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    waiting: Mutex<HashMap<Uuid, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    instance: ContainerInstanceArn,
    opened: Opened,
}

/// A stream that is waited for; gives up its place when dropped.
#[derive(Debug)]
pub(crate) struct Expected {
    streams: Arc<Streams>,
    id: Uuid,
    opened: oneshot::Receiver<Result<Lines, StreamError>>,
}

impl Streams {
    /// Expects the agent of `instance` to open the stream `id`.
    ///
    /// # Errors
    /// [`StreamError::TooMany`].
    pub(crate) fn expect(
        self: &Arc<Self>,
        id: Uuid,
        instance: ContainerInstanceArn,
    ) -> Result<Expected, StreamError> {
        let (sender, opened) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX {
            return Err(StreamError::TooMany);
        }
        waiting.insert(id, Waiting { instance, opened: sender });
        Ok(Expected { streams: self.clone(), id, opened })
    }

    /// The instance whose agent may open the stream, if somebody waits for it.
    pub(crate) fn instance(&self, id: Uuid) -> Option<ContainerInstanceArn> {
        self.waiting.lock().get(&id).map(|waiting| waiting.instance.clone())
    }

    /// Takes the stream's place: its agent has come. None if nobody waits any more.
    pub(crate) fn take(&self, id: Uuid) -> Option<Opened> {
        self.waiting.lock().remove(&id).map(|waiting| waiting.opened)
    }

    /// The agent will not open the stream.
    pub(crate) fn refused(&self, id: Uuid, reason: String) {
        if let Some(opened) = self.take(id) {
            // Nobody listens if the client has gone meanwhile.
            let _ = opened.send(Err(StreamError::Refused(reason)));
        }
    }
}

impl Expected {
    /// Waits for the stream; none if its agent went away.
    pub(crate) async fn opened(&mut self) -> Option<Result<Lines, StreamError>> {
        (&mut self.opened).await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.streams.waiting.lock().remove(&self.id);
    }
}
