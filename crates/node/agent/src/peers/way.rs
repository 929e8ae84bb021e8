//! A layer that is fetched: from a peer, or from the registry, of which only the outcome is told.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::layers::{HeldLayer, LAYER_PATH_PREFIX, LayerEnded, LayerPeer, PeerTrouble};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_RANGE, HOST, RANGE};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use meters::LayerWay;
use runtime::images::{Came, Way};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use wire::tls::Stream;

use super::Inner;

/// A peer must be reached within this time, TLS and all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Its answer must begin within this time, and the next bytes come.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Over each such time, it must send at least [`BYTES_MIN`].
const WINDOW: Duration = Duration::from_secs(10);
/// See [`WINDOW`].
const BYTES_MIN: u64 = 640 * 1024;

/// What went wrong, for the control plane and for people.
type Failure = (PeerTrouble, String);

/// One way to one layer.
pub(super) struct Route {
    inner: Arc<Inner>,
    layer: HeldLayer,
    size_bytes: u64,
    peer: Option<LayerPeer>,
    transfer: Option<Transfer>,
    trouble: Option<PeerTrouble>,
    is_told: bool,
}

/// Bytes that come.
struct Transfer {
    body: Incoming,
    since: Instant,
    bytes: u64,
    _connection: AbortOnDropHandle<()>,
}

impl Route {
    pub(super) fn new(
        inner: Arc<Inner>,
        layer: HeldLayer,
        size_bytes: u64,
        peer: Option<LayerPeer>,
    ) -> Self {
        let (transfer, trouble, is_told) = (None, None, false);
        Self { inner, layer, size_bytes, peer, transfer, trouble, is_told }
    }

    fn tell(&mut self, is_here: bool) {
        self.is_told = true;
        let (layer, trouble) = (self.layer.clone(), self.trouble.filter(|_| !is_here));
        self.inner.desk.tell(LayerEnded { layer, is_here, trouble }.into());
    }

    fn failed(&mut self, (trouble, why): Failure) -> String {
        self.trouble = Some(trouble);
        why
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(transfer) = &mut self.transfer else {
            return Err((PeerTrouble::Unreachable, "it was not asked".to_owned()));
        };
        loop {
            let frame = timeout(SILENCE_MAX, transfer.body.frame()).await.map_err(|_| {
                (PeerTrouble::Slow, format!("it sent nothing for {} s", SILENCE_MAX.as_secs()))
            })?;
            let Some(frame) = frame else { return Ok(None) };
            let broke = |error| (PeerTrouble::Unreachable, format!("it broke off: {error}"));
            let Ok(bytes) = frame.map_err(broke)?.into_data() else { continue };
            transfer.bytes += bytes.len() as u64;
            if transfer.since.elapsed() >= WINDOW {
                if transfer.bytes < BYTES_MIN {
                    let (bytes, seconds) = (transfer.bytes, WINDOW.as_secs());
                    let why = format!("it sent no more than {bytes} bytes in {seconds} s");
                    return Err((PeerTrouble::Slow, why));
                }
                (transfer.since, transfer.bytes) = (Instant::now(), 0);
            }
            meters::agent().layer_bytes(LayerWay::PEER, bytes.len() as u64);
            return Ok(Some(bytes));
        }
    }
}

#[async_trait]
impl Way for Route {
    fn peer(&self) -> Option<&str> {
        self.peer.as_ref().map(|peer| &*peer.id)
    }

    async fn open(&mut self, offset: u64) -> Result<u64, String> {
        let Some(peer) = &self.peer else { return Err("it is the registry".to_owned()) };
        let begun = begin(&self.inner, peer, &self.layer.digest, offset).await;
        let (transfer, offset) = begun.map_err(|failure| self.failed(failure))?;
        self.transfer = Some(transfer);
        Ok(offset)
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        self.next().await.map_err(|failure| self.failed(failure))
    }

    fn ended(mut self: Box<Self>, came: Came) {
        match came {
            Came::Here if self.peer.is_none() => {
                meters::agent().layer_bytes(LayerWay::REGISTRY, self.size_bytes);
            }
            Came::Lies => self.trouble = Some(PeerTrouble::Corrupt),
            Came::Here | Came::Nothing => {}
        }
        self.tell(came == Came::Here);
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(false);
        }
    }
}

/// Asks a peer for a layer from a byte on; answers from which on it comes.
async fn begin(
    inner: &Inner,
    peer: &LayerPeer,
    digest: &str,
    offset: u64,
) -> Result<(Transfer, u64), Failure> {
    let lost = |why: String| (PeerTrouble::Unreachable, why);
    let connected = timeout(CONNECT_TIMEOUT, connect(inner, peer)).await;
    let late = || lost(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()));
    let (stream, host) = connected.map_err(|_| late())?.map_err(lost)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(error.to_string()))?;
    // What ends it, the body or the answer tell.
    let connection = AbortOnDropHandle::new(tokio::spawn(async move { _ = connection.await }));
    let mut request = Request::get(format!("{LAYER_PATH_PREFIX}{digest}"))
        .header(HOST, host)
        .header(AUTHORIZATION, format!("Bearer {}", peer.ticket));
    if offset > 0 {
        request = request.header(RANGE, format!("bytes={offset}-"));
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|error| lost(format!("it cannot be asked: {error}")))?;
    let answer = timeout(SILENCE_MAX, sender.send_request(request)).await;
    let silent = || (PeerTrouble::Slow, format!("no answer in {} s", SILENCE_MAX.as_secs()));
    let answer = answer.map_err(|_| silent())?.map_err(|error| lost(error.to_string()))?;
    let begins_at = match answer.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT => {
            let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
            let start = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
            let start = start.and_then(|(start, _)| start.parse().ok());
            start.ok_or_else(|| lost("it does not say which part it sends".to_owned()))?
        }
        StatusCode::NOT_FOUND => {
            return Err((PeerTrouble::Gone, "it has the layer no more".to_owned()));
        }
        status => return Err(lost(format!("it answered {status}"))),
    };
    let (body, since) = (answer.into_body(), Instant::now());
    Ok((Transfer { body, since, bytes: 0, _connection: connection }, begins_at))
}

async fn connect(inner: &Inner, peer: &LayerPeer) -> Result<(Stream, String), String> {
    let url: Uri = peer.url.parse().map_err(|_| format!("'{}' is no URL", peer.url))?;
    let authority = url.authority().ok_or("its URL names no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().ok_or("its URL names no port")?;
    let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    _ = stream.set_nodelay(true);
    let stream = match (url.scheme_str(), &inner.tls) {
        (Some("https"), Some(tls)) => {
            let connected = tls.connect(&peer.name, stream).await;
            connected.map_err(|error| format!("it is not trusted: {error}"))?
        }
        (Some("https"), None) => return Err("it wants TLS, and this node has none".to_owned()),
        // Who hands out decides whether that may be seen; what comes is checked by its digest.
        _ => Stream::Plain(stream),
    };
    Ok((stream, authority.to_string()))
}
