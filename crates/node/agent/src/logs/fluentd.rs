//! Something that speaks fluentd's forward protocol as a destination: Docker's fluentd driver, and
//! FireLens' routers.
//!
//! Messages are of the protocol's "forward mode", `[tag, [[time, record], …], option]`
//! (github.com/fluent/fluentd, wiki "Forward Protocol Specification v1").

use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::lines::Line;
use super::options::{FluentdAddress, FluentdOptions};
use super::syslog::Tls;
use super::{Destination, Pace, SendError};

/// A connection must stand after this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An acknowledgement must come after this long.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// A router must have read what it was sent, and have closed in turn, after this long.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Lines that are sent at once, and their bytes.
const LINES_MAX: usize = 1000;
const BYTES_MAX: usize = 256 * 1024;
/// The longest acknowledgement in bytes: a map of one entry.
const ACK_BYTES_MAX: usize = 256;

/// What MessagePack is written into.
#[derive(Default)]
struct Packer(Vec<u8>);

impl Packer {
    fn array(&mut self, length: usize) {
        match length {
            0..=15 => self.0.push(0x90 | length as u8),
            _ => self.sized(0xdc, length),
        }
    }

    fn map(&mut self, length: usize) {
        match length {
            0..=15 => self.0.push(0x80 | length as u8),
            _ => self.sized(0xde, length),
        }
    }

    /// A length of two bytes after `head`, or of four after the head behind it.
    fn sized(&mut self, head: u8, length: usize) {
        match u16::try_from(length) {
            Ok(short) => {
                self.0.push(head);
                self.0.extend_from_slice(&short.to_be_bytes());
            }
            Err(_) => {
                self.0.push(head + 1);
                self.0.extend_from_slice(&(length as u32).to_be_bytes());
            }
        }
    }

    fn text(&mut self, text: &str) {
        match text.len() {
            length @ 0..=31 => self.0.push(0xa0 | length as u8),
            length @ 32..=255 => self.0.extend_from_slice(&[0xd9, length as u8]),
            length => self.sized(0xda, length),
        }
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Seconds, or the protocol's EventTime: extension type 0 of seconds and nanoseconds.
    fn time(&mut self, at_ns: i64, sub_second: bool) {
        let seconds = at_ns.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX)) as u32;
        match sub_second {
            true => {
                self.0.extend_from_slice(&[0xd7, 0]);
                self.0.extend_from_slice(&seconds.to_be_bytes());
                let nanos = at_ns.rem_euclid(1_000_000_000) as u32;
                self.0.extend_from_slice(&nanos.to_be_bytes());
            }
            false => {
                self.0.push(0xce);
                self.0.extend_from_slice(&seconds.to_be_bytes());
            }
        }
    }
}

/// One message of all lines; with `chunk`, its acknowledgement is asked for.
fn message(lines: &[Line], options: &FluentdOptions, chunk: Option<&str>) -> Vec<u8> {
    let mut packer = Packer::default();
    packer.array(if chunk.is_some() { 3 } else { 2 });
    packer.text(&options.tag);
    packer.array(lines.len());
    for line in lines {
        packer.array(2);
        packer.time(line.at_ns, options.sub_second);
        packer.map(options.fields.len() + 2);
        for (name, value) in &options.fields {
            packer.text(name);
            packer.text(value);
        }
        packer.text("source");
        packer.text(line.source.name());
        packer.text("log");
        packer.text(&line.text);
    }
    if let Some(chunk) = chunk {
        packer.map(1);
        packer.text("chunk");
        packer.text(chunk);
    }
    packer.0
}

/// The acknowledgement of a chunk.
fn ack(chunk: &str) -> Vec<u8> {
    let mut packer = Packer::default();
    packer.map(1);
    packer.text("ack");
    packer.text(chunk);
    packer.0
}

enum Connection {
    Tcp(TcpStream),
    Tls(Box<wire::tls::Stream>),
    Unix(UnixStream),
}

