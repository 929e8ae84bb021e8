//! Flow control of HTTP/2, both ways (RFC 9113, 5.2 and 6.9).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http2::{Code, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::modern::{CANCEL, Event, Peer, Target, frame, get, head, line, request, world};
use super::world::{Backend, PATIENCE, ok};

/// What the load balancer tells of itself: all streams, and one.
const WINDOW: usize = 1024 * 1024;
const STREAM_WINDOW: usize = 512 * 1024;

fn data_of(events: &[Event], id: u32) -> usize {
    let of_stream = |event: &Event| match event {
        Event::Data { stream, data, .. } if *stream == id => data.len(),
        _ => 0,
    };
    events.iter().map(of_stream).sum()
}

/// A target that answers with so many bytes.
async fn large(length: usize) -> Backend {
    let body: String = "0123456789abcdef".repeat(length / 16);
    Backend::begin(Arc::new(move |_: &str| ok(&body))).await
}

#[tokio::test]
async fn no_more_is_sent_than_a_client_takes() {
    let backend = large(100_000).await;
    let (world, pair) = world(&[&backend]).await;
    // The usual way, and that of all.
    for more in [&[][..], &[("x_y", "1")]] {
        let mut peer = Peer::with(&world, &pair, &[(4, 0)]).await;
        let ask = |id| request(id, &[&line("GET", "/")[..], more].concat(), true);
        peer.send(&ask(1)).await;
        peer.until(|event| matches!(event, Event::Headers { stream: 1, .. })).await;
        assert_eq!(data_of(&peer.settle().await, 1), 0);
        peer.say(|out| write::window_update(out, 1, 1)).await;
        let one = peer.until(|event| matches!(event, Event::Data { .. })).await;
        assert_eq!(one, Event::Data { stream: 1, data: b"0".to_vec(), is_last: false });
        // Streams that are there get what settings say, too: 10 in all, of which one was sent.
        peer.say(|out| write::settings(out, &[(4, 10)])).await;
        let more = peer.until(|event| matches!(event, Event::Data { .. })).await;
        assert_eq!(more, Event::Data { stream: 1, data: b"123456789a".to_vec(), is_last: false });
        // Less than was sent: it takes more until something may be sent again.
        peer.say(|out| write::settings(out, &[(4, 0)])).await;
        peer.say(|out| write::window_update(out, 1, 10)).await;
        assert_eq!(data_of(&peer.settle().await, 1), 0);
        peer.say(|out| write::window_update(out, 1, 2)).await;
        let more = peer.until(|event| matches!(event, Event::Data { .. })).await;
        assert_eq!(more, Event::Data { stream: 1, data: b"bc".to_vec(), is_last: false });
        // All streams together have 65,535 bytes.
        peer.say(|out| write::window_update(out, 1, 1_000_000)).await;
        let (mut sent, limit) = (13, 65_535);
        while sent < limit {
            let Event::Data { data, is_last: false, .. } = peer.next().await else { continue };
            sent += data.len();
        }
        assert_eq!((sent, data_of(&peer.settle().await, 1)), (limit, 0));
        peer.say(|out| write::window_update(out, 0, 1_000_000)).await;
        let mut is_over = false;
        while !is_over {
            let Event::Data { data, is_last, .. } = peer.next().await else { continue };
            sent += data.len();
            is_over = is_last;
        }
        assert_eq!(sent, 100_000);
    }
}

