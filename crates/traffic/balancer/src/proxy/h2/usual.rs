//! Requests of the usual kind: from the client's list to a connection to a target, and the answer's head
//! and body from there into frames.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::StatusCode;
use http2::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::PART;
use super::asking::Asking;
use super::link::{Link, Way};
use super::streams::Step;
use crate::listening::Plan;
use crate::proxy::Noted;
use crate::proxy::clients::Client;
use crate::proxy::forward::TRIES;
use crate::proxy::plain::{Framing, Reply, Told, Trailers};
use crate::targets::{Begun, Connecting, GroupState, TargetState, Wire};

/// A request that is under way.
pub(super) struct Usual {
    group: Arc<GroupState>,
    /// The head as the target gets it.
    asked: Vec<u8>,
    is_head: bool,
    /// Whether it may be sent once more if a kept connection was closed meanwhile.
    may_repeat: bool,
    tried: usize,
    /// The one that it is with, or was last.
    target: Option<Arc<TargetState>>,
    /// The one that no connection could be made to.
    not: Option<Arc<TargetState>>,
    stage: Stage,
    /// What came of the target: of a head that is not whole, or of a body, without what was sent of it.
    came: Vec<u8>,
    /// What came behind its chunks, and goes out behind all else.
    trailers: Trailers,
    pub(super) noted: Noted,
}

type Dialling = Pin<Box<dyn Future<Output = Result<Wire, Connecting>> + Send>>;

/// How far it is.
#[derive(Default)]
enum Stage {
    /// The next target is to be chosen.
    #[default]
    Choosing,
    Dialling(Dialling),
    /// So much of the head was written.
    Asking(Wire, usize),
    /// The answer's head is to come.
    Hearing(Wire),
    /// The head is with the client; without a connection all of the body is here.
    Passing(Option<Wire>, Framing, bool),
}

impl Usual {
    /// A request, if it is of the usual kind; it goes to this group.
    pub(super) fn begin(asking: &Asking<'_>, plan: &Plan, client: &Client) -> Option<Self> {
        let asked = asking.usual()?;
        let (priority, group) = asked.group(plan, client)?;
        let mut noted = asked.entry(plan, client);
        let mut head = Vec::with_capacity(512);
        let trace = asked.write(&mut head, plan, client);
        if let Some(entry) = &mut noted {
            (entry.priority, entry.action) = (Some(priority), Some("forward"));
            let trace = String::from_utf8_lossy(&head[trace]).into_owned();
            (entry.trace, entry.group) = (Some(trace), Some(group.name().to_owned()));
        }
        plan.counts.request();
        Some(Self {
            group: group.clone(),
            asked: head,
            is_head: asked.is_head(),
            may_repeat: asked.is_safe(),
            tried: 0,
            target: None,
            not: None,
            stage: Stage::Choosing,
            came: Vec::new(),
            trailers: Trailers::default(),
            noted,
        })
    }

    /// Whether nothing may go on for long: a connection that is made has a time of its own.
    pub(super) fn may_be_late(&self) -> bool {
        !matches!(self.stage, Stage::Dialling(_))
    }

