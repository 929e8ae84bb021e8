//! The edge behind real sockets: connections, limits, upgrades and a clean end.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use wire::{Body, Route, RouteAuth, Service};

use crate::stage::{
    Answer, IDENTITY, Wire, assert_marked, builder, ecs_call, ecs_service, edge, request, serve,
    signed, sts_call,
};

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = serve(edge()).await;
    let mut wire = Wire::to(&server).await;
    for _ in 0..3 {
        wire.send(&signed(ecs_call("ListClusters"), "{}", "ecs"), "{}").await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 200);
        assert_marked(&answer);
        // Refusals leave the connection open too.
        wire.send(&ecs_call("ListClusters"), "{}").await;
        assert_eq!(wire.answer().await.error().1, "MissingAuthenticationTokenException");
        wire.send(&signed(sts_call(), IDENTITY, "sts"), IDENTITY).await;
        assert_marked(&wire.answer().await);
    }
    // Pipelined.
    let parts = signed(ecs_call("ListClusters"), "{}", "ecs");
    wire.send(&parts, "{}").await;
    wire.send(&parts, "{}").await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(wire.answer().await.status, 200);
}

#[tokio::test]
async fn http_2_with_prior_knowledge() {
    let server = serve(edge()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let mut parts = ecs_call("ListClusters");
    parts.uri = format!("http://{}/", server.address).parse().unwrap();
    // The signer takes the host from the URI; on the wire it is `:authority`.
    parts.headers.remove("host");
    let mut parts = signed(parts, "{}", "ecs");
    parts.headers.remove("host");
    let body = Full::new(Bytes::from_static(b"{}"));
    let response = sender.send_request(http::Request::from_parts(parts, body)).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let answer = Answer { status: parts.status, headers: parts.headers, body };
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_marked(&answer);
    drop(sender);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, released) = (Arc::clone(&entered), Arc::clone(&go_on));
    let service = Service::new(&shapes_ecs::SERVICE)
        .on::<shapes_ecs::operations::ListClusters, _, _>(move |_, _| {
            let (inside, released) = (Arc::clone(&inside), Arc::clone(&released));
            async move {
                inside.notify_one();
                released.notified().await;
                Ok(shapes_ecs::ListClustersResponse::default())
            }
        });
    let server = serve(builder().service(service).build()).await;
    let silent = Wire::to(&server).await;
    let mut idle = Wire::to(&server).await;
    idle.send(&ecs_call("ListClusters"), "{}").await;
    idle.answer().await;
    let mut busy = Wire::to(&server).await;
    busy.send(&signed(ecs_call("ListClusters"), "{}", "ecs"), "{}").await;
    entered.notified().await;
    server.shutdown.cancel();
    // Connections without a request are closed at once.
    assert!(idle.rest().await.is_empty());
    assert!(silent.rest().await.is_empty());
    assert!(!server.served.is_finished());
    go_on.notify_one();
    let answer = busy.answer().await;
    assert_eq!(answer.status, 200);
    assert_marked(&answer);
    assert!(busy.rest().await.is_empty());
    server.served.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

/// With a paused clock, time jumps ahead whenever all wait: no test here waits a minute.
#[tokio::test(start_paused = true)]
async fn clients_that_send_no_whole_head_are_cut() {
    let server = serve(edge()).await;
    let beginnings: [(&[u8], u64); 5] = [
        (b"", 60),
        (b"P", 20),
        (b"PRI * HTTP/2.0\r\n", 20),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\nx-slow: ", 20),
        (b"GET", 20),
    ];
    for (beginning, limit) in beginnings {
        let start = tokio::time::Instant::now();
        let mut wire = Wire::to(&server).await;
        wire.write(beginning).await;
        let rest = wire.rest().await;
        let seconds = start.elapsed().as_secs();
        assert!(
            (limit..=limit + 2).contains(&seconds),
            "{beginning:?}: cut after {seconds} s: {rest:?}"
        );
    }
    // A connection that has spoken is cut when it is idle for as long.
    let mut wire = Wire::to(&server).await;
    wire.send(&ecs_call("ListClusters"), "{}").await;
    wire.answer().await;
    assert!(wire.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn bodies_that_do_not_come_are_not_waited_for() {
    let server = serve(edge()).await;
    let mut wire = Wire::to(&server).await;
    wire.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").await;
    let answer = wire.answer().await;
    let text = "The request body did not arrive within 10 seconds.";
    assert_eq!(answer.error(), (408, "RequestTimeoutException".to_owned(), text.to_owned()));
    assert_marked(&answer);
    assert!(wire.rest().await.is_empty());
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_before_they_come() {
    let server = serve(edge()).await;
    let mut wire = Wire::to(&server).await;
    wire.write(
        "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4194305\r\n\r\n",
    )
    .await;
    let answer = wire.answer().await;
    assert_eq!(answer.error().1, "RequestEntityTooLargeException");
    assert_marked(&answer);
    assert!(wire.rest().await.is_empty());
}

#[tokio::test]
async fn bodies_that_break_off_are_told_so() {
    let server = serve(edge()).await;
    let mut wire = Wire::to(&server).await;
    wire.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nno chunk\r\n")
        .await;
    let answer = wire.answer().await;
    assert_eq!((answer.error().0, &*answer.error().1), (400, "IncompleteBody"));
    assert_marked(&answer);
    assert!(wire.rest().await.is_empty());
}

#[tokio::test]
async fn heads_over_the_limit_are_refused() {
    let server = serve(edge()).await;
    let check = async |head: String| {
        let mut wire = Wire::to(&server).await;
        wire.write(head).await;
        let rest = String::from_utf8(wire.rest().await).unwrap();
        assert!(rest.starts_with("HTTP/1.1 431 "), "{rest}");
    };
    let many: String = (0..129).map(|number| format!("x-{number}: 1\r\n")).collect();
    check(format!("POST / HTTP/1.1\r\nhost: a\r\n{many}\r\n")).await;
    check(format!("POST / HTTP/1.1\r\nhost: a\r\nx-long: {}", "x".repeat(64 * 1024))).await;
}

/// Answers 101 and then sends back what comes.
fn echo() -> Route {
    Route::new("/acs/ws", RouteAuth::Signed("ecs"), |request| async move {
        let caller = request.caller.expect("the route is signed").access_key_id.clone();
        let Some(upgrade) = request.upgrade else {
            return http::Response::new(Body::from("no upgrade"));
        };
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut bytes = [0; 4];
            while stream.read_exact(&mut bytes).await.is_ok() {
                stream.write_all(&bytes).await.unwrap();
            }
        });
        http::Response::builder()
            .status(101)
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("x-caller", caller)
            .body(Body::empty())
            .unwrap()
    })
}

#[tokio::test]
async fn routes_upgrade_their_connection() {
    let server = serve(builder().service(ecs_service()).route(echo()).build()).await;
    let headers = [("connection", "upgrade"), ("upgrade", "websocket")];
    let parts = signed(request("GET", "/acs/ws/1?clusterArn=a%2Fb&seqNum=1", &headers), "", "ecs");
    let mut wire = Wire::to(&server).await;
    wire.send(&parts, "").await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["x-caller"]),
        (101, &"AKIDEXAMPLE".parse().unwrap())
    );
    assert!(answer.headers.contains_key("x-amzn-requestid"));
    for message in ["ping", "pong"] {
        wire.write(message).await;
        assert_eq!(wire.bytes(4).await, message.as_bytes());
    }
    // Without a signature, for another service, beside the prefix.
    let refused = async |parts| {
        let mut wire = Wire::to(&server).await;
        wire.send(&parts, "").await;
        let answer = wire.answer().await;
        assert_marked(&answer);
        answer.error().1
    };
    let path = |path| request("GET", path, &headers);
    assert_eq!(refused(path("/acs/ws")).await, "MissingAuthenticationTokenException");
    let other = signed(path("/acs/ws"), "", "sts");
    assert_eq!(refused(other).await, "InvalidSignatureException");
    let beside = signed(path("/acs/wsx"), "", "ecs");
    assert_eq!(refused(beside).await, "UnknownOperationException");
}
