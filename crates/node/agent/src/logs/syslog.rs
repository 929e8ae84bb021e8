//! A syslog server as a destination: Docker's syslog driver.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use terms::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use wire::tls::TlsClient;

use super::lines::{Line, Source};
use super::options::SyslogOptions;
use super::{Destination, Pace, SendError};

/// A connection must stand after this long, and a write be done.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Lines that are sent at once, and their bytes.
const LINES_MAX: usize = 1000;
const BYTES_MAX: usize = 256 * 1024;
/// Where a machine's own server listens.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
/// The ports of RFC 5426 and RFC 6587.
const PORT: &str = "514";

/// The facilities by their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const SEVERITY_ERROR: u8 = 3;
const SEVERITY_INFO: u8 = 6;

/// The number of a facility's name, or a number.
///
/// # Errors
/// If it is neither.
pub fn facility(text: &str) -> Result<u8, String> {
    let named = FACILITIES.iter().position(|name| *name == text && !name.is_empty());
    let number = named.and_then(|at| u8::try_from(at).ok());
    let number = number.or_else(|| text.parse().ok().filter(|number| *number <= 23));
    number.ok_or_else(|| "invalid syslog facility".to_owned())
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The machine's own.
    Local,
    /// `HOST:PORT`, one datagram a message.
    Udp(String),
    /// `HOST:PORT`, one line a message.
    Tcp(String),
    /// The same with TLS.
    Tls(String),
    /// A socket of streams, or of datagrams.
    Unix(PathBuf),
    /// A socket of datagrams.
    UnixDatagram(PathBuf),
}

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            format!("syslog-address should be in form proto://address, got {text}")
        })?;
        let path = || match rest.starts_with('/') {
            true => Ok(PathBuf::from(rest)),
            false => Err(format!("syslog-address {text}: the path must be absolute")),
        };
        let host = || {
            let has_port =
                rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            if has_port { rest.to_owned() } else { format!("{rest}:{PORT}") }
        };
        match scheme {
            "udp" => Ok(Self::Udp(host())),
            "tcp" => Ok(Self::Tcp(host())),
            "unix" => path().map(Self::Unix),
            "unixgram" => path().map(Self::UnixDatagram),
            "tcp+tls" => Ok(Self::Tls(host())),
            _ => Err(format!("unsupported scheme: {text}")),
        }
    }
}

/// How messages look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `<PRI>Jan  2 15:04:05 tag[pid]: text`: what local servers take.
    Unix,
    /// RFC 3164, with the machine's name.
    Rfc3164,
    /// RFC 5424.
    Rfc5424,
    /// RFC 5424 with microseconds.
    Rfc5424Micro,
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(Self::Unix),
            "rfc3164" => Ok(Self::Rfc3164),
            "rfc5424" => Ok(Self::Rfc5424),
            "rfc5424micro" => Ok(Self::Rfc5424Micro),
            _ => Err("Invalid syslog format".to_owned()),
        }
    }
}

/// One message, with the line end that separates it from the next on a stream.
fn message(line: &Line, options: &SyslogOptions, host: &str) -> String {
    let severity = match line.source {
        Source::Stdout => SEVERITY_INFO,
        Source::Stderr => SEVERITY_ERROR,
    };
    let priority = options.facility * 8 + severity;
    let (tag, text, pid) = (&options.tag, &line.text, std::process::id());
    let at = Timestamp::from_millis(line.at_ns.div_euclid(1_000_000)).to_string();
    match options.format {
        Format::Unix => format!("<{priority}>{} {tag}[{pid}]: {text}\n", stamp(&at)),
        Format::Rfc3164 => format!("<{priority}>{} {host} {tag}[{pid}]: {text}\n", stamp(&at)),
        Format::Rfc5424 => {
            let seconds = &at[..19];
            format!("<{priority}>1 {seconds}Z {host} {tag} {pid} {tag} - {text}\n")
        }
        Format::Rfc5424Micro => {
            let micros = line.at_ns.rem_euclid(1_000_000_000) / 1000;
            let seconds = &at[..19];
            format!("<{priority}>1 {seconds}.{micros:06}Z {host} {tag} {pid} {tag} - {text}\n")
        }
    }
}

