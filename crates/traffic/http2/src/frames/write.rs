//! Frames as they are written, each behind what there is.

use super::{Code, HEAD_LENGTH, Head, flags, kinds};

/// The longest frame that each client takes, without its head (RFC 9113, 4.2), in bytes.
pub const LENGTH_MAX: usize = 1 << 14;

fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    // Nothing here is longer than a frame may be.
    let length = length as u32;
    out.extend_from_slice(&Head { length, kind, flags, stream }.bytes());
}

/// A part of a body, of [`LENGTH_MAX`] bytes at most.
pub fn data(out: &mut Vec<u8>, stream: u32, part: &[u8], is_last: bool) {
    let flags = if is_last { flags::END_STREAM } else { 0 };
    head(out, part.len(), kinds::DATA, flags, stream);
    out.extend_from_slice(part);
}

/// Begins a list of headers: what is written behind it is packed, until [`end_headers`].
pub fn begin_headers(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; HEAD_LENGTH]);
    at
}

/// All behind `at` is a list of headers: gives it its heads, several if it is longer than a frame.
pub fn end_headers(out: &mut Vec<u8>, at: usize, stream: u32, is_last: bool) {
    let end = if is_last { flags::END_STREAM } else { 0 };
    let length = out.len() - at - HEAD_LENGTH;
    let mut put = |at: usize, length: usize, kind, flags| {
        let head = Head { length: length as u32, kind, flags, stream };
        out[at..at + HEAD_LENGTH].copy_from_slice(&head.bytes());
    };
    if length <= LENGTH_MAX {
        return put(at, length, kinds::HEADERS, end | flags::END_HEADERS);
    }
    put(at, LENGTH_MAX, kinds::HEADERS, end);
    let rest = out.split_off(at + HEAD_LENGTH + LENGTH_MAX);
    let mut parts = rest.chunks(LENGTH_MAX).peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() { flags::END_HEADERS } else { 0 };
        head(out, part.len(), kinds::CONTINUATION, flags, stream);
        out.extend_from_slice(part);
    }
}

/// A stream ends at once.
pub fn reset(out: &mut Vec<u8>, stream: u32, code: Code) {
    head(out, 4, kinds::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.number().to_be_bytes());
}

/// What this side wants: numbers and values.
pub fn settings(out: &mut Vec<u8>, all: &[(u16, u32)]) {
    head(out, 6 * all.len(), kinds::SETTINGS, 0, 0);
    for (number, value) in all {
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// This side does as it was told.
pub fn settings_taken(out: &mut Vec<u8>) {
    head(out, 0, kinds::SETTINGS, flags::ACK, 0);
}

/// To be answered.
pub fn ping(out: &mut Vec<u8>, bytes: [u8; 8]) {
    head(out, 8, kinds::PING, 0, 0);
    out.extend_from_slice(&bytes);
}

/// The answer to such a one.
pub fn pong(out: &mut Vec<u8>, bytes: [u8; 8]) {
    head(out, 8, kinds::PING, flags::ACK, 0);
    out.extend_from_slice(&bytes);
}

/// Nothing is done for streams behind `last`.
pub fn go_away(out: &mut Vec<u8>, last: u32, code: Code) {
    head(out, 8, kinds::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.number().to_be_bytes());
}

/// So many bytes more may come; not 0. On stream 0 on all together.
pub fn window_update(out: &mut Vec<u8>, stream: u32, by: u32) {
    head(out, 4, kinds::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&by.to_be_bytes());
}
