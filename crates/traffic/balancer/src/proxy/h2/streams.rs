//! A connection's streams: what each of them does.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{StatusCode, Version};
use http2::{Code, Window};
use tokio::time::Instant;

use super::answering::{Answering, Sending};
use super::link::{Link, Way};
use super::usual::Usual;
use crate::inbound::Inbox;
use crate::listening::Plan;
use crate::proxy::clients::{Client, Counted};
use crate::proxy::own::Own;

/// How long the rest of a request's body may come once the answer is with the client, and how long
/// nothing of it. Not at once: some clients take a stream that ends so for one that has no answer, and
/// others cannot hear while they send.
const REST: Duration = Duration::from_secs(30);
/// The same.
const REST_PAUSE: Duration = Duration::from_secs(5);

/// How far a stream could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is woken when it can go on.
    Pending,
    /// It could send, and may not yet.
    Blocked,
    /// The answer is whole.
    Done,
    /// No target answers: the client gets this page.
    Page(StatusCode),
    /// The answer ends early.
    Broken(Code),
}

/// A stream.
pub(super) struct Stream {
    pub(super) way: Way,
    plan: Arc<Plan>,
    is_head: bool,
    /// The body that comes, if there is one.
    pub(super) arriving: Option<Arriving>,
    pub(super) is_blocked: bool,
    state: State,
}

/// A body that comes.
pub(super) struct Arriving {
    pub(super) inbox: Arc<Inbox>,
    /// What may come.
    pub(super) window: Window,
    /// What was said to come and has not, in bytes.
    pub(super) left: Option<u64>,
    /// What is to be given back to the stream's window, in bytes.
    pub(super) owed: u32,
    /// Whether all of it has come.
    pub(super) is_over: bool,
}

impl Arriving {
    /// Whether there is more of it to come, or to be taken.
    fn has_more(&self) -> bool {
        !self.is_over || !self.inbox.is_empty()
    }
}

/// What a stream does.
enum State {
    Usual(Box<Usual>),
    Answering(Answering),
    Sending(Sending),
    /// The answer is with the client since then; the rest of the request's body may
    /// come, and be taken.
    Answered(Instant),
}

/// Where a stream may be, with what wakes it.
pub(super) struct Slot {
    pub(super) waker: Waker,
    pub(super) stream: Option<Stream>,
}

impl Stream {
    /// One that has a target answer.
    pub(super) fn usual(way: Way, plan: Arc<Plan>, is_head: bool, usual: Usual) -> Self {
        let state = State::Usual(Box::new(usual));
        Self { way, plan, is_head, arriving: None, is_blocked: false, state }
    }

    /// One that is answered as all are.
    pub(super) fn other(
        way: Way,
        plan: Arc<Plan>,
        is_head: bool,
        (arriving, answering): (Option<Arriving>, Answering),
    ) -> Self {
        let state = State::Answering(answering);
        Self { way, plan, is_head, arriving, is_blocked: false, state }
    }

    /// Goes on as far as it can.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, link: &mut Link, client: &Client) -> Step {
        let step = loop {
            match &mut self.state {
                State::Usual(usual) => {
                    match usual.poll(cx, &mut self.way, (&*self.plan, &mut *link)) {
                        Step::Page(status) => self.answer_page(status, client),
                        step => break step,
                    }
                }
                State::Answering(answering) => match answering.as_mut().poll(cx) {
                    Poll::Pending => break Step::Pending,
                    Poll::Ready(response) => {
                        let place = (&*self.plan, &self.way, &mut *link);
                        match Sending::begin(response, self.is_head, place) {
                            Some(sending) => self.state = State::Sending(sending),
                            None => break Step::Done,
                        }
                    }
                },
                State::Sending(sending) => break sending.poll(cx, &mut self.way, link),
                State::Answered(_) => {
                    let has_more = self.arriving.as_ref().is_some_and(Arriving::has_more);
                    break if has_more { Step::Pending } else { Step::Done };
                }
            }
        };
        let was_blocked = std::mem::replace(&mut self.is_blocked, step == Step::Blocked);
        if self.is_blocked && !was_blocked {
            self.way.since = link.now;
        }
        step
    }

    /// A page instead of a target's answer.
    fn answer_page(&mut self, status: StatusCode, client: &Client) {
        let State::Usual(usual) = &mut self.state else { return };
        let shows_server = self.plan.shows_server;
        let own = Own { shows_server, version: Version::HTTP_2, is_grpc: false };
        let response = own.page(status);
        let mut noted = usual.noted.take();
        if let Some(entry) = &mut noted {
            entry.hand(&response);
        }
        let under_way = client.requests.begin();
        let response = response.map(|body| Counted::new(body, noted, under_way));
        self.state = State::Answering(Box::pin(std::future::ready(response)));
    }

    fn idle(&self) -> Duration {
        self.plan.settings.idle
    }

    /// When it is late if nothing moves until then.
    pub(super) fn late_at(&self) -> Option<Instant> {
        let may_be_late = match &self.state {
            State::Usual(usual) => usual.may_be_late(),
            // Whoever answers looks at the time.
            State::Answering(_) => false,
            State::Sending(_) => self.is_blocked,
            State::Answered(since) => {
                return Some((self.way.since + REST_PAUSE).min(*since + REST));
            }
        };
        may_be_late.then(|| self.way.since + self.idle())
    }

    /// It is late: gives the code that it ends with, if it cannot be answered any more.
    pub(super) fn be_late(&mut self, client: &Client) -> Option<Code> {
        match &self.state {
            State::Answered(_) => Some(Code::NoError),
            _ if self.is_blocked => Some(Code::Cancel),
            State::Usual(usual) if !usual.has_begun() => {
                self.answer_page(StatusCode::GATEWAY_TIMEOUT, client);
                None
            }
            _ => Some(Code::InternalError),
        }
    }

    /// Whether it waits for a target, and not for the client.
    pub(super) fn waits(&self) -> bool {
        !self.is_blocked && !self.is_answered()
    }

    /// The answer is with the client. Whether the stream stays for the rest of the request.
    pub(super) fn be_answered(&mut self, now: Instant) -> bool {
        let has_more = self.arriving.as_ref().is_some_and(Arriving::has_more);
        if has_more {
            self.way.since = now;
            self.state = State::Answered(now);
        }
        has_more
    }

    /// Whether nothing is left but the rest of the request's body.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }
}