impl Connection {
    /// Whether the other side has gone: a first write would seem to succeed then.
    fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            // Nothing has come that is not TLS's own: then it is open.
            Self::Tls(stream) => match stream.read(&mut byte).now_or_never() {
                None => return false,
                Some(read) => read,
            },
            Self::Unix(stream) => stream.try_read(&mut byte),
        };
        match read {
            Ok(count) => count == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// A fluentd, or a router.
pub struct Fluentd {
    options: FluentdOptions,
    connection: Option<Connection>,
    chunks: u64,
    /// Whom a server with TLS is to be.
    tls: Tls,
}

impl Fluentd {
    /// What the options name; nothing is opened yet.
    pub fn new(options: FluentdOptions) -> Self {
        Self { options, connection: None, chunks: 0, tls: Tls::default() }
    }

    async fn connect(&self) -> std::io::Result<Connection> {
        match &self.options.address {
            FluentdAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Connection::Tcp(stream))
            }
            FluentdAddress::Tls(address) => self.tls.connect(address).await.map(Connection::Tls),
            FluentdAddress::Unix(path) => {
                // A socket's name is limited to 108 bytes: this one is short.
                let folder = path.parent().unwrap_or(path);
                let folder = std::fs::File::open(folder)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let fd = std::os::fd::AsRawFd::as_raw_fd(&folder);
                let short = format!("/proc/self/fd/{fd}/{name}");
                Ok(Connection::Unix(UnixStream::connect(short).await?))
            }
        }
    }

    async fn ensure(&mut self) -> std::io::Result<()> {
        if self.connection.as_mut().is_some_and(Connection::is_closed) {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connection = Some(within(CONNECT_TIMEOUT, self.connect()).await?);
        }
        Ok(())
    }

    async fn deliver(&mut self, lines: &[Line]) -> std::io::Result<()> {
        self.ensure().await?;
        self.chunks += 1;
        let chunk = format!("{:032x}", self.chunks);
        let chunk = self.options.asks_for_ack.then_some(chunk.as_str());
        let message = message(lines, &self.options, chunk);
        let timeout = self.options.write_timeout;
        match &mut self.connection {
            Some(Connection::Tcp(stream)) => exchange(stream, &message, chunk, timeout).await,
            Some(Connection::Tls(stream)) => exchange(stream, &message, chunk, timeout).await,
            Some(Connection::Unix(stream)) => exchange(stream, &message, chunk, timeout).await,
            None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = std::io::Result<T>>,
) -> std::io::Result<T> {
    let worked = tokio::time::timeout(limit, work).await;
    worked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    message: &[u8],
    chunk: Option<&str>,
    write_timeout: Duration,
) -> std::io::Result<()> {
    let write = async {
        stream.write_all(message).await?;
        stream.flush().await
    };
    within(write_timeout, write).await?;
    let Some(chunk) = chunk else { return Ok(()) };
    let expected = ack(chunk);
    debug_assert!(expected.len() <= ACK_BYTES_MAX);
    let mut answer = vec![0; expected.len()];
    within(ACK_TIMEOUT, stream.read_exact(&mut answer)).await?;
    match answer == expected {
        true => Ok(()),
        false => Err(std::io::Error::other("the acknowledgement is not of what was sent")),
    }
}

#[async_trait]
impl Destination for Fluentd {
    async fn prepare(&mut self) -> Result<(), String> {
        self.ensure().await.map_err(|error| match &self.options.address {
            FluentdAddress::Tcp(address) | FluentdAddress::Tls(address) => {
                format!("dial tcp {address}: {error}")
            }
            FluentdAddress::Unix(path) => format!("dial unix {}: {error}", path.display()),
        })
    }

    async fn send(&mut self, lines: &[Line]) -> Result<usize, SendError> {
        let lines = &lines[..lines.len().min(LINES_MAX)];
        match self.deliver(lines).await {
            Ok(()) => Ok(lines.len()),
            Err(error) => {
                self.connection = None;
                Err(SendError::Later(format!("fluentd at {:?}: {error}", self.options.address)))
            }
        }
    }

    /// What lies in a socket that nobody has read is lost with a router that is ended now.
    async fn finish(&mut self) {
        let Some(Connection::Unix(mut stream)) = self.connection.take() else { return };
        let closed = async {
            stream.shutdown().await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        };
        // Who does not close is waited for no longer; that is no failure of the lines.
        _ = within(FINISH_TIMEOUT, closed).await;
    }

    fn pace(&self) -> Pace {
        Pace { interval: Duration::ZERO, bytes_max: BYTES_MAX, lines_max: LINES_MAX }
    }

    fn retry_wait(&self) -> Duration {
        self.options.retry_wait.unwrap_or(super::RETRY_FIRST)
    }

    fn retry_max(&self) -> Duration {
        match self.options.address {
            FluentdAddress::Unix(_) => super::RETRY_MAX_NEAR,
            _ => super::RETRY_MAX,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::lines::Source;
    use super::*;

    #[test]
    fn messages_are_message_pack() {
        let options = FluentdOptions {
            address: FluentdAddress::Tcp(String::new()),
            tag: "t".to_owned(),
            fields: BTreeMap::from([("a".to_owned(), "b".repeat(40))]),
            sub_second: true,
            asks_for_ack: true,
            write_timeout: Duration::from_secs(1),
            retry_wait: None,
        };
        let line =
            Line { at_ns: 1_000_000_002, source: Source::Stderr, text: "x".to_owned(), start: 0 };
        let mut expected = vec![0x93, 0xa1, b't', 0x91, 0x92, 0xd7, 0, 0, 0, 0, 1, 0, 0, 0, 2];
        expected.extend_from_slice(&[0x83, 0xa1, b'a', 0xd9, 40]);
        expected.extend_from_slice("b".repeat(40).as_bytes());
        expected.extend_from_slice(b"\xa6source\xa6stderr\xa3log\xa1x\x81\xa5chunk\xa2id");
        assert_eq!(message(&[line], &options, Some("id")), expected);
        let mut packer = Packer::default();
        packer.text(&"x".repeat(70_000));
        assert_eq!(packer.0[..5], [0xdb, 0, 1, 0x11, 0x70]);
        let mut packer = Packer::default();
        packer.array(300);
        packer.map(300);
        packer.time(5_000_000_000, false);
        assert_eq!(packer.0, [0xdc, 1, 44, 0xde, 1, 44, 0xce, 0, 0, 0, 5]);
    }

    #[tokio::test]
    async fn a_router_is_finished_with_when_it_has_read_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let server = tokio::net::UnixListener::bind(&path).unwrap();
        let mut fluentd = Fluentd::new(FluentdOptions {
            address: FluentdAddress::Unix(path),
            tag: "t".to_owned(),
            fields: BTreeMap::new(),
            sub_second: false,
            asks_for_ack: false,
            write_timeout: Duration::from_secs(1),
            retry_wait: None,
        });
        let line = Line { at_ns: 0, source: Source::Stdout, text: "last".to_owned(), start: 0 };
        assert_eq!(fluentd.send(&[line]).await, Ok(1));
        let (mut router, _) = server.accept().await.unwrap();
        let mut finish = std::pin::pin!(fluentd.finish());
        assert!(futures_util::poll!(&mut finish).is_pending(), "nothing was read yet");
        let mut read = Vec::new();
        let (all, ()) = tokio::join!(
            async {
                let all = router.read_to_end(&mut read).await;
                drop(router);
                all
            },
            finish
        );
        all.unwrap();
        assert!(read.ends_with(b"\xa4last"), "{read:?}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_read_is_given_up_after_the_write_timeout() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut fluentd = Fluentd::new(FluentdOptions {
            address: FluentdAddress::Tcp(server.local_addr().unwrap().to_string()),
            tag: "t".to_owned(),
            fields: BTreeMap::new(),
            sub_second: false,
            asks_for_ack: false,
            write_timeout: Duration::from_millis(50),
            retry_wait: Some(Duration::from_millis(700)),
        });
        assert_eq!(fluentd.retry_wait(), Duration::from_millis(700));
        // More than has room between the two.
        let text = "x".repeat(64 << 20);
        let line = Line { at_ns: 0, source: Source::Stdout, text, start: 0 };
        let sent = tokio::time::timeout(Duration::from_secs(8), fluentd.send(&[line])).await;
        assert!(matches!(sent, Ok(Err(SendError::Later(_)))), "{sent:?}");
        assert!(fluentd.connection.is_none());
    }
}