/// `Jan  2 15:04:05` of `2026-01-02T15:04:05.678Z`.
fn stamp(at: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month: usize = at[5..7].parse().unwrap_or(1);
    let day: u8 = at[8..10].parse().unwrap_or(1);
    format!("{} {day:>2} {}", MONTHS[(month - 1) % 12], &at[11..19])
}

/// Whom a server with TLS is to be, and who we are: files of the instance, as Docker takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that are trusted; none: the instance's.
    pub authorities: Option<PathBuf>,
    /// The certificate that is shown, and its key.
    pub shown: Option<(PathBuf, PathBuf)>,
    /// Whether any server will do.
    pub trusts_any: bool,
}

impl Tls {
    async fn client(&self) -> std::io::Result<TlsClient> {
        let client = match (self.trusts_any, &self.authorities) {
            (true, _) => TlsClient::trusting_any(),
            (false, None) => TlsClient::system(),
            (false, Some(path)) => {
                let pem = read(path).await?;
                let what = path.display().to_string();
                TlsClient::with_authorities(&what, &pem).map_err(std::io::Error::other)?
            }
        };
        if let Some((certificate, key)) = &self.shown {
            let (certificate, key) = (read(certificate).await?, read(key).await?);
            client.show(&certificate, &key).map_err(std::io::Error::other)?;
        }
        Ok(client)
    }

    /// A connection with TLS to `HOST:PORT`.
    pub(super) async fn connect(&self, address: &str) -> std::io::Result<Box<wire::tls::Stream>> {
        let client = self.client().await?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = client.connect(host, TcpStream::connect(address).await?).await?;
        Ok(Box::new(stream))
    }
}

async fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let named = |error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    tokio::fs::read(path).await.map_err(named)
}

enum Connection {
    Udp(UdpSocket),
    Datagram(UnixDatagram),
    Tcp(TcpStream),
    Tls(Box<wire::tls::Stream>),
    Stream(UnixStream),
}

/// A syslog server.
pub struct Syslog {
    options: SyslogOptions,
    host: String,
    connection: Option<Connection>,
}

