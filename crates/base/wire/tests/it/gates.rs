//! Several servers behind one gate each: who answers, and what reaches the one that leads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use wire::{Ask, Body, Edge, Gate, Need, Passage, Route, RouteAuth, Unavailable};

use crate::stage::{
    Answer, IDENTITY, Wire, assert_marked, builder, ecs_call, ecs_service, request, serve, signed,
    sts_call, sts_service,
};

/// An address at which nobody listens, for as long as this is held.
fn nobody() -> TcpSocket {
    let held = TcpSocket::new_v4().unwrap();
    held.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    held
}

/// A gate that says what it is told to say to those that need the leader.
struct Told {
    name: &'static str,
    lead: Box<dyn Fn(&Ask<'_>) -> Passage + Send + Sync>,
    views: AtomicUsize,
}

#[async_trait]
impl Gate for Told {
    fn name(&self) -> &str {
        self.name
    }

    async fn pass(&self, ask: Ask<'_>) -> Passage {
        match ask.need {
            Need::Lead => (self.lead)(&ask),
            Need::View => {
                self.views.fetch_add(1, Ordering::Relaxed);
                Passage::Here
            }
            Need::Nothing => panic!("the gate is not asked about these"),
        }
    }
}

fn gated(
    name: &'static str,
    lead: impl Fn(&Ask<'_>) -> Passage + Send + Sync + 'static,
) -> (Edge, Arc<Told>) {
    let gate = Arc::new(Told { name, lead: Box::new(lead), views: AtomicUsize::new(0) });
    let who = Route::new("/who", RouteAuth::Unsigned, move |request| async move {
        let told = request.parts.headers.get("x-longshore-through");
        let through = told.map_or("", |value| value.to_str().unwrap()).to_owned();
        let body = request.body.collect(1024).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        http::Response::new(Body::from(format!("{name} through [{through}] got [{body}]")))
    });
    let echo = Route::new("/echo", RouteAuth::Signed("ecs"), |request| async move {
        let upgrade = request.upgrade.expect("an upgrade");
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut byte = [0];
            while let Ok(1) = io.read(&mut byte).await {
                io.write_all(&byte.map(|byte| byte.to_ascii_uppercase())).await.unwrap();
            }
        });
        let mut response = http::Response::new(Body::empty());
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in [("connection", "Upgrade"), ("upgrade", "echo")] {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    });
    let local = Route::new("/local", RouteAuth::Unsigned, move |_| async move {
        http::Response::new(Body::from(name))
    });
    let stream = Route::new("/stream", RouteAuth::Handler, |request| async move {
        http::Response::new(request.body)
    });
    let need = |parts: &http::request::Parts| match parts.method {
        http::Method::GET => Need::View,
        _ => Need::Lead,
    };
    let stream = stream.shared(need, |error| {
        let mut response = http::Response::new(Body::from(format!("refused: {}", error.message)));
        *response.status_mut() = http::StatusCode::from_u16(error.status).unwrap();
        response
    });
    let edge = builder().service(ecs_service()).service(sts_service()).gate(gate.clone(), None);
    (edge.route(who).route(echo).route(stream).route(local.here()).build(), gate)
}

fn to(url: String, end: &CancellationToken) -> impl Fn(&Ask<'_>) -> Passage + use<> {
    let end = end.clone();
    move |_| Passage::Onward { url: url.clone(), end: end.clone() }
}

#[tokio::test]
async fn writes_go_to_the_leader_as_they_came_and_reads_stay() {
    let (edge, leader) = gated("first", |_| Passage::Here);
    let first = serve(edge).await;
    let end = CancellationToken::new();
    let (edge, follower) = gated("second", to(format!("http://{}", first.address), &end));
    let second = serve(edge).await;
    let mut wire = Wire::to(&second).await;
    for _ in 0..2 {
        // Signed for the host that the client called, which is not the leader's.
        let body = r#"{"taskDefinition":"web"}"#;
        wire.send(&signed(ecs_call("RunTask"), body, "ecs"), body).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_marked(&answer);
        assert_eq!(answer.headers.get_all("x-amzn-requestid").iter().count(), 1);
    }
    assert_eq!(follower.views.load(Ordering::Relaxed), 0);
    wire.send(&signed(ecs_call("ListClusters"), "{}", "ecs"), "{}").await;
    assert_eq!(wire.answer().await.status, 200);
    wire.send(&signed(sts_call(), IDENTITY, "sts"), IDENTITY).await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(follower.views.load(Ordering::Relaxed), 2);
    assert_eq!(leader.views.load(Ordering::Relaxed), 0);
    // A wrong signature is the leader's to refuse.
    let mut parts = signed(ecs_call("RunTask"), "{}", "ecs");
    parts.headers.insert("host", "elsewhere".parse().unwrap());
    wire.send(&parts, "{}").await;
    assert_eq!(wire.answer().await.error().1, "InvalidSignatureException");
    // Routes of our own, and those that tell of the server itself.
    wire.send(&request("POST", "/who", &[]), "hello").await;
    assert_eq!(wire.answer().await.text(), "first through [second] got [hello]");
    wire.send(&request("GET", "/local", &[]), "").await;
    assert_eq!(wire.answer().await.text(), "second");
}

#[tokio::test]
async fn http_2_is_sent_on_too() {
    let (edge, _) = gated("first", |_| Passage::Here);
    let first = serve(edge).await;
    let end = CancellationToken::new();
    let (edge, _) = gated("second", to(format!("http://{}", first.address), &end));
    let second = serve(edge).await;
    let stream = TcpStream::connect(second.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut parts = ecs_call("RunTask");
    parts.uri = format!("http://{}/", second.address).parse().unwrap();
    parts.headers.remove("host");
    let body = r#"{"taskDefinition":"web"}"#;
    let mut parts = signed(parts, body, "ecs");
    parts.headers.remove("host");
    let request = http::Request::from_parts(parts, Full::new(Bytes::from_static(body.as_bytes())));
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let answer = Answer { status: parts.status, headers: parts.headers, body };
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Reads until `part` has come.
async fn until(stream: &mut TcpStream, part: &str) {
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains(part) {
        let read = stream.read_buf(&mut told).await.unwrap();
        assert!(read > 0, "it ended after {:?}", String::from_utf8_lossy(&told));
    }
}

#[tokio::test]
async fn bodies_of_shared_routes_go_to_the_leader_as_they_come() {
    let (edge, _) = gated("first", |_| Passage::Here);
    let first = serve(edge).await;
    let end = CancellationToken::new();
    let onward = to(format!("http://{}", first.address), &end);
    // Of a leader that cannot be reached nothing was read: the next one gets all of it.
    let dead = nobody();
    let nobody = to(format!("http://{}", dead.local_addr().unwrap()), &end);
    let (edge, follower) = gated("second", move |ask| match ask.unreachable {
        None => nobody(ask),
        Some(_) => onward(ask),
    });
    let second = serve(edge).await;
    let mut stream = TcpStream::connect(second.address).await.unwrap();
    let head = "POST /stream HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for part in ["hello", "world"] {
        stream.write_all(part.as_bytes()).await.unwrap();
        // It is back before the next part is sent.
        until(&mut stream, part).await;
    }
    assert_eq!(follower.views.load(Ordering::Relaxed), 0);
    let mut wire = Wire::to(&second).await;
    wire.send(&request("GET", "/stream", &[]), "").await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(follower.views.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn shared_routes_are_refused_in_their_own_form() {
    let shut = Unavailable { message: "nobody".to_owned(), retry_after: std::time::Duration::ZERO };
    let (edge, _) = gated("alone", move |_| Passage::Shut(shut.clone()));
    let server = serve(edge).await;
    let mut wire = Wire::to(&server).await;
    wire.send(&request("PUT", "/stream", &[]), "").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "refused: nobody"));
}

#[tokio::test]
async fn nobody_leads() {
    let shut = Unavailable {
        message: "nobody leads".to_owned(),
        retry_after: std::time::Duration::from_millis(1500),
    };
    let (edge, _) = gated("alone", move |_| Passage::Shut(shut.clone()));
    let server = serve(edge).await;
    let mut wire = Wire::to(&server).await;
    wire.send(&signed(ecs_call("RunTask"), "{}", "ecs"), "{}").await;
    let answer = wire.answer().await;
    assert_eq!(answer.error(), (503, "ServerException".into(), "nobody leads".into()));
    assert_eq!(answer.headers["retry-after"], "2");
    assert_marked(&answer);
}

/// With a paused clock: the first server tries for as long as it may hold a request.
#[tokio::test(start_paused = true)]
async fn loops_are_cut() {
    let end = CancellationToken::new();
    let target = Arc::new(Mutex::new(String::new()));
    let onward = |target: &Arc<Mutex<String>>| {
        let (target, end) = (target.clone(), end.clone());
        move |_: &Ask<'_>| Passage::Onward { url: target.lock().clone(), end: end.clone() }
    };
    let (edge, _) = gated("first", onward(&target));
    let first = serve(edge).await;
    let (edge, _) = gated("second", to(format!("http://{}", first.address), &end));
    let second = serve(edge).await;
    *target.lock() = format!("http://{}", second.address);
    let mut wire = Wire::to(&second).await;
    wire.send(&signed(ecs_call("RunTask"), "{}", "ecs"), "{}").await;
    let (status, code, message) = wire.answer().await.error();
    assert_eq!((status, code.as_str()), (503, "ServerException"));
    assert!(message.contains("try again"), "{message}");
}

#[tokio::test]
async fn a_leader_that_cannot_be_reached_is_named_and_the_next_one_is_asked() {
    let (edge, _) = gated("new", |_| Passage::Here);
    let new = serve(edge).await;
    let nobody = nobody();
    let gone = nobody.local_addr().unwrap();
    let (gone, new) = (format!("http://{gone}"), format!("http://{}", new.address));
    let end = CancellationToken::new();
    let named = gone.clone();
    let (edge, _) = gated("third", move |ask| {
        let url = match ask.unreachable {
            None => gone.clone(),
            Some(url) => {
                assert_eq!(url, named);
                new.clone()
            }
        };
        Passage::Onward { url, end: end.clone() }
    });
    let third = serve(edge).await;
    let mut wire = Wire::to(&third).await;
    wire.send(&request("POST", "/who", &[]), "x").await;
    assert_eq!(wire.answer().await.text(), "new through [third] got [x]");
}

#[tokio::test]
async fn a_leader_that_goes_away_in_the_middle_is_told_as_unsure() {
    let leader = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", leader.local_addr().unwrap());
    let died = tokio::spawn(async move {
        let (mut stream, _) = leader.accept().await.unwrap();
        let mut head = [0; 64];
        stream.read_exact(&mut head).await.unwrap();
        // Ends without an answer; a second request would find nobody.
        assert_eq!(&head[..4], b"POST");
    });
    let end = CancellationToken::new();
    let (edge, _) = gated("second", to(url, &end));
    let second = serve(edge).await;
    let mut wire = Wire::to(&second).await;
    wire.send(&signed(ecs_call("RunTask"), "{}", "ecs"), "{}").await;
    let (status, code, message) = wire.answer().await.error();
    assert_eq!((status, code.as_str()), (500, "ServerException"));
    assert!(message.contains("not known"), "{message}");
    died.await.unwrap();
}

#[tokio::test]
async fn upgrades_are_tunnelled_until_the_leader_changes() {
    let (edge, _) = gated("first", |_| Passage::Here);
    let first = serve(edge).await;
    let end = CancellationToken::new();
    let (edge, _) = gated("second", to(format!("http://{}", first.address), &end));
    let second = serve(edge).await;
    let mut wire = Wire::to(&second).await;
    let headers = [("connection", "Upgrade"), ("upgrade", "echo")];
    let parts = signed(request("GET", "/echo", &headers), "", "ecs");
    wire.send(&parts, "").await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 101, "{}", answer.text());
    assert_eq!(answer.headers["upgrade"], "echo");
    wire.write("hello").await;
    assert_eq!(wire.bytes(5).await, b"HELLO");
    end.cancel();
    assert!(wire.rest().await.is_empty());
}
