//! How a connection ends, and who is late.

use std::task::Context;

use http2::{Code, write};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::FAREWELL;
use super::connection::Connection;

/// What a farewell's PING has.
pub(super) const FAREWELL_PING: [u8; 8] = *b"farewell";

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The client was told to begin nothing more. What it began before it heard of that is answered.
    Leaving(Instant),
    /// It has heard: nothing behind this stream is answered.
    Left(Instant, u32),
    /// It ends once all is written.
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Nothing can be read or written any more.
    pub(super) fn abort(&mut self) {
        self.phase = Phase::Over;
        self.link.out.clear();
        (self.written, self.is_flushed) = (0, true);
        self.drop_all();
    }

    /// The client did what it must not: it is told so, and everything ends.
    pub(super) fn fail(&mut self, code: Code) {
        if self.phase != Phase::Over {
            tracing::debug!(?code, peer = %self.client.peer, "a connection of a client fails");
            let last = match self.phase {
                Phase::Left(_, last) => last,
                _ => self.last,
            };
            write::go_away(&mut self.link.out, last, code);
            self.phase = Phase::Over;
            self.drop_all();
        }
    }

    fn drop_all(&mut self) {
        for slot in &mut self.slots {
            slot.stream = None;
        }
        self.ids.fill(0);
        (self.ready, self.blocked, self.crowded) = Default::default();
    }

    /// Tells the client to begin nothing more.
    pub(super) fn leave(&mut self) {
        if self.phase == Phase::Open {
            write::go_away(&mut self.link.out, http2::WINDOW_MAX, Code::NoError);
            write::ping(&mut self.link.out, FAREWELL_PING);
            self.phase = Phase::Leaving(self.link.now);
            self.look_by(self.link.now + FAREWELL);
        }
    }

    /// From now on nothing new is answered.
    pub(super) fn hold_to_farewell(&mut self, since: Instant) {
        write::go_away(&mut self.link.out, self.last, Code::NoError);
        self.phase = Phase::Left(since, self.last);
    }

    /// A stream is over.
    pub(super) fn free(&mut self, place: usize) {
        self.moved = self.link.now;
        self.ids[place] = 0;
        let Some(stream) = self.slots[place].stream.take() else { return };
        if let Some(arriving) = stream.arriving {
            let held = u32::try_from(arriving.inbox.abandon()).unwrap_or(0);
            self.owe(held);
        }
        // The last look was at one that is later than all, maybe.
        if self.is_quiet() && !matches!(self.phase, Phase::Open) {
            self.look_by(self.link.now + FAREWELL);
        }
    }

    /// The time is looked at then, if not before.
    pub(super) fn look_by(&mut self, at: Instant) {
        if at < self.look_at {
            self.look_at = at;
            self.timer.as_mut().reset(at);
            self.timing.wake_by_ref();
        }
    }

    /// Looks who is late, and when to look again.
    pub(super) fn look(&mut self) {
        let timing = self.timing.clone();
        let mut cx = Context::from_waker(&timing);
        if self.timer.as_mut().poll(&mut cx).is_pending() {
            return;
        }
        let (now, idle) = (self.link.now, self.plans.load().settings.idle);
        let mut next = now + idle;
        for place in 0..self.slots.len() {
            let Some(stream) = &mut self.slots[place].stream else { continue };
            match stream.late_at() {
                Some(late_at) if late_at <= now => match stream.be_late(&self.client) {
                    Some(code) => self.reset_place(place, code),
                    None => self.ready.add(place),
                },
                Some(late_at) => next = next.min(late_at),
                None => {}
            }
        }
        if self.stuck.is_some_and(|since| now >= since + idle) {
            return self.abort();
        }
        let is_quiet = self.is_quiet();
        if is_quiet {
            self.release();
        }
        match self.phase {
            Phase::Open if now >= self.client.ends_at || (is_quiet && now >= self.moved + idle) => {
                self.look_at = next;
                self.leave();
                next = next.min(now + FAREWELL);
            }
            Phase::Open => {
                next = next.min(self.client.ends_at);
                if is_quiet {
                    next = next.min(self.moved + idle);
                }
            }
            Phase::Leaving(since) | Phase::Left(since, _) if is_quiet => {
                let ends_at = since.max(self.moved) + FAREWELL;
                if now >= ends_at {
                    self.phase = Phase::Over;
                }
                next = next.min(ends_at);
            }
            // Whoever does not say that it has heard has had the time.
            Phase::Leaving(since) if now >= since + FAREWELL => self.hold_to_farewell(since),
            Phase::Leaving(since) => next = next.min(since + FAREWELL),
            Phase::Left(..) | Phase::Over => {}
        }
        self.look_at = next;
        self.timer.as_mut().reset(next);
        if self.timer.as_mut().poll(&mut cx).is_ready() {
            self.timing.wake_by_ref();
        }
    }
}
