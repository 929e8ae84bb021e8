//! Blobs: looking, downloading, deleting.

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::bucket::Reading;
use ::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue,
    RANGE,
};
use ::http::{Method, Response, StatusCode};
use bytes::Bytes;
use hyper::body::Frame;
use ledger::Row;
use terms::Timestamp;
use tokio::sync::mpsc;
use wire::Body;

use super::access::{DELETE_IMAGE, LOOK_AT_LAYER, PULL_LAYER};
use super::range::{Wanted, wanted};
use super::refusal::{Refusal, Words};
use super::through::Source;
use super::{Answer, CONTENT_DIGEST, Request, value};
use crate::Inner;
use crate::depot::{Begun, DepotError, Reader};
use crate::model::{ContentDigest, Layer};
use crate::push::beside;
use crate::tables::{DigestKey, NameKey};
use crate::upstream::Coming;

/// What is read at a time of a blob that comes.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that wait for a client that reads slowly.
const CHUNKS_WAITING: usize = 1;
/// A blob that a client looked at, or that was uploaded, stays so long though no image names it.
pub(crate) const KEPT_MS: i64 = 24 * 3_600_000;

/// Until when a blob is kept that somebody is about to name.
pub(crate) fn kept_until(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis() + KEPT_MS)
}

impl Inner {
    /// Keeps a blob that somebody has looked at: what they saw must be there when they name it.
    pub(crate) async fn keep(
        &self,
        at: &DigestKey,
        layer: &Layer,
        now: Timestamp,
    ) -> Result<(), crate::error::Error> {
        if layer.kept_until.millis() - now.millis() >= KEPT_MS / 2 {
            return Ok(());
        }
        let done = self.ledger.transact("ecr: keep a layer", |tx| {
            if let Some(row) = tx.get(&self.tables.layers, at) {
                let kept_until = kept_until(tx.now());
                tx.put(&self.tables.layers, at.clone(), Layer { kept_until, ..Layer::clone(&row) });
            }
            Ok::<_, crate::error::Error>(())
        });
        Ok(done.await.map(drop)?)
    }
}

