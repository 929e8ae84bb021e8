//! The short way: requests of the usual kind and their answers, from socket to socket on one task.
//! Requests of HTTP/2 without a body take the half of it that is a target's (`carried.rs`).
//!
//! A client's connection begins here. As long as each request comes whole in one piece, has a head of
//! which each byte is beyond doubt (`request.rs`), and goes to a group of the usual kind, it is written
//! on and the answer comes back as it is read (`reply.rs`). The first request that is not so takes the
//! connection to `desync/` and hyper with all that was read of it, for good.
//!
//! **Invariant:** what is taken here, `desync/head.rs` would let pass as it came, with a body of the
//! same length.
//! **Invariant:** nothing that is read of a request is lost when the connection goes on to hyper, and
//! nothing of it has been sent by then.

mod carried;
mod reply;
mod request;
mod talk;
mod trailers;

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::Noted;
use super::clients::{Client, Plans};
use super::forward::TRIES;
use super::own;
use crate::gathering::Gathered;
use crate::listening::Plan;
use crate::targets::{Connecting, GroupState, Wire};
pub(super) use carried::{Carried, forward};
pub(super) use reply::{Framing, Reply, Sink, Told};
pub(super) use request::Asked;
use talk::{End, Patience, poll_gone, poll_more};
pub(super) use trailers::{Trailers, goes_on};

/// Buffers that are kept between requests, in bytes.
const KEPT_MAX: usize = 2 * 1024;
/// What is read at once of a body that did not come along with its head, in bytes.
const BODY_PART: usize = 64 * 1024;

/// What ends a body in chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A client's connection while its requests are of the usual kind.
struct Short<'a, S> {
    stream: Gathered<S>,
    client: &'a Client,
    closing: &'a CancellationToken,
    patience: Patience,
    /// What came of the client and was not answered yet.
    held: Vec<u8>,
    /// What came of the target.
    came: Vec<u8>,
    /// What goes to the target, and then to the client.
    out: Vec<u8>,
    /// The second of the last date, and its text.
    date: (i64, String),
    /// Whether the request may be sent twice, and whether its answer has a head alone.
    is_safe: bool,
    is_head: bool,
    /// What is written down of it.
    noted: Noted,
}

/// What became of a request.
enum Passed {
    /// It is answered, and another may come.
    On,
    /// The connection ends.
    Over,
    /// It was not touched: it needs the long way.
    Unfit,
}

/// Why a target's answer does not go to the client.
enum Failed {
    /// The client has gone.
    Client,
    /// The target has, or talks nonsense.
    Target,
    /// It says nothing for too long.
    Late,
}

/// Serves a connection's first requests. Gives it back with what came of the first that is not of the
/// usual kind; none if it has ended.
pub(super) async fn serve<S>(
    stream: S,
    client: &Client,
    plans: &Plans,
    closing: &CancellationToken,
) -> Option<(S, Vec<u8>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut short = Short {
        stream: Gathered::new(stream),
        client,
        closing,
        patience: Patience::new(plans.load().settings.idle),
        held: Vec::new(),
        came: Vec::new(),
        out: Vec::new(),
        date: (i64::MIN, String::new()),
        is_safe: false,
        is_head: false,
        noted: None,
    };
    let mut closed = std::pin::pin!(closing.cancelled());
    loop {
        if short.held.is_empty() {
            let asked = std::future::poll_fn(|cx| {
                if let Poll::Ready(more) = poll_more(&mut short.stream, cx, &mut short.held) {
                    return Poll::Ready(more.is_ok_and(|more| more > 0));
                }
                match closed.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(false),
                    Poll::Pending => short.patience.poll_late(cx).map(|()| false),
                }
            });
            if !asked.await {
                break;
            }
        }
        match short.pass(&plans.load_full()).await {
            Passed::On => short.rest(),
            Passed::Over => break,
            Passed::Unfit => return Some((short.stream.into_inner(), short.held)),
        }
    }
    // Whoever does not hear the farewell has gone already.
    let _ = short.stream.shutdown().await;
    None
}

