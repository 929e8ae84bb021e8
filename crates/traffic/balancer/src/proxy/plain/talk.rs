//! Reading and writing that ends when nothing moves for too long.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::reply::Wrong;
use super::request::HEAD_MAX;

/// What is read at once of a head, in bytes.
const PART: usize = 16 * 1024;

/// How long nothing may move. The timer is set anew only when it fires.
pub(super) struct Patience {
    idle: Duration,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

/// Why nothing more is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The connection ended as it may.
    Closed,
    /// It failed, or what came of it made no sense.
    Broken,
    /// Nothing moved for too long.
    Late,
}

impl From<Wrong> for End {
    fn from(_: Wrong) -> Self {
        Self::Broken
    }
}

impl Patience {
    /// From now on.
    pub(super) fn new(idle: Duration) -> Self {
        let since = Instant::now();
        Self { idle, since, timer: Box::pin(tokio::time::sleep_until(since + idle)) }
    }

    /// Something moved.
    pub(super) fn moved(&mut self) {
        self.since = Instant::now();
    }

    /// Something moved, and from now on nothing may move for so long.
    pub(super) fn begin(&mut self, idle: Duration) {
        self.moved();
        if idle < self.idle {
            self.timer.as_mut().reset(self.since + idle);
        }
        self.idle = idle;
    }

    /// Ready when it has lasted too long.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let late_at = self.since + self.idle;
            if Instant::now() >= late_at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(late_at);
        }
        Poll::Pending
    }

    /// Writes all of this.
    ///
    /// # Errors
    /// [`End`].
    pub(super) async fn send<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        bytes: &[u8],
    ) -> Result<(), End> {
        let mut at = 0;
        std::future::poll_fn(|cx| {
            while at < bytes.len() {
                match Pin::new(&mut *to).poll_write(cx, &bytes[at..]) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(End::Broken)),
                    Poll::Ready(Ok(written)) => {
                        at += written;
                        self.moved();
                    }
                    Poll::Pending => return self.poll_late(cx).map(|()| Err(End::Late)),
                }
            }
            match Pin::new(&mut *to).poll_flush(cx) {
                Poll::Ready(flushed) => Poll::Ready(flushed.map_err(|_| End::Broken)),
                Poll::Pending => self.poll_late(cx).map(|()| Err(End::Late)),
            }
        })
        .await
    }
}

/// Reads what there is behind what `into` has; gives how much came, nothing at the end.
pub(super) fn poll_more<R: AsyncRead + Unpin>(
    from: &mut R,
    cx: &mut Context<'_>,
    into: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let mut part = [MaybeUninit::uninit(); PART];
    let mut part = ReadBuf::uninit(&mut part);
    Pin::new(from).poll_read(cx, &mut part).map_ok(|()| {
        into.extend_from_slice(part.filled());
        part.filled().len()
    })
}

/// Ready when the other end has gone. What it sends meanwhile goes into `held`, but not without end.
pub(super) fn poll_gone<R: AsyncRead + Unpin>(
    from: &mut R,
    cx: &mut Context<'_>,
    held: &mut Vec<u8>,
) -> Poll<()> {
    while held.len() < HEAD_MAX {
        match poll_more(from, cx, held) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
            Poll::Pending => break,
        }
    }
    Poll::Pending
}
