//! One check.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Reason;
use crate::config::Check;

/// More than this is not read to find the status.
const STATUS_LINE_MAX: usize = 1024;

/// Asks a target once, on a connection of its own.
///
/// # Errors
/// Why the check failed.
pub(crate) async fn probe(target: SocketAddr, check: &Check) -> Result<(), Reason> {
    let address = SocketAddr::new(target.ip(), check.port.unwrap_or(target.port()));
    let asked = tokio::time::timeout(check.timeout, ask(address, &check.path));
    let code = asked.await.map_err(|_| Reason::Timeout)?.ok_or(Reason::Failed)?;
    let is_wanted = check.codes.iter().any(|(first, last)| (*first..=*last).contains(&code));
    if is_wanted { Ok(()) } else { Err(Reason::Code(code)) }
}

/// The status that `path` is answered with.
async fn ask(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         User-Agent: ELB-HealthChecker/2.0\r\nAccept-Encoding: gzip, compressed\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
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
