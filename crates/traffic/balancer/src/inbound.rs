//! Bodies of requests: as the library reads them of HTTP/1, or as they come over a connection of HTTP/2.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;

/// Parts are put together up to this, in bytes: each that is kept costs more than what it has.
const PART_MAX: usize = 16 * 1024;

/// The body of a request.
pub(crate) enum Inbound {
    /// Of HTTP/1.
    Library(Incoming),
    /// Of a stream of HTTP/2.
    Stream(Arrival),
    /// There is none.
    Empty,
}

/// Why a body ends early.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The library says so.
    Library(hyper::Error),
    /// Its stream ended.
    Stream,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client's request ended early")
    }
}

impl std::error::Error for Lost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Library(cause) => Some(cause),
            Self::Stream => None,
        }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Lost;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Lost>>> {
        match self.get_mut() {
            Self::Library(body) => Pin::new(body).poll_frame(cx).map_err(Lost::Library),
            Self::Stream(arrival) => arrival.inbox.poll_frame(cx),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Library(body) => body.is_end_stream(),
            Self::Stream(arrival) => arrival.inbox.inner.lock().is_over(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Library(body) => body.size_hint(),
            Self::Stream(arrival) => arrival.inbox.inner.lock().size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}

/// The end of an [`Inbox`] that a body is read from. When it is dropped, nobody wants the rest.
pub(crate) struct Arrival {
    inbox: Arc<Inbox>,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut inner = self.inbox.inner.lock();
        inner.is_unwanted = true;
        inner.forget();
        drop(inner);
        self.inbox.connection.wake_by_ref();
    }
}

/// What came of a body over a stream and was not taken yet. It holds no more than the stream's window,
/// for that is given back only as it is taken.
pub(crate) struct Inbox {
    inner: Mutex<Inner>,
    /// Woken when something was taken.
    connection: Waker,
}

struct Inner {
    parts: VecDeque<BytesMut>,
    /// All of them together, in bytes.
    held: usize,
    trailers: Option<HeaderMap>,
    end: Option<End>,
    /// What the body was said to have, without what was taken of it.
    left: Option<u64>,
    /// Taken, and not given back to the client, in bytes.
    taken: usize,
    is_unwanted: bool,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    Early,
}

impl Inner {
    /// Drops what is there, as if it had been taken.
    fn forget(&mut self) {
        self.parts.clear();
        self.trailers = None;
        self.taken += std::mem::take(&mut self.held);
    }

    fn is_over(&self) -> bool {
        self.parts.is_empty() && self.trailers.is_none() && self.end == Some(End::Whole)
    }

    fn size_hint(&self) -> SizeHint {
        match (self.left, self.end) {
            (Some(left), _) => SizeHint::with_exact(left),
            (None, Some(End::Whole)) => SizeHint::with_exact(self.held as u64),
            (None, _) => SizeHint::default(),
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Inbox {
    /// An empty one, and the end that is read. `length` is what the client said, in bytes.
    pub(crate) fn new(length: Option<u64>, connection: Waker) -> (Arc<Self>, Arrival) {
        let inner = Inner {
            parts: VecDeque::new(),
            held: 0,
            trailers: None,
            end: None,
            left: length,
            taken: 0,
            is_unwanted: false,
            reader: None,
        };
        let inbox = Arc::new(Self { inner: Mutex::new(inner), connection });
        (inbox.clone(), Arrival { inbox })
    }

    /// A part has come.
    pub(crate) fn put(&self, part: &[u8]) {
        let mut inner = self.inner.lock();
        if inner.is_unwanted {
            inner.taken += part.len();
            return;
        }
        if !part.is_empty() {
            inner.held += part.len();
            match inner.parts.back_mut().filter(|last| last.len() + part.len() <= PART_MAX) {
                Some(last) => last.extend_from_slice(part),
                None => inner.parts.push_back(BytesMut::from(part)),
            }
            inner.wake();
        }
    }

    /// All of it has come.
    pub(crate) fn end(&self, trailers: Option<HeaderMap>) {
        let mut inner = self.inner.lock();
        inner.trailers = trailers.filter(|_| !inner.is_unwanted);
        inner.end = Some(End::Whole);
        inner.wake();
    }

    /// Its stream is over: what was not taken is lost. Gives how many bytes are to be given back.
    pub(crate) fn abandon(&self) -> usize {
        let mut inner = self.inner.lock();
        if !inner.is_over() {
            inner.end = Some(End::Early);
            inner.forget();
        }
        inner.wake();
        std::mem::take(&mut inner.taken)
    }

    /// Whether all that has come is taken.
    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.inner.lock();
        inner.parts.is_empty() && inner.trailers.is_none()
    }

    /// How many bytes were taken since the last call, if they are as many as this.
    pub(crate) fn taken(&self, at_least: usize) -> usize {
        let mut inner = self.inner.lock();
        if inner.taken < at_least { 0 } else { std::mem::take(&mut inner.taken) }
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Lost>>> {
        let mut inner = self.inner.lock();
        if let Some(part) = inner.parts.pop_front() {
            inner.held -= part.len();
            inner.taken += part.len();
            inner.left = inner.left.map(|left| left.saturating_sub(part.len() as u64));
            drop(inner);
            self.connection.wake_by_ref();
            return Poll::Ready(Some(Ok(Frame::data(part.freeze()))));
        }
        if let Some(trailers) = inner.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        match inner.end {
            Some(End::Whole) => Poll::Ready(None),
            Some(End::Early) => Poll::Ready(Some(Err(Lost::Stream))),
            None => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn inbox(length: Option<u64>) -> (Arc<Inbox>, Inbound) {
        let (inbox, arrival) = Inbox::new(length, Waker::noop().clone());
        (inbox, Inbound::Stream(arrival))
    }

    #[tokio::test]
    async fn a_body_comes_in_parts_with_its_trailers() {
        let (inbox, body) = inbox(None);
        inbox.put(b"one");
        inbox.put(b"");
        let reading = tokio::spawn(body.collect());
        inbox.put(b"two");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "1".parse().expect("a value"));
        inbox.end(Some(trailers.clone()));
        let whole = reading.await.expect("no panic").expect("a body");
        assert_eq!(whole.trailers(), Some(&trailers));
        assert_eq!(whole.to_bytes(), "onetwo");
        assert_eq!((inbox.taken(7), inbox.taken(6), inbox.taken(0)), (0, 6, 0));
    }

    #[tokio::test]
    async fn small_parts_are_put_together() {
        let (inbox, mut body) = inbox(None);
        for at in 0..PART_MAX + 1 {
            inbox.put(&[(at % 251) as u8]);
        }
        let mut lengths = Vec::new();
        while inbox.inner.lock().held > 0 {
            let part = body.frame().await.expect("a part").expect("a part");
            lengths.push(part.into_data().expect("data").len());
        }
        assert_eq!(lengths, [PART_MAX, 1]);
        assert_eq!(inbox.taken(0), PART_MAX + 1);
    }

    #[tokio::test]
    async fn a_body_that_is_cut_off_is_not_whole() {
        let (inbox, mut body) = inbox(Some(9));
        inbox.put(b"one");
        assert_eq!(body.size_hint().exact(), Some(9));
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        inbox.put(b"two");
        assert_eq!(inbox.abandon(), 6);
        assert!(body.frame().await.is_some_and(|frame| frame.is_err()));
        assert!(!body.is_end_stream());
    }

    #[test]
    fn what_nobody_wants_is_given_back() {
        let (inbox, body) = inbox(None);
        inbox.put(b"one");
        drop(body);
        inbox.put(b"four");
        assert_eq!(inbox.taken(1), 7);
        inbox.end(None);
    }
}
