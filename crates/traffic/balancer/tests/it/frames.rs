//! Frames of HTTP/2, by the sections of RFC 9113: what ends a connection, a stream, or nothing.

use balancer::CertificatePair;
use http2::Code;

use super::modern::{Event, Peer, block, frame, get, line, request, world};
use super::world::{Backend, World};

/// What becomes of a client that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The connection ends with this code.
    Ends(Code),
    /// Stream 1 ends with this code; others go on.
    Resets(Code),
    /// Stream 1 is answered.
    Fine,
}
use Fate::{Ends, Fine, Resets};

/// Says something behind the preface, and then asks for something else over stream 101.
async fn check(world: &World, pair: &CertificatePair, what: &str, said: &[u8], fate: Fate) {
    let mut peer = Peer::begin(world, pair).await;
    let mut all = said.to_vec();
    if !matches!(fate, Ends(_)) {
        all.extend(get(101, "/behind"));
    }
    peer.send(&all).await;
    match fate {
        Ends(code) => assert_eq!(peer.end().await, Some(code.number()), "{what}"),
        Fine | Resets(_) => {
            let (mut told, mut is_behind) = (None, false);
            while told.is_none() || !is_behind {
                match peer.next().await {
                    Event::Reset { stream: 1, code } => told = Some(Some(code)),
                    Event::Data { stream: 1, is_last: true, .. } => told = told.or(Some(None)),
                    Event::Data { stream: 101, is_last: true, .. } => is_behind = true,
                    Event::End => panic!("{what}: the connection ends"),
                    Event::GoAway { code, .. } => panic!("{what}: it ends with {code}"),
                    _ => {}
                }
            }
            let expected = match fate {
                Resets(code) => Some(code.number()),
                _ => None,
            };
            assert_eq!(told, Some(expected), "{what}");
        }
    }
}

/// `GET /` with more headers.
fn with(more: &[(&str, &str)]) -> Vec<u8> {
    request(1, &[&line("GET", "/")[..], more].concat(), true)
}

/// The same without a body that is said to come.
fn post(more: &[(&str, &str)]) -> Vec<u8> {
    request(1, &[&line("POST", "/")[..], more].concat(), false)
}

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

#[tokio::test]
async fn connections_end_where_the_protocol_says_so() {
    let backend = Backend::echo().await;
    let (world, pair) = world(&[&backend]).await;
    let eight = [0; 8];
    for (what, said, code) in [
        ("4.2: a frame that is too long", frame(0, 0, 1, &vec![0; 16_385]), Code::FrameSizeError),
        ("4.3: no list of headers", frame(1, 5, 1, &[0x80]), Code::CompressionError),
        ("4.3: an index of nothing", frame(1, 5, 1, &[0xff, 0xff, 0x01]), Code::CompressionError),
        ("5.1: data for an idle stream", frame(0, 1, 1, b"x"), Code::ProtocolError),
        ("5.1: a reset for an idle stream", frame(3, 0, 1, &eight[..4]), Code::ProtocolError),
        ("5.1: a window for an idle stream", frame(8, 0, 1, &[0, 0, 0, 1]), Code::ProtocolError),
        ("5.1.1: a stream of the server's", get(2, "/"), Code::ProtocolError),
        ("5.1.1: an earlier stream", joined(&[get(5, "/"), get(3, "/")]), Code::StreamClosed),
        ("6.1: data on no stream", frame(0, 0, 0, b"x"), Code::ProtocolError),
        (
            "6.1: more padding than data",
            joined(&[post(&[]), frame(0, 9, 1, b"\x05ab")]),
            Code::ProtocolError,
        ),
        ("6.2: headers on no stream", frame(1, 5, 0, &[0x82]), Code::ProtocolError),
        ("6.2: more padding than headers", frame(1, 13, 1, &[9, 0x82]), Code::ProtocolError),
        ("6.3: a priority on no stream", frame(2, 0, 0, &[0; 5]), Code::ProtocolError),
        ("6.4: a reset on no stream", frame(3, 0, 0, &[0; 4]), Code::ProtocolError),
        (
            "6.4: a short reset",
            joined(&[get(1, "/"), frame(3, 0, 1, &[0; 3])]),
            Code::FrameSizeError,
        ),
    ] {
        check(&world, &pair, what, &said, Ends(code)).await;
    }
}

