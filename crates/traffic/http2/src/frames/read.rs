//! Frames as they are read.

use super::{Code, HEAD_LENGTH, Head, flags, kinds};
use crate::WINDOW_MAX;

/// The bounds of SETTINGS_MAX_FRAME_SIZE, in bytes.
const FRAME_SIZES: std::ops::RangeInclusive<u32> = 1 << 14..=(1 << 24) - 1;
/// The length of a setting, in bytes.
const SETTING_LENGTH: usize = 6;
/// The length of what HEADERS says of priorities, in bytes.
const PRIORITY_LENGTH: usize = 5;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A part of a body.
    Data {
        /// The stream, never 0.
        stream: u32,
        /// The part, without its padding.
        data: &'a [u8],
        /// Whether it is the last.
        is_last: bool,
        /// What it takes of windows: with its padding, in bytes.
        flow: usize,
    },
    /// A list of headers, or how one begins.
    Headers {
        /// The stream, never 0.
        stream: u32,
        /// The packed list, or its beginning.
        block: &'a [u8],
        /// Whether nothing but it comes on the stream.
        is_last: bool,
        /// Whether it is whole; else CONTINUATION follows.
        is_whole: bool,
    },
    /// More of a list of headers.
    Continuation {
        /// The stream, never 0.
        stream: u32,
        /// The part.
        block: &'a [u8],
        /// Whether it is the last.
        is_whole: bool,
    },
    /// A stream ends at once.
    Reset {
        /// The stream, never 0.
        stream: u32,
        /// The code's number, which may be none of [`Code`].
        code: u32,
    },
    /// What the other side wants.
    Settings(Settings<'a>),
    /// The other side does as it was told.
    SettingsTaken,
    /// To be answered with the same bytes.
    Ping([u8; 8]),
    /// The answer to such a one.
    Pong([u8; 8]),
    /// The other side begins nothing more, and takes nothing.
    GoAway {
        /// The last stream that it may have done something for.
        last: u32,
        /// The code's number.
        code: u32,
    },
    /// More may be sent.
    WindowUpdate {
        /// The stream, 0 for the connection.
        stream: u32,
        /// How many bytes more, never 0.
        by: u32,
    },
    /// What nobody has to do anything about: of a kind that is not known, or PRIORITY.
    Ignored,
    /// One that ends its stream.
    Faulty {
        /// The stream, never 0.
        stream: u32,
        /// Why.
        code: Code,
    },
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub Code);

/// A setting that matters to who sends answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// What the table of the other side's decoder may grow to, in bytes.
    HeaderTableSize(u32),
    /// What windows of new streams have, in bytes; [`WINDOW_MAX`] at most.
    InitialWindowSize(u32),
    /// The longest frame, in bytes.
    MaxFrameSize(u32),
    /// Another.
    Other,
}

/// Settings, each of which is as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'a>(&'a [u8]);

impl Settings<'_> {
    /// All of them in their order.
    pub fn iter(&self) -> impl Iterator<Item = Setting> {
        self.0.chunks_exact(SETTING_LENGTH).map(|bytes| match setting(bytes) {
            (1, value) => Setting::HeaderTableSize(value),
            (4, value) => Setting::InitialWindowSize(value),
            (5, value) => Setting::MaxFrameSize(value),
            _ => Setting::Other,
        })
    }
}

/// What bytes begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// A frame, and how many bytes it has.
    Whole(Frame<'a>, usize),
    /// Less than a frame: so many bytes have to be there before it is worth to try again.
    Partial(usize),
}