#[tokio::test]
async fn a_body_ends_though_nothing_more_may_be_sent() {
    let first = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for (rest, has_trailers) in [("0\r\n\r\n", false), ("0\r\nX-Late: 1\r\n\r\n", true)] {
        let (target, may_end) = Target::halting(first, rest).await;
        let (world, pair) = target.world().await;
        // The usual way, and that of all.
        for more in [&[][..], &[("x_y", "1")]] {
            let mut peer = Peer::with(&world, &pair, &[(4, 3)]).await;
            peer.send(&request(1, &[&line("GET", "/")[..], more].concat(), true)).await;
            let all = peer.until(|event| matches!(event, Event::Data { .. })).await;
            assert_eq!(all, Event::Data { stream: 1, data: b"abc".to_vec(), is_last: false });
            peer.settle().await;
            may_end.add_permits(1);
            match peer.next().await {
                Event::Data { data, is_last: true, .. } if !has_trailers => assert_eq!(data, b""),
                Event::Headers { fields, is_last: true, .. } => assert_eq!(fields["x-late"], "1"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn streams_share_what_all_may_send() {
    let backend = large(1024 * 1024).await;
    let (world, pair) = world(&[&backend]).await;
    let mut peer = Peer::with(&world, &pair, &[(4, 10_000_000)]).await;
    peer.send(&[get(1, "/"), get(3, "/"), get(5, "/x")].concat()).await;
    let mut left = [1024 * 1024; 3];
    let mut last = [0; 3];
    let mut turn = 0;
    while left.iter().any(|left| *left > 0) {
        let Event::Data { stream, data, is_last } = peer.next().await else { continue };
        let at = usize::try_from(stream / 2).unwrap();
        left[at] -= data.len();
        (last[at], turn) = (turn, turn + 1);
        assert_eq!(is_last, left[at] == 0);
        let length = u32::try_from(data.len()).unwrap();
        peer.say(|out| write::window_update(out, 0, length)).await;
    }
    // Nobody had to wait until another one was done.
    let first_end = *last.iter().min().unwrap();
    assert!(first_end > turn / 3 + 5, "{last:?} of {turn}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_for() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let target = Target::begin(move |mut stream| {
        let count = count.clone();
        async move {
            head(&mut stream).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                .await
                .unwrap();
            while stream.write_all(&[0; 64 * 1024]).await.is_ok() {
                count.fetch_add(64 * 1024, Ordering::SeqCst);
            }
        }
    })
    .await;
    let (mut world, pair) = target.world().await;
    world.config.load_balancers[0].settings.idle = Duration::from_secs(1);
    world.apply();
    for more in [&[][..], &[("x_y", "1")]] {
        sent.store(0, Ordering::SeqCst);
        let mut peer = Peer::begin(&world, &pair).await;
        peer.send(&request(1, &[&line("GET", "/")[..], more].concat(), true)).await;
        // It has no window for more than this, and says nothing: its stream ends.
        let mut got = 0;
        loop {
            match peer.next().await {
                Event::Data { data, .. } => got += data.len(),
                Event::Reset { stream: 1, code } => break assert_eq!(code, CANCEL),
                Event::End => panic!("it ends"),
                _ => {}
            }
        }
        assert_eq!(got, 65_535);
        // What the system keeps is some megabytes.
        assert!(sent.load(Ordering::SeqCst) < 50_000_000);
        // The target's connection is closed: nothing is under way.
        let idle = async {
            while !world.balancer.health().iter().all(|report| report.is_idle) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, idle).await.expect("nothing is under way");
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_not_served_for_ever() {
    let backend = large(1024 * 1024).await;
    let (mut world, pair) = world(&[&backend]).await;
    world.config.load_balancers[0].settings.idle = Duration::from_secs(1);
    world.apply();
    let mut peer = Peer::with(&world, &pair, &[(4, 0x7fff_ffff)]).await;
    peer.say(|out| write::window_update(out, 0, 0x7000_0000)).await;
    let mut id = 1;
    // It asks until nothing it says is heard any more, or the connection has gone.
    for _ in 0..40 {
        if !peer.send(&get(id, "/")).await {
            break;
        }
        id += 2;
    }
    backend.until_asked().await;
    let idle = async {
        while !world.balancer.health().iter().all(|report| report.is_idle) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, idle).await.expect("nothing is under way");
}

/// A target that reads a request's body when it may, and tells how much of it there was.
async fn slow(may: Arc<Semaphore>, read: Arc<AtomicUsize>) -> Target {
    Target::begin(move |mut stream| {
        let (may, read) = (may.clone(), read.clone());
        async move {
            let mut part = vec![0; 16 * 1024];
            let mut last = Vec::new();
            loop {
                may.acquire().await.unwrap().forget();
                match stream.read(&mut part).await {
                    Ok(length @ 1..) => {
                        read.fetch_add(length, Ordering::SeqCst);
                        // The system may give the end in two parts.
                        last.extend_from_slice(&part[..length]);
                        last.drain(..last.len().saturating_sub(7));
                        if last == b"the end" {
                            let _ = stream
                                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                                .await;
                        }
                    }
                    _ => return,
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_is_not_taken_is_not_asked_for() {
    let (may, read) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let target = slow(may.clone(), read.clone()).await;
    let (world, pair) = target.world().await;
    let mut peer = Peer::begin(&world, &pair).await;
    let length = 32 * 1024 * 1024;
    let text = length.to_string();
    let fields = [&line("POST", "/")[..], &[("content-length", text.as_str())]].concat();
    peer.send(&request(1, &fields, false)).await;
    let (mut sent, mut stream_window, mut window) = (0, STREAM_WINDOW, 65_535);
    let mut body = vec![b'x'; length];
    body[length - 7..].copy_from_slice(b"the end");
    let mut is_answered = false;
    let mut has_stopped = false;
    while !is_answered {
        while sent < length && stream_window.min(window) > 0 {
            let part = (length - sent).min(16_384).min(stream_window).min(window);
            let is_last = sent + part == length;
            peer.say(|out| write::data(out, 1, &body[sent..sent + part], is_last)).await;
            (sent, stream_window, window) = (sent + part, stream_window - part, window - part);
        }
        if !has_stopped && sent < length {
            // The target reads nothing: what was let out is with the system, or here.
            let before = peer.settle().await;
            for event in &before {
                if let Event::WindowUpdate { stream, by } = event {
                    let by = *by as usize;
                    if *stream == 0 { window += by } else { stream_window += by }
                }
            }
            if before.iter().any(|event| matches!(event, Event::WindowUpdate { .. })) {
                continue;
            }
            has_stopped = true;
            assert!(read.load(Ordering::SeqCst) == 0 && sent < length, "{sent}");
            may.add_permits(1_000_000);
            continue;
        }
        match peer.next().await {
            Event::WindowUpdate { stream: 0, by } => window += by as usize,
            Event::WindowUpdate { by, .. } => stream_window += by as usize,
            Event::Headers { fields, .. } => is_answered = fields[":status"] == "200",
            other @ (Event::End | Event::Reset { .. } | Event::GoAway { .. }) => {
                panic!("{other:?} after {sent} bytes")
            }
            _ => {}
        }
        assert!(stream_window <= STREAM_WINDOW && window <= WINDOW);
    }
    assert!(has_stopped && sent == length);
    assert!(read.load(Ordering::SeqCst) > length, "the head and all of the body");
}

#[tokio::test]
async fn who_sends_too_much_is_stopped() {
    let target = slow(Arc::new(Semaphore::new(0)), Arc::default()).await;
    let (world, pair) = target.world().await;
    let part = frame(0, 0, 1, &[b'x'; 16_384]);
    let post = request(1, &line("POST", "/"), false);
    // More than one stream may: padding counts, and is no data.
    let mut peer = Peer::begin(&world, &pair).await;
    peer.send(&post).await;
    for _ in 0..10_000 {
        if !peer.send(&part).await {
            break;
        }
        let events = peer.settle().await;
        if let Some(code) = events.iter().find_map(|event| match event {
            Event::Reset { stream: 1, code } => Some(*code),
            _ => None,
        }) {
            assert_eq!(code, Code::FlowControlError.number());
            return;
        }
    }
    panic!("nobody stops it");
}

#[tokio::test]
async fn bodies_that_nobody_reads_do_not_stop_others() {
    let backend = Backend::echo().await;
    let (mut world, pair) = world(&[&backend]).await;
    let texts = balancer::Texts::Patterns(vec!["/no".to_owned()]);
    let refused =
        balancer::Action::Fixed { status: 403, content_type: None, body: "no".to_owned() };
    world.rule(vec![balancer::Condition::Path(texts)], refused);
    world.apply();
    let mut peer = Peer::begin(&world, &pair).await;
    let mut window = 65_535;
    // Ten times what all streams together may have.
    for id in (1..).step_by(2).take(10 * WINDOW / 65_536) {
        peer.send(&request(id, &line("POST", "/no"), false)).await;
        for _ in 0..4 {
            while window < 16_384 {
                match peer.next().await {
                    Event::WindowUpdate { stream: 0, by } => window += by as usize,
                    Event::End | Event::GoAway { .. } => panic!("it ends"),
                    _ => {}
                }
            }
            window -= 16_384;
            peer.say(|out| write::data(out, id, &[0; 16_384], false)).await;
        }
    }
    peer.send(&get(10_001, "/yes")).await;
    peer.until(|event| matches!(event, Event::Data { stream: 10_001, is_last: true, .. })).await;
}
