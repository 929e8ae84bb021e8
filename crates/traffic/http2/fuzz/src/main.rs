//! `./x fuzz http2`: whatever comes, frames and lists of headers are read to an end, without a panic, and
//! keep no more than they may; half a frame is never taken for a whole one.

#![no_main]

use http2::{Block, Decoder, Fields, Frame, Read};
use libfuzzer_sys::fuzz_target;

const LENGTH_MAX: usize = 16_384;
const LIST_MAX: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(4096);
    let mut fields = Fields::new(LIST_MAX);
    let mut rest = bytes;
    while let Ok(Read::Whole(frame, used)) = Frame::read(rest, LENGTH_MAX) {
        assert!(matches!(
            Frame::read(&rest[..used - 1], LENGTH_MAX),
            Ok(Read::Partial(_)) | Err(_)
        ));
        rest = &rest[used..];
        let (Frame::Headers { block, .. } | Frame::Continuation { block, .. }) = frame else {
            continue;
        };
        fields.clear();
        if decoder.decode(block, &mut fields).is_err() {
            return;
        }
        let kept: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        assert!(kept <= LIST_MAX);
        packed_again(&fields);
    }
});

/// What is packed here is read as it was, but for names, which are in small letters then.
fn packed_again(fields: &Fields) {
    let mut out = Vec::new();
    let mut block = Block::new(&mut out);
    fields.iter().for_each(|(name, value)| block.field(name, value));
    let mut again = Fields::new(LIST_MAX);
    assert!(Decoder::new(0).decode(&out, &mut again).is_ok());
    let lower = |(name, value): (&[u8], &[u8])| (name.to_ascii_lowercase(), value.to_vec());
    assert!(fields.iter().map(lower).eq(again.iter().map(lower)));
}
