//! Connections to a target that are kept for the next request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::TargetState;
use super::wire::{self, Stream};
use crate::config::Speaks;
use crate::gathering::Gathered;
use crate::inbound::{Inbound, Lost};
use crate::tls;

/// Most connections to one target that are kept unused.
const IDLE_MAX: usize = 512;
/// How long they are kept: less than what usual servers keep them for, so that it is seldom the
/// target who closes one.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection may take to come about (Application Load Balancer guide, "HTTP 504").
const CONNECT: Duration = Duration::from_secs(10);
/// Largest head of an answer (Application Load Balancer guide, "Quotas"), in bytes.
const HEAD_MAX: usize = 64 * 1024;

/// Most requests at the same time over one connection of HTTP/2 to a target: less than what usual
/// servers allow.
const STREAMS_MAX: usize = 100;

/// Connections that are kept for the next requests.
#[derive(Default)]
pub(crate) struct Pool {
    /// Unused ones of HTTP/1.1, the youngest last.
    idle: Mutex<Vec<(http1::SendRequest<Upload>, Instant)>>,
    /// Unused ones without a library's machinery, likewise.
    wires: Mutex<Vec<(Stream, Instant)>>,
    /// Those of HTTP/2, used or not.
    shared: Mutex<Vec<Shared>>,
}

/// A connection of HTTP/2, which many requests use at the same time.
#[derive(Clone)]
struct Shared {
    sender: http2::SendRequest<Upload>,
    under_way: Arc<AtomicUsize>,
}

/// What requests are sent with.
enum Sender {
    Http1(http1::SendRequest<Upload>),
    Http2(Shared),
}

/// What was not sent: the request, if the target got nothing of it.
pub(crate) struct Unsent(pub(crate) Option<Request<Upload>>);

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connecting {
    /// Refused, reset, no route.
    Failed,
    /// It took too long.
    Timeout,
}

impl Pool {
    fn take(&self, speaks: Speaks) -> Option<Sender> {
        match speaks {
            Speaks::Bytes => None,
            Speaks::Http1 => self.unused().map(Sender::Http1),
            Speaks::Http2 | Speaks::Grpc => self.roomy().map(Sender::Http2),
        }
    }

    fn unused(&self) -> Option<http1::SendRequest<Upload>> {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        while let Some((sender, since)) = idle.pop() {
            if !sender.is_closed() && sender.is_ready() && now - since < IDLE {
                return Some(sender);
            }
        }
        None
    }

    /// An unused connection that is still open, and says nothing.
    pub(super) fn wire(&self) -> Option<Stream> {
        let mut wires = self.wires.lock();
        let now = Instant::now();
        while let Some((stream, since)) = wires.pop() {
            if now - since < IDLE && wire::is_silent(&stream) {
                return Some(stream);
            }
        }
        None
    }

    pub(super) fn keep_wire(&self, stream: Stream) {
        let mut wires = self.wires.lock();
        if wires.len() < IDLE_MAX {
            wires.push((stream, Instant::now()));
        }
    }

    /// One with room for another request.
    fn roomy(&self) -> Option<Shared> {
        let mut shared = self.shared.lock();
        shared.retain(|one| !one.sender.is_closed());
        let has_room = |one: &&Shared| one.under_way.load(Ordering::Relaxed) < STREAMS_MAX;
        shared.iter().find(has_room).cloned()
    }

    fn keep(&self, sender: http1::SendRequest<Upload>) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push((sender, Instant::now()));
        }
    }

    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        self.idle.lock().retain(|(sender, since)| !sender.is_closed() && now - *since < IDLE);
        self.wires.lock().retain(|(one, since)| now - *since < IDLE && wire::is_silent(one));
        self.shared.lock().retain(|one| !one.sender.is_closed());
    }
}

/// A request that is under way to a target, from before there is a connection for it.
pub(super) struct Counted(pub(super) Arc<TargetState>);

