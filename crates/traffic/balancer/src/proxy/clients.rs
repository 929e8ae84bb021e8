//! Connections of clients: plain or with TLS, HTTP/1.1 or HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::answer;
use super::answer::{Answer, Broken};
use super::desync::{Guarded, Requests, UnderWay};
use super::log::Entry;
use super::{h2, plain};
use crate::gathering::Gathered;
use crate::inbound::Inbound;
use crate::listening::Plan;
use crate::{streams, tls};

/// Largest head of a request (Application Load Balancer guide, "Quotas"), in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Most bytes that are kept of a client of HTTP/1: a head as it is written anew, and more.
const BUFFER_MAX: usize = 4 * HEAD_MAX;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The pause after the system gave no connection, for lack of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A listener's plan, which may change while connections are open.
pub(super) type Plans = Arc<ArcSwap<Plan>>;

/// Who sends requests over a connection.
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    /// Version and cipher, by OpenSSL's names, if it came with TLS.
    pub(crate) tls: Option<(&'static str, &'static str)>,
    /// The name that it asked for with TLS; kept only if requests are written down.
    pub(crate) server_name: Option<Arc<str>>,
    /// The requests of its connection.
    pub(crate) requests: Arc<Requests>,
    /// From when on its connection is to end.
    pub(super) ends_at: Instant,
}

impl Client {
    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Whether its connection has lasted as long as it may.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.ends_at
    }
}

/// Takes connections until `closing`. Those that have come by then are served once more each.
pub(crate) async fn accept(listener: TcpListener, plan: Plans, closing: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take(stream, peer, &plan, Some(closing.clone())),
            Err(error) => {
                tracing::warn!(%error, "a load balancer got no connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while let Some(Ok((stream, peer))) = waiting(&listener).await {
        take(stream, peer, &plan, None);
    }
}

/// A connection that waits to be accepted, if there is one.
async fn waiting(listener: &TcpListener) -> Option<std::io::Result<(TcpStream, SocketAddr)>> {
    std::future::poll_fn(|cx| match listener.poll_accept(cx) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Serves a connection, which ends with `closing`; without it, with its first answer.
fn take(stream: TcpStream, peer: SocketAddr, plan: &Plans, closing: Option<CancellationToken>) {
    plan.load().counts.connection();
    if plan.load().is_stream {
        // Whoever refuses this has closed the connection, which reading tells.
        let _ = stream.set_nodelay(true);
        tokio::spawn(streams::serve(stream, peer, plan.clone()));
    } else {
        tokio::spawn(serve(stream, peer, plan.clone(), closing));
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    plan: Plans,
    closing: Option<CancellationToken>,
) {
    // Whoever refuses this has closed the connection, which reading tells.
    let _ = stream.set_nodelay(true);
    let now = plan.load_full();
    let life = if closing.is_some() { now.settings.client_life } else { Duration::ZERO };
    let (ends_at, closing) = (Instant::now() + life, closing.unwrap_or_default());
    let requests = Arc::new(Requests::new());
    let Some(secure) = &now.secure else {
        let client = Client { peer, tls: None, server_name: None, requests, ends_at };
        let client = Arc::new(client);
        return serve_http1(stream, client, plan, closing).await;
    };
    let shaken = TlsAcceptor::from(secure.config.clone()).accept(stream);
    // What TLS needs is kept apart, so that connections without it are small.
    let stream = match tokio::time::timeout(HANDSHAKE, Box::pin(shaken)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, %peer, "a handshake failed"),
        Err(_) => return tracing::debug!(%peer, "a handshake took too long"),
    };
    let server_name = stream.get_ref().1.server_name().filter(|_| now.log.is_some());
    let server_name = server_name.map(Arc::from);
    let client = Client { peer, tls: Some(agreed(&stream)), server_name, requests, ends_at };
    let client = Arc::new(client);
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Box::pin(h2::serve(stream, client, plan, closing)).await,
        _ => Box::pin(serve_http1(stream, client, plan, closing)).await,
    }
}

fn agreed(stream: &TlsStream<TcpStream>) -> (&'static str, &'static str) {
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().map_or("-", tls::version_name);
    let cipher = session.negotiated_cipher_suite();
    (version, cipher.map_or("-", |cipher| tls::cipher_name(cipher.suite())))
}

async fn serve_http1<S>(stream: S, client: Arc<Client>, plan: Plans, closing: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let left = plain::serve(stream, &client, &plan, &closing).await;
    if let Some(left) = left {
        // What hyper needs is kept apart, so that connections without it are small.
        Box::pin(serve_guarded(left, client, plan, closing)).await;
    }
}

/// Serves a connection of which something has been read.
async fn serve_guarded<S>(
    (stream, held): (S, Vec<u8>),
    client: Arc<Client>,
    plan: Plans,
    closing: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let idle = plan.load().settings.idle;
    let plans = plan.clone();
    let mut builder = http1::Builder::new();
    // Time-outs are the guard's.
    builder.preserve_header_case(true).title_case_headers(true).max_buf_size(BUFFER_MAX);
    let of_requests = client.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (plan, client) = (plan.load_full(), of_requests.clone());
        let under_way = client.requests.begin();
        // Hyper moves it about, and keeps room for one in each connection of HTTP/1.
        Box::pin(async move {
            let request = request.map(Inbound::Library);
            let (response, entry) = answer(request, &client, &plan, &under_way).await;
            Ok::<_, Infallible>(response.map(|body| Counted::new(body, entry, under_way)))
        })
    });
    let stream = Guarded::new(stream, held, (plans, client.clone()), idle);
    let connection =
        builder.serve_connection(TokioIo::new(Gathered::new(stream)), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, peer = %client.peer, "a connection of a client ended");
    }
}

/// An answer's body that tells when it has ended.
pub(super) struct Counted {
    body: Answer,
    entry: Option<Box<Entry>>,
    _under_way: UnderWay,
}

impl Counted {
    /// This body of a request's answer, with what is written down of it.
    pub(super) fn new(body: Answer, entry: Option<Box<Entry>>, under_way: UnderWay) -> Self {
        Self { body, entry, _under_way: under_way }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let (Some(entry), Poll::Ready(Some(Ok(frame)))) = (&mut this.entry, &polled) {
            entry.send(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