impl<S: AsyncRead + AsyncWrite + Unpin> Short<'_, S> {
    /// Answers the request that is held.
    async fn pass(&mut self, plan: &Arc<Plan>) -> Passed {
        let Some(group) = self.begin(plan) else { return Passed::Unfit };
        self.patience.begin(plan.settings.idle);
        let (wire, reply) = match self.ask(plan, &group).await {
            Ok(answered) => answered,
            Err(None) => return Passed::Over,
            Err(Some(status)) => return self.fail(plan, status).await,
        };
        let ends = reply.ends;
        self.out.extend_from_slice(b"\r\n");
        if let Some(entry) = &mut self.noted {
            entry.hand_usual(reply.status, self.out.len());
        }
        match self.relay(wire, reply).await {
            Ok(()) if !ends => Passed::On,
            Ok(()) | Err(_) => Passed::Over,
        }
    }

    /// Takes the request, if it is of the usual kind: then `out` is what goes to a target of this group.
    fn begin(&mut self, plan: &Plan) -> Option<Arc<GroupState>> {
        if self.client.is_over() {
            return None;
        }
        let asked = Asked::read(&self.held)?;
        let (priority, group) = asked.group(plan, self.client)?;
        (self.is_safe, self.is_head) = (asked.is_safe(), asked.is_head());
        self.noted = asked.entry(plan, self.client);
        self.out.clear();
        let trace = asked.write(&mut self.out, plan, self.client);
        if let Some(entry) = &mut self.noted {
            (entry.priority, entry.action) = (Some(priority), Some("forward"));
            let trace = String::from_utf8_lossy(&self.out[trace]).into_owned();
            (entry.trace, entry.group) = (Some(trace), Some(group.name().to_owned()));
        }
        let length = asked.length();
        self.held.drain(..length);
        plan.counts.request();
        Some(group.clone())
    }

    /// Whether the connection ends with this answer.
    fn is_ending(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Sends the request to a target; gives the head of the answer, with `out` as the client gets it.
    /// What the client is told else, if it has not gone.
    async fn ask(&mut self, plan: &Plan, group: &GroupState) -> Result<(Wire, Reply), Option<u16>> {
        let (mut not, mut is_second) = (None, false);
        for tried in 0..TRIES {
            let next = group.pick(not.as_ref()).or_else(|| group.pick(None));
            let target = next.ok_or(503)?.clone();
            let mut wire = match Wire::take(target.clone(), tried > 0).await {
                Ok(wire) => wire,
                Err(Connecting::Timeout) => return Err(Some(504)),
                Err(Connecting::Failed) => {
                    not = Some(target);
                    continue;
                }
            };
            if let Some(entry) = &mut self.noted {
                entry.dispatch(target.address());
            }
            match self.exchange(&mut wire, plan).await {
                Ok(reply) => return Ok((wire, reply)),
                Err(Failed::Client) => return Err(None),
                Err(Failed::Late) => return Err(Some(504)),
                // A kept connection that the target closed meanwhile: what has no body and changes
                // nothing may be sent once more.
                Err(Failed::Target) if wire.reused && self.is_safe && !is_second => {
                    is_second = true
                }
                Err(Failed::Target) => return Err(Some(502)),
            }
        }
        Err(Some(502))
    }

    async fn exchange(&mut self, wire: &mut Wire, plan: &Plan) -> Result<Reply, Failed> {
        match self.patience.send(&mut wire.stream, &self.out).await {
            Ok(()) => self.came.clear(),
            Err(End::Late) => return Err(Failed::Late),
            Err(End::Closed | End::Broken) => return Err(Failed::Target),
        }
        loop {
            self.hear(wire).await?;
            let now = plan.clock.now();
            if self.date.0 != now.seconds() {
                self.date = (now.seconds(), own::date(now));
            }
            let told = Told { date: &self.date.1, is_head: self.is_head, ends: self.is_ending() };
            match Reply::read(&self.came, &mut self.out, &told) {
                Ok(Some(reply)) => {
                    if let Some(entry) = &mut self.noted {
                        entry.answered(reply.status);
                    }
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(_) => return Err(Failed::Target),
            }
        }
    }

    /// Waits for more of the target's answer, and for the client to go.
    async fn hear(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(more) = poll_more(&mut wire.stream, cx, &mut self.came) {
                return Poll::Ready(match more {
                    Ok(1..) => Ok(()),
                    Ok(0) | Err(_) => Err(Failed::Target),
                });
            }
            if poll_gone(&mut self.stream, cx, &mut self.held).is_ready() {
                return Poll::Ready(Err(Failed::Client));
            }
            self.patience.poll_late(cx).map(|()| Err(Failed::Late))
        })
        .await?;
        self.patience.moved();
        Ok(())
    }

    /// Passes an answer on, whose head is in `out`.
    async fn relay(&mut self, wire: Wire, mut reply: Reply) -> Result<(), End> {
        let body = &self.came[reply.length..];
        let (came, taken) = (body.len(), reply.framing.take(body)?);
        push_part(&mut self.out, &reply.framing, &body[..taken]);
        self.count(taken);
        if !reply.framing.is_over() {
            self.patience.send(&mut self.stream, &self.out).await?;
            return self.pour(wire, reply).await;
        }
        // What comes behind it is nobody's.
        if reply.keeps && taken == came {
            wire.keep();
        }
        self.patience.send(&mut self.stream, &self.out).await
    }

    /// Passes on what is left of an answer.
    async fn pour(&mut self, mut wire: Wire, mut reply: Reply) -> Result<(), End> {
        let mut part = vec![0; BODY_PART];
        let is_open = reply.framing == Framing::Close;
        let (came, taken) = loop {
            let came = match self.read(&mut wire, &mut part).await {
                Ok(came) => came,
                Err(End::Closed) if is_open => {
                    return self.patience.send(&mut self.stream, LAST_CHUNK).await;
                }
                Err(end) => return Err(end),
            };
            let taken = reply.framing.take(&part[..came])?;
            self.count(taken);
            if reply.framing.is_over() {
                break (came, taken);
            }
            if is_open {
                self.out.clear();
                push_part(&mut self.out, &reply.framing, &part[..taken]);
                self.patience.send(&mut self.stream, &self.out).await?;
            } else {
                self.patience.send(&mut self.stream, &part[..taken]).await?;
            }
        };
        if reply.keeps && taken == came {
            wire.keep();
        }
        self.patience.send(&mut self.stream, &part[..taken]).await
    }

    /// Reads some of an answer's body; gives how much.
    async fn read(&mut self, wire: &mut Wire, part: &mut [u8]) -> Result<usize, End> {
        std::future::poll_fn(|cx| {
            let mut part = ReadBuf::new(part);
            match Pin::new(&mut wire.stream).poll_read(cx, &mut part) {
                Poll::Ready(Ok(())) if !part.filled().is_empty() => {
                    self.patience.moved();
                    return Poll::Ready(Ok(part.filled().len()));
                }
                Poll::Ready(Ok(())) => return Poll::Ready(Err(End::Closed)),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Broken)),
                Poll::Pending => {}
            }
            if poll_gone(&mut self.stream, cx, &mut self.held).is_ready() {
                return Poll::Ready(Err(End::Broken));
            }
            self.patience.poll_late(cx).map(|()| Err(End::Late))
        })
        .await
    }

    /// Tells the client that something is wrong.
    async fn fail(&mut self, plan: &Plan, status: u16) -> Passed {
        let ends = self.is_ending();
        let mut page = own::raw_page(status, plan.shows_server, plan.clock.now(), ends);
        if let Some(entry) = &mut self.noted {
            entry.hand_usual(status, page.len());
        }
        if self.is_head {
            page.truncate(own::head_length(&page));
        }
        self.patience.moved();
        match self.patience.send(&mut self.stream, &page).await {
            Ok(()) if !ends => Passed::On,
            Ok(()) | Err(_) => Passed::Over,
        }
    }

    /// So many bytes of an answer's body go to the client.
    fn count(&mut self, bytes: usize) {
        if let Some(entry) = &mut self.noted {
            entry.send(bytes);
        }
    }

    /// The request is over: writes it down, and gives back what a large request or answer needed.
    fn rest(&mut self) {
        self.noted = None;
        for buffer in [&mut self.held, &mut self.came, &mut self.out] {
            if buffer.is_empty() && buffer.capacity() > KEPT_MAX {
                *buffer = Vec::new();
            }
        }
    }
}

/// Writes a part of a body behind what there is.
fn push_part(out: &mut Vec<u8>, framing: &Framing, part: &[u8]) {
    let is_open = *framing == Framing::Close;
    if is_open && part.is_empty() {
        // It would be the last.
        return;
    }
    if is_open {
        out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
    }
    out.extend_from_slice(part);
    if is_open {
        out.extend_from_slice(b"\r\n");
    }
}
