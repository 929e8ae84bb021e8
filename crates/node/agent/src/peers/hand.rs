//! Hands layers to other nodes: `GET /layers/<digest>` with a ticket, whole or from a byte on.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use agent_protocol::layers::LAYER_PATH_PREFIX;
use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use meters::LayerWay;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Inner;

/// The most connections at a time: more than the control plane sends here.
const CONNECTIONS_MAX: usize = 4 * peering::UPLOADS_MAX;
/// TLS and the request must have come within this time.
const BEGIN_MAX: Duration = Duration::from_secs(10);
/// The longest that one connection lives.
const CONNECTION_MAX: Duration = Duration::from_secs(2 * 3600);
/// What is read from the disk at a time.
const READ_BYTES: usize = 256 * 1024;
/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Serves until `end`.
pub(super) async fn serve(inner: &Arc<Inner>, listener: TcpListener, end: &CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = end.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a node could not be let in");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Beyond that they are hung up on: they go elsewhere.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let inner = Arc::clone(inner);
        connections.spawn(async move {
            let _place = place;
            if timeout(CONNECTION_MAX, connection(inner, stream)).await.is_err() {
                tracing::debug!("a connection of another node lasted too long");
            }
        });
    }
    connections.shutdown().await;
}

async fn connection(inner: Arc<Inner>, stream: TcpStream) {
    _ = stream.set_nodelay(true);
    match inner.tls.clone() {
        None => requests(inner, stream, None).await,
        Some(tls) => match timeout(BEGIN_MAX, tls.accept(stream)).await {
            Ok(Ok((stream, name))) => requests(inner, stream, Some(name)).await,
            Ok(Err(error)) => tracing::debug!(%error, "somebody came who is no node"),
            Err(_) => tracing::debug!("a handshake took too long"),
        },
    }
}

/// One connection; `name` is whose certificate it has.
async fn requests(
    inner: Arc<Inner>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    name: Option<String>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (inner, name) = (Arc::clone(&inner), name.clone());
        let (parts, _) = request.into_parts();
        async move { Ok::<_, io::Error>(answer(&inner, &parts, name.as_deref()).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(BEGIN_MAX).keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "another node broke off");
    }
}

async fn answer(inner: &Arc<Inner>, request: &Parts, name: Option<&str>) -> Response<Body> {
    if request.method != Method::GET {
        return told(StatusCode::METHOD_NOT_ALLOWED, "this path takes GET only");
    }
    let Some(digest) = request.uri.path().strip_prefix(LAYER_PATH_PREFIX) else {
        return told(StatusCode::NOT_FOUND, "there are layers here, and nothing else");
    };
    if let Err(why) = check(inner, &request.headers, digest, name) {
        return told(StatusCode::FORBIDDEN, &why);
    }
    let file = match inner.images.get() {
        Some(images) => images.blob(digest).await,
        None => Ok(None),
    };
    match file {
        Ok(Some(file)) => hand(inner, file, &request.headers),
        Ok(None) => told(StatusCode::NOT_FOUND, "the layer is not here any more"),
        Err(error) => {
            tracing::warn!(%error, digest, "a layer cannot be handed out");
            told(StatusCode::INTERNAL_SERVER_ERROR, "the layer cannot be read")
        }
    }
}

/// Whether the ticket is for this layer, and of who shows it.
fn check(
    inner: &Inner,
    headers: &HeaderMap,
    digest: &str,
    name: Option<&str>,
) -> Result<(), String> {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let ticket = shown.and_then(|text| text.strip_prefix("Bearer ")).ok_or("no ticket is shown")?;
    let bearer = inner.key.read(ticket, digest, inner.clock.now()).map_err(|e| e.to_string())?;
    match name {
        Some(name) if name != bearer => Err("the ticket is another node's".to_owned()),
        Some(_) | None => Ok(()),
    }
}

/// The layer, from the byte on that is asked for.
fn hand(inner: &Arc<Inner>, mut file: File, headers: &HeaderMap) -> Response<Body> {
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let start: u64 = start.and_then(|start| start.parse().ok()).unwrap_or(0);
    let size = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(_) => return told(StatusCode::INTERNAL_SERVER_ERROR, "the layer cannot be read"),
    };
    if start > 0 && start >= size {
        return told(StatusCode::RANGE_NOT_SATISFIABLE, "the layer is shorter");
    }
    if file.seek(SeekFrom::Start(start)).is_err() {
        return told(StatusCode::INTERNAL_SERVER_ERROR, "the layer cannot be read");
    }
    let body = stream::try_unfold((Arc::clone(inner), file), |(inner, file)| async move {
        let (file, bytes) = read(file).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        inner.pace.take(bytes.len()).await;
        meters::agent().layer_bytes(LayerWay::HANDED, bytes.len() as u64);
        Ok::<_, io::Error>(Some((Frame::data(bytes), (inner, file))))
    });
    let mut response = Response::new(StreamBody::new(body).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size - start));
    if start > 0 {
        let range = format!("bytes {start}-{}/{size}", size - 1);
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("digits are ASCII"));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// The next bytes of a file, none at its end.
async fn read(mut file: File) -> io::Result<(File, Bytes)> {
    let read = tokio::task::spawn_blocking(move || {
        let mut buffer = Vec::with_capacity(READ_BYTES);
        (&mut file).take(READ_BYTES as u64).read_to_end(&mut buffer)?;
        Ok((file, Bytes::from(buffer)))
    });
    read.await.map_err(io::Error::other)?
}

fn told(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{text}\n")));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}