#[tokio::test]
async fn connections_end_for_settings_and_windows() {
    let backend = Backend::echo().await;
    let (world, pair) = world(&[&backend]).await;
    let eight = [0; 8];
    for (what, said, code) in [
        ("6.5: an answer with settings", frame(4, 1, 0, &[0; 6]), Code::FrameSizeError),
        ("6.5: settings of a stream", frame(4, 0, 1, &[]), Code::ProtocolError),
        ("6.5: half a setting", frame(4, 0, 0, &[0; 5]), Code::FrameSizeError),
        ("6.5.2: promises", frame(4, 0, 0, &[0, 2, 0, 0, 0, 2]), Code::ProtocolError),
        ("6.5.2: a window", frame(4, 0, 0, &[0, 4, 0x80, 0, 0, 0]), Code::FlowControlError),
        ("6.5.2: short frames", frame(4, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]), Code::ProtocolError),
        ("6.5.2: long frames", frame(4, 0, 0, &[0, 5, 1, 0, 0, 0]), Code::ProtocolError),
        ("6.6: a promise", frame(5, 4, 1, &[0, 0, 0, 2, 0x82]), Code::ProtocolError),
        ("6.7: a ping on a stream", frame(6, 0, 1, &eight), Code::ProtocolError),
        ("6.7: a short ping", frame(6, 0, 0, &eight[..6]), Code::FrameSizeError),
        ("6.8: a farewell on a stream", frame(7, 0, 1, &eight), Code::ProtocolError),
        ("6.9: a window of 0", frame(8, 0, 0, &[0; 4]), Code::ProtocolError),
        ("6.9: a short window", frame(8, 0, 0, &[0; 3]), Code::FrameSizeError),
        (
            "6.9.1: a window that is too large",
            frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            Code::FlowControlError,
        ),
        (
            "6.9.2: settings that make a window too large",
            joined(&[
                post(&[]),
                frame(8, 0, 1, &[0x7f, 0xff, 0, 0]),
                frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
            ]),
            Code::FlowControlError,
        ),
        ("6.10: more of nothing", frame(9, 4, 1, &[0x82]), Code::ProtocolError),
        (
            "6.10: something between",
            joined(&[frame(1, 1, 1, &[0x82]), frame(2, 0, 1, &[0; 5])]),
            Code::ProtocolError,
        ),
        (
            "6.10: an unknown frame between",
            joined(&[frame(1, 1, 1, &[0x82]), frame(99, 0, 0, b"")]),
            Code::ProtocolError,
        ),
        (
            "6.10: more for another stream",
            joined(&[frame(1, 1, 1, &[0x82]), frame(9, 4, 3, &[0x87])]),
            Code::ProtocolError,
        ),
        (
            "6.10: more behind the end",
            joined(&[get(1, "/"), frame(9, 4, 1, &[0x82])]),
            Code::ProtocolError,
        ),
        // The table may have 4,096 bytes.
        (
            "7541, 4.2: a table that is too large",
            frame(1, 5, 1, &[0x3f, 0xe2, 0x1f]),
            Code::CompressionError,
        ),
    ] {
        check(&world, &pair, what, &said, Ends(code)).await;
    }
}

