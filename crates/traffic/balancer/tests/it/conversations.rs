//! Connections of HTTP/2 from their beginning to their end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use balancer::{Action, Condition, Texts};
use http2::{Code, PREFACE, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::modern::{Event, Peer, Target, block, frame, get, head, line, literal, request, world};
use super::world::{Backend, PATIENCE, Reply, ok};

#[tokio::test]
async fn a_client_says_hello_first() {
    let backend = Backend::echo().await;
    let (world, pair) = world(&[&backend]).await;
    for hello in [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        [PREFACE.to_vec(), frame(6, 0, 0, &[0; 8])].concat(),
        [PREFACE.to_vec(), frame(4, 1, 0, &[])].concat(),
    ] {
        let mut peer = Peer::mute(&world, &pair).await;
        peer.send(&hello).await;
        assert_eq!(peer.end().await, Some(Code::ProtocolError.number()), "{hello:?}");
    }
    // However it is cut.
    let mut hello = PREFACE.to_vec();
    write::settings(&mut hello, &[]);
    hello.extend(get(1, "/first"));
    let mut peer = Peer::mute(&world, &pair).await;
    for byte in hello {
        peer.send(&[byte]).await;
    }
    let (head, body, _) = peer.answer(1).await;
    assert_eq!(head[":status"], "200");
    assert!(body.starts_with(b"GET /first HTTP/1.1\r\n"));
}

#[tokio::test]
async fn pings_and_settings_are_answered() {
    let backend = Backend::echo().await;
    let (world, pair) = world(&[&backend]).await;
    let mut peer = Peer::begin(&world, &pair).await;
    assert!(matches!(peer.next().await, Event::Settings { window: 524_288 }));
    peer.until(|event| *event == Event::SettingsTaken).await;
    peer.say(|out| write::ping(out, *b"whatever")).await;
    peer.until(|event| *event == Event::Pong(*b"whatever")).await;
    // An answer to what was never asked, and a farewell, are no reason for anything.
    peer.send(&[frame(4, 1, 0, &[]), frame(6, 1, 0, &[0; 8]), frame(7, 0, 0, &[0; 8])].concat())
        .await;
    assert_eq!(peer.settle().await, []);
}

#[tokio::test]
async fn a_table_that_clients_keep_is_read() {
    let backend = Backend::echo().await;
    let (world, pair) = world(&[&backend]).await;
    // A client that keeps less: it is told so once, and reads all that comes.
    let mut peer = Peer::with(&world, &pair, &[(1, 0)]).await;
    let mut list = block(&line("GET", "/table"));
    list.push(0x40);
    let mut kept = Vec::new();
    literal(&mut kept, "x-kept", "so long");
    list.extend_from_slice(&kept[1..]);
    peer.send(&frame(1, 5, 1, &list)).await;
    peer.answer(1).await;
    assert_eq!(peer.block.first(), Some(&0x20));
    let mut list = block(&line("GET", "/table"));
    list.push(0xbe);
    peer.send(&frame(1, 5, 3, &list)).await;
    let (_, body, _) = peer.answer(3).await;
    assert_eq!(peer.block.first(), Some(&0x88), "{:x?}", peer.block);
    let told = String::from_utf8(body).unwrap();
    assert!(told.contains("X-Kept: so long\r\n"), "{told}");
}

#[tokio::test]
async fn a_client_hears_of_its_table_though_a_head_comes_in_parts() {
    // More than is read at once stands before the head that goes on.
    let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(40_000));
    let answer = hints + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::begin(Arc::new(move |_: &str| Reply::Bytes(answer.clone()))).await;
    let (world, pair) = world(&[&backend]).await;
    let mut peer = Peer::with(&world, &pair, &[(1, 0)]).await;
    peer.send(&get(1, "/")).await;
    assert_eq!(peer.answer(1).await.0[":status"], "200");
    assert_eq!(peer.block.first(), Some(&0x20));
}

