//! Connections to a target that are kept for the next request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::TargetState;

/// Most connections to one target that are kept unused.
const IDLE_MAX: usize = 512;
/// How long they are kept: less than what usual servers keep them for, so that it is seldom the
/// target who closes one.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection may take to come about (Application Load Balancer guide, "HTTP 504").
const CONNECT: Duration = Duration::from_secs(10);
/// Largest head of an answer (Application Load Balancer guide, "Quotas"), in bytes.
const HEAD_MAX: usize = 64 * 1024;

/// Unused connections, the youngest last.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<(SendRequest<Upload>, Instant)>>,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connecting {
    /// Refused, reset, no route.
    Failed,
    /// It took too long.
    Timeout,
}

impl Pool {
    fn take(&self) -> Option<SendRequest<Upload>> {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        while let Some((sender, since)) = idle.pop() {
            if !sender.is_closed() && sender.is_ready() && now - since < IDLE {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, sender: SendRequest<Upload>) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push((sender, Instant::now()));
        }
    }

    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        self.idle.lock().retain(|(sender, since)| !sender.is_closed() && now - *since < IDLE);
    }
}

/// A connection to a target in use for one request. It is kept afterwards if it was
/// [`Lease::finish`]ed, else closed.
pub(crate) struct Lease {
    target: Arc<TargetState>,
    /// None once it is given up.
    sender: Option<SendRequest<Upload>>,
    /// Whether requests went over it before.
    pub(crate) reused: bool,
    finished: bool,
}

impl Lease {
    /// A connection to the target: one that is kept, unless `fresh`, else a new one.
    ///
    /// # Errors
    /// [`Connecting`] if none comes about.
    pub(crate) async fn take(target: Arc<TargetState>, fresh: bool) -> Result<Self, Connecting> {
        let kept = if fresh { None } else { target.pool.take() };
        let reused = kept.is_some();
        let sender = match kept {
            Some(sender) => sender,
            None => connect(&target).await?,
        };
        target.outstanding.fetch_add(1, Ordering::Relaxed);
        Ok(Self { target, sender: Some(sender), reused, finished: false })
    }

    /// What requests are sent with.
    pub(crate) fn sender(&mut self) -> &mut SendRequest<Upload> {
        self.sender.as_mut().expect("it is given up only when it is dropped")
    }

    /// The answer is there, whole.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.target.outstanding.fetch_sub(1, Ordering::Relaxed);
        if let Some(sender) =
            self.sender.take().filter(|sender| self.finished && !sender.is_closed())
        {
            self.target.pool.keep(sender);
        }
    }
}

async fn connect(target: &TargetState) -> Result<SendRequest<Upload>, Connecting> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(target.address())).await;
    let stream = stream.map_err(|_| Connecting::Timeout)?.map_err(|_| Connecting::Failed)?;
    // Whoever refuses this has closed the connection, which the first request tells.
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new();
    builder.preserve_header_case(true).title_case_headers(true).max_buf_size(HEAD_MAX);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|_| Connecting::Failed)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a target ended");
        }
    });
    Ok(sender)
}

/// A request's body on its way to a target, which tells that it moves.
pub(crate) struct Upload {
    /// None if there is none.
    body: Option<Incoming>,
    moved: Arc<AtomicBool>,
}

impl Upload {
    /// This body; `moved` is set with each part of it.
    pub(crate) fn new(body: Option<Incoming>, moved: Arc<AtomicBool>) -> Self {
        Self { body, moved }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if polled.is_ready() {
            this.moved.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}
