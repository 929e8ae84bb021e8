//! Writes that wait for a turn, so that those of many connections go out together.
//!
//! A task that is ready to write lets all tasks run first that are ready now. All connections' writes
//! follow each other closely, so that whoever reads them at the other end is woken once for many. On an
//! idle processor the turn comes at once. Connections of HTTP/2 do the same by themselves
//! (`proxy/h2/connection.rs`).

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

    /// The stream, for one whose writes follow each other anyway.
    pub(crate) fn get_mut(&mut self) -> &mut S {
        &mut self.inner
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
