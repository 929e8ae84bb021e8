//! Clients that are slow, greedy or malicious, each beside one that behaves and is answered all
//! the while. Verdicts are counts and states of the edge's own accounts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use wire::sigv4::{Signer, sign};
use wire::{Body, Edge, EdgeLimits, Priority, Route, RouteAuth, SeatLimits, Service};

use crate::stage::{
    Answer, IDENTITY, NOW, Server, TOKEN, Wire, builder, credentials, ecs_call, ecs_service, send,
    serve, signed, sts_call, sts_service,
};

/// Bounds so small that a test reaches them.
fn small() -> EdgeLimits {
    let seats = SeatLimits {
        seats: 4,
        seats_per_client: 3,
        waiting: 8,
        waiting_per_client: 6,
        wait: Duration::from_secs(3),
    };
    EdgeLimits {
        connections: 32,
        connections_per_peer: 32,
        api: seats,
        agents: seats,
        request_bytes: 1024 * 1024,
        response_bytes: 1024 * 1024,
        ..EdgeLimits::default()
    }
}

fn small_edge() -> Edge {
    builder().service(ecs_service()).service(sts_service()).limits(small()).build()
}

/// One call on a connection of its own, which must be answered well.
async fn behaves(server: &Server) {
    let mut wire = Wire::to(server).await;
    wire.send(&signed(ecs_call("ListClusters"), "{}", "ecs"), "{}").await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Many connections that send this and then nothing; the good client calls between them.
async fn crowd(server: &Server, edge: &Edge, count: usize, beginning: &str) -> Vec<Wire> {
    let mut crowd = Vec::new();
    for number in 0..count {
        let mut wire = Wire::to(server).await;
        // One that was closed to make room may not take all of it.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.stream, beginning.as_bytes()).await;
        crowd.push(wire);
        if number % 10 == 9 {
            behaves(server).await;
            let load = edge.load();
            assert!(load.connections <= small().connections, "{load:?}");
            assert!(load.request_bytes_peak <= small().request_bytes, "{load:?}");
        }
    }
    crowd
}

#[tokio::test]
async fn heads_that_never_end_make_room_for_others() {
    let edge = small_edge();
    let server = serve(edge.clone()).await;
    let _crowd = crowd(&server, &edge, 200, "POST / HTTP/1.1\r\nhost: a\r\nx-slow: ").await;
    let load = edge.load();
    assert_eq!((load.connections_refused, load.slow_heads), (0, 0), "{load:?}");
    assert!(load.connections_evicted >= 168, "{load:?}");
}

#[tokio::test]
async fn connections_without_a_word_make_room_for_others() {
    let edge = small_edge();
    let server = serve(edge.clone()).await;
    let _crowd = crowd(&server, &edge, 200, "").await;
    assert_eq!(edge.load().connections_refused, 0);
}

#[tokio::test]
async fn bodies_that_never_end_make_room_for_others() {
    let edge = small_edge();
    let server = serve(edge.clone()).await;
    let beginning = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf";
    let _crowd = crowd(&server, &edge, 200, beginning).await;
    assert_eq!(edge.load().connections_refused, 0);
}

#[tokio::test]
async fn long_heads_and_bodies_stay_within_their_memory() {
    let edge = small_edge();
    let server = serve(edge.clone()).await;
    let long = "x".repeat(60_000);
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\nx-long: {long}");
    let heads = crowd(&server, &edge, 60, &head).await;
    let body =
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\n{long}{long}{long}");
    let bodies = crowd(&server, &edge, 60, &body).await;
    // A large body of a client that sends it is taken all the same.
    let large = format!("{{\"cluster\":\"{}\",\"tasks\":[]}}", "c".repeat(300_000));
    let mut wire = Wire::to(&server).await;
    wire.send(&signed(ecs_call("DescribeTasks"), &large, "ecs"), &large).await;
    assert_eq!(wire.answer().await.status, 200);
    drop((heads, bodies));
    let load = edge.load();
    assert!(load.request_bytes_peak > 300_000 && load.connections_evicted > 0, "{load:?}");
}

#[tokio::test]
async fn a_request_at_work_outlives_a_crowd() {
    let (gate, service) = gated();
    let edge = builder().service(service).service(sts_service()).limits(small()).build();
    let server = serve(edge.clone()).await;
    let mut busy = Wire::to(&server).await;
    busy.send(&signed(ecs_call("ListClusters"), "{}", "ecs"), "{}").await;
    until(|| edge.load().api_in_flight == 1).await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(Wire::to(&server).await);
    }
    until(|| edge.load().connections_accepted == 101).await;
    gate.add_permits(1);
    assert_eq!(busy.answer().await.status, 200);
}

