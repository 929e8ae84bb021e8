//! Answers that go on: Amazon's event streams, frames of headers and a payload (Smithy's
//! specification, "Amazon Event Stream").

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::Frame;

use crate::edge::{Body, BodyError};

/// The type of such an answer.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Header values that are texts have this type.
const TEXT: u8 = 7;
/// The two lengths, and their checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

/// What gives the frames of an answer, one after another.
pub trait Frames: Send + Sync + Unpin + 'static {
    /// The next frame; none when the answer is over.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

impl Body {
    /// The answer of these frames. It ends when the client goes: then they are dropped.
    pub fn frames(frames: impl Frames) -> Self {
        Self::stream(Running(frames))
    }
}

struct Running<F>(F);

impl<F: Frames> hyper::body::Body for Running<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_next(cx).map(|frame| frame.map(|frame| Ok(Frame::data(frame))))
    }
}

/// An event; `initial-response` has to come first, with the payload `{}`.
pub fn event(kind: &str, payload: &[u8]) -> Bytes {
    frame(&[(":message-type", "event"), (":event-type", kind)], payload)
}

/// What a stream ends with if it ends badly.
pub fn exception(kind: &str, payload: &[u8]) -> Bytes {
    frame(&[(":message-type", "exception"), (":exception-type", kind)], payload)
}

fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut head = BytesMut::new();
    for (name, value) in headers.iter().chain(&[(":content-type", "application/json")]) {
        // Names and kinds are ours and short.
        head.put_u8(name.len() as u8);
        head.put_slice(name.as_bytes());
        head.put_u8(TEXT);
        head.put_u16(value.len() as u16);
        head.put_slice(value.as_bytes());
    }
    let total = PRELUDE_BYTES + head.len() + payload.len() + CHECKSUM_BYTES;
    let mut all = BytesMut::with_capacity(total);
    all.put_u32(u32::try_from(total).unwrap_or(u32::MAX));
    all.put_u32(head.len() as u32);
    all.put_u32(checksum(&all));
    all.put_slice(&head);
    all.put_slice(payload);
    all.put_u32(checksum(&all));
    all.freeze()
}

/// CRC-32 as Ethernet and zip have it.
fn checksum(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    let step = |sum: u32, byte: &u8| TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8);
    !bytes.iter().fold(u32::MAX, step)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut sum, mut bit) = (index as u32, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_usual_ones() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum(b""), 0);
    }

    #[test]
    fn a_frame_says_its_lengths_and_sums() {
        let frame = event("initial-response", b"{}");
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(number(0) as usize, frame.len());
        assert_eq!(number(8), checksum(&frame[..8]));
        let end = frame.len() - CHECKSUM_BYTES;
        assert_eq!(number(end), checksum(&frame[..end]));
        assert!(frame[..end].ends_with(b"\x0d:content-type\x07\x00\x10application/json{}"));
        assert!(frame[12..].starts_with(b"\x0d:message-type\x07\x00\x05event\x0b:event-type"));
    }
}
