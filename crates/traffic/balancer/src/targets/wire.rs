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

/// A connection that is there, or is to be made.
pub(crate) enum Begun {
    Kept(Wire),
    New(Unmade),
}

/// A request that is under way to a target to which there is no connection yet.
pub(crate) struct Unmade(Counted);

impl Unmade {
    /// Makes the connection.
    ///
    /// # Errors
    /// [`Connecting`] if none comes about.
    pub(crate) async fn make(self) -> Result<Wire, Connecting> {
        let stream = Gathered::new(reach(&self.0.0).await?);
        Ok(Wire { target: self.0, stream, reused: false })
    }
}

impl Wire {
    /// A connection to the target: one that is kept, unless `fresh`, else a new one.
    ///
    /// # Errors
    /// [`Connecting`] if none comes about.
    pub(crate) async fn take(target: Arc<TargetState>, fresh: bool) -> Result<Self, Connecting> {
        match Self::begin(target, fresh)? {
            Begun::Kept(wire) => Ok(wire),
            // Seldom, and much larger than all else that a request keeps while it waits.
            Begun::New(unmade) => Box::pin(unmade.make()).await,
        }
    }

    /// The same, for one who makes a new one as it likes.
    ///
    /// # Errors
    /// [`Connecting`] if none comes about.
    pub(crate) fn begin(target: Arc<TargetState>, fresh: bool) -> Result<Begun, Connecting> {
        let target = Counted::begin(target);
        // It may have been told to be idle between the choice and the count. One that was tried
        // before is the only one that there is.
        if !fresh && target.0.is_leaving() {
            return Err(Connecting::Failed);
        }
        let kept = if fresh { None } else { target.0.pool.wire() };
        Ok(match kept {
            Some(stream) => Begun::Kept(Self { target, stream, reused: true }),
            None => Begun::New(Unmade(target)),
        })
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