#[tokio::test]
async fn answers_have_what_they_have() {
    let backend = Backend::begin(Arc::new(|request: &str| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        Reply::Bytes(match path {
            "/none" => "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n".to_owned(),
            "/same" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n".to_owned(),
            "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_owned(),
            "/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "/chunks" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-B\r\nX-B: 1\r\n\r\n\
                3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n"
                    .to_owned()
            }
            "/ours" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                0\r\nConnection: X-A\r\nContent-Length: 3\r\n\r\n"
                .to_owned(),
            _ => "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
        })
    }))
    .await;
    let (mut world, pair) = world(&[&backend]).await;
    let gone = Action::Fixed { status: 410, content_type: None, body: "gone".to_owned() };
    world.rule(vec![Condition::Path(Texts::Patterns(vec!["/gone".to_owned()]))], gone);
    world.apply();
    let mut peer = Peer::begin(&world, &pair).await;
    let mut id = 1;
    for (method, path, status, length, body, has_date) in [
        ("GET", "/none", "204", None, "", true),
        ("GET", "/same", "304", Some("9"), "", true),
        ("HEAD", "/head", "200", Some("9"), "", true),
        ("GET", "/empty", "200", Some("0"), "", true),
        ("GET", "/chunks", "200", None, "abc", true),
        ("HEAD", "/chunks", "200", None, "", true),
        ("GET", "/ours", "200", None, "", true),
        ("GET", "/", "200", Some("2"), "hi", false),
        ("GET", "/gone", "410", Some("4"), "gone", true),
        ("HEAD", "/gone", "410", Some("4"), "", true),
    ] {
        // The usual way, and that of all.
        for more in [&[][..], &[("x_y", "1")]] {
            peer.send(&request(id, &[&line(method, path)[..], more].concat(), true)).await;
            let (head, got, trailers): (BTreeMap<_, _>, _, _) = peer.answer(id).await;
            assert_eq!(head[":status"], status, "{method} {path} {more:?}: {head:?}");
            let told = head.get("content-length").map(String::as_str);
            assert_eq!(told, length, "{head:?}");
            assert_eq!(String::from_utf8(got).unwrap(), body);
            assert_eq!(head["date"] != "then", has_date, "{head:?}");
            assert!(!head.contains_key("x-b") && !head.contains_key("connection"), "{head:?}");
            let late = trailers.get("x-late").map(String::as_str);
            assert_eq!(late, Some("1").filter(|_| body == "abc"), "{trailers:?}");
            assert_eq!(trailers.len(), usize::from(late.is_some()), "{trailers:?}");
            id += 2;
        }
    }
}

