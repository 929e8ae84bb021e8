//! The task of a connection: reads, lets streams go on, writes, and looks at the time.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http2::{Decoder, Fields, Window, write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::budget::Budget;
use super::ending::Phase;
use super::link::Link;
use super::ready::{Places, Readiness, Signal};
use super::streams::{Slot, Step, Stream};
use super::{LIST_MAX, OUT_STOP, PART, STREAM_WINDOW, STREAMS_MAX, TABLE_MAX, WINDOW};
use crate::proxy::clients::{Client, Plans};

/// This much is written at once, in bytes: what a record of TLS may have.
const BATCH: usize = 16 * 1024;
/// How many turns answers wait for others, as long as others are under way.
const TURNS: u8 = 2;
/// How often a task goes on before others have their turn.
const ROUNDS_MAX: usize = 8;
/// What is kept of a buffer that is empty, in bytes.
const KEPT_MAX: usize = 4 * 1024;
/// What is kept of places for streams if there are none.
const SLOTS_KEPT: usize = 8;
/// How long more is kept, for what may come soon.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// A list of headers of which more is to come.
pub(super) struct Unfinished {
    pub(super) stream: u32,
    pub(super) is_last: bool,
    pub(super) block: Vec<u8>,
    pub(super) frames: usize,
}

/// A connection.
pub(super) struct Connection<S> {
    pub(super) stream: S,
    pub(super) client: Arc<Client>,
    pub(super) plans: Plans,
    pub(super) readiness: Arc<Readiness>,
    pub(super) reading: Waker,
    pub(super) writing: Waker,
    pub(super) timing: Waker,
    pub(super) ending: Waker,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
    /// Whether all that is written is on its way.
    pub(super) is_flushed: bool,
    /// What was read and not handled.
    pub(super) held: Vec<u8>,
    /// How much of the link's was written.
    pub(super) written: usize,
    pub(super) turns: u8,
    /// Since when the client reads nothing of what is to be written.
    pub(super) stuck: Option<Instant>,
    pub(super) link: Link,
    pub(super) slots: Vec<Slot>,
    /// The streams of the slots; 0 where there is none.
    pub(super) ids: Vec<u32>,
    pub(super) ready: Places,
    /// Streams that wait for what all may send together.
    pub(super) blocked: Places,
    /// Those that wait until some of what is to be written is.
    pub(super) crowded: Places,
    /// Where the next round begins.
    pub(super) turn: usize,
    pub(super) decoder: Decoder,
    pub(super) fields: Fields,
    pub(super) unfinished: Option<Unfinished>,
    /// How many bytes of the preface have come, and whether settings have.
    pub(super) greeted: usize,
    pub(super) has_settings: bool,
    /// What may come over all streams together, and what is to be given back of it.
    pub(super) window: Window,
    pub(super) owed: u32,
    /// The last stream of the client's.
    pub(super) last: u32,
    /// How many requests there were.
    pub(super) taken: u64,
    /// Streams that were reset lately: the client may not know yet.
    pub(super) forgotten: VecDeque<u32>,
    /// What frames may cost that ask for nothing.
    pub(super) budget: Budget,
    /// The same of streams that end without an answer. Parts of bodies give nothing back: a byte of
    /// one would pay for a stream.
    pub(super) streams_budget: Budget,
    pub(super) phase: Phase,
    /// When a stream ended last, or the connection began.
    pub(super) moved: Instant,
    pub(super) timer: Pin<Box<Sleep>>,
    pub(super) look_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, client: Arc<Client>, plans: Plans) -> Self {
        let (now, readiness) = (Instant::now(), Readiness::new());
        let mut link = Link::new(now);
        let list_max = u32::try_from(LIST_MAX).unwrap_or(u32::MAX);
        let streams_max = u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX);
        // Most streams at once, the window of each, the largest list.
        write::settings(&mut link.out, &[(3, streams_max), (4, STREAM_WINDOW), (6, list_max)]);
        // All windows together begin with what the protocol says.
        let usual = u32::try_from(link.window.room()).unwrap_or(0);
        write::window_update(&mut link.out, 0, WINDOW - usual);
        let of = |signal| readiness.of_signal(signal);
        let (reading, writing) = (of(Signal::Read), of(Signal::Write));
        let (timing, ending) = (of(Signal::Time), of(Signal::End));
        // All of them are looked at first.
        [&reading, &timing, &ending].into_iter().for_each(Waker::wake_by_ref);
        Self {
            stream,
            client,
            plans,
            readiness,
            reading,
            writing,
            timing,
            ending,
            can_read: true,
            can_write: true,
            is_flushed: true,
            held: Vec::new(),
            written: 0,
            turns: 0,
            stuck: None,
            link,
            slots: Vec::new(),
            ids: Vec::new(),
            ready: Places::default(),
            blocked: Places::default(),
            crowded: Places::default(),
            turn: 0,
            decoder: Decoder::new(TABLE_MAX),
            fields: Fields::new(LIST_MAX),
            unfinished: None,
            greeted: 0,
            has_settings: false,
            window: Window::new(WINDOW),
            owed: 0,
            last: 0,
            taken: 0,
            forgotten: VecDeque::new(),
            budget: Budget::new(now),
            streams_budget: Budget::new(now),
            phase: Phase::Open,
            moved: now,
            timer: Box::pin(tokio::time::sleep_until(now)),
            look_at: now,
        }
    }

    /// The waker of a place.
    pub(super) fn waker(&self, place: usize) -> Waker {
        self.readiness.of_place(place)
    }

    /// The stream, once all is over.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    /// Ready when the connection has ended; what was to be written is written then, or cannot be.
    pub(super) fn poll<C: Future<Output = ()>>(
        &mut self,
        cx: &mut Context<'_>,
        closed: Pin<&mut C>,
    ) -> Poll<()> {
        let woken = self.readiness.take(cx.waker());
        self.link.now = Instant::now();
        self.ready.join(woken.streams);
        self.can_read |= woken.has(Signal::Read);
        self.can_write |= woken.has(Signal::Write);
        if woken.has(Signal::End) && closed.poll(&mut Context::from_waker(&self.ending)).is_ready()
        {
            self.leave();
        }
        if woken.has(Signal::Time) {
            self.look();
        }
        let mut rounds = 0;
        loop {
            let was_deaf = self.is_deaf();
            let has_moved = self.hear() | self.run();
            let is_over = self.is_over();
            let is_much = self.link.out.len() >= BATCH;
            if (is_much || is_over) && self.write_out().is_err() {
                return Poll::Ready(());
            }
            if is_over && self.link.out.is_empty() && self.is_flushed {
                return Poll::Ready(());
            }
            rounds += 1;
            let goes_on = has_moved || self.can_go_on() || (was_deaf && !self.is_deaf());
            if !goes_on || is_over {
                break;
            }
            if rounds == ROUNDS_MAX {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if self.write(cx).is_err() {
            return Poll::Ready(());
        }
        self.rest();
        Poll::Pending
    }

    /// Whether the client is not heard until it has read.
    fn is_deaf(&self) -> bool {
        self.link.out.len() >= OUT_STOP
    }

    /// Whether streams that could not send may go on.
    fn can_go_on(&self) -> bool {
        let may_send = self.link.window.room() > 0 && !self.blocked.is_empty();
        self.link.has_room() && (may_send || !self.crowded.is_empty())
    }

    /// Handles what was read, and reads more. Whether there was anything.
    fn hear(&mut self) -> bool {
        if self.phase == Phase::Over || self.is_deaf() {
            return false;
        }
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            let used = self.handle_all(&held);
            self.held = held;
            self.held.drain(..used);
            if used > 0 {
                return true;
            }
        }
        if !self.can_read {
            return false;
        }
        let mut part = [MaybeUninit::uninit(); PART];
        let mut part = ReadBuf::uninit(&mut part);
        let mut cx = Context::from_waker(&self.reading);
        match Pin::new(&mut self.stream).poll_read(&mut cx, &mut part) {
            Poll::Pending => {
                self.can_read = false;
                false
            }
            Poll::Ready(Ok(())) if !part.filled().is_empty() => {
                match self.held.is_empty() {
                    true => {
                        let used = self.handle_all(part.filled());
                        self.held.extend_from_slice(&part.filled()[used..]);
                    }
                    // It is handled in the next round.
                    false => self.held.extend_from_slice(part.filled()),
                }
                true
            }
            Poll::Ready(_) => {
                self.abort();
                true
            }
        }
    }

    /// Lets all streams go on that can. Whether any did.
    fn run(&mut self) -> bool {
        if self.can_go_on() {
            self.ready.join(std::mem::take(&mut self.crowded));
            self.ready.join(std::mem::take(&mut self.blocked));
        }
        let mut ready = std::mem::take(&mut self.ready);
        let has_any = !ready.is_empty();
        while let Some(place) = ready.next(self.turn) {
            self.give_back(place);
            let Some(slot) = self.slots.get_mut(place) else { continue };
            let Some(stream) = &mut slot.stream else { continue };
            let mut cx = Context::from_waker(&slot.waker);
            match stream.poll(&mut cx, &mut self.link, &self.client) {
                Step::Pending => {}
                Step::Blocked => {
                    let waiting = match self.link.has_room() {
                        false => &mut self.crowded,
                        // It waits for a window of its own.
                        true if stream.way.window.room() == 0 => continue,
                        true => &mut self.blocked,
                    };
                    waiting.add(place);
                    self.turn = place + 1;
                }
                Step::Done | Step::Page(_) => self.finish(place),
                Step::Broken(code) => self.reset_place(place, code),
            }
        }
        self.budget.earn(std::mem::take(&mut self.link.parts));
        self.turn %= STREAMS_MAX;
        has_any
    }

    /// Writes what is to be written, if nothing is to be added soon.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let is_little = !self.link.out.is_empty() && self.link.out.len() < BATCH;
        if is_little && self.turns < TURNS && self.phase != Phase::Over && self.has_waiting() {
            self.turns += 1;
            cx.waker().wake_by_ref();
            return Ok(());
        }
        self.write_out()
    }

    /// Whether an answer is to come.
    fn has_waiting(&self) -> bool {
        self.slots.iter().filter_map(|slot| slot.stream.as_ref()).any(Stream::waits)
    }

    fn write_out(&mut self) -> io::Result<()> {
        if !self.can_write || (self.link.out.is_empty() && self.is_flushed) {
            return Ok(());
        }
        let mut cx = Context::from_waker(&self.writing);
        while self.written < self.link.out.len() {
            let rest = &self.link.out[self.written..];
            match Pin::new(&mut self.stream).poll_write(&mut cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => {
                    self.written += written?;
                    self.stuck = None;
                    self.is_flushed = false;
                }
                Poll::Pending => {
                    self.can_write = false;
                    self.link.out.drain(..std::mem::take(&mut self.written));
                    self.stuck.get_or_insert(self.link.now);
                    return Ok(());
                }
            }
        }
        self.link.out.clear();
        (self.written, self.turns) = (0, 0);
        match Pin::new(&mut self.stream).poll_flush(&mut cx) {
            Poll::Ready(flushed) => {
                self.is_flushed = true;
                self.stuck = None;
                flushed
            }
            Poll::Pending => {
                self.can_write = false;
                self.stuck.get_or_insert(self.link.now);
                Ok(())
            }
        }
    }

    /// Whether nothing is left but to write.
    fn is_over(&self) -> bool {
        match self.phase {
            Phase::Over => true,
            Phase::Left(..) => self.is_quiet(),
            Phase::Open | Phase::Leaving(_) => false,
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.ids.iter().all(|id| *id == 0)
    }

    /// Has what large requests and answers needed given back soon, if nothing is under way.
    fn rest(&mut self) {
        let of_buffers = self.held.capacity().max(self.link.out.capacity());
        let is_large = of_buffers > KEPT_MAX || self.slots.len() > SLOTS_KEPT;
        if is_large && self.is_quiet() {
            self.look_by(self.link.now + KEPT_FOR);
        }
    }

    /// Gives back what large requests and answers needed.
    pub(super) fn release(&mut self) {
        for buffer in [&mut self.held, &mut self.link.out] {
            if buffer.is_empty() && buffer.capacity() > KEPT_MAX {
                *buffer = Vec::new();
            }
        }
        if self.slots.len() > SLOTS_KEPT {
            self.slots.truncate(SLOTS_KEPT);
            self.slots.shrink_to_fit();
            self.ids.truncate(SLOTS_KEPT);
        }
    }
}
