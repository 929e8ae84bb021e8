//! A body that goes on to another server as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Body;
use super::body::BodyError;

/// A body that may be sent on, and comes back if nobody has read of it.
#[derive(Clone)]
pub(super) struct Lent(Arc<Mutex<State>>);

struct State {
    body: Body,
    is_touched: bool,
    moved_at: Instant,
}

impl Lent {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State { body, is_touched: false, moved_at: Instant::now() })))
    }

    /// The body as a request's: reading that is reading this.
    pub(super) fn to_send(&self) -> Body {
        Body::stream(self.clone())
    }

    /// Whether something of it has been read.
    pub(super) fn is_touched(&self) -> bool {
        self.0.lock().is_touched
    }

    /// When something was read last.
    pub(super) fn moved_at(&self) -> Instant {
        self.0.lock().moved_at
    }

    /// The body, which nobody reads any more.
    pub(super) fn back(&self) -> Body {
        std::mem::replace(&mut self.0.lock().body, Body::empty())
    }
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.0.lock();
        let polled = Pin::new(&mut state.body).poll_frame(cx);
        if let Poll::Ready(frame) = &polled {
            state.is_touched |= frame.is_some();
            state.moved_at = Instant::now();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.size_hint()
    }
}
