//! Answers that are parts of files, over each kind of connection.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use wire::{Body, Edge, Route, RouteAuth};

use crate::stage::{Wire, builder, request, send, serve};

/// More than is promised or read at a time, and no multiple of it.
const FILE_BYTES: u64 = 5 * 1024 * 1024 + 321;

static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..FILE_BYTES).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
});

/// An edge that gives `/file/FROM/COUNT` of a file, and a text besides.
fn edge(file: File) -> Edge {
    let file = Arc::new(file);
    let files = Route::new("/file", RouteAuth::Unsigned, move |request| {
        let path = request.parts.uri.path().to_owned();
        let mut numbers = path.split('/').skip(2).map(|number| number.parse().unwrap());
        let (from, count) = (numbers.next().unwrap(), numbers.next().unwrap());
        let body = Body::file(Arc::clone(&file), from, count);
        async move { http::Response::new(body) }
    });
    let text = Route::new("/text", RouteAuth::Unsigned, |_| async {
        http::Response::new(Body::from("between files"))
    });
    builder().route(files.here()).route(text.here()).build()
}

fn written() -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&CONTENT).unwrap();
    file
}

/// The beginning, the end, windows and their edges, a byte, nothing.
const PARTS: [(u64, u64); 8] = [
    (0, FILE_BYTES),
    (1, FILE_BYTES - 1),
    (0, 1024 * 1024),
    (1024 * 1024 - 1, 1024 * 1024 + 2),
    (262_143, 262_146),
    (FILE_BYTES - 1, 1),
    (77, 0),
    (0, 100),
];

#[track_caller]
fn assert_is(body: &[u8], (from, count): (u64, u64)) {
    let expected = &CONTENT[from as usize..(from + count) as usize];
    assert!(body == expected, "{} bytes from {from} on are not the file's", body.len());
}

#[tokio::test]
async fn the_kernel_sends_a_file_without_tls() {
    let server = serve(edge(written())).await;
    let mut wire = Wire::to(&server).await;
    for part in PARTS {
        let path = format!("/file/{}/{}", part.0, part.1);
        wire.send(&request("GET", &path, &[]), "").await;
        let answer = wire.answer().await;
        assert_eq!(answer.headers["content-length"], part.1.to_string());
        assert_is(&answer.body, part);
    }
}

#[tokio::test]
async fn pipelined_answers_keep_their_bytes() {
    let server = serve(edge(written())).await;
    let mut wire = Wire::to(&server).await;
    let paths = PARTS.map(|(from, count)| format!("/file/{from}/{count}"));
    let ask = |path: &str| Wire::text(&request("GET", path, &[]), "");
    let all: String = paths.iter().map(|path| ask(path) + &ask("/text")).collect();
    wire.write(all).await;
    for part in PARTS {
        assert_is(&wire.answer().await.body, part);
        assert_eq!(wire.answer().await.text(), "between files");
    }
}

#[tokio::test]
async fn other_connections_read_the_file() {
    let edge = edge(written());
    for part in PARTS {
        let path = format!("/file/{}/{}", part.0, part.1);
        assert_is(&send(&edge, request("GET", &path, &[]), "").await.body, part);
    }
    let server = serve(edge).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = client.await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    // Two at a time, so that pieces of both come in turn.
    for (from, count) in PARTS {
        let uri = format!("http://{}/file/{from}/{count}", server.address);
        let request = http::Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        answers.push(tokio::spawn(sender.send_request(request)));
    }
    for (answer, part) in answers.into_iter().zip(PARTS) {
        let answer = answer.await.unwrap().unwrap();
        assert_is(&answer.into_body().collect().await.unwrap().to_bytes(), part);
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_breaks_the_answer_off() {
    let file = written();
    file.set_len(2_000_000).unwrap();
    let edge = edge(file);
    let parts = request("GET", &format!("/file/0/{FILE_BYTES}"), &[]);
    let response = edge.handle(http::Request::from_parts(parts.clone(), Body::empty()), None).await;
    assert!(response.into_body().collect(64 << 20).await.is_err());
    let server = serve(edge).await;
    let mut wire = Wire::to(&server).await;
    wire.send(&parts, "").await;
    let rest = wire.rest().await;
    let head = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(rest.len() - head <= 2_000_000, "{} bytes", rest.len() - head);
    assert!(CONTENT.starts_with(&rest[head..]));
}
