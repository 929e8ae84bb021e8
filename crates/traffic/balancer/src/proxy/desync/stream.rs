//! Lets through what may pass of what a client sends, and tells the client why the rest may not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::Class;
use super::chunks::Chunks;
use super::head::{Framing, Head, REQUEST_LINE_MAX, judge};
use crate::config::Desync;
use crate::proxy::clients::{Client, Plans};
use crate::proxy::log::Entry;
use crate::proxy::own;

/// Largest head of a request (Application Load Balancer guide, "Quotas"), in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// What is read at once of a head that did not come whole, in bytes.
const PART: usize = 8 * 1024;
/// What is read of a client after it was refused, so that it sees why, in bytes.
const UNREAD_MAX: usize = 256 * 1024;

/// Where in a client's bytes the next one is.
enum At {
    /// In a head, or before one.
    Head,
    /// In a body of so many more bytes.
    Length(u64),
    /// In a chunked body.
    Chunks(Chunks),
    /// Behind all that may pass.
    End,
}

/// A client's connection of HTTP/1.
pub(crate) struct Guarded<S> {
    inner: S,
    plans: Plans,
    client: Arc<Client>,
    idle: Duration,
    at: At,
    /// What came and was not looked at to its end; the first `searched` bytes end no head.
    held: Vec<u8>,
    searched: usize,
    /// What may pass and was not read yet, from `ready_at` on.
    ready: Vec<u8>,
    ready_at: usize,
    /// A head's length and what takes its place.
    rewritten: Option<(usize, Vec<u8>, At)>,
    /// What the client is told, from the byte on that it was not told yet.
    told: Option<(Vec<u8>, usize)>,
    /// Whether the body that is being sent is none.
    is_broken: bool,
    /// How many answers have been written.
    written: u64,
    timer: Option<Pin<Box<Sleep>>>,
    read_at: Instant,
}

impl<S> Guarded<S> {
    /// Guards a connection that may be idle for as long as `idle`, and of which `held` has been read.
    pub(crate) fn new(
        inner: S,
        held: Vec<u8>,
        (plans, client): (Plans, Arc<Client>),
        idle: Duration,
    ) -> Self {
        Self {
            inner,
            plans,
            client,
            idle,
            at: At::Head,
            held,
            searched: 0,
            ready: Vec::new(),
            ready_at: 0,
            rewritten: None,
            told: None,
            is_broken: false,
            written: 0,
            timer: None,
            read_at: Instant::now(),
        }
    }

    fn refuse(&mut self, status: u16, oddity: Option<(Class, &'static str)>) {
        let plan = self.plans.load();
        Entry::refused(&self.client, &plan, status, oddity);
        let page = own::raw_page(status, plan.shows_server, plan.clock.now(), true);
        self.told = Some((page, 0));
        self.at = At::End;
        self.held = Vec::new();
    }

    /// How many of these bytes may pass as they are: up to a head that is not whole, that is
    /// refused or that is written anew.
    fn pass(&mut self, bytes: &[u8], searched: usize) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.at {
                At::End => return at,
                At::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        self.end_message();
                    }
                }
                At::Chunks(chunks) => match chunks.take(rest) {
                    Ok(taken) => {
                        at += taken;
                        if chunks.is_over() {
                            self.end_message();
                        }
                    }
                    Err(_) => {
                        self.is_broken = true;
                        self.at = At::End;
                        return at;
                    }
                },
                At::Head => match self.pass_head(rest, if at == 0 { searched } else { 0 }) {
                    Some(length) => at += length,
                    None => return at,
                },
            }
        }
        at
    }

    /// The length of the head that these bytes begin with, if it may pass as it is.
    fn pass_head(&mut self, bytes: &[u8], searched: usize) -> Option<usize> {
        let Some(length) = head_length(bytes, searched) else {
            self.searched = bytes.len();
            let has_line = bytes.len() < REQUEST_LINE_MAX || bytes.contains(&b'\n');
            if !has_line {
                self.refuse(414, None);
            } else if bytes.len() > HEAD_MAX {
                self.refuse(400, None);
            }
            return None;
        };
        if length > HEAD_MAX {
            self.refuse(400, None);
            return None;
        }
        let Head { class, status, framing, rewritten, reason, .. } = judge(&bytes[..length]);
        let mode = self.plans.load().settings.desync;
        let is_blocked = match class {
            Class::Compliant => false,
            Class::Acceptable | Class::Ambiguous => mode == Desync::Strictest,
            // In every mode: what cannot be framed cannot be passed on.
            Class::Severe => true,
        };
        if class != Class::Compliant {
            tracing::debug!(?class, reason, is_blocked, "a request is not as it should be");
        }
        if is_blocked {
            self.refuse(status, Some((class, reason)));
            return None;
        }
        let number = self.client.requests.pass();
        if class != Class::Compliant {
            self.client.requests.note(number, class, reason);
        }
        if class == Class::Ambiguous && mode != Desync::Monitor {
            self.client.requests.end_with(number);
        }
        let next = match framing {
            Framing::Chunked => At::Chunks(Chunks::new()),
            Framing::Length(length) => At::Length(length),
        };
        if let Some(written) = rewritten {
            self.rewritten = Some((length, written, next));
            return None;
        }
        self.begin_body(next);
        Some(length)
    }

    fn begin_body(&mut self, next: At) {
        self.at = next;
        if matches!(self.at, At::Length(0)) {
            self.end_message();
        }
    }

    fn end_message(&mut self) {
        self.at = if self.client.requests.is_over() { At::End } else { At::Head };
    }

    /// Looks at what is held; whether there is more to be done than to read on.
    fn look(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        let searched = std::mem::take(&mut self.searched);
        let mut passed = self.pass(&held, searched);
        self.ready.clear();
        self.ready_at = 0;
        self.ready.extend_from_slice(&held[..passed]);
        if let Some((length, written, next)) = self.rewritten.take() {
            self.ready.extend_from_slice(&written);
            passed += length;
            self.begin_body(next);
        }
        if !matches!(self.at, At::End) {
            self.held = held;
            self.held.drain(..passed);
        }
        !self.ready.is_empty() || matches!(self.at, At::End)
    }

    /// Whether the client has owed bytes, or sent none, for too long; and wakes when that may be so.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let quiet_from = self.read_at.max(self.client.requests.moved());
            let late_at = quiet_from + self.idle;
            let timer =
                self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(late_at)));
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            let is_owed = !matches!(self.at, At::Head | At::End);
            if now >= late_at && (self.client.requests.is_quiet() || is_owed) {
                return Poll::Ready(());
            }
            let next = if now >= late_at { now + self.idle } else { late_at };
            timer.as_mut().reset(next);
        }
    }

    /// The end of what is read, for a client that is late.
    fn be_late(&mut self) {
        if !self.client.requests.is_quiet() {
            self.client.requests.be_late();
            self.is_broken = true;
        } else if !self.held.is_empty() {
            self.refuse(408, None);
        }
        self.at = At::End;
    }

    /// The end, once all that came before is answered and the answers are written: with it the
    /// connection ends, whatever is still to be written.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.is_broken {
            return Poll::Ready(Ok(()));
        }
        ready!(self.client.requests.poll_quiet(cx));
        match self.written == self.client.requests.ended() {
            true => Poll::Ready(Ok(())),
            // What is written last wakes.
            false => Poll::Pending,
        }
    }

    /// Gives what is ready.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let left = &self.ready[self.ready_at..];
        let here = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..here]);
        self.ready_at += here;
        if self.ready_at == self.ready.len() {
            self.ready = Vec::new();
            self.ready_at = 0;
        }
    }
}

