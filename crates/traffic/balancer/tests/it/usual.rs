//! Requests of the usual kind take a short way: it does as the long one does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::modern::{self, Peer, line};
use super::world::{Backend, Client, PATIENCE, Reply, World, ok};

/// What takes a connection to the long way.
const SPECIAL: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

/// All lines of a message's head, in any order, without what differs each time.
fn lines(head: &str) -> BTreeSet<String> {
    let known = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("x-amzn-trace-id: ") && !line.starts_with("date: ")
    };
    head.lines().filter(known).map(str::to_ascii_lowercase).collect()
}

/// Sends bytes and reads to the connection's end, or for as long as `is_whole` does not hold.
async fn converse(client: &mut Client, text: &str, is_whole: impl Fn(&str) -> bool) -> String {
    client.stream.write_all(text.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let read = async {
        while !is_whole(&String::from_utf8_lossy(&got)) {
            if client.stream.read_buf(&mut got).await.unwrap_or(0) == 0 {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("all of it comes");
    String::from_utf8(got).unwrap()
}

#[tokio::test]
async fn both_ways_tell_the_same() {
    let backend = Backend::echo().await;
    let world = World::with(&[&backend]).await;
    for request in [
        "GET /a?b=c HTTP/1.1\r\nHost: Shop.Example.com\r\nAccept: */*\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a:8080\r\nConnection: keep-alive\r\nTE: trailers\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nx-CaSe:kept \r\nCookie: a=b; c=d\r\nKeep-Alive: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Amzn-Mtls-Clientcert: x\r\nX-Same: 1\r\nX-Same: 2\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = world.connect().await;
        let short = client.ask(request).await;
        client.ask(SPECIAL).await;
        let long = client.ask(request).await;
        assert!(short.starts_with("HTTP/1.1 200 OK\r\n"), "{request:?}: {short}");
        let (short, long) = (short.split_once("\r\n\r\n"), long.split_once("\r\n\r\n"));
        let ((short, short_got), (long, long_got)) = (short.unwrap(), long.unwrap());
        // The target's answer is as long as what it was sent.
        let length =
            |lines: &mut BTreeSet<String>| lines.retain(|line| !line.starts_with("content-length"));
        let (mut short, mut long) = (lines(short), lines(long));
        length(&mut short);
        length(&mut long);
        assert_eq!(short, long, "{request:?}");
        assert_eq!(lines(short_got), lines(long_got), "{request:?}");
    }
}

#[tokio::test]
async fn both_ways_of_http2_tell_the_same() {
    let backend = Backend::echo().await;
    let (mut world, pair) = modern::world(&[&backend]).await;
    world.config.load_balancers[0].settings.tells_tls = true;
    world.apply();
    let mut id = 1;
    let mut peer = Peer::begin(&world, &pair).await;
    let trace = "Root=1-67891233-abcdef012345678912345678";
    for (method, path, more) in [
        ("GET", "/a?b=c", &[("accept", "*/*"), ("user-agent", "x")][..]),
        ("GET", "/", &[("te", "trailers"), ("x-same", "1"), ("x-same", "2")]),
        ("GET", "/", &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http")]),
        (
            "GET",
            "/",
            &[("cookie", "a=b"), ("accept", "x"), ("cookie", "c=d; e=f"), ("cookie", "g")],
        ),
        ("GET", "/", &[("cookie", "a=b; c=d")]),
        ("DELETE", "/x", &[("x-amzn-mtls-clientcert", "x"), ("x-amzn-tls-version", "SSLv2")]),
        ("OPTIONS", "/x", &[("origin", "https://a"), ("x-amzn-trace-id", trace)]),
    ] {
        let mut told = Vec::new();
        for odd in [&[][..], &[("x_y", "1")]] {
            let fields = [&line(method, path)[..], more, odd].concat();
            peer.send(&modern::request(id, &fields, true)).await;
            let (mut head, body, _) = peer.answer(id).await;
            for differs in ["date", "content-length"] {
                head.remove(differs);
            }
            let mut got = lines(&String::from_utf8(body).unwrap());
            assert_eq!(got.remove("x_y: 1"), !odd.is_empty());
            told.push((head, got));
            id += 2;
        }
        assert_eq!(told[0], told[1], "{method} {path} {more:?}");
        assert_eq!(told[0].0[":status"], "200");
    }
}

/// A target that answers with these bytes, in its last connection's stead.
async fn saying(text: String, stays: bool) -> Backend {
    Backend::begin(Arc::new(move |_| match stays {
        true => Reply::Bytes(text.clone()),
        false => Reply::Last(text.clone()),
    }))
    .await
}

#[tokio::test]
async fn answers_end_where_the_target_ends_them() {
    let large = "abcdefgh".repeat(64 * 1024);
    let chunks = format!("3\r\nabc\r\n80000\r\n{large}\r\n0\r\nX-Last: 1\r\n\r\n");
    for (text, stays, body) in [
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{large}", large.len()),
            true,
            large.clone(),
        ),
        (
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
            true,
            chunks.clone(),
        ),
        ("HTTP/1.1 200 OK\r\n\r\nopen".to_owned(), false, "4\r\nopen\r\n0\r\n\r\n".to_owned()),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), true, String::new()),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
                .to_owned(),
            true,
            "hi".to_owned(),
        ),
    ] {
        let backend = saying(text, stays).await;
        let world = World::with(&[&backend]).await;
        let mut client = world.connect().await;
        for _ in 0..2 {
            let is_whole = |got: &str| {
                got.split_once("\r\n\r\n").is_some_and(|(_, got)| got.len() >= body.len())
            };
            let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            let got = converse(&mut client, request, is_whole).await;
            let (head, got) = got.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 20"), "{head}");
            assert!(got == body, "{head}: {} of {} bytes", got.len(), body.len());
        }
        let connections = if stays { 1 } else { 2 };
        assert_eq!(backend.connections.load(Ordering::SeqCst), connections);
    }
}

#[tokio::test]
async fn an_answer_that_ends_early_does_not_look_whole() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
    ] {
        let backend = saying(text.to_owned(), false).await;
        let world = World::with(&[&backend]).await;
        let mut client = world.connect().await;
        let got = converse(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", |_| false).await;
        assert!(got.ends_with("short"), "{got}");
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_nobodys() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
    let backend = saying(text.to_owned(), true).await;
    let world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    for _ in 0..5 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_order() {
    let backend = Backend::echo().await;
    let world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    // The second takes the long way, and so does the third.
    let all = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\n\r\n\
        GET /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let got = converse(&mut client, all, |_| false).await;
    let targets = got.lines().filter_map(|line| line.strip_prefix("GET ")?.split(' ').next());
    assert_eq!(targets.collect::<Vec<_>>(), ["/1", "/2", "/3", "/4"], "{got}");
    // One that comes in pieces.
    let mut client = world.connect().await;
    client.stream.write_all(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HT").await.unwrap();
    let is_whole = |got: &str| {
        got.matches("x-amzn-trace-id: ").count() + got.matches("X-Amzn-Trace-Id: ").count() == 1
    };
    converse(&mut client, "", is_whole).await;
    let answer = client.ask("TP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.contains("GET /2 HTTP/1.1\r\n"), "{answer}");
}

#[tokio::test]
async fn answers_to_head_are_heads() {
    let backend = saying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_owned(), true).await;
    let world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    for _ in 0..3 {
        let request = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
        let got = converse(&mut client, request, |got| got.ends_with("\r\n\r\n")).await;
        assert!(got.contains("Content-Length: 9\r\n"), "{got}");
    }
    assert_eq!(backend.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_changes_something_is_not_sent_twice() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let backend = Backend::begin(Arc::new(move |request| match request.starts_with("POST") {
        true => {
            count.fetch_add(1, Ordering::SeqCst);
            Reply::Last(String::new())
        }
        false => ok("fine"),
    }))
    .await;
    let world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    assert!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("fine"));
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let answer = client.ask(post).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.ends_with("fine"));
}

#[tokio::test]
async fn a_client_that_goes_ends_its_request() {
    let backend = Backend::begin(Arc::new(|_| Reply::Silence)).await;
    let world = World::with(&[&backend]).await;
    let mut client = world.connect().await;
    client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    backend.until_asked().await;
    assert!(world.balancer.health().iter().all(|report| !report.is_idle));
    drop(client);
    let idle = async {
        while !world.balancer.health().iter().all(|report| report.is_idle) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, idle).await.expect("nothing is under way any more");
}
