//! Writes that wait for some turns, so that what other tasks have to add goes along.
//!
//! [`Gathered`] is for one message at a time, [`Batched`] for connections of HTTP/2.
//!
//! A task that is ready to write lets all tasks run first that are ready now. Of a connection of HTTP/2
//! the answers of all its streams go out in one record and one system call; and all connections'
//! writes follow each other closely, so that whoever reads them at the other end is woken once for
//! many. On an idle processor the turn comes at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose writes wait for their turn.
pub(crate) struct Gathered<S> {
    inner: S,
    /// Whether the wait is over.
    is_due: bool,
}

impl<S> Gathered<S> {
    /// This stream.
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, is_due: false }
    }

    /// The stream itself.
    pub(crate) fn into_inner(self) -> S {
        self.inner
    }

    /// The stream, to be looked at.
    pub(crate) fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Ready behind all tasks that are ready now: one that wakes itself is put at their end.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due {
            return Poll::Ready(());
        }
        self.is_due = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_due(cx));
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes));
        this.is_due = false;
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_due(cx));
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, parts));
        this.is_due = false;
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Most bytes that wait to be written: what a record of TLS may have.
const BATCH_MAX: usize = 16 * 1024;
/// How many turns they wait: one for those who have something to add, one to put it into frames, and as
/// many again for those whose targets answered meanwhile.
const TURNS: u8 = 4;

/// A stream of HTTP/2, whose library writes each answer's data for itself and flushes it. What is
/// written waits here, flushed or not, and goes out as one; the task that writes is woken for that.
///
/// It goes out when the task reads, which that library does whenever it is woken.
pub(crate) struct Batched<S> {
    inner: S,
    waiting: Vec<u8>,
    /// Since the first of what waits was written.
    turns: u8,
}

impl<S: AsyncWrite + Unpin> Batched<S> {
    /// This stream.
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, waiting: Vec::new(), turns: 0 }
    }

    /// Ready when nothing waits any more.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut written = 0;
        let ended = loop {
            if written == self.waiting.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.inner).poll_write(cx, &self.waiting[written..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(more)) => written += more,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.waiting.drain(..written);
        ready!(ended)?;
        self.turns = 0;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Another turn has come: lets out what has waited long enough.
    fn turn(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.turns < TURNS {
            self.turns += 1;
        }
        if self.turns < TURNS {
            cx.waker().wake_by_ref();
            return Ok(());
        }
        match self.poll_out(cx) {
            Poll::Ready(written) => written,
            // The system wakes the task when there is room.
            Poll::Pending => Ok(()),
        }
    }

    /// Ready when there is room for more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.len() >= BATCH_MAX {
            ready!(self.poll_out(cx))?;
        }
        if self.waiting.is_empty() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    /// As much of this as there is room for; gives how much.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let room = BATCH_MAX.saturating_sub(self.waiting.len());
        let here = bytes.len().min(room);
        self.waiting.extend_from_slice(&bytes[..here]);
        here
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Batched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.turn(cx)?;
        Pin::new(&mut this.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Batched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_room(cx))?;
        Poll::Ready(Ok(this.put(bytes)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_room(cx))?;
        Poll::Ready(Ok(parts.iter().map(|part| this.put(part)).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Says yes at once: what waits goes out in its turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use tokio::io::AsyncReadExt;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn what_is_written_goes_out_as_one_after_some_turns() {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let mut near = Batched::new(near);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let read = |near: &mut Batched<_>, cx: &mut Context<'_>| {
            let mut byte = [0; 1];
            assert!(Pin::new(near).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending());
        };
        for text in [&b"one "[..], b"two "] {
            let written = Pin::new(&mut near).poll_write(&mut cx, text);
            assert!(matches!(written, Poll::Ready(Ok(4))), "{written:?}");
            assert!(Pin::new(&mut near).poll_flush(&mut cx).is_ready());
        }
        for turn in 1..usize::from(TURNS) {
            assert_eq!(woken.0.load(Ordering::SeqCst), turn);
            read(&mut near, &mut cx);
        }
        assert_eq!(woken.0.load(Ordering::SeqCst), usize::from(TURNS));
        let parts = [io::IoSlice::new(b"thr"), io::IoSlice::new(b"ee")];
        let written = Pin::new(&mut near).poll_write_vectored(&mut cx, &parts);
        assert!(matches!(written, Poll::Ready(Ok(5))), "{written:?}");
        read(&mut near, &mut cx);
        let mut got = vec![0; 64];
        let length = far.read(&mut got).await.expect("it is there");
        assert_eq!(&got[..length], b"one two three");
        // What is left goes out before the end.
        let written = Pin::new(&mut near).poll_write(&mut cx, b"end");
        assert!(matches!(written, Poll::Ready(Ok(3))), "{written:?}");
        std::future::poll_fn(|cx| Pin::new(&mut near).poll_shutdown(cx)).await.expect("it ends");
        let mut got = String::new();
        far.read_to_string(&mut got).await.expect("it is there");
        assert_eq!(got, "end");
    }

    #[tokio::test]
    async fn more_waits_until_there_is_room() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut near = Batched::new(near);
        let large = vec![b'x'; 3 * BATCH_MAX];
        let wanted = large.len();
        let writing = tokio::spawn(async move {
            let mut at = 0;
            while at < large.len() {
                let part = &large[at..];
                at += std::future::poll_fn(|cx| Pin::new(&mut near).poll_write(cx, part))
                    .await
                    .expect("it is written");
                assert!(near.waiting.len() <= BATCH_MAX);
            }
            std::future::poll_fn(|cx| Pin::new(&mut near).poll_shutdown(cx)).await
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.expect("it comes");
        assert_eq!(got.len(), wanted);
        writing.await.expect("no panic").expect("it ends");
    }
}