impl<'a> Frame<'a> {
    /// The frame that these bytes begin with; what follows its head has `length_max` bytes at most.
    ///
    /// # Errors
    /// [`Fault`] if the connection cannot go on.
    pub fn read(bytes: &'a [u8], length_max: usize) -> Result<Read<'a>, Fault> {
        let Some((head, rest)) = bytes.split_first_chunk() else {
            return Ok(Read::Partial(HEAD_LENGTH));
        };
        let head = Head::read(head);
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        if length > length_max {
            return Err(Fault(Code::FrameSizeError));
        }
        match rest.get(..length) {
            Some(payload) => {
                Self::of(&head, payload).map(|frame| Read::Whole(frame, HEAD_LENGTH + length))
            }
            None => Ok(Read::Partial(HEAD_LENGTH + length)),
        }
    }

    fn of(head: &Head, payload: &'a [u8]) -> Result<Self, Fault> {
        match head.kind {
            kinds::DATA => data(head, payload),
            kinds::HEADERS => headers(head, payload),
            kinds::PRIORITY => priority(head, payload),
            kinds::RST_STREAM => {
                let code = number(payload)?;
                of_stream(head).map(|stream| Self::Reset { stream, code })
            }
            kinds::SETTINGS => settings(head, payload),
            // Only who answers may promise (RFC 9113, 8.4).
            kinds::PUSH_PROMISE => Err(Fault(Code::ProtocolError)),
            kinds::PING => {
                of_connection(head)?;
                let bytes = payload.try_into().map_err(|_| Fault(Code::FrameSizeError))?;
                let is_answer = head.flags & flags::ACK != 0;
                Ok(if is_answer { Self::Pong(bytes) } else { Self::Ping(bytes) })
            }
            kinds::GOAWAY => {
                of_connection(head)?;
                let last = payload.get(..4).ok_or(Fault(Code::FrameSizeError))?;
                let code = payload.get(4..8).ok_or(Fault(Code::FrameSizeError))?;
                Ok(Self::GoAway { last: number(last)? & 0x7fff_ffff, code: number(code)? })
            }
            kinds::WINDOW_UPDATE => window_update(head, payload),
            kinds::CONTINUATION => {
                let is_whole = head.flags & flags::END_HEADERS != 0;
                of_stream(head).map(|stream| Self::Continuation {
                    stream,
                    block: payload,
                    is_whole,
                })
            }
            _ => Ok(Self::Ignored),
        }
    }
}

/// The stream of a frame that needs one.
fn of_stream(head: &Head) -> Result<u32, Fault> {
    if head.stream == 0 { Err(Fault(Code::ProtocolError)) } else { Ok(head.stream) }
}

fn of_connection(head: &Head) -> Result<(), Fault> {
    if head.stream == 0 { Ok(()) } else { Err(Fault(Code::ProtocolError)) }
}

/// A number of 32 bits and nothing else.
fn number(bytes: &[u8]) -> Result<u32, Fault> {
    let bytes = bytes.try_into().map_err(|_| Fault(Code::FrameSizeError))?;
    Ok(u32::from_be_bytes(bytes))
}

/// Takes padding away (RFC 9113, 6.1).
fn unpadded<'a>(head: &Head, payload: &'a [u8]) -> Result<&'a [u8], Fault> {
    if head.flags & flags::PADDED == 0 {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().ok_or(Fault(Code::FrameSizeError))?;
    let length = rest.len().checked_sub(usize::from(*padding));
    length.map(|length| &rest[..length]).ok_or(Fault(Code::ProtocolError))
}

fn data<'a>(head: &Head, payload: &'a [u8]) -> Result<Frame<'a>, Fault> {
    let stream = of_stream(head)?;
    let data = unpadded(head, payload)?;
    let is_last = head.flags & flags::END_STREAM != 0;
    Ok(Frame::Data { stream, data, is_last, flow: payload.len() })
}

fn headers<'a>(head: &Head, payload: &'a [u8]) -> Result<Frame<'a>, Fault> {
    let stream = of_stream(head)?;
    let mut block = unpadded(head, payload)?;
    if head.flags & flags::PRIORITY != 0 {
        // What it says of priorities is passed over (RFC 9113, 5.3.2).
        block = block.get(PRIORITY_LENGTH..).ok_or(Fault(Code::FrameSizeError))?;
    }
    let is_last = head.flags & flags::END_STREAM != 0;
    let is_whole = head.flags & flags::END_HEADERS != 0;
    Ok(Frame::Headers { stream, block, is_last, is_whole })
}

fn priority<'a>(head: &Head, payload: &[u8]) -> Result<Frame<'a>, Fault> {
    let stream = of_stream(head)?;
    Ok(match payload.len() {
        PRIORITY_LENGTH => Frame::Ignored,
        _ => Frame::Faulty { stream, code: Code::FrameSizeError },
    })
}

fn window_update<'a>(head: &Head, payload: &[u8]) -> Result<Frame<'a>, Fault> {
    let stream = head.stream;
    match number(payload)? & WINDOW_MAX {
        0 if stream == 0 => Err(Fault(Code::ProtocolError)),
        0 => Ok(Frame::Faulty { stream, code: Code::ProtocolError }),
        by => Ok(Frame::WindowUpdate { stream, by }),
    }
}

fn settings<'a>(head: &Head, payload: &'a [u8]) -> Result<Frame<'a>, Fault> {
    of_connection(head)?;
    if head.flags & flags::ACK != 0 {
        let is_empty = payload.is_empty();
        return if is_empty { Ok(Frame::SettingsTaken) } else { Err(Fault(Code::FrameSizeError)) };
    }
    if !payload.len().is_multiple_of(SETTING_LENGTH) {
        return Err(Fault(Code::FrameSizeError));
    }
    for bytes in payload.chunks_exact(SETTING_LENGTH) {
        match setting(bytes) {
            // Whether it takes promises.
            (2, 2..) => return Err(Fault(Code::ProtocolError)),
            (4, value) if value > WINDOW_MAX => return Err(Fault(Code::FlowControlError)),
            (5, value) if !FRAME_SIZES.contains(&value) => return Err(Fault(Code::ProtocolError)),
            _ => {}
        }
    }
    Ok(Frame::Settings(Settings(payload)))
}

/// Number and value of a setting.
fn setting(bytes: &[u8]) -> (u16, u32) {
    match *bytes {
        [a, b, c, d, e, f] => (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])),
        _ => (0, 0),
    }
}