#[tokio::test]
async fn streams_end_alone_where_they_can() {
    let backend = Backend::echo().await;
    let (world, pair) = world(&[&backend]).await;
    let malformed = Resets(Code::ProtocolError);
    for (what, said, fate) in [
        ("a request", with(&[]), Fine),
        ("4.1: an unknown frame", joined(&[frame(99, 0xff, 9, b"x"), get(1, "/")]), Fine),
        ("4.1: unknown flags", joined(&[frame(6, 0xfe, 0, &[0; 8]), get(1, "/")]), Fine),
        ("4.1: the reserved bit", frame(1, 5, 0x8000_0001, &block(&line("GET", "/"))), Fine),
        (
            "5.1: headers behind the end",
            joined(&[with(&[]), get(1, "/")]),
            Resets(Code::StreamClosed),
        ),
        (
            "5.1: data behind the end",
            joined(&[with(&[]), frame(0, 1, 1, b"x")]),
            Resets(Code::StreamClosed),
        ),
        ("5.3: itself first", joined(&[get(1, "/"), frame(2, 0, 1, &[0, 0, 0, 1, 9])]), Fine),
        ("6.1: padding", joined(&[post(&[]), frame(0, 9, 1, b"\x02ab  ")]), Fine),
        (
            "6.2: padding and a priority",
            {
                let padded =
                    [&[3][..], &[0, 0, 0, 0, 9], &block(&line("GET", "/")), &[0; 3]].concat();
                frame(1, 0x2d, 1, &padded)
            },
            Fine,
        ),
        (
            "6.3: a short priority",
            joined(&[post(&[]), frame(2, 0, 1, &[0; 4])]),
            Resets(Code::FrameSizeError),
        ),
        (
            "6.5: unknown settings",
            joined(&[frame(4, 0, 0, &[0, 99, 0, 0, 0, 1]), get(1, "/")]),
            Fine,
        ),
        ("6.9: a window of 0", joined(&[post(&[]), frame(8, 0, 1, &[0; 4])]), malformed),
        (
            "6.9.1: a window that is too large",
            joined(&[post(&[]), frame(8, 0, 1, &[0x7f, 0xff, 0xff, 0xff])]),
            Resets(Code::FlowControlError),
        ),
        (
            "6.10: a list in parts",
            {
                let whole = block(&line("GET", "/"));
                let parts: Vec<_> = whole.chunks(20).collect();
                let last = parts.len() - 1;
                let part = |(at, part): (usize, &&[u8])| {
                    let ends = if at == last { 4 } else { 0 };
                    frame(if at == 0 { 1 } else { 9 }, if at == 0 { 1 } else { ends }, 1, part)
                };
                parts.iter().enumerate().flat_map(part).collect()
            },
            Fine,
        ),
    ] {
        check(&world, &pair, what, &said, fate).await;
    }
}

#[tokio::test]
async fn streams_end_alone_that_are_malformed() {
    let backend = Backend::echo().await;
    let (world, pair) = world(&[&backend]).await;
    let without = |name: &str| {
        let line = line("GET", "/");
        let rest: Vec<_> = line.into_iter().filter(|(known, _)| *known != name).collect();
        request(1, &rest, true)
    };
    let malformed = Resets(Code::ProtocolError);
    for (what, said, fate) in [
        (
            "8.1: trailers that do not end",
            joined(&[post(&[]), request(1, &[("a", "b")], false)]),
            malformed,
        ),
        ("8.1: trailers", joined(&[post(&[]), request(1, &[("a", "b")], true)]), Fine),
        (
            "8.1: pseudo-headers behind a body",
            joined(&[post(&[]), request(1, &[(":path", "/")], true)]),
            malformed,
        ),
        (
            "8.1.1: a longer body",
            joined(&[post(&[("content-length", "1")]), frame(0, 1, 1, b"ab")]),
            malformed,
        ),
        (
            "8.1.1: a shorter body",
            joined(&[post(&[("content-length", "3")]), frame(0, 1, 1, b"ab")]),
            malformed,
        ),
        (
            "8.1.1: a shorter body with trailers",
            joined(&[post(&[("content-length", "3")]), request(1, &[("a", "b")], true)]),
            malformed,
        ),
        ("8.1.1: no body", with(&[("content-length", "3")]), malformed),
        (
            "8.1.1: just so",
            joined(&[post(&[("content-length", "2")]), frame(0, 1, 1, b"ab")]),
            Fine,
        ),
        ("8.2.1: a large letter", with(&[("X-a", "1")]), malformed),
        ("8.2.1: two lines", with(&[("x", "1\r\ny: 2")]), malformed),
        ("8.2.1: a space first", with(&[("x", " 1")]), malformed),
        ("8.2.2: of a connection", with(&[("connection", "close")]), malformed),
        ("8.2.2: trailers are taken", with(&[("te", "trailers")]), Fine),
        ("8.2.2: others are not", with(&[("te", "gzip")]), malformed),
        ("8.2.2: in chunks", with(&[("transfer-encoding", "chunked")]), malformed),
        ("8.3: an unknown pseudo-header", with(&[(":test", "1")]), malformed),
        ("8.3: one behind others", with(&[("a", "b"), (":status", "200")]), malformed),
        ("8.3.1: no method", without(":method"), malformed),
        ("8.3.1: no scheme", without(":scheme"), malformed),
        ("8.3.1: no path", without(":path"), malformed),
        ("8.3.1: an empty path", request(1, &line("GET", ""), true), malformed),
        ("8.3.1: two paths", with(&[(":path", "/")]), malformed),
    ] {
        check(&world, &pair, what, &said, fate).await;
    }
}
