//! A body that a thread writes as if into a file, or a task sends.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::body::{Body, BodyError};

/// Bytes that are sent at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for a client that reads slowly; then the writer waits.
const CHUNKS_WAITING: usize = 4;

/// Writes a body; for threads that may wait. Nothing is buffered beyond a few hundred KiB: who
/// writes waits for who reads. A client that is gone is an error of kind `BrokenPipe`.
#[derive(Debug)]
pub struct BodyWriter {
    sender: mpsc::Sender<Result<Bytes, BodyError>>,
    gathered: BytesMut,
}

/// Sends a body part by part; for tasks. The body ends when this is dropped.
#[derive(Debug)]
pub struct BodySender(mpsc::Sender<Result<Bytes, BodyError>>);

impl BodySender {
    /// Sends a part; waits while a client that reads slowly has not taken the parts before it. Gives
    /// whether anybody still reads.
    pub async fn send(&self, part: impl Into<Bytes>) -> bool {
        self.0.send(Ok(part.into())).await.is_ok()
    }

    /// Returns when nobody reads any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

struct Chunks(mpsc::Receiver<Result<Bytes, BodyError>>);

impl Body {
    /// A body, and what writes it. It ends when the writer is dropped; what is gathered there and
    /// not flushed is lost.
    pub fn written() -> (BodyWriter, Self) {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
        (BodyWriter { sender, gathered: BytesMut::new() }, Self::stream(Chunks(receiver)))
    }
}

impl Body {
    /// A body, and what sends it.
    pub fn sent() -> (BodySender, Self) {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
        (BodySender(sender), Self::stream(Chunks(receiver)))
    }
}

impl BodyWriter {
    /// Breaks the answer off, so that the client does not take it for whole.
    pub fn fail(self, error: impl Into<BodyError>) {
        // Nobody may be reading any more.
        let _ = self.sender.blocking_send(Err(error.into()));
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = self.gathered.split().freeze();
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