#[tokio::test]
async fn trailers_come_behind_all_of_a_body() {
    let (target, may_end) = Target::halting(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "2\r\nde\r\n0\r\nX-Late: 1\r\n\r\n",
    )
    .await;
    let (world, pair) = target.world().await;
    // The usual way, that of all, and one with a body.
    for (method, more, is_last) in
        [("GET", &[][..], true), ("GET", &[("x_y", "1")], true), ("POST", &[], false)]
    {
        let mut peer = Peer::with(&world, &pair, &[(4, 3)]).await;
        peer.send(&request(1, &[&line(method, "/")[..], more].concat(), is_last)).await;
        if !is_last {
            peer.say(|out| write::data(out, 1, &[], true)).await;
        }
        peer.until(|event| matches!(event, Event::Data { .. })).await;
        // It keeps less from now on: the next list says that it has heard.
        peer.say(|out| write::settings(out, &[(1, 0)])).await;
        peer.settle().await;
        may_end.add_permits(1);
        peer.say(|out| write::window_update(out, 1, 1)).await;
        let one = peer.until(|event| matches!(event, Event::Data { .. })).await;
        assert_eq!(one, Event::Data { stream: 1, data: b"d".to_vec(), is_last: false });
        assert_eq!(peer.settle().await, [], "they wait for the body");
        peer.say(|out| write::window_update(out, 1, 1)).await;
        let (is_end, trailers) = match peer.next().await {
            Event::Data { data, is_last: false, .. } if data == b"e" => match peer.next().await {
                Event::Headers { fields, is_last, .. } => (is_last, fields),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert!(is_end && trailers.len() == 1 && trailers["x-late"] == "1", "{trailers:?}");
        assert_eq!(peer.block.first(), Some(&0x20));
    }
}

#[tokio::test]
async fn a_request_that_nobody_wants_any_more_ends() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let backend =
        Backend::begin(Arc::new(move |request: &str| match request.contains("/silent") {
            true => {
                count.fetch_add(1, Ordering::SeqCst);
                Reply::Silence
            }
            false => ok("fine"),
        }))
        .await;
    let (world, pair) = world(&[&backend]).await;
    // The usual way, that of all, and one with a body that never comes.
    for (more, is_last) in
        [(&[][..], true), (&[("x_y", "1")], true), (&[("content-length", "5")], false)]
    {
        let before = asked.load(Ordering::SeqCst);
        let mut peer = Peer::begin(&world, &pair).await;
        peer.send(&request(1, &[&line("POST", "/silent")[..], more].concat(), is_last)).await;
        if is_last {
            while asked.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
        }
        peer.settle().await;
        peer.say(|out| write::reset(out, 1, Code::Cancel)).await;
        let idle = async {
            while !world.balancer.health().iter().all(|report| report.is_idle) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, idle).await.expect("nothing is under way");
        peer.send(&get(3, "/")).await;
        assert_eq!(peer.answer(3).await.1, b"fine");
    }
}

#[tokio::test]
async fn the_rest_of_a_request_may_come_behind_its_answer() {
    // A target that answers as soon as it has the head, and reads on.
    let all = Arc::new(AtomicUsize::new(0));
    let count = all.clone();
    let target = Target::begin(move |mut stream| {
        let count = count.clone();
        async move {
            head(&mut stream).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
            stream.write_all(answer).await.unwrap();
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut part).await {
                count.fetch_add(length, Ordering::SeqCst);
            }
        }
    })
    .await;
    let (mut world, pair) = target.world().await;
    let fixed = Action::Fixed { status: 403, content_type: None, body: "no".to_owned() };
    world.rule(vec![Condition::Path(Texts::Patterns(vec!["/no".to_owned()]))], fixed);
    world.apply();
    let mut peer = Peer::begin(&world, &pair).await;
    for (id, path, status) in [(1, "/", "200"), (3, "/no", "403")] {
        let fields = [&line("POST", path)[..], &[("content-length", "200000")]].concat();
        peer.send(&request(id, &fields, false)).await;
        let (head, ..) = peer.answer(id).await;
        assert_eq!(head[":status"], status);
        // No reset: some clients would take it for the answer.
        assert_eq!(peer.settle().await, []);
        let part = |at| frame(0, u8::from(at == 19), id, &[b'x'; 10_000]);
        peer.send(&(0..20).flat_map(part).collect::<Vec<u8>>()).await;
        for event in peer.settle().await {
            assert!(matches!(event, Event::WindowUpdate { .. }), "{event:?}");
        }
    }
    let read = async {
        while all.load(Ordering::SeqCst) < 200_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the target gets all of it");
    // Both are over: what comes for them is nobody's.
    peer.send(&frame(0, 0, 3, b"more")).await;
    let event = peer.until(|event| matches!(event, Event::Reset { .. })).await;
    assert_eq!(event, Event::Reset { stream: 3, code: Code::StreamClosed.number() });
    // One whose rest does not come ends some time.
    peer.send(&request(5, &line("POST", "/no"), false)).await;
    let event = peer.until(|event| matches!(event, Event::Reset { .. })).await;
    assert_eq!(event, Event::Reset { stream: 5, code: Code::NoError.number() });
}

#[tokio::test]
async fn a_connection_ends_when_all_is_answered() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate";
    let (target, may_answer) = Target::halting("", answer).await;
    let (mut world, pair) = target.world().await;
    let mut peer = Peer::begin(&world, &pair).await;
    peer.send(&get(1, "/")).await;
    peer.settle().await;
    world.config.load_balancers.clear();
    world.apply();
    peer.until(|event| matches!(event, Event::GoAway { last: 0x7fff_ffff, code: 0 })).await;
    let Event::Ping(mark) = peer.until(|event| matches!(event, Event::Ping(_))).await else {
        unreachable!()
    };
    // The client does not know yet, and is answered.
    peer.send(&get(3, "/")).await;
    peer.say(|out| write::pong(out, mark)).await;
    peer.until(|event| matches!(event, Event::GoAway { last: 3, code: 0 })).await;
    // Now it does.
    peer.send(&[get(5, "/"), frame(0, 1, 5, b"x")].concat()).await;
    peer.settle().await;
    may_answer.add_permits(2);
    let mut answered = Vec::new();
    loop {
        match peer.next().await {
            Event::Data { stream, is_last: true, .. } => answered.push(stream),
            Event::End => break,
            Event::Headers { .. } | Event::Data { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, [1, 3]);
}

#[tokio::test]
async fn who_does_not_hear_the_farewell_is_not_waited_for() {
    let backend = Backend::begin(Arc::new(|_: &str| Reply::Silence)).await;
    let (mut world, pair) = world(&[&backend]).await;
    let mut peer = Peer::begin(&world, &pair).await;
    peer.send(&get(1, "/")).await;
    backend.until_asked().await;
    world.config.load_balancers.clear();
    world.apply();
    peer.until(|event| matches!(event, Event::GoAway { last: 0x7fff_ffff, code: 0 })).await;
    // It says nothing of the ping; what it began stays under way.
    peer.until(|event| matches!(event, Event::GoAway { last: 1, code: 0 })).await;
    peer.send(&get(3, "/")).await;
    peer.settle().await;
    peer.say(|out| write::reset(out, 1, Code::Cancel)).await;
    peer.until(|event| *event == Event::End).await;
}

#[tokio::test]
async fn a_connection_has_so_many_requests_at_most() {
    let backend = Backend::echo().await;
    let (mut world, pair) = world(&[&backend]).await;
    let fixed = Action::Fixed { status: 200, content_type: None, body: "x".to_owned() };
    world.listener().default = fixed;
    world.apply();
    let mut peer = Peer::begin(&world, &pair).await;
    let (mut id, mut has_left) = (1, false);
    for _ in 0..100 {
        let many: Vec<u8> = (0..100).flat_map(|at| get(id + 2 * at, "/")).collect();
        peer.send(&many).await;
        id += 200;
        let mut left = 100;
        while left > 0 {
            match peer.next().await {
                Event::Data { is_last: true, .. } => left -= 1,
                Event::GoAway { last, code } => {
                    assert_eq!((id, last, code), (20_001, 0x7fff_ffff, 0), "the last hundred");
                    has_left = true;
                }
                Event::End => panic!("it ends"),
                _ => {}
            }
        }
    }
    assert!(has_left);
}
