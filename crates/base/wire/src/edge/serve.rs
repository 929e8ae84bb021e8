//! Connections: accepting, limits, and a clean end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Edge;
use crate::tls::{self, Connection};

/// At most this many connections are served at once; others wait to be accepted.
const MAX_CONNECTIONS: usize = 16_384;
/// A client that has not sent a whole head after this long is cut off; idle ones too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A TLS handshake must be done after this long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head, in bytes. AWS's session tokens are below 4 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most headers of one request.
const MAX_HEADERS: usize = 128;
/// How long requests under way may take to end after the shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after accepting failed, mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

impl Edge {
    /// Serves connections of `listener` until `shutdown` is cancelled; then accepts no more, lets
    /// requests under way end for up to ten seconds and returns. Upgraded connections belong to
    /// their handlers.
    ///
    /// # Errors
    /// None today; accepting goes on after errors of single connections.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let tracker = TaskTracker::new();
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let builder = Arc::new(connection_builder());
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = accept(&listener, &permits) => accepted,
            };
            let (stream, source, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            meters::edge().accepted.inc();
            let (edge, builder, shutdown) = (self.clone(), Arc::clone(&builder), shutdown.clone());
            tracker.spawn(async move {
                meters::edge().connections.inc();
                edge.accepted(&builder, stream, source, shutdown).await;
                meters::edge().connections.dec();
                drop(permit);
            });
        }
        drop(listener);
        tracker.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, tracker.wait()).await.is_err() {
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
    ) {
        // Answers are small and complete: they shall not wait for more.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.0.tls.clone() else {
            return self.connection(builder, stream, Connection::default(), source, shutdown).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
        let handshake = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            done = handshake => done,
        };
        match handshake {
            Ok(Ok((stream, known))) => {
                self.connection(builder, stream, known, source, shutdown).await;
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
        known: Connection,
        source: SocketAddr,
        shutdown: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let spoke = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&spoke);
        let service = service_fn(move |mut request| {
            heard.store(true, Ordering::Relaxed);
            tls::enter(&known, &mut request);
            let edge = self.clone();
            async move { Ok::<_, Infallible>(edge.handle(request, Some(source)).await) }
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // hyper limits the time of a head only once it knows the protocol: a client that sends
        // nothing, or half of HTTP/2's preface, would stay for ever.
        let first_head = async {
            tokio::time::sleep(HEAD_TIMEOUT).await;
            if spoke.load(Ordering::Relaxed) {
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

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, source) = listener.accept().await?;
    Ok((stream, source, permit))
}

fn connection_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_concurrent_streams(256)
        .keep_alive_interval(HEAD_TIMEOUT);
    builder
}