/// A handler of ListClusters that waits for a permit each time.
fn gated() -> (Arc<Semaphore>, Service) {
    let gate = Arc::new(Semaphore::new(0));
    let inside = gate.clone();
    let service = Service::new(&shapes_ecs::SERVICE)
        .on::<shapes_ecs::operations::ListClusters, _, _>(move |_, _| {
            let inside = inside.clone();
            async move {
                inside.acquire().await.unwrap().forget();
                Ok(shapes_ecs::ListClustersResponse::default())
            }
        });
    (gate, service)
}

/// Lets others run until it is so.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

/// A call signed with the other key.
fn signed_by_other(mut parts: Parts, body: &str, service: &str) -> Parts {
    let credentials = credentials("ASIATOKEN", Some(TOKEN));
    let signer = Signer { credentials: &credentials, region: "us-east-1", service, now: NOW };
    sign(&mut parts, body.as_bytes(), &signer);
    parts
}

#[tokio::test(start_paused = true)]
async fn a_greedy_client_is_throttled_and_others_are_not() {
    let (gate, service) = gated();
    let health = Route::new("/healthz", RouteAuth::Unsigned, |_| async {
        http::Response::new(Body::from("well"))
    });
    let edge = builder()
        .service(service)
        .service(sts_service())
        .route(health.priority(Priority::Vital))
        .limits(small())
        .build();
    let greedy: Vec<_> = (0..20)
        .map(|_| {
            let edge = edge.clone();
            let parts = signed(ecs_call("ListClusters"), "{}", "ecs");
            tokio::spawn(async move { send(&edge, parts, "{}").await })
        })
        .collect();
    until(|| edge.load().throttled_api == 11).await;
    let load = edge.load();
    assert_eq!((load.api_in_flight, load.api_waiting), (3, 6), "{load:?}");
    // The fourth seat is nobody's of these.
    for _ in 0..3 {
        let parts = signed_by_other(sts_call(), IDENTITY, "sts");
        assert_eq!(send(&edge, parts, IDENTITY).await.status, 200);
        let parts = crate::stage::request("GET", "/healthz", &[]);
        assert_eq!(send(&edge, parts, "").await.text(), "well");
    }
    gate.add_permits(9);
    let (mut served, mut throttled) = (0, 0);
    for call in greedy {
        let answer = call.await.unwrap();
        match answer.status.as_u16() {
            200 => served += 1,
            400 => {
                throttled += 1;
                check_advice(&answer, "ThrottlingException", "Rate exceeded");
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert_eq!((served, throttled), (9, 11));
    let load = edge.load();
    assert_eq!((load.api_in_flight, load.api_waiting, load.throttled_api), (0, 0, 11), "{load:?}");
}

#[track_caller]
fn check_advice(answer: &Answer, code: &str, text: &str) {
    let (_, found, message) = answer.error();
    assert_eq!((found.as_str(), message.as_str()), (code, text));
    let number = |name: &str| answer.headers[name].to_str().unwrap().parse::<u64>().unwrap();
    let ms = number("x-amz-retry-after");
    assert!((250..=6_000).contains(&ms), "{ms}");
    assert_eq!(number("retry-after"), ms.div_ceil(1000));
}

/// The codes that SDKs of each protocol take for throttling.
#[tokio::test(start_paused = true)]
async fn each_protocol_has_its_word_for_throttling() {
    let none = SeatLimits { seats: 0, waiting: 0, ..small().api };
    let limits = EdgeLimits { api: none, ..small() };
    let ec2 = Service::new(&shapes_ec2::SERVICE);
    let edge = builder().service(ecs_service()).service(sts_service()).service(ec2);
    let edge = edge.limits(limits).build();
    let answer = send(&edge, signed(ecs_call("ListClusters"), "{}", "ecs"), "{}").await;
    assert_eq!(answer.status, 400);
    check_advice(&answer, "ThrottlingException", "Rate exceeded");
    let answer = send(&edge, signed(sts_call(), IDENTITY, "sts"), IDENTITY).await;
    assert_eq!(answer.status, 400);
    check_advice(&answer, "Throttling", "Rate exceeded");
    let body = "Action=DescribeVpcs&Version=2016-11-15";
    let answer = send(&edge, signed(sts_call(), body, "ec2"), body).await;
    assert_eq!(answer.status, 503);
    check_advice(&answer, "RequestLimitExceeded", "Request limit exceeded.");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_done_is_answered_and_gives_its_seat_back() {
    let (_gate, service) = gated();
    let edge = builder().service(service).limits(small()).build();
    let answer = send(&edge, signed(ecs_call("ListClusters"), "{}", "ecs"), "{}").await;
    let text = "The request was not answered within 60 seconds.";
    assert_eq!(answer.error(), (504, "ServerException".to_owned(), text.to_owned()));
    assert_eq!(edge.load().api_in_flight, 0);
}

/// An operation whose answer is much larger than what sockets hold.
fn verbose() -> Service {
    Service::new(&shapes_ecs::SERVICE)
        .on::<shapes_ecs::operations::ListClusters, _, _>(|_, _| async {
            Ok(shapes_ecs::ListClustersResponse::default())
        })
        .on::<shapes_ecs::operations::DescribeTasks, _, _>(|_, _| async {
            let failure =
                shapes_ecs::Failure { reason: Some("r".repeat(200_000)), ..Default::default() };
            let failures = Some(vec![failure]);
            Ok(shapes_ecs::DescribeTasksResponse { failures, ..Default::default() })
        })
}

#[tokio::test]
async fn answers_that_nobody_reads_stay_within_their_memory() {
    let edge = builder().service(verbose()).limits(small()).build();
    let server = serve(edge.clone()).await;
    let body = "{\"tasks\":[\"a\"]}";
    let parts = signed(ecs_call("DescribeTasks"), body, "ecs");
    let mut crowd = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::to(&server).await;
        // Pipelined until the sockets are full.
        for _ in 0..40 {
            wire.send(&parts, body).await;
        }
        crowd.push(wire);
        behaves(&server).await;
    }
    let load = edge.load();
    // Over the bound by what was being worked on when it was reached.
    let most = small().response_bytes + small().api.seats * 201_000;
    assert!(load.response_bytes_peak <= most, "{load:?}");
    assert!(load.response_bytes_peak > small().response_bytes / 2, "{load:?}");
    drop(crowd);
    until(|| edge.load().response_bytes == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_off() {
    let edge = builder().service(verbose()).build();
    let server = serve(edge.clone()).await;
    let body = "{\"tasks\":[\"a\"]}";
    let mut wire = Wire::to(&server).await;
    // Asks for more until nothing is taken any more; that the connection is cut ends the waiting.
    let request = Wire::text(&signed(ecs_call("DescribeTasks"), body, "ecs"), body);
    while tokio::io::AsyncWriteExt::write_all(&mut wire.stream, request.as_bytes()).await.is_ok() {}
    assert_eq!(edge.load().stalled_writes, 1);
    until(|| edge.load().connections == 0).await;
    assert_eq!(edge.load().response_bytes, 0);
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_end_their_connection() {
    let (_gate, service) = gated();
    let edge = builder().service(service).service(sts_service()).limits(small()).build();
    let server = serve(edge.clone()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let mut sent = 0;
    while sent < 3_000 && sender.ready().await.is_ok() {
        let mut parts = ecs_call("ListClusters");
        parts.uri = format!("http://{}/", server.address).parse().unwrap();
        parts.headers.remove("host");
        let mut parts = signed(parts, "{}", "ecs");
        parts.headers.remove("host");
        let body = Full::new(Bytes::from_static(b"{}"));
        let mut call = Box::pin(sender.send_request(http::Request::from_parts(parts, body)));
        let noop = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(noop).is_pending());
        drop(call);
        sent += 1;
        if sent % 500 == 0 {
            let parts = signed_by_other(sts_call(), IDENTITY, "sts");
            let mut wire = Wire::to(&server).await;
            wire.send(&parts, IDENTITY).await;
            assert_eq!(wire.answer().await.status, 200);
        }
    }
    let load = edge.load();
    assert!(load.api_in_flight <= small().api.seats, "{load:?}");
    drop(sender);
    let _ = driver.await;
    // Nothing of it stays behind.
    until(|| edge.load().api_in_flight == 0 && edge.load().api_waiting == 0).await;
    assert!(load.request_bytes_peak <= small().request_bytes, "{load:?}");
}

#[tokio::test]
async fn windows_that_never_open_hold_no_more_than_their_share() {
    let edge = builder().service(verbose()).limits(small()).build();
    let server = serve(edge.clone()).await;
    let body = "{\"tasks\":[\"a\"]}";
    let mut held = Vec::new();
    for _ in 0..4 {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        client.initial_stream_window_size(1_u32);
        let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..8 {
            let mut parts = ecs_call("DescribeTasks");
            parts.uri = format!("http://{}/", server.address).parse().unwrap();
            parts.headers.remove("host");
            let mut parts = signed(parts, body, "ecs");
            parts.headers.remove("host");
            let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
            // One whose connection was closed to make room holds nothing.
            let call = sender.send_request(http::Request::from_parts(parts, body));
            let Ok(answer) = call.await else { break };
            held.push(answer.into_body());
        }
    }
    behaves(&server).await;
    let load = edge.load();
    let most = small().response_bytes + small().api.seats * 201_000;
    assert!(load.response_bytes_peak <= most, "{load:?}");
    for mut body in held {
        // One byte each, at most.
        let _ = tokio::time::timeout(Duration::ZERO, body.frame()).await;
    }
}