    /// Whether the client has got something of the answer.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Passing(..))
    }

    /// Goes on as far as it can.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        way: &mut Way,
        (plan, link): (&Plan, &mut Link),
    ) -> Step {
        loop {
            let moved = match std::mem::take(&mut self.stage) {
                Stage::Choosing => self.choose(),
                Stage::Dialling(dialling) => self.dial(cx, dialling),
                Stage::Asking(wire, at) => self.ask(cx, wire, at),
                Stage::Hearing(wire) => self.hear(cx, wire, way, (plan, link)),
                Stage::Passing(wire, framing, keeps) => {
                    self.pass(cx, (wire, framing, keeps), way, link)
                }
            };
            match moved {
                Ok(stage) => {
                    way.since = link.now;
                    self.stage = stage;
                }
                Err((stage, step)) => {
                    self.stage = stage;
                    return step;
                }
            }
        }
    }

    fn choose(&mut self) -> Moved {
        if self.tried == TRIES {
            return fail(StatusCode::BAD_GATEWAY);
        }
        let (group, not) = (&self.group, self.not.as_ref());
        let Some(target) = group.pick(not).or_else(|| group.pick(None)).cloned() else {
            return fail(StatusCode::SERVICE_UNAVAILABLE);
        };
        let fresh = self.tried > 0;
        self.tried += 1;
        self.target = Some(target.clone());
        match Wire::begin(target, fresh) {
            Ok(Begun::Kept(wire)) => Ok(self.dispatch(wire)),
            Ok(Begun::New(unmade)) => Ok(Stage::Dialling(Box::pin(unmade.make()))),
            Err(why) => self.undialled(why),
        }
    }

    fn dial(&mut self, cx: &mut Context<'_>, mut dialling: Dialling) -> Moved {
        match dialling.as_mut().poll(cx) {
            Poll::Pending => Err((Stage::Dialling(dialling), Step::Pending)),
            Poll::Ready(Ok(wire)) => Ok(self.dispatch(wire)),
            Poll::Ready(Err(why)) => self.undialled(why),
        }
    }

    fn undialled(&mut self, why: Connecting) -> Moved {
        match why {
            Connecting::Timeout => fail(StatusCode::GATEWAY_TIMEOUT),
            Connecting::Failed => {
                self.not = self.target.take();
                Ok(Stage::Choosing)
            }
        }
    }

    /// The request goes to a target now.
    fn dispatch(&mut self, wire: Wire) -> Stage {
        if let (Some(entry), Some(target)) = (&mut self.noted, &self.target) {
            entry.dispatch(target.address());
        }
        Stage::Asking(wire, 0)
    }

    fn ask(&mut self, cx: &mut Context<'_>, mut wire: Wire, mut at: usize) -> Moved {
        while at < self.asked.len() {
            // Writes of one connection follow each other anyway.
            let stream = Pin::new(wire.stream.get_mut());
            match stream.poll_write(cx, &self.asked[at..]) {
                Poll::Ready(Ok(written @ 1..)) => at += written,
                Poll::Ready(Ok(0) | Err(_)) => return self.lost(wire.reused),
                Poll::Pending => return Err((Stage::Asking(wire, at), Step::Pending)),
            }
        }
        Ok(Stage::Hearing(wire))
    }

    /// The target's connection failed before there was an answer.
    fn lost(&mut self, reused: bool) -> Moved {
        self.came.clear();
        self.trailers = Trailers::default();
        match reused && std::mem::take(&mut self.may_repeat) {
            true => Ok(Stage::Choosing),
            false => fail(StatusCode::BAD_GATEWAY),
        }
    }

    fn hear(
        &mut self,
        cx: &mut Context<'_>,
        mut wire: Wire,
        way: &mut Way,
        (plan, link): (&Plan, &mut Link),
    ) -> Moved {
        let mut part = [MaybeUninit::uninit(); PART];
        let mut part = ReadBuf::uninit(&mut part);
        match Pin::new(wire.stream.get_mut()).poll_read(cx, &mut part) {
            Poll::Pending => return Err((Stage::Hearing(wire), Step::Pending)),
            Poll::Ready(Ok(())) if !part.filled().is_empty() => {}
            Poll::Ready(_) => return self.lost(wire.reused),
        }
        let mut came = std::mem::take(&mut self.came);
        let bytes = match came.is_empty() {
            true => part.filled(),
            false => {
                came.extend_from_slice(part.filled());
                &came[..]
            }
        };
        let (at, mut head, date) = link.begin(plan);
        let told = Told { date, is_head: self.is_head, ends: false };
        let read = Reply::read(bytes, &mut head, &told);
        let length = head.length;
        let whole = match read {
            Ok(Some(reply)) => self.begin_body(wire, reply, bytes, (at, length, way, link)),
            Ok(None) => {
                link.out.truncate(at);
                if came.is_empty() {
                    came.extend_from_slice(part.filled());
                }
                self.came = came;
                return Ok(Stage::Hearing(wire));
            }
            Err(_) => Err(wire.reused),
        };
        match whole {
            Ok(moved) => moved,
            Err(reused) => {
                link.out.truncate(at);
                self.lost(reused)
            }
        }
    }

    /// The head is whole, and written to the client from `at` on; some of the body may have come. Whether
    /// the connection was used before, if that is no body.
    fn begin_body(
        &mut self,
        wire: Wire,
        reply: Reply,
        bytes: &[u8],
        (at, length, way, link): (usize, usize, &mut Way, &mut Link),
    ) -> Result<Moved, bool> {
        let mut framing = reply.framing;
        let body = &bytes[reply.length..];
        let mut unpacked = Vec::new();
        let into = (&mut unpacked, &mut self.trailers);
        let (taken, data) = data_of(&mut framing, body, into).ok_or(wire.reused)?;
        if let Some(entry) = &mut self.noted {
            entry.answered(reply.status);
            entry.hand_usual(reply.status, length);
        }
        let is_over = framing.is_over();
        let wire = match is_over {
            true => {
                // What comes behind it is nobody's.
                if reply.keeps && taken == body.len() {
                    wire.keep();
                }
                None
            }
            false => Some(wire),
        };
        let is_all = is_over && data.is_empty() && self.trailers.is_empty();
        link.end_list(at, way.id, is_all);
        if is_all {
            return Ok(Err((Stage::Choosing, Step::Done)));
        }
        let sent = self.send(data, is_over, way, link);
        if is_over && sent == data.len() {
            return Ok(Err((Stage::Choosing, Step::Done)));
        }
        self.came = data[sent..].to_vec();
        Ok(Ok(Stage::Passing(wire, framing, reply.keeps)))
    }

    /// Sends as much of this as may be sent; with `is_last` the stream ends behind all of it. Gives how
    /// many bytes that were.
    fn send(&mut self, data: &[u8], is_last: bool, way: &mut Way, link: &mut Link) -> usize {
        let has_trailers = is_last && !self.trailers.is_empty();
        let sent = link.data(way, data, is_last && !has_trailers);
        if has_trailers && sent == data.len() {
            link.trailers(way, &std::mem::take(&mut self.trailers));
        }
        if let Some(entry) = &mut self.noted {
            entry.send(sent);
        }
        sent
    }

    /// Passes on some of the body.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        (mut wire, mut framing, keeps): (Option<Wire>, Framing, bool),
        way: &mut Way,
        link: &mut Link,
    ) -> Moved {
        if !self.came.is_empty() {
            let came = std::mem::take(&mut self.came);
            let sent = self.send(&came, wire.is_none(), way, link);
            if sent == came.len() && wire.is_none() {
                return Err((Stage::Choosing, Step::Done));
            }
            self.came = came;
            self.came.drain(..sent);
        }
        // Without a window, too: what ends the body needs none (RFC 9113, 6.9.1).
        if !self.came.is_empty() || !link.has_room() {
            return Err((Stage::Passing(wire, framing, keeps), Step::Blocked));
        }
        let broken = || Err((Stage::Choosing, Step::Broken(Code::InternalError)));
        let Some(open) = &mut wire else { return broken() };
        let mut part = [MaybeUninit::uninit(); PART];
        let mut part = ReadBuf::uninit(&mut part);
        match Pin::new(open.stream.get_mut()).poll_read(cx, &mut part) {
            Poll::Pending => return Err((Stage::Passing(wire, framing, keeps), Step::Pending)),
            Poll::Ready(Ok(())) if !part.filled().is_empty() => {}
            Poll::Ready(Ok(())) if framing == Framing::Close => {
                link.data(way, &[], true);
                return Err((Stage::Choosing, Step::Done));
            }
            Poll::Ready(_) => return broken(),
        }
        let (came, mut unpacked) = (part.filled(), Vec::new());
        let into = (&mut unpacked, &mut self.trailers);
        let Some((taken, data)) = data_of(&mut framing, came, into) else {
            return broken();
        };
        if framing.is_over()
            && let Some(wire) = wire.take()
            && keeps
            && taken == came.len()
        {
            wire.keep();
        }
        let is_last = framing.is_over();
        let sent = self.send(data, is_last, way, link);
        if is_last && sent == data.len() {
            return Err((Stage::Choosing, Step::Done));
        }
        self.came = data[sent..].to_vec();
        Ok(Stage::Passing(wire, framing, keeps))
    }
}

/// How many of these bytes belong to a body, and what of them is its data; none if they are no body.
/// What is in chunks is unpacked, with what follows them.
fn data_of<'b>(
    framing: &mut Framing,
    bytes: &'b [u8],
    (unpacked, trailers): (&'b mut Vec<u8>, &mut Trailers),
) -> Option<(usize, &'b [u8])> {
    match framing {
        Framing::Chunked(_) => {
            let taken = framing.data(bytes, unpacked, trailers).ok()?;
            Some((taken, &unpacked[..]))
        }
        Framing::Length(_) | Framing::Close => {
            let taken = framing.take(bytes).ok()?;
            Some((taken, &bytes[..taken]))
        }
    }
}

/// What comes next; or where it stays, and why.
type Moved = Result<Stage, (Stage, Step)>;

/// The client gets a page.
fn fail(status: StatusCode) -> Moved {
    Err((Stage::Choosing, Step::Page(status)))
}