/// Up to behind the empty line that ends a head; the first `searched` bytes have none.
fn head_length(bytes: &[u8], searched: usize) -> Option<usize> {
    let empty_before = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let mut at = searched.saturating_sub(3).max(empty_before);
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        at += found + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Reads more of what is held; whether there was any.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        let mut part = [0; PART];
        let mut more = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut more))?;
        self.read_at = Instant::now();
        self.held.extend_from_slice(more.filled());
        Poll::Ready(Ok(!more.filled().is_empty()))
    }

    /// Reads what may mostly pass as it is; whether anything has been read, or the end has come.
    fn poll_through(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<bool>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let came = buffer.filled().len() - before;
        if came == 0 {
            return Poll::Ready(Ok(true));
        }
        self.read_at = Instant::now();
        let passed = self.pass(&buffer.filled()[before..], 0);
        if passed < came {
            // What is written anew is looked at again, from where it begins.
            if self.rewritten.take().is_some() {
                self.client.requests.take_back();
            }
            if !matches!(self.at, At::End) {
                self.held.extend_from_slice(&buffer.filled()[before + passed..]);
            }
            buffer.set_filled(before + passed);
        }
        Poll::Ready(Ok(passed > 0))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.ready_at < this.ready.len() {
                this.give(buffer);
                return Poll::Ready(Ok(()));
            }
            if this.client.requests.is_tunnel() {
                if this.held.is_empty() {
                    return Pin::new(&mut this.inner).poll_read(cx, buffer);
                }
                this.ready = std::mem::take(&mut this.held);
                continue;
            }
            if matches!(this.at, At::End) {
                return this.poll_end(cx);
            }
            if !this.held.is_empty() && this.look() {
                continue;
            }
            let read = match this.held.is_empty() {
                true => match this.poll_through(cx, buffer) {
                    Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                    polled => polled,
                },
                // A client that goes in the middle of a head is told nothing.
                false => match this.poll_more(cx) {
                    Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                    polled => polled,
                },
            };
            match read {
                Poll::Ready(read) => drop(read?),
                Poll::Pending => {
                    ready!(this.poll_late(cx));
                    this.be_late();
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Whoever writes answers calls this when all is written that it has.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        let ended = this.client.requests.ended();
        if this.written != ended {
            this.written = ended;
            if matches!(this.at, At::End) {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Tells a client first that it was refused.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let was_refused = this.told.is_some();
        while let Some((page, at)) = &mut this.told {
            let told = ready!(Pin::new(&mut this.inner).poll_write(cx, &page[*at..]))?;
            *at += told;
            if told == 0 || *at == page.len() {
                break;
            }
        }
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        if !was_refused {
            return Poll::Ready(Ok(()));
        }
        // What is left unread would make the system reset the connection, and the client lose the
        // answer.
        let (mut part, mut unread) = ([0; PART], 0);
        while unread < UNREAD_MAX {
            let mut more = ReadBuf::new(&mut part);
            match Pin::new(&mut this.inner).poll_read(cx, &mut more) {
                Poll::Ready(Ok(())) if !more.filled().is_empty() => unread += more.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
