//! Bodies of answers: the load balancer's own, and a target's on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::plain::Carried;
use crate::targets::Lease;

/// The body of an answer.
pub(crate) enum Answer {
    /// The load balancer's own.
    Own(Option<Bytes>),
    /// A target's.
    Target(Box<Stream>),
    /// A target's, without a library between.
    Carried(Box<Carried>),
}

/// A body that comes from a target.
pub(crate) struct Stream {
    body: Incoming,
    lease: Option<Lease>,
    idle: Duration,
    /// Runs while nothing comes.
    waiting: Option<Pin<Box<Sleep>>>,
}

/// Why a body ends early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The target's connection did.
    Target(hyper::Error),
    /// The same, without a library between.
    Early,
    /// Nothing came for too long.
    Idle,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Target(_) | Self::Early => f.write_str("the target's answer ended early"),
            Self::Idle => f.write_str("nothing came from the target for too long"),
        }
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Target(cause) => Some(cause),
            Self::Early | Self::Idle => None,
        }
    }
}

impl Answer {
    /// These bytes.
    pub(crate) fn own(body: Bytes) -> Self {
        Self::Own(Some(body).filter(|body| !body.is_empty()))
    }

    /// A target's body; its connection is kept once it is whole.
    pub(crate) fn target(body: Incoming, mut lease: Lease, idle: Duration) -> Self {
        if body.is_end_stream() {
            lease.finish();
            return Self::Own(None);
        }
        Self::Target(Box::new(Stream { body, lease: Some(lease), idle, waiting: None }))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Own(body) => Poll::Ready(body.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Target(stream) => stream.poll_frame(cx),
            Self::Carried(carried) => carried.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_none(),
            Self::Target(stream) => stream.body.is_end_stream(),
            Self::Carried(carried) => carried.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => {
                let length = body.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Target(stream) => stream.body.size_hint(),
            Self::Carried(carried) => carried.size_hint(),
        }
    }
}

impl Stream {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = None;
                // The server does not ask again for what it knows to be the end.
                if self.body.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.lease = None;
                Poll::Ready(Some(Err(Broken::Target(error))))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let idle = self.idle;
                let waiting =
                    self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                match waiting.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(Broken::Idle))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn finish(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            lease.finish();
        }
    }
}
