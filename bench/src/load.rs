//! A small load generator: requests signed beforehand, over connections kept alive.
//!
//! It reads only as much of an answer as it must (status, length), so that the core it is held to
//! can drive a server on another. Answers other than 200 are errors of the run.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::client::Client;

use crate::report::Sample;

/// Connections that one run may open anew because the server closed them.
const RECONNECTS: usize = 1_000_000;

/// What a server did under load.
#[derive(Debug)]
pub struct Outcome {
    /// Answers a second.
    pub rate: f64,
    /// From the first byte sent to the last received, of each request.
    pub latency: Sample,
}

/// The bytes of one request, signed now; good for five minutes and as often as one likes.
pub fn signed(client: &Client, operation: &str, input: &Value) -> Result<Vec<u8>> {
    let body = input.to_string();
    let target = format!("{}.{operation}", shapes_ecs::SERVICE.target_prefix);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1")),
        (HeaderName::from_static("x-amz-target"), HeaderValue::from_str(&target)?),
    ];
    let request = client.request(Method::POST, "/", &headers, body.clone().into(), "ecs")?;
    let mut bytes = b"POST / HTTP/1.1\r\n".to_vec();
    for (name, value) in request.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body.as_bytes());
    Ok(bytes)
}

/// Sends each connection's request again and again for `time`; as many connections as requests.
pub async fn drive(port: u16, requests: Vec<Vec<u8>>, time: Duration) -> Result<Outcome> {
    drive_until(port, requests, Until::At(Instant::now() + time)).await
}

/// Sends each connection's request `times` times; as many connections as requests.
pub async fn drive_times(port: u16, requests: Vec<Vec<u8>>, times: usize) -> Result<Outcome> {
    drive_until(port, requests, Until::Times(times)).await
}

async fn drive_until(port: u16, requests: Vec<Vec<u8>>, until: Until) -> Result<Outcome> {
    let start = Instant::now();
    let tasks: Vec<_> =
        requests.into_iter().map(|request| tokio::spawn(caller(port, request, until))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let rate = latencies.len() as f64 / start.elapsed().as_secs_f64();
    Ok(Outcome { rate, latency: Sample::new(latencies) })
}

/// When a caller ends.
#[derive(Clone, Copy)]
enum Until {
    At(Instant),
    Times(usize),
}

impl Until {
    fn is_over(self, answers: usize) -> bool {
        match self {
            Self::At(end) => Instant::now() >= end,
            Self::Times(times) => answers >= times,
        }
    }
}

async fn caller(port: u16, request: Vec<u8>, until: Until) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(1 << 14);
    let mut buffer = Vec::with_capacity(1 << 16);
    for _ in 0..RECONNECTS {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        loop {
            if until.is_over(latencies.len()) {
                return Ok(latencies);
            }
            let start = Instant::now();
            stream.write_all(&request).await?;
            let keep = answer(&mut stream, &mut buffer).await?;
            latencies.push(start.elapsed());
            if !keep {
                break;
            }
        }
    }
    bail!("the server closed {RECONNECTS} connections")
}

/// Sends one request and reads its answer, whatever it is: its status, and whether the connection
/// can be used again.
pub async fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<([u8; 3], bool)> {
    stream.set_nodelay(true)?;
    stream.write_all(request).await?;
    read(stream, buffer).await
}

/// Reads one answer; whether the connection can be used again.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<bool> {
    let (status, keep) = read(stream, buffer).await?;
    if status != *b"200" {
        bail!("not 200: {}", String::from_utf8_lossy(buffer));
    }
    Ok(keep)
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<([u8; 3], bool)> {
    buffer.clear();
    loop {
        let ended = stream.read_buf(buffer).await.context("reading an answer")? == 0;
        if let Some(head) = Head::of(buffer) {
            let complete = head.length.is_some_and(|length| buffer.len() >= head.end + length);
            if complete || ended {
                return Ok((head.status, complete && !head.closes));
            }
        } else if ended {
            bail!("the server closed a connection in the midst of an answer");
        }
    }
}

struct Head {
    status: [u8; 3],
    end: usize,
    length: Option<usize>,
    closes: bool,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&bytes[..end]).ok()?;
        let status = bytes.get(9..12)?.try_into().ok()?;
        let mut head = Self { status, end, length: None, closes: text.starts_with("HTTP/1.0") };
        for line in text.lines().skip(1) {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.trim().eq_ignore_ascii_case("close");
            }
        }
        Some(head)
    }
}
