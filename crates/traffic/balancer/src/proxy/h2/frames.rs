//! What a client's frames ask for.

use http2::{Code, Fault, Fields, Frame, PREFACE, Read, Setting, Settings, Window, write};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answering::answered;
use super::asking::{Asking, trailers};
use super::connection::{Connection, Unfinished};
use super::ending::{FAREWELL_PING, Phase};
use super::link::Way;
use super::streams::{Arriving, Slot, Stream};
use super::usual::Usual;
use super::{
    LIST_FRAMES_MAX, LIST_MAX, OUT_STOP, REQUESTS_MAX, STREAM_WINDOW, STREAMS_MAX, TABLE_MAX,
    WINDOW,
};
use crate::inbound::{Inbound, Inbox};

/// Streams that were reset are remembered, so many of them.
const FORGOTTEN_MAX: usize = STREAMS_MAX;
/// The part of a window that is given back at once.
const PART_OF_WINDOW: u32 = 4;

type Handled = Result<(), Fault>;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Handles all whole frames; gives how many bytes they had.
    pub(super) fn handle_all(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        if self.greeted < PREFACE.len() {
            used = bytes.len().min(PREFACE.len() - self.greeted);
            if bytes[..used] != PREFACE[self.greeted..self.greeted + used] {
                self.fail(Code::ProtocolError);
                return bytes.len();
            }
            self.greeted += used;
        }
        while self.phase != Phase::Over && self.link.out.len() < OUT_STOP {
            let handled = match Frame::read(&bytes[used..], write::LENGTH_MAX) {
                Ok(Read::Whole(frame, length)) => {
                    used += length;
                    self.handle(frame)
                }
                Ok(Read::Partial(_)) => break,
                Err(fault) => Err(fault),
            };
            if let Err(Fault(code)) = handled {
                self.fail(code);
            }
        }
        if self.phase == Phase::Over { bytes.len() } else { used }
    }

    fn handle(&mut self, frame: Frame<'_>) -> Handled {
        let is_more = matches!(frame, Frame::Continuation { .. });
        let is_first = !std::mem::replace(&mut self.has_settings, true);
        let is_misplaced = is_more != self.unfinished.is_some()
            || (is_first && !matches!(frame, Frame::Settings(_)));
        if is_misplaced {
            return Err(Fault(Code::ProtocolError));
        }
        match frame {
            Frame::Data { stream, data, is_last, flow } => self.data(stream, data, is_last, flow),
            Frame::Headers { stream, block, is_last, is_whole: true } => {
                self.list(stream, is_last, block)
            }
            Frame::Headers { stream, block, is_last, is_whole: false } => {
                let block = block.to_vec();
                self.unfinished = Some(Unfinished { stream, is_last, block, frames: 1 });
                Ok(())
            }
            Frame::Continuation { stream, block, is_whole } => self.more(stream, block, is_whole),
            Frame::Reset { stream, .. } => self.reset_by_client(stream),
            Frame::Settings(settings) => self.settings(settings),
            Frame::Ping(bytes) => {
                self.spend()?;
                write::pong(&mut self.link.out, bytes);
                Ok(())
            }
            Frame::Pong(bytes) => {
                if let (Phase::Leaving(since), FAREWELL_PING) = (self.phase, bytes) {
                    self.hold_to_farewell(since);
                }
                Ok(())
            }
            Frame::WindowUpdate { stream, by } => self.grow(stream, by),
            // What it does not take is what nobody here begins.
            Frame::GoAway { .. } | Frame::SettingsTaken | Frame::Ignored => Ok(()),
            Frame::Faulty { stream, .. } if self.is_idle(stream) => Err(Fault(Code::ProtocolError)),
            Frame::Faulty { stream, code } => self.reset(stream, code),
        }
    }

    /// Whether a stream was not begun.
    fn is_idle(&self, stream: u32) -> bool {
        stream > self.last || stream.is_multiple_of(2)
    }

    fn find(&self, stream: u32) -> Option<usize> {
        self.ids.iter().position(|id| *id == stream)
    }

    fn spend(&mut self) -> Handled {
        if self.budget.spend(self.link.now) { Ok(()) } else { Err(Fault(Code::EnhanceYourCalm)) }
    }

    /// A stream ends without an answer.
    fn spend_stream(&mut self) -> Handled {
        let has_one = self.streams_budget.spend(self.link.now);
        if has_one { Ok(()) } else { Err(Fault(Code::EnhanceYourCalm)) }
    }

    /// The answer is with the client.
    pub(super) fn finish(&mut self, place: usize) {
        let Some(stream) = &mut self.slots[place].stream else { return };
        match stream.be_answered(self.link.now) {
            true => {
                if let Some(late_at) = stream.late_at() {
                    self.look_by(late_at);
                }
            }
            false => self.free(place),
        }
        self.budget.earn(1);
        self.streams_budget.earn(1);
    }

    /// A stream ends at once.
    pub(super) fn reset_place(&mut self, place: usize, code: Code) {
        let id = self.ids[place];
        write::reset(&mut self.link.out, id, code);
        self.forget(id);
        self.free(place);
    }

    /// Frames of a stream may come for a while, and mean nothing.
    fn forget(&mut self, id: u32) {
        if self.forgotten.len() == FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(id);
    }

    /// A stream, which may have ended already, ends for the client's fault.
    fn reset(&mut self, stream: u32, code: Code) -> Handled {
        match self.find(stream) {
            Some(place) => self.reset_place(place, code),
            None => {
                write::reset(&mut self.link.out, stream, code);
                self.forget(stream);
            }
        }
        self.spend_stream()
    }

    fn reset_by_client(&mut self, stream: u32) -> Handled {
        if self.is_idle(stream) {
            return Err(Fault(Code::ProtocolError));
        }
        if let Some(place) = self.find(stream) {
            self.free(place);
        }
        self.spend_stream()
    }

    fn settings(&mut self, settings: Settings<'_>) -> Handled {
        self.spend()?;
        for setting in settings.iter() {
            match setting {
                Setting::InitialWindowSize(size) => {
                    let before = std::mem::replace(&mut self.link.initial, size);
                    for place in 0..self.slots.len() {
                        let Some(stream) = &mut self.slots[place].stream else { continue };
                        let resized = stream.way.window.resize(before, size);
                        resized.map_err(|_| Fault(Code::FlowControlError))?;
                        self.ready.add(place);
                    }
                }
                Setting::HeaderTableSize(size) => {
                    self.link.keeps_nothing |=
                        usize::try_from(size).is_ok_and(|size| size < TABLE_MAX);
                }
                // Nothing that is written is longer than each client takes.
                Setting::MaxFrameSize(_) | Setting::Other => {}
            }
        }
        write::settings_taken(&mut self.link.out);
        Ok(())
    }

    /// The client takes more.
    fn grow(&mut self, stream: u32, by: u32) -> Handled {
        if stream == 0 {
            return self.link.window.grow(by).map_err(|_| Fault(Code::FlowControlError));
        }
        let Some(place) = self.find(stream) else {
            let is_idle = self.is_idle(stream);
            return if is_idle { Err(Fault(Code::ProtocolError)) } else { Ok(()) };
        };
        let Some(one) = &mut self.slots[place].stream else { return Ok(()) };
        if one.way.window.grow(by).is_err() {
            return self.reset(stream, Code::FlowControlError);
        }
        self.ready.add(place);
        Ok(())
    }

    /// So much of what came may come again.
    pub(super) fn owe(&mut self, bytes: u32) {
        self.owed += bytes;
        if self.owed >= WINDOW / PART_OF_WINDOW {
            let owed = std::mem::take(&mut self.owed);
            write::window_update(&mut self.link.out, 0, owed);
            // It is no more than what was taken from it.
            let _ = self.window.grow(owed);
        }
    }

    /// Gives back what was taken of a stream's body.
    pub(super) fn give_back(&mut self, place: usize) {
        let slot = self.slots.get_mut(place).and_then(|slot| slot.stream.as_mut());
        let Some(stream) = slot else { return };
        let Some(arriving) = &mut stream.arriving else { return };
        let taken = u32::try_from(arriving.inbox.taken(1)).unwrap_or(0);
        arriving.owed += taken;
        if !arriving.is_over && arriving.owed >= STREAM_WINDOW / PART_OF_WINDOW {
            let owed = std::mem::take(&mut arriving.owed);
            write::window_update(&mut self.link.out, stream.way.id, owed);
            // It is no more than what was taken from it.
            let _ = arriving.window.grow(owed);
        }
        self.owe(taken);
    }

    fn data(&mut self, stream: u32, data: &[u8], is_last: bool, flow: usize) -> Handled {
        if !self.window.take(flow) {
            return Err(Fault(Code::FlowControlError));
        }
        let whole = u32::try_from(flow).unwrap_or(u32::MAX);
        let padding = u32::try_from(flow - data.len()).unwrap_or(u32::MAX);
        if self.is_idle(stream) {
            return Err(Fault(Code::ProtocolError));
        }
        if data.is_empty() && !is_last {
            self.spend()?;
        }
        let Some(place) = self.find(stream) else {
            self.owe(whole);
            let is_known = self.forgotten.contains(&stream) || self.is_refused(stream);
            return if is_known { Ok(()) } else { self.reset(stream, Code::StreamClosed) };
        };
        let Some(one) = &mut self.slots[place].stream else { return Ok(()) };
        let arriving = one.arriving.as_mut().filter(|arriving| !arriving.is_over);
        let Some(arriving) = arriving else {
            self.owe(whole);
            return self.reset(stream, Code::StreamClosed);
        };
        let length = data.len() as u64;
        let fits = arriving.left.is_none_or(|left| left >= length && (!is_last || left == length));
        let fault = match arriving.window.take(flow) {
            false => Some(Code::FlowControlError),
            true if !fits => Some(Code::ProtocolError),
            true => None,
        };
        if let Some(code) = fault {
            self.owe(whole);
            return self.reset(stream, code);
        }
        arriving.left = arriving.left.map(|left| left - length);
        arriving.owed += padding;
        arriving.inbox.put(data);
        if is_last {
            arriving.is_over = true;
            arriving.inbox.end(None);
        }
        one.way.since = self.link.now;
        if !data.is_empty() {
            self.budget.earn(1);
        }
        self.owe(padding);
        self.ready.add(place);
        Ok(())
    }

    /// More of a list of headers.
    fn more(&mut self, stream: u32, block: &[u8], is_whole: bool) -> Handled {
        let Some(mut one) = self.unfinished.take() else {
            return Err(Fault(Code::ProtocolError));
        };
        one.frames += 1;
        one.block.extend_from_slice(block);
        if one.stream != stream {
            return Err(Fault(Code::ProtocolError));
        }
        if one.frames > LIST_FRAMES_MAX || one.block.len() > LIST_MAX {
            return Err(Fault(Code::EnhanceYourCalm));
        }
        if is_whole {
            return self.list(stream, one.is_last, &one.block);
        }
        self.unfinished = Some(one);
        Ok(())
    }

    /// A whole list of headers.
    fn list(&mut self, stream: u32, is_last: bool, block: &[u8]) -> Handled {
        let mut fields = std::mem::replace(&mut self.fields, Fields::new(LIST_MAX));
        fields.clear();
        let decoded = self.decoder.decode(block, &mut fields);
        let handled = decoded.map_err(|_| Fault(Code::CompressionError));
        let handled = handled.and_then(|()| match self.find(stream) {
            Some(place) => self.trailers(place, is_last, &fields),
            None => self.begin(stream, is_last, &fields),
        });
        self.fields = fields;
        handled
    }

    /// What comes behind a body.
    fn trailers(&mut self, place: usize, is_last: bool, fields: &Fields) -> Handled {
        let id = self.ids[place];
        let Some(one) = &mut self.slots[place].stream else { return Ok(()) };
        let arriving = one.arriving.as_mut().filter(|arriving| !arriving.is_over);
        let Some(arriving) = arriving else {
            return self.reset(id, Code::StreamClosed);
        };
        let is_whole = is_last && !fields.is_over() && arriving.left.is_none_or(|left| left == 0);
        match trailers(fields) {
            Ok(trailers) if is_whole => {
                arriving.is_over = true;
                arriving.inbox.end(Some(trailers));
                self.ready.add(place);
                Ok(())
            }
            _ => self.reset(id, Code::ProtocolError),
        }
    }

    /// Whether a stream came after the client knew that nothing more is answered.
    fn is_refused(&self, stream: u32) -> bool {
        matches!(self.phase, Phase::Left(_, last) if stream > last)
    }

    /// A request.
    fn begin(&mut self, id: u32, is_last: bool, fields: &Fields) -> Handled {
        if id.is_multiple_of(2) {
            return Err(Fault(Code::ProtocolError));
        }
        if id <= self.last {
            let is_known = self.forgotten.contains(&id) || self.is_refused(id);
            return if is_known { Ok(()) } else { Err(Fault(Code::StreamClosed)) };
        }
        self.last = id;
        if self.is_refused(id) {
            return Ok(());
        }
        let Some(place) = self.place() else { return self.reset(id, Code::RefusedStream) };
        if fields.is_over() {
            return self.refuse(id, is_last);
        }
        let Ok(asking) = Asking::read(fields) else { return self.reset(id, Code::ProtocolError) };
        if is_last && asking.length.is_some_and(|length| length > 0) {
            return self.reset(id, Code::ProtocolError);
        }
        let (plan, is_head) = (self.plans.load_full(), asking.is_head());
        let window = Window::new(self.link.initial);
        let way = Way { id, window, since: self.link.now };
        let usual = match is_last {
            true => Usual::begin(&asking, &plan, &self.client),
            false => None,
        };
        let idle = plan.settings.idle;
        let stream = match usual {
            Some(usual) => Stream::usual(way, plan, is_head, usual),
            None => {
                let (arriving, body) = self.body(place, is_last, asking.length);
                let Ok(request) = asking.request(body) else {
                    return self.reset(id, Code::ProtocolError);
                };
                let answering = answered(request, self.client.clone(), plan.clone());
                Stream::other(way, plan, is_head, (arriving, answering))
            }
        };
        self.slots[place].stream = Some(stream);
        self.ids[place] = id;
        self.ready.add(place);
        self.look_by(self.link.now + idle);
        self.taken += 1;
        if self.taken >= REQUESTS_MAX {
            self.leave();
        }
        Ok(())
    }

    /// A list that is too long gets an answer that says so.
    fn refuse(&mut self, id: u32, is_last: bool) -> Handled {
        let (at, mut block) = self.link.list();
        block.status(431);
        self.link.end_list(at, id, true);
        if !is_last {
            write::reset(&mut self.link.out, id, Code::NoError);
            self.forget(id);
        }
        self.spend_stream()
    }

    /// A request's body, as it comes and as it is read.
    fn body(
        &self,
        place: usize,
        is_last: bool,
        length: Option<u64>,
    ) -> (Option<Arriving>, Inbound) {
        if is_last {
            return (None, Inbound::Empty);
        }
        let (inbox, arrival) = Inbox::new(length, self.slots[place].waker.clone());
        let window = Window::new(STREAM_WINDOW);
        let arriving = Arriving { inbox, window, left: length, owed: 0, is_over: false };
        (Some(arriving), Inbound::Stream(arrival))
    }

    /// A place for a stream, if there is one.
    fn place(&mut self) -> Option<usize> {
        let free = self.ids.iter().position(|id| *id == 0);
        if free.is_some() {
            return free;
        }
        if self.slots.len() == STREAMS_MAX {
            let is_answered = |slot: &Slot| slot.stream.as_ref().is_some_and(Stream::is_answered);
            let place = self.slots.iter().position(is_answered)?;
            // Nobody needs the rest of that request (RFC 9113, 8.1).
            self.reset_place(place, Code::NoError);
            return Some(place);
        }
        let waker = self.waker(self.slots.len());
        self.slots.push(Slot { waker, stream: None });
        self.ids.push(0);
        Some(self.slots.len() - 1)
    }
}
