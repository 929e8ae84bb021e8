//! What a connection's streams write to.

use http2::{Block, WINDOW_MAX, Window, write};
use tokio::time::Instant;

use super::OUT_MAX;
use crate::listening::Plan;
use crate::proxy::{own, plain};

/// The window that clients have for answers until they say otherwise (RFC 9113, 6.5.2), in bytes.
const WINDOW_USUAL: u32 = 65_535;
/// How old the text of a date may be.
const DATE_AGE: std::time::Duration = std::time::Duration::from_millis(500);

/// What goes to the client.
pub(super) struct Link {
    /// Frames that are to be written.
    pub(super) out: Vec<u8>,
    /// What may be sent over all streams together.
    pub(super) window: Window,
    /// What new streams may send at first, in bytes.
    pub(super) initial: u32,
    /// Whether the next list has to tell the client that no table is kept.
    pub(super) keeps_nothing: bool,
    /// When the task was run.
    pub(super) now: Instant,
    /// Parts of bodies that went out.
    pub(super) parts: u32,
    date: String,
    dated: Option<Instant>,
}

/// A stream on its way to the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Its number.
    pub(super) id: u32,
    /// What may be sent over it.
    pub(super) window: Window,
    /// When something moved last.
    pub(super) since: Instant,
}

/// A head of an answer that is written.
pub(super) struct Head<'a> {
    block: Block<'a>,
    /// What it has, as HTTP/1.1 would write it, in bytes.
    pub(super) length: usize,
}

impl plain::Sink for Head<'_> {
    const IS_HTTP1: bool = false;

    fn begin(&mut self, status: u16, _: &str) {
        self.length = "HTTP/1.1 200 OK\r\n\r\n".len();
        self.block.status(status);
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        self.length += name.len() + value.len() + ": \r\n".len();
        self.block.field(name.as_bytes(), value);
    }

    /// Not counted: the target did not say it.
    fn date(&mut self, date: &str) {
        self.block.field(b"date", date.as_bytes());
    }
}

impl Link {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            out: Vec::new(),
            window: Window::new(WINDOW_USUAL),
            initial: WINDOW_USUAL,
            keeps_nothing: false,
            now,
            parts: 0,
            date: String::new(),
            dated: None,
        }
    }

    /// Whether parts of bodies may be added.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < OUT_MAX
    }

    /// Begins a head: where it begins, what it is written to, and the date. It ends with
    /// [`Self::end_list`], or is cut off again.
    pub(super) fn begin(&mut self, plan: &Plan) -> (usize, Head<'_>, &str) {
        if self.dated.is_none_or(|dated| self.now - dated >= DATE_AGE) {
            self.date = own::date(plan.clock.now());
            self.dated = Some(self.now);
        }
        let (at, block) = list(&mut self.out, self.keeps_nothing);
        (at, Head { block, length: 0 }, &self.date)
    }

    /// Sends what comes behind a body; the stream ends with it.
    pub(super) fn trailers(&mut self, way: &Way, trailers: &plain::Trailers) {
        let (at, mut block) = self.list();
        let mut is_any = false;
        trailers.each(|name, value| {
            is_any = true;
            block.field(name.as_bytes(), value);
        });
        match is_any {
            true => self.end_list(at, way.id, true),
            false => {
                self.out.truncate(at);
                write::data(&mut self.out, way.id, &[], true);
            }
        }
    }

    /// Begins a list of headers: where it begins, and what it is written to. It ends as a head does.
    pub(super) fn list(&mut self) -> (usize, Block<'_>) {
        list(&mut self.out, self.keeps_nothing)
    }

    /// All behind `at` is a list of headers of this stream, which nothing follows if it is the last.
    pub(super) fn end_list(&mut self, at: usize, stream: u32, is_last: bool) {
        write::end_headers(&mut self.out, at, stream, is_last);
        // Only one that goes out tells the client: heads that are cut off do not.
        self.keeps_nothing = false;
    }

    /// Sends as much of this as may be sent; with `is_last` the stream ends behind all of it. Gives how
    /// many bytes that were. Nothing is always sent.
    pub(super) fn data(&mut self, way: &mut Way, data: &[u8], is_last: bool) -> usize {
        if data.is_empty() {
            if is_last {
                write::data(&mut self.out, way.id, data, true);
            }
            return 0;
        }
        let mut sent = 0;
        while sent < data.len() {
            let room = OUT_MAX.saturating_sub(self.out.len()).min(write::LENGTH_MAX);
            let room = room.min(self.window.room()).min(way.window.room());
            let part = room.min(data.len() - sent);
            if part == 0 {
                break;
            }
            let is_taken = self.window.take(part) & way.window.take(part);
            debug_assert!(is_taken, "there was room");
            let is_end = is_last && sent + part == data.len();
            write::data(&mut self.out, way.id, &data[sent..sent + part], is_end);
            sent += part;
            self.parts = self.parts.saturating_add(1);
        }
        if sent > 0 {
            way.since = self.now;
        }
        sent
    }
}

fn list(out: &mut Vec<u8>, keeps_nothing: bool) -> (usize, Block<'_>) {
    let at = write::begin_headers(out);
    let mut block = Block::new(out);
    if keeps_nothing {
        block.keep_nothing();
    }
    (at, block)
}

// Windows of the largest size count in 31 bits; all sizes here do.
const _: () = assert!(super::WINDOW < WINDOW_MAX && super::STREAM_WINDOW <= super::WINDOW);
