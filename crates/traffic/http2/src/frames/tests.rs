use proptest::prelude::*;

use super::*;
use crate::WINDOW_MAX;

const MAX: usize = write::LENGTH_MAX;

/// A frame as somebody might send it.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short");
    let mut bytes = Head { length, kind, flags, stream }.bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

fn read(bytes: &[u8]) -> Result<Frame<'_>, Code> {
    match Frame::read(bytes, MAX) {
        Ok(Read::Whole(frame, length)) => {
            assert_eq!(length, bytes.len());
            Ok(frame)
        }
        Ok(Read::Partial(length)) => panic!("{length} bytes are asked for"),
        Err(Fault(code)) => Err(code),
    }
}

#[test]
fn frames_are_read_as_they_are_meant() {
    use kinds::*;
    let (three, eight) = (0x8000_0003, [1, 2, 3, 4, 5, 6, 7, 8]);
    let data = |data, is_last, flow| Frame::Data { stream: 3, data, is_last, flow };
    let headers = |block, is_last, is_whole| Frame::Headers { stream: 3, block, is_last, is_whole };
    for (bytes, expected) in [
        (frame(DATA, 0, three, b"ab"), data(b"ab", false, 2)),
        (frame(DATA, 1, 3, b""), data(b"", true, 0)),
        (frame(DATA, 0xf6 | 8, 3, b"\x02abcd"), data(b"ab", false, 5)),
        (frame(DATA, 9, 3, b"\x00"), data(b"", true, 1)),
        (frame(HEADERS, 5, 3, b"ab"), headers(b"ab", true, true)),
        (frame(HEADERS, 0x20, 3, b"12345ab"), headers(b"ab", false, false)),
        (frame(HEADERS, 0x28, 3, b"\x0112345a "), headers(b"a", false, false)),
        (
            frame(CONTINUATION, 4, 3, b"ab"),
            Frame::Continuation { stream: 3, block: b"ab", is_whole: true },
        ),
        (frame(PRIORITY, 0, 3, b"12345"), Frame::Ignored),
        (frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]), Frame::Reset { stream: 3, code: 8 }),
        (frame(SETTINGS, 1, 0, b""), Frame::SettingsTaken),
        (frame(PING, 0, 0, &eight), Frame::Ping(eight)),
        (frame(PING, 1, 0, &eight), Frame::Pong(eight)),
        (frame(GOAWAY, 0, 0, b"\x80\0\0\x05\0\0\0\x02why"), Frame::GoAway { last: 5, code: 2 }),
        (frame(WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 1]), Frame::WindowUpdate { stream: 0, by: 1 }),
        (frame(99, 0xff, 7, b"whatever"), Frame::Ignored),
    ] {
        assert_eq!(read(&bytes), Ok(expected), "{bytes:?}");
    }
    let told = frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    let Ok(Frame::Settings(settings)) = read(&told) else { panic!("they are settings") };
    let wanted = [Setting::InitialWindowSize(65_536), Setting::Other, Setting::HeaderTableSize(0)];
    assert!(settings.iter().eq(wanted));
}

#[test]
fn what_no_frame_may_be_is_refused() {
    use kinds::*;
    let (long, eight) = (vec![0; MAX + 1], [0; 8]);
    let setting = |number: u8, value: u32| {
        let mut payload = vec![0, number];
        payload.extend_from_slice(&value.to_be_bytes());
        frame(SETTINGS, 0, 0, &payload)
    };
    for (bytes, code) in [
        // 4.2: longer than was said.
        (frame(DATA, 0, 1, &long), Code::FrameSizeError),
        (frame(99, 0, 0, &long), Code::FrameSizeError),
        // 6.1 and 6.2: on no stream, with more padding than there is.
        (frame(DATA, 0, 0, b""), Code::ProtocolError),
        (frame(DATA, 8, 1, b""), Code::FrameSizeError),
        (frame(DATA, 8, 1, b"\x03ab"), Code::ProtocolError),
        (frame(HEADERS, 4, 0, b""), Code::ProtocolError),
        (frame(HEADERS, 12, 1, b"\x03ab"), Code::ProtocolError),
        (frame(HEADERS, 0x24, 1, b"1234"), Code::FrameSizeError),
        // 6.3 to 6.10.
        (frame(PRIORITY, 0, 0, b"12345"), Code::ProtocolError),
        (frame(RST_STREAM, 0, 0, b"1234"), Code::ProtocolError),
        (frame(RST_STREAM, 0, 1, b"123"), Code::FrameSizeError),
        (frame(SETTINGS, 0, 1, b""), Code::ProtocolError),
        (frame(SETTINGS, 1, 0, b"123456"), Code::FrameSizeError),
        (frame(SETTINGS, 0, 0, b"12345"), Code::FrameSizeError),
        (setting(2, 2), Code::ProtocolError),
        (setting(4, WINDOW_MAX + 1), Code::FlowControlError),
        (setting(5, (1 << 14) - 1), Code::ProtocolError),
        (setting(5, 1 << 24), Code::ProtocolError),
        (frame(PUSH_PROMISE, 4, 1, b"1234"), Code::ProtocolError),
        (frame(PING, 0, 1, &eight), Code::ProtocolError),
        (frame(PING, 0, 0, b"1234567"), Code::FrameSizeError),
        (frame(GOAWAY, 0, 1, &eight), Code::ProtocolError),
        (frame(GOAWAY, 0, 0, b"1234567"), Code::FrameSizeError),
        (frame(WINDOW_UPDATE, 0, 0, &[0; 4]), Code::ProtocolError),
        (frame(WINDOW_UPDATE, 0, 1, b"123"), Code::FrameSizeError),
        (frame(CONTINUATION, 4, 0, b""), Code::ProtocolError),
    ] {
        assert_eq!(read(&bytes), Err(code), "{:?}", &bytes[..bytes.len().min(20)]);
    }
    for (bytes, code) in [
        (frame(PRIORITY, 0, 1, b"1234"), Code::FrameSizeError),
        (frame(WINDOW_UPDATE, 0, 1, &[0x80, 0, 0, 0]), Code::ProtocolError),
    ] {
        assert_eq!(read(&bytes), Ok(Frame::Faulty { stream: 1, code }), "{bytes:?}");
    }
}

