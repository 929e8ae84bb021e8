//! Connections to a target without a library's machinery: who has one writes and reads itself, on its
//! own task.

use std::io::ErrorKind;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::TargetState;
use super::pool::{Connecting, Counted, reach};
use crate::gathering::Gathered;

/// A connection's stream.
pub(crate) type Stream = Gathered<TcpStream>;

/// A connection to a target, in use for one request, which counts as under way until this is dropped.
/// It is closed then, unless it was [`Wire::keep`]t.
pub(crate) struct Wire {
    target: Counted,
    pub(crate) stream: Stream,
    /// Whether requests went over it before.
    pub(crate) reused: bool,
}

impl Wire {
    /// A connection to the target: one that is kept, unless `fresh`, else a new one.
    ///
    /// # Errors
    /// [`Connecting`] if none comes about.
    pub(crate) async fn take(target: Arc<TargetState>, fresh: bool) -> Result<Self, Connecting> {
        let target = Counted::begin(target);
        // It may have been told to be idle between the choice and the count. One that was tried
        // before is the only one that there is.
        if !fresh && target.0.is_leaving() {
            return Err(Connecting::Failed);
        }
        let kept = if fresh { None } else { target.0.pool.wire() };
        if let Some(stream) = kept {
            return Ok(Self { target, stream, reused: true });
        }
        // Seldom, and much larger than all else that a request keeps while it waits.
        let stream = Gathered::new(Box::pin(reach(&target.0)).await?);
        Ok(Self { target, stream, reused: false })
    }

    /// The answer is there, whole, and nothing behind it: the connection may be used again.
    pub(crate) fn keep(self) {
        let Self { target, stream, .. } = self;
        target.0.pool.keep_wire(stream);
    }
}

/// Whether the other end has neither closed it nor said anything. Asks the system only if there may be
/// something.
pub(super) fn is_silent(stream: &Stream) -> bool {
    let read = stream.get_ref().try_read(&mut [0; 1]);
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}