impl Counted {
    pub(super) fn begin(target: Arc<TargetState>) -> Self {
        target.outstanding.fetch_add(1, Ordering::SeqCst);
        Self(target)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// A connection to a target in use for one request. One of HTTP/1.1 is kept afterwards if it was
/// [`Lease::finish`]ed, else closed.
pub(crate) struct Lease {
    target: Counted,
    /// None once it is given up.
    sender: Option<Sender>,
    /// Whether requests went over it before.
    pub(crate) reused: bool,
    /// Whether it may be kept.
    keeps: bool,
    finished: bool,
}

impl Lease {
    /// A connection to the target: one that is kept, unless `fresh`, else a new one. One of HTTP/1.1
    /// is not kept afterwards if it `is_last`.
    ///
    /// # Errors
    /// [`Connecting`] if none comes about.
    pub(crate) async fn take(
        target: Arc<TargetState>,
        fresh: bool,
        is_last: bool,
    ) -> Result<Self, Connecting> {
        let counted = Counted::begin(target);
        // It may have been told to be idle between the choice and the count. One that was tried
        // before is the only one that there is.
        if !fresh && counted.0.is_leaving() {
            return Err(Connecting::Failed);
        }
        let kept = if fresh { None } else { counted.0.pool.take(counted.0.speaks) };
        let reused = kept.is_some();
        let sender = match kept {
            Some(sender) => sender,
            // Seldom, and much larger than all else that a request keeps while it waits.
            None => Box::pin(connect(&counted.0)).await?,
        };
        if let Sender::Http2(shared) = &sender {
            shared.under_way.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Self { target: counted, sender: Some(sender), reused, keeps: !is_last, finished: false })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`Unsent`] if no answer comes.
    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, Unsent> {
        let sender = self.sender.as_mut().expect("it is given up only when it is dropped");
        let sent = match sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(shared) => shared.sender.try_send_request(request).await,
        };
        sent.map_err(|mut error| Unsent(error.take_message()))
    }

    /// The answer is there, whole.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.sender.take() {
            Some(Sender::Http1(sender)) if self.finished && self.keeps && !sender.is_closed() => {
                self.target.0.pool.keep(sender);
            }
            Some(Sender::Http2(shared)) => drop(shared.under_way.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

/// A new connection, without anything said.
pub(super) async fn reach(target: &TargetState) -> Result<TcpStream, Connecting> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(target.address())).await;
    let stream = stream.map_err(|_| Connecting::Timeout)?.map_err(|_| Connecting::Failed)?;
    // Whoever refuses this has closed the connection, which the first request tells.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn connect(target: &TargetState) -> Result<Sender, Connecting> {
    let stream = reach(target).await?;
    if !target.tls {
        return shake(target, stream).await;
    }
    let name = ServerName::IpAddress(target.address().ip().into());
    let shaken = tls::connector(target.speaks).connect(name, stream);
    let stream = tokio::time::timeout(CONNECT, shaken).await;
    shake(target, stream.map_err(|_| Connecting::Timeout)?.map_err(|_| Connecting::Failed)?).await
}

async fn shake<S>(target: &TargetState, stream: S) -> Result<Sender, Connecting>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(Gathered::new(stream));
    if target.speaks == Speaks::Http1 {
        let mut builder = http1::Builder::new();
        builder.preserve_header_case(true).title_case_headers(true).max_buf_size(HEAD_MAX);
        let shaken = builder.handshake(io).await;
        let (sender, connection) = shaken.map_err(|_| Connecting::Failed)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a target ended");
            }
        });
        return Ok(Sender::Http1(sender));
    }
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    let (sender, connection) = builder.handshake(io).await.map_err(|_| Connecting::Failed)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a target ended");
        }
    });
    let shared = Shared { sender, under_way: Arc::default() };
    target.pool.shared.lock().push(shared.clone());
    Ok(Sender::Http2(shared))
}

/// How a request's body goes on.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Set with each part of it.
    pub(crate) moved: AtomicBool,
    /// Whether it ended early.
    pub(crate) failed: AtomicBool,
    /// How many bytes it had until now.
    pub(crate) bytes: AtomicU64,
}

/// A request's body on its way to a target, which tells that it moves.
pub(crate) struct Upload {
    /// None if there is none.
    body: Option<Inbound>,
    flow: Arc<Flow>,
}

impl Upload {
    /// This body.
    pub(crate) fn new(body: Option<Inbound>, flow: Arc<Flow>) -> Self {
        Self { body, flow }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Lost;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Lost>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => this.flow.failed.store(true, Ordering::Relaxed),
            Poll::Ready(Some(Ok(frame))) => {
                let here = frame.data_ref().map_or(0, Bytes::len);
                let here = u64::try_from(here).unwrap_or(u64::MAX);
                this.flow.bytes.fetch_add(here, Ordering::Relaxed);
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        if polled.is_ready() {
            this.flow.moved.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Inbound::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Inbound::size_hint)
    }
}
