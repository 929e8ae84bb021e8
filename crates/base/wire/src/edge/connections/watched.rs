//! A stream that sees when its client is slow: with a head, or in taking an answer.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::table::Change;
use super::{Charge, Link};
use crate::edge::counters::cut_off;

/// Bytes of a head that are not counted: at most 128 MiB over all connections.
const UNCOUNTED_HEAD_BYTES: usize = 8 * 1024;

/// A client's stream under watch.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    io: S,
    link: Arc<Link>,
    /// Requests that had begun when `head` was last begun anew.
    seen: u64,
    head: Head,
    stall: Option<Pin<Box<Sleep>>>,
}

/// What came of a head that is not whole yet.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    charge: Option<Charge>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(crate) fn new(io: S, link: Arc<Link>) -> Self {
        Self { io, link, seen: 0, head: Head::default(), stall: None }
    }

    /// A new request ends what was known of the last one's head.
    fn notice_requests(&mut self) {
        let begun = self.link.requests.load(Ordering::Relaxed);
        if begun != self.seen {
            self.seen = begun;
            self.head = Head::default();
        }
    }

    /// Counts bytes of a head.
    fn head_grew(&mut self, bytes: usize) -> io::Result<()> {
        self.head.bytes += bytes;
        let counted = self.head.bytes.saturating_sub(UNCOUNTED_HEAD_BYTES).min(bytes);
        if counted == 0 {
            return Ok(());
        }
        // Whoever holds bytes of a head when memory is short is as slow as any.
        let charge = self.link.connections.charge_now(Some(self.link.id), counted);
        let no_memory = || io::Error::new(ErrorKind::OutOfMemory, "no memory for a long head");
        let charge = charge.ok_or_else(no_memory)?;
        match &mut self.head.charge {
            Some(held) => held.merge(charge),
            none => *none = Some(charge),
        }
        Ok(())
    }

    /// What comes of a write: whether the client takes what it is sent.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                // Part of it means that the client's window is full still.
                if count >= wanted && self.stall.take().is_some() {
                    self.link.change(Change::Stalled(false));
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if self.link.is_over() => Poll::Pending,
            Poll::Pending => {
                if self.stall.is_none() {
                    self.link.change(Change::Stalled(true));
                }
                let limits = &self.link.connections.limits;
                ready!(elapsed(&mut self.stall, limits.write_stall, cx));
                cut_off(&self.link.connections.counters.stalled_writes, "not_reading", 1);
                Poll::Ready(Err(timed_out("the client does not take its answer")))
            }
        }
    }
}

/// Starts the timer if there is none; ready when it has run out.
fn elapsed(timer: &mut Option<Pin<Box<Sleep>>>, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
    timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after))).as_mut().poll(cx)
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.notice_requests();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        if !this.link.is_idle() {
            return read;
        }
        if read.is_ready() {
            ready!(read)?;
            return Poll::Ready(this.head_grew(buffer.filled().len() - before));
        }
        if this.head.bytes > 0 {
            let limits = &this.link.connections.limits;
            ready!(elapsed(&mut this.head.deadline, limits.head, cx));
            cut_off(&this.link.connections.counters.slow_heads, "slow_head", 1);
            return Poll::Ready(Err(timed_out("the head did not come")));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.wrote(cx, bytes.len(), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.wrote(cx, wanted, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
