//! One check.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Reason;
use crate::config::{Check, Speaks};
use crate::tls;

/// More than this is not read to find the status.
const STATUS_LINE_MAX: usize = 1024;
/// Whom checks are from.
const AGENT: &str = "ELB-HealthChecker/2.0";
/// A message of gRPC without content: not compressed, no byte long.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

/// Asks a target once, on a connection of its own.
///
/// # Errors
/// Why the check failed.
pub(crate) async fn probe(target: SocketAddr, check: &Check) -> Result<(), Reason> {
    let address = SocketAddr::new(target.ip(), check.port.unwrap_or(target.port()));
    let asked = tokio::time::timeout(check.timeout, reach(address, check));
    let code = asked.await.map_err(|_| Reason::Timeout)?.ok_or(Reason::Failed)?;
    if check.speaks == Speaks::Bytes {
        return Ok(());
    }
    let is_wanted = check.codes.iter().any(|(first, last)| (*first..=*last).contains(&code));
    if is_wanted { Ok(()) } else { Err(Reason::Code(code)) }
}

async fn reach(address: SocketAddr, check: &Check) -> Option<u16> {
    let stream = TcpStream::connect(address).await.ok()?;
    if check.speaks == Speaks::Bytes {
        return Some(0);
    }
    if !check.tls {
        return ask(stream, address, check).await;
    }
    let name = ServerName::IpAddress(address.ip().into());
    let stream = tls::connector(check.speaks).connect(name, stream).await.ok()?;
    ask(stream, address, check).await
}

/// The status that the path is answered with.
async fn ask<S>(stream: S, address: SocketAddr, check: &Check) -> Option<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match check.speaks {
        Speaks::Bytes => Some(0),
        Speaks::Http1 => ask_http1(stream, address, &check.path).await,
        Speaks::Http2 | Speaks::Grpc => ask_http2(stream, address, check).await,
    }
}

async fn ask_http1<S>(mut stream: S, address: SocketAddr, path: &str) -> Option<u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         User-Agent: {AGENT}\r\nAccept-Encoding: gzip, compressed\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut answer = Vec::with_capacity(STATUS_LINE_MAX);
    while !answer.contains(&b'\n') && answer.len() < STATUS_LINE_MAX {
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            break;
        }
    }
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    rest.get(..3)?.parse().ok()
}

/// The status of HTTP, or gRPC's of a target that speaks it.
async fn ask_http2<S>(stream: S, address: SocketAddr, check: &Check) -> Option<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let is_grpc = check.speaks == Speaks::Grpc;
    let uri = format!("http://{address}{}", check.path);
    let request = Request::builder().uri(uri).header("user-agent", AGENT);
    let request = match is_grpc {
        true => request.method("POST").header("content-type", "application/grpc"),
        false => request,
    };
    let request = if is_grpc { request.header("te", "trailers") } else { request };
    let body = Full::new(Bytes::from_static(if is_grpc { EMPTY_MESSAGE } else { &[] }));
    let asked = async {
        let response = sender.send_request(request.body(body).ok()?).await.ok()?;
        if !is_grpc {
            return Some(response.status().as_u16());
        }
        let code = |headers: &HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
        match code(response.headers()) {
            Some(code) => Some(code),
            None => code(response.into_body().collect().await.ok()?.trailers()?),
        }
    };
    let answered = asked.await;
    connection.abort();
    answered
}