impl Request<'_> {
    pub(super) fn key(&self, name: &str) -> NameKey {
        (self.session.scope.clone(), name.to_owned())
    }

    pub(super) fn layer(&self, name: &str, digest: &ContentDigest) -> Result<Row<Layer>, Refusal> {
        let (snapshot, key) = (self.inner.ledger.snapshot(), self.key(name));
        self.inner.tables.repository(&snapshot, &key)?;
        let row = snapshot.get(&self.inner.tables.layers, &beside(&key, digest.as_str()));
        row.ok_or_else(|| {
            let detail = serde_json::json!({ "digest": digest.as_str() });
            Refusal::new(Words::BlobUnknown, "blob unknown to registry").detail(detail)
        })
    }

    /// The whole blob, or a part of it.
    pub(super) async fn get_blob(&self, name: &str, digest: &ContentDigest) -> Answer {
        let is_head = self.method() == Method::HEAD;
        self.check(if is_head { LOOK_AT_LAYER } else { PULL_LAYER }, name)?;
        let source = self.source(name, digest, is_head).await?;
        if let (true, Source::Kept(layer)) = (is_head, &source) {
            self.inner.keep(&beside(&self.key(name), digest.as_str()), layer, self.now()).await?;
        }
        let length = source.size_bytes();
        let header = self.headers().get(RANGE).and_then(|value| value.to_str().ok());
        let wanted = if is_head { Wanted::Whole } else { wanted(header, length) };
        let (status, first, count) = match wanted {
            Wanted::Whole => (StatusCode::OK, 0, length),
            Wanted::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
            Wanted::Nothing => {
                let text = format!("the blob has {length} bytes");
                return Err(Refusal::new(Words::RangeInvalid, text)
                    .header(CONTENT_RANGE, value(&format!("bytes */{length}"))));
            }
        };
        let body = match is_head || count == 0 {
            true => Body::empty(),
            false => {
                let place = self.inner.transfers.try_acquire().map_err(|_| busy())?;
                // The place is given back when the answer begins: what follows is bounded by
                // connections, and this bounds how many begin at once.
                drop(place);
                match source {
                    Source::Kept(layer) => {
                        stream(self.depot.reader(layer.stored).await?, first, count).await?
                    }
                    Source::Coming(coming, _) => follow(coming, first, count),
                }
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(count));
        headers.insert(CONTENT_DIGEST.clone(), value(digest.as_str()));
        headers.insert(ETAG, value(&format!("\"{digest}\"")));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=31536000"));
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {first}-{}/{length}", first + count - 1);
            headers.insert(CONTENT_RANGE, value(&range));
        }
        Ok(response)
    }

    /// Takes a blob out of a repository, unless an image there names it.
    pub(super) async fn delete_blob(&self, name: &str, digest: &ContentDigest) -> Answer {
        self.check(DELETE_IMAGE, name)?;
        self.layer(name, digest)?;
        let at = beside(&self.key(name), digest.as_str());
        let tables = &self.inner.tables;
        let done = self.inner.ledger.transact("ecr: delete a blob", |tx| {
            if let Some((parent, _)) = tx.index(&tables.images_by_child, &at).next() {
                let (digest, parent) = (at.2.clone(), parent.2);
                return Err(crate::error::Error::Referenced { digest, parent });
            }
            tx.delete(&tables.layers, &at);
            Ok(())
        });
        match done.await.map_err(crate::error::Error::from) {
            Ok(_) => Ok(Self::bare(StatusCode::ACCEPTED)),
            Err(crate::error::Error::Referenced { digest, parent }) => {
                let text = format!("the blob {digest} is part of the image {parent}");
                Err(Refusal::new(Words::Unsupported, text))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Too much is under way.
pub(super) fn busy() -> Refusal {
    Refusal::new(Words::TooMany, "Rate exceeded")
        .header(::http::header::RETRY_AFTER, HeaderValue::from_static("2"))
}

/// Some bytes of a blob that is whole.
async fn stream(reader: Reader, first: u64, count: u64) -> Result<Body, DepotError> {
    let reading = match reader.begin(first, count).await? {
        // Of a blob's file nothing changes: only its name may go.
        Begun::File(file) => return Ok(Body::file(file, first, count)),
        Begun::Object(reading) => reading,
    };
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    tokio::spawn(pass_on(reading, count, sender));
    Ok(Body::stream(Chunks(receiver)))
}

/// Passes an object on as it comes. What breaks off there, or is shorter, breaks off here.
async fn pass_on(mut reading: Reading, count: u64, sender: mpsc::Sender<std::io::Result<Bytes>>) {
    let mut left = count;
    while left > 0 {
        let chunk = match reading.next().await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(std::io::Error::other(error)),
        };
        let is_broken = chunk.is_err();
        left = left.saturating_sub(chunk.as_ref().map_or(0, Bytes::len) as u64);
        if sender.send(chunk).await.is_err() || is_broken {
            return;
        }
    }
}

/// Some bytes of a blob that comes, as they come. What breaks off there breaks off here.
fn follow(coming: Arc<Coming>, first: u64, count: u64) -> Body {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    tokio::spawn(async move {
        let (mut at, end) = (first, first + count);
        while at < end {
            let chunk = match coming.readable(at).await {
                Ok(readable) if readable > at => {
                    let size = (readable.min(end) - at).min(CHUNK_BYTES as u64);
                    coming.file.read_at(at, size).await
                }
                Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
                Err(error) => Err(std::io::Error::other(error)),
            };
            let read = chunk.as_ref().map_or(0, Bytes::len);
            at += read as u64;
            // Nobody reads any more, or the answer breaks off here.
            if sender.send(chunk).await.is_err() || read == 0 {
                return;
            }
        }
    });
    Body::stream(Chunks(receiver))
}

struct Chunks(mpsc::Receiver<std::io::Result<Bytes>>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
