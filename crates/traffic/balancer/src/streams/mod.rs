//! Connections of network load balancers: bytes both ways, of whatever kind (Network Load Balancer
//! guide, "Listeners" and "Target groups").

mod datagrams;
mod greeting;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::config::Speaks;
use crate::listening::{Deed, Plan};
use crate::proxy::choose;
use crate::targets::{GroupState, Held};
use crate::tls;
pub(crate) use datagrams::serve_datagrams;
use greeting::{Over, greeting};

/// How long a connection to a target, or a handshake, may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How many targets are tried, at most.
const TRIES: usize = 3;
/// What is read at once, in bytes, each way.
const PART: usize = 64 * 1024;

/// Serves a client's connection until either end closes it, nothing has moved for as long as it may
/// be idle, or its target turns unhealthy. The last two reset it, as AWS does.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, plan: Arc<ArcSwap<Plan>>) {
    let plan = plan.load_full();
    let Ok(local) = stream.local_addr() else { return };
    let Some(secure) = &plan.secure else {
        return to_target(stream, peer, local, plan).await;
    };
    let shaken = TlsAcceptor::from(secure.config.clone()).accept(stream);
    // What TLS needs is kept apart, so that connections without it are small.
    match tokio::time::timeout(CONNECT, Box::pin(shaken)).await {
        Ok(Ok(stream)) => Box::pin(to_target(stream, peer, local, plan)).await,
        Ok(Err(error)) => tracing::debug!(%error, %peer, "a handshake failed"),
        Err(_) => tracing::debug!(%peer, "a handshake took too long"),
    }
}

/// A connection of either side.
pub(crate) trait Ended: AsyncRead + AsyncWrite + Unpin {
    /// Makes the system reset the connection when it is closed.
    fn reset(&self);
}

impl Ended for TcpStream {
    fn reset(&self) {
        // Else it ends in the usual way.
        let _ = self.set_zero_linger();
    }
}

impl Ended for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

impl Ended for tokio_rustls::client::TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

async fn to_target(client: impl Ended, peer: SocketAddr, local: SocketAddr, plan: Arc<Plan>) {
    let Deed::Forward(weighted, _) = &plan.default else { return client.reset() };
    let Some(group) = choose(weighted).cloned() else { return client.reset() };
    let idle = plan.settings.idle;
    // A connection may last for long; what it was chosen by is not to.
    drop(plan);
    let mut not = None;
    for _ in 0..TRIES {
        let Some(target) = group.pick_of(peer, not.as_ref()) else { break };
        // From now on: the target may turn unhealthy, or go, while a connection to it is made.
        let held = target.hold();
        match Box::pin(reach(&group, target.address(), peer, local)).await {
            Some(Reached::Plain(target_end)) => {
                drop((group, not));
                return join(client, target_end, held, idle).await;
            }
            Some(Reached::Secure(target_end)) => {
                drop((group, not));
                return Box::pin(join(client, *target_end, held, idle)).await;
            }
            None => not = Some(target),
        }
    }
    client.reset();
}

/// A connection to a target.
enum Reached {
    Plain(TcpStream),
    Secure(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn reach(
    group: &GroupState,
    address: SocketAddr,
    peer: SocketAddr,
    local: SocketAddr,
) -> Option<Reached> {
    let connecting = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let _ = stream.set_nodelay(true);
        if group.greets() {
            stream.write_all(&greeting(Over::Stream, peer, local)).await.ok()?;
        }
        if !group.is_secure() {
            return Some(Reached::Plain(stream));
        }
        let name = ServerName::IpAddress(address.ip().into());
        let shaken = tls::connector(Speaks::Bytes).connect(name, stream).await.ok()?;
        Some(Reached::Secure(Box::new(shaken)))
    };
    tokio::time::timeout(CONNECT, connecting).await.ok().flatten()
}

/// Passes bytes on until both have ended.
async fn join(client: impl Ended, target: impl Ended, held: Held, idle: Duration) {
    let begun = Instant::now();
    let moved = AtomicU64::new(0);
    let (mut client, mut target) = (
        Noted { inner: client, begun, moved: &moved },
        Noted { inner: target, begun, moved: &moved },
    );
    let is_cut = {
        let both = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut target, PART, PART);
        let is_idle = async {
            loop {
                let last = begun + Duration::from_millis(moved.load(Ordering::Relaxed));
                if Instant::now() >= last + idle {
                    return;
                }
                tokio::time::sleep_until(last + idle).await;
            }
        };
        tokio::select! {
            biased;
            ended = both => ended.is_err(),
            () = is_idle => true,
            () = held.cut() => true,
        }
    };
    if is_cut {
        client.inner.reset();
        target.inner.reset();
    }
}

/// Notes when bytes came, in milliseconds from `begun` on.
struct Noted<'a, S> {
    inner: S,
    begun: Instant,
    moved: &'a AtomicU64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if polled.is_ready() {
            let since = u64::try_from(this.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            this.moved.store(since, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<'_, S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