#[test]
fn long_lists_go_into_several_frames() {
    for length in [0, 1, MAX, MAX + 1, 2 * MAX, 3 * MAX + 5] {
        let mut out = b"before".to_vec();
        let at = write::begin_headers(&mut out);
        let block: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        out.extend_from_slice(&block);
        write::end_headers(&mut out, at, 5, true);
        let (mut rest, mut got, mut is_over) = (&out[6..], Vec::new(), false);
        while !rest.is_empty() {
            assert!(!is_over);
            let Ok(Read::Whole(frame, used)) = Frame::read(rest, MAX) else { panic!("a frame") };
            is_over = match frame {
                Frame::Headers { stream: 5, block, is_last: true, is_whole } => {
                    assert!(got.is_empty());
                    got.extend_from_slice(block);
                    is_whole
                }
                Frame::Continuation { stream: 5, block, is_whole } => {
                    got.extend_from_slice(block);
                    is_whole
                }
                other => panic!("{other:?}"),
            };
            rest = &rest[used..];
        }
        assert!(is_over && got == block, "{length}");
    }
}

#[test]
fn what_is_written_is_read() {
    let mut out = Vec::new();
    write::settings(&mut out, &[(4, 77), (3, 128)]);
    write::settings_taken(&mut out);
    write::ping(&mut out, [1; 8]);
    write::pong(&mut out, [2; 8]);
    write::data(&mut out, 1, b"hi", true);
    write::reset(&mut out, 3, Code::Cancel);
    write::window_update(&mut out, 0, 9);
    write::go_away(&mut out, 7, Code::NoError);
    let mut told = Vec::new();
    let mut rest = &out[..];
    while let Ok(Read::Whole(frame, used)) = Frame::read(rest, MAX) {
        told.push(format!("{frame:?}"));
        rest = &rest[used..];
    }
    assert!(rest.is_empty());
    assert!(told[0].starts_with("Settings("), "{told:?}");
    assert_eq!(
        told[1..],
        [
            "SettingsTaken".to_owned(),
            "Ping([1, 1, 1, 1, 1, 1, 1, 1])".to_owned(),
            "Pong([2, 2, 2, 2, 2, 2, 2, 2])".to_owned(),
            "Data { stream: 1, data: [104, 105], is_last: true, flow: 2 }".to_owned(),
            "Reset { stream: 3, code: 8 }".to_owned(),
            "WindowUpdate { stream: 0, by: 9 }".to_owned(),
            "GoAway { last: 7, code: 0 }".to_owned(),
        ]
    );
}

proptest! {
    #[test]
    fn any_bytes_end_and_cuts_change_nothing(
        heads in prop::collection::vec(
            (0_u8..11, any::<u8>(), 0_u32..4, prop::collection::vec(any::<u8>(), 0..12)), 0..6,
        ),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes: Vec<u8> =
            heads.iter().flat_map(|(kind, flags, stream, rest)| frame(*kind, *flags, *stream, rest)).collect();
        bytes.extend(tail);
        let mut rest = &bytes[..];
        loop {
            match Frame::read(rest, MAX) {
                Ok(Read::Whole(frame, used)) => {
                    prop_assert!(used >= HEAD_LENGTH && used <= rest.len());
                    for cut in 0..used {
                        let Ok(Read::Partial(wanted)) = Frame::read(&rest[..cut], MAX) else {
                            return Err(TestCaseError::fail("half a frame is none"));
                        };
                        prop_assert!(wanted > cut && wanted <= used);
                    }
                    prop_assert_eq!(Frame::read(&rest[..used], MAX), Ok(Read::Whole(frame, used)));
                    rest = &rest[used..];
                }
                Ok(Read::Partial(wanted)) => {
                    prop_assert!(wanted > rest.len());
                    break;
                }
                Err(_) => break,
            }
        }
    }
}