impl Syslog {
    /// The server that the options name; nothing is opened yet.
    pub fn new(options: SyslogOptions) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
        let host = host.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned());
        Self { options, host, connection: None }
    }

    async fn connect(&self) -> std::io::Result<Connection> {
        match &self.options.address {
            Address::Local => {
                let mut failed = std::io::ErrorKind::NotFound.into();
                for path in LOCAL {
                    match unix(Path::new(path)).await {
                        Ok(connection) => return Ok(connection),
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
            Address::Udp(address) => {
                let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(address).await?;
                Ok(Connection::Udp(socket))
            }
            Address::Tcp(address) => Ok(Connection::Tcp(TcpStream::connect(address).await?)),
            Address::Tls(address) => self.options.tls.connect(address).await.map(Connection::Tls),
            Address::Unix(path) => unix(path).await,
            Address::UnixDatagram(path) => datagrams(path),
        }
    }

    async fn ensure(&mut self) -> std::io::Result<()> {
        if self.connection.as_mut().is_some_and(Connection::is_closed) {
            self.connection = None;
        }
        if self.connection.is_none() {
            let connected = tokio::time::timeout(TIMEOUT, self.connect()).await;
            self.connection = Some(connected.map_err(|_| std::io::ErrorKind::TimedOut)??);
        }
        Ok(())
    }

    async fn write(&mut self, lines: &[Line]) -> std::io::Result<usize> {
        self.ensure().await?;
        let Some(connection) = &mut self.connection else { return Ok(0) };
        let messages = lines.iter().map(|line| message(line, &self.options, &self.host));
        match connection {
            Connection::Tcp(stream) => written(stream, messages).await?,
            Connection::Tls(stream) => written(stream, messages).await?,
            Connection::Stream(stream) => written(stream, messages).await?,
            Connection::Udp(socket) => {
                for message in messages {
                    socket.send(message.as_bytes()).await?;
                }
            }
            Connection::Datagram(socket) => {
                for message in messages {
                    socket.send(message.as_bytes()).await?;
                }
            }
        }
        Ok(lines.len())
    }
}

fn datagrams(path: &Path) -> std::io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(Connection::Datagram(socket))
}

/// Local servers listen for datagrams, others for streams.
async fn unix(path: &Path) -> std::io::Result<Connection> {
    match datagrams(path) {
        Ok(connection) => Ok(connection),
        Err(_) => Ok(Connection::Stream(UnixStream::connect(path).await?)),
    }
}

async fn written(
    stream: &mut (impl AsyncWrite + Unpin),
    messages: impl Iterator<Item = String>,
) -> std::io::Result<()> {
    let all: String = messages.collect();
    stream.write_all(all.as_bytes()).await?;
    stream.flush().await
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
            Self::Stream(stream) => stream.try_read(&mut byte),
            Self::Udp(_) | Self::Datagram(_) => return false,
        };
        match read {
            Ok(count) => count == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

#[async_trait]
impl Destination for Syslog {
    async fn prepare(&mut self) -> Result<(), String> {
        self.ensure().await.map_err(|error| match &self.options.address {
            Address::Local => format!("Unix syslog delivery error: {error}"),
            address => format!("dial {address:?}: {error}"),
        })
    }

    async fn send(&mut self, lines: &[Line]) -> Result<usize, SendError> {
        let lines = &lines[..lines.len().min(LINES_MAX)];
        let written = tokio::time::timeout(TIMEOUT, self.write(lines)).await;
        let written = written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        written.map_err(|error| {
            self.connection = None;
            SendError::Later(format!("syslog at {:?}: {error}", self.options.address))
        })
    }

    fn pace(&self) -> Pace {
        Pace { interval: Duration::ZERO, bytes_max: BYTES_MAX, lines_max: LINES_MAX }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_dockers() {
        let pid = std::process::id();
        let check = |format: &str, source: Source, expected: String| {
            let options = SyslogOptions {
                address: Address::Local,
                facility: facility("daemon").unwrap(),
                format: format.parse().unwrap(),
                tag: "web".to_owned(),
                tls: Tls::default(),
            };
            let text = "hello".to_owned();
            let line = Line { at_ns: 1_767_323_045_678_901_234, source, text, start: 0 };
            assert_eq!(message(&line, &options, "host"), expected, "{format}");
        };
        check("", Source::Stdout, format!("<30>Jan  2 03:04:05 web[{pid}]: hello\n"));
        check("rfc3164", Source::Stderr, format!("<27>Jan  2 03:04:05 host web[{pid}]: hello\n"));
        check(
            "rfc5424",
            Source::Stdout,
            format!("<30>1 2026-01-02T03:04:05Z host web {pid} web - hello\n"),
        );
        check(
            "rfc5424micro",
            Source::Stdout,
            format!("<30>1 2026-01-02T03:04:05.678901Z host web {pid} web - hello\n"),
        );
    }

    #[test]
    fn addresses_and_facilities() {
        let check = |text: &str, expected: Option<Address>| {
            assert_eq!(text.parse::<Address>().ok(), expected, "{text}");
        };
        check("udp://127.0.0.1", Some(Address::Udp("127.0.0.1:514".to_owned())));
        check("tcp://log:1514", Some(Address::Tcp("log:1514".to_owned())));
        check("tcp+tls://log:6514", Some(Address::Tls("log:6514".to_owned())));
        check("unix:///dev/log", Some(Address::Unix("/dev/log".into())));
        check("unixgram:///x", Some(Address::UnixDatagram("/x".into())));
        check("unix://x", None);
        check("log:514", None);
        check("http://log", None);
        assert_eq!(facility("local7"), Ok(23));
        assert_eq!(facility("3"), Ok(3));
        assert!(facility("24").is_err() && facility("").is_err() && facility("nope").is_err());
    }
}
