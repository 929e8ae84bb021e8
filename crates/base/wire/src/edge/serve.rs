//! Connections: accepting, limits, and a clean end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Version;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Link, Watched};
use super::counters::count;
use super::file::{Lane, Sending};
use super::{Edge, EdgeLimits, intake};
use crate::tls::{self, Connection};

/// A TLS handshake must be done after this long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head in HTTP/1, in bytes. AWS's session tokens are below 4 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The largest head in HTTP/2.
const MAX_HTTP2_HEAD_BYTES: u32 = 16 * 1024;
/// The most headers of one request.
const MAX_HEADERS: usize = 128;
/// Requests at a time on one connection of HTTP/2.
const MAX_STREAMS: u32 = 64;
/// Streams that a client opened and reset before they were looked at; more end the connection
/// (CVE-2023-44487, "rapid reset").
const MAX_RESET_STREAMS: usize = 20;
/// Bytes of a body that a client may send ahead of what was read, on one stream ...
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// ... and on all streams of one connection.
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of an answer that wait on one stream for the client's window.
const STREAM_SEND_BYTES: usize = 64 * 1024;
/// How long to wait after accepting failed, mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

impl Edge {
    /// Serves connections of `listener` until `shutdown` is cancelled; then accepts no more, lets
    /// requests under way end for up to [`EdgeLimits::drain`] and returns. Upgraded connections
    /// belong to their handlers.
    ///
    /// # Errors
    /// None today; accepting goes on after errors of single connections.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let tracker = TaskTracker::new();
        let connections = Arc::clone(&self.0.connections);
        let builder = Arc::new(connection_builder(&connections.limits));
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, source) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Those that wait in the backlog get the descriptors of idle connections.
                    let closed = connections.relieve();
                    count(&connections.counters.accept_failures);
                    tracing::warn!(%error, closed, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let Some(link) = connections.open(source.ip()) else {
                tracing::debug!(%source, "all connections are at work; one more is refused");
                continue;
            };
            meters::edge().accepted.inc();
            let (edge, builder, shutdown) = (self.clone(), Arc::clone(&builder), shutdown.clone());
            tracker.spawn(async move {
                meters::edge().connections.inc();
                tokio::select! {
                    biased;
                    () = link.end.cancelled() => tracing::debug!(%source, "closed to make room"),
                    () = edge.accepted(&builder, stream, source, shutdown, &link) => {}
                }
                link.close();
                meters::edge().connections.dec();
            });
        }
        drop(listener);
        tracker.close();
        if tokio::time::timeout(connections.limits.drain, tracker.wait()).await.is_err() {
            tracing::warn!(connections = tracker.len(), "connections did not end in time");
        }
        Ok(())
    }

    /// Serves one connection, within TLS if the edge has a certificate.
    async fn accepted(
        self,
        builder: &Builder<TokioExecutor>,
        stream: TcpStream,
        source: SocketAddr,
        shutdown: CancellationToken,
        link: &Arc<Link>,
    ) {
        // Answers are small and complete: they shall not wait for more.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.0.tls.clone() else {
            let (stream, lane) = Sending::new(stream);
            let known = (Connection::default(), Some(lane));
            return self.connection(builder, stream, known, source, shutdown, link).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
        let handshake = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            done = handshake => done,
        };
        match handshake {
            Ok(Ok((stream, known))) => {
                let known = (known, None);
                self.connection(builder, stream, known, source, shutdown, link).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, %source, "no TLS with this client"),
            Err(_) => tracing::debug!(%source, "the client did not end its TLS handshake in time"),
        }
    }

    /// Serves one connection to its end.
    async fn connection<S>(
        self,
        builder: &Builder<TokioExecutor>,
        stream: S,
        (known, lane): (Connection, Option<Lane>),
        source: SocketAddr,
        shutdown: CancellationToken,
        link: &Arc<Link>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let idle = self.0.connections.limits.idle;
        let (stream, heard) = (Watched::new(stream, Arc::clone(link)), Arc::clone(link));
        let service = service_fn(move |mut request| {
            tls::enter(&known, &mut request);
            let (edge, exchange) = (self.clone(), heard.begin(intake::head_bytes(&request)));
            // HTTP/2 writes pieces of several answers in turn.
            let lane = lane.clone().filter(|_| request.version() < Version::HTTP_2);
            async move {
                let Some(exchange) = exchange else { return Ok(intake::no_memory()) };
                request.extensions_mut().insert(exchange);
                let response = edge.handle(request, Some(source)).await;
                Ok::<_, Infallible>(match lane {
                    Some(lane) => response.map(|body| body.over(&lane)),
                    None => response,
                })
            }
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // hyper limits the time of a head only once it knows the protocol: a client that sends
        // nothing, or half of HTTP/2's preface, would stay for ever.
        let first_head = async {
            tokio::time::sleep(idle).await;
            if link.has_spoken() {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = first_head => {
                meters::edge().cut_off.get_or_create(&meters::Reason { reason: "no_request" }).inc();
                tracing::debug!(%source, "the client sent no request in time");
                return;
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %source, "the connection broke");
        }
    }
}

fn connection_builder(limits: &EdgeLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HTTP2_HEAD_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(STREAM_SEND_BYTES)
        .keep_alive_interval(limits.idle);
    builder
}
