//! What clients of HTTP/2 do to wear a server out, and how each of them is sent away.

use std::sync::Arc;

use http2::{Code, write};

use super::modern::{Event, Peer, block, frame, get, line, literal, request, world};
use super::world::{Backend, Reply};

const CALM: Option<u32> = Some(Code::EnhanceYourCalm as u32);

/// Says the same again and again until the connection ends; gives the code.
async fn flood(peer: &mut Peer, mut said: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
    for at in 0..200 {
        let many: Vec<u8> = (0..100).flat_map(|more| said(at * 100 + more)).collect();
        if !peer.send(&many).await {
            break;
        }
    }
    peer.end().await
}

#[tokio::test]
async fn floods_end() {
    let backend = Backend::begin(Arc::new(|_: &str| Reply::Silence)).await;
    let (world, pair) = world(&[&backend]).await;
    let mut peer = Peer::begin(&world, &pair).await;
    // Streams that are begun and reset at once (CVE-2023-44487).
    let reset = |at: u32| [get(2 * at + 1, "/"), frame(3, 0, 2 * at + 1, &[0, 0, 0, 8])].concat();
    assert_eq!(flood(&mut peer, reset).await, CALM);
    // The same with a byte of a body each, which is no work that was worth it.
    let mut peer = Peer::begin(&world, &pair).await;
    let reset = |at: u32| {
        let id = 2 * at + 1;
        let post = request(id, &line("POST", "/"), false);
        [post, frame(0, 0, id, b"x"), frame(3, 0, id, &[0, 0, 0, 8])].concat()
    };
    assert_eq!(flood(&mut peer, reset).await, CALM);
    // The server resets them (CVE-2025-8671).
    let mut peer = Peer::begin(&world, &pair).await;
    let reset = |at: u32| [get(2 * at + 1, "/"), frame(8, 0, 2 * at + 1, &[0; 4])].concat();
    assert_eq!(flood(&mut peer, reset).await, CALM);
    // Streams that are malformed.
    let mut peer = Peer::begin(&world, &pair).await;
    assert_eq!(flood(&mut peer, |at| get(2 * at + 1, "")).await, CALM);
    // Settings and pings (CVE-2019-9515, CVE-2019-9512).
    let mut peer = Peer::begin(&world, &pair).await;
    assert_eq!(flood(&mut peer, |_| frame(4, 0, 0, &[])).await, CALM);
    let mut peer = Peer::begin(&world, &pair).await;
    assert_eq!(flood(&mut peer, |_| frame(6, 0, 0, &[0; 8])).await, CALM);
    // Data that has none (CVE-2019-9518).
    let mut peer = Peer::begin(&world, &pair).await;
    peer.send(&request(1, &line("POST", "/"), false)).await;
    assert_eq!(flood(&mut peer, |_| frame(0, 0, 1, &[])).await, CALM);
    let mut peer = Peer::begin(&world, &pair).await;
    peer.send(&request(1, &line("POST", "/"), false)).await;
    assert_eq!(flood(&mut peer, |_| frame(0, 8, 1, &[0])).await, CALM);
}

#[tokio::test]
async fn a_list_of_headers_has_an_end() {
    let backend = Backend::echo().await;
    let (world, pair) = world(&[&backend]).await;
    // CVE-2024-27316 and its kin: parts without end, with and without bytes.
    for part in [&[][..], &[0; 16_384]] {
        let mut peer = Peer::begin(&world, &pair).await;
        peer.send(&frame(1, 1, 1, &block(&line("GET", "/")))).await;
        assert_eq!(flood(&mut peer, |_| frame(9, 0, 1, part)).await, CALM);
    }
}

#[tokio::test]
async fn a_list_that_unpacks_to_much_is_refused() {
    let backend = Backend::echo().await;
    let (world, pair) = world(&[&backend]).await;
    let mut peer = Peer::begin(&world, &pair).await;
    // An entry that fills the table, and thousands of references to it (CVE-2016-6581).
    let mut list = block(&line("GET", "/"));
    list.push(0x40);
    let mut entry = Vec::new();
    literal(&mut entry, "x-bomb", &"x".repeat(4000));
    list.extend_from_slice(&entry[1..]);
    list.extend(std::iter::repeat_n(0xbe, 10_000));
    peer.send(&frame(1, 5, 1, &list)).await;
    let answer = peer.until(|event| matches!(event, Event::Headers { stream: 1, .. })).await;
    let Event::Headers { fields, is_last: true, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(fields[":status"], "431");
    // The tables of both sides are still the same.
    let mut list = block(&line("GET", "/"));
    list.push(0xbe);
    peer.send(&frame(1, 5, 3, &list)).await;
    let (_, body, _) = peer.answer(3).await;
    assert!(String::from_utf8(body).unwrap().contains("X-Bomb: xxx"));
    // The same with nothing but headers that are written out.
    let mut list = block(&line("GET", "/"));
    (0..4_000).for_each(|_| literal(&mut list, "a", ""));
    peer.send(&frame(1, 5, 5, &list)).await;
    let answer = peer.until(|event| matches!(event, Event::Headers { stream: 5, .. })).await;
    let Event::Headers { fields, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(fields[":status"], "431");
}

#[tokio::test]
async fn so_many_streams_are_served_at_once() {
    let backend = Backend::begin(Arc::new(|_: &str| Reply::Silence)).await;
    let (world, pair) = world(&[&backend]).await;
    let mut peer = Peer::begin(&world, &pair).await;
    let many: Vec<u8> = (0..130).flat_map(|at| get(2 * at + 1, "/")).collect();
    peer.send(&many).await;
    for stream in [257, 259] {
        let event = peer.until(|event| matches!(event, Event::Reset { .. })).await;
        assert_eq!(event, Event::Reset { stream, code: Code::RefusedStream.number() });
    }
    // One that ends makes room for one.
    peer.say(|out| write::reset(out, 7, Code::Cancel)).await;
    peer.send(&[get(261, "/"), get(263, "/")].concat()).await;
    let event = peer.until(|event| matches!(event, Event::Reset { .. })).await;
    assert_eq!(event, Event::Reset { stream: 263, code: Code::RefusedStream.number() });
}
