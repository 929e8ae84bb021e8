//! What is written down of each request: a line in ELB's own form (Application Load Balancer guide,
//! "Access log entries").

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{HOST, HeaderMap, LOCATION, USER_AGENT};
use http::{Request, Response, Version};
use terms::{Clock, Timestamp};
use tokio::time::Instant;

use super::Client;
use super::desync::Class;
use crate::config::LogPlace;
use crate::inbound::Inbound;
use crate::listening::Plan;
use crate::targets::Flow;

/// The longest `User-Agent` that is written down, in bytes.
const AGENT_MAX: usize = 8 * 1024;

/// Takes lines. Called where requests are answered: it must not wait.
pub trait Journal: Send + Sync + 'static {
    /// Writes a line, which does not end with a newline yet.
    fn write(&self, place: &LogPlace, line: String);
}

/// Where lines of a load balancer go.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) place: Arc<LogPlace>,
    pub(crate) journal: Arc<dyn Journal>,
}

/// What came of a request, without its body.
pub(super) enum Came<I> {
    /// So many bytes of HTTP/1.1, a body with them.
    Whole(usize),
    /// Headers of HTTP/2: the lengths of their names and values, in bytes.
    Fields(I),
}

/// What became of a request; written down when this is dropped.
pub(crate) struct Entry {
    log: Log,
    clock: Arc<dyn Clock>,
    made_at: Timestamp,
    begun: Instant,
    client: SocketAddr,
    tls: Option<(&'static str, &'static str)>,
    kind: &'static str,
    /// The request's line, with the whole URL.
    request: String,
    agent: Option<String>,
    server_name: Option<Arc<str>>,
    certificate: Option<String>,
    /// What the desync rules found.
    pub(super) oddity: Option<(Class, &'static str)>,
    /// The rule's priority; 0 for the default one.
    pub(super) priority: Option<u32>,
    /// What was done.
    pub(super) action: Option<&'static str>,
    pub(super) redirect: Option<String>,
    pub(super) trace: Option<String>,
    pub(super) group: Option<String>,
    pub(super) target: Option<SocketAddr>,
    /// When it was sent to the target, and when the head of the answer was there.
    sent_at: Option<Instant>,
    answered_at: Option<Instant>,
    handed_at: Option<Instant>,
    status: u16,
    target_status: Option<u16>,
    received: u64,
    pub(super) flow: Option<Arc<Flow>>,
    /// Bytes of the answer, or both ways of a WebSocket.
    sent: u64,
}

impl Entry {
    /// Of a request that has just come, if such are written down.
    pub(super) fn begin(
        request: &Request<Inbound>,
        client: &Client,
        plan: &Plan,
    ) -> Option<Box<Self>> {
        let log = plan.log.clone()?;
        let version = request.version();
        let kind = match (client.tls, version) {
            (None, _) => "http",
            (Some(_), Version::HTTP_2) if super::speaks_grpc(request) => "grpcs",
            (Some(_), Version::HTTP_2) => "h2",
            (Some(_), _) => "https",
        };
        let headers = request.headers();
        let agent = headers.get(USER_AGENT).map(|value| text(value.as_bytes(), AGENT_MAX));
        let head: usize =
            headers.iter().map(|(name, value)| field(name.as_str(), value.len())).sum();
        let line = line_of(request, client, plan);
        let mut entry = Box::new(Self::bare(log, client, plan, kind));
        entry.received = u64::try_from(line.len() + 4 + head).unwrap_or(u64::MAX);
        (entry.request, entry.agent) = (line, agent);
        Some(entry)
    }

    /// Of a request of the usual kind by its method, host and target, if such are written down.
    pub(super) fn of_usual(
        (method, host, target): (&str, &str, &str),
        agent: Option<&[u8]>,
        came: Came<impl Iterator<Item = (usize, usize)>>,
        (client, plan): (&Client, &Plan),
    ) -> Option<Box<Self>> {
        let log = plan.log.clone()?;
        let (kind, version) = match (&came, client.tls) {
            (_, None) => ("http", "HTTP/1.1"),
            (Came::Whole(_), Some(_)) => ("https", "HTTP/1.1"),
            (Came::Fields(_), Some(_)) => ("h2", "HTTP/2.0"),
        };
        let mut entry = Box::new(Self::bare(log, client, plan, kind));
        let (scheme, port) = (client.scheme(), plan.port);
        let host = text(super::headers::without_port(host).as_bytes(), usize::MAX);
        entry.request = format!("{method} {scheme}://{host}:{port}{target} {version}");
        entry.agent = agent.map(|agent| text(agent, AGENT_MAX));
        let received = match came {
            Came::Whole(length) => length,
            Came::Fields(fields) => {
                let fields = fields.map(|(name, value)| name + value + ": \r\n".len());
                entry.request.len() + 4 + fields.sum::<usize>()
            }
        };
        entry.received = u64::try_from(received).unwrap_or(u64::MAX);
        Some(entry)
    }

    fn bare(log: Log, client: &Client, plan: &Plan, kind: &'static str) -> Self {
        let certificate = plan.secure.as_ref().and_then(|secure| secure.only_certificate());
        Self {
            log,
            clock: plan.clock.clone(),
            made_at: plan.clock.now(),
            begun: Instant::now(),
            client: client.peer,
            tls: client.tls,
            kind,
            request: String::from("- http://- -"),
            agent: None,
            server_name: client.server_name.clone(),
            certificate: certificate.filter(|_| client.tls.is_some()).map(str::to_owned),
            oddity: None,
            priority: None,
            action: None,
            redirect: None,
            trace: None,
            group: None,
            target: None,
            sent_at: None,
            answered_at: None,
            handed_at: None,
            status: 0,
            target_status: None,
            received: 0,
            flow: None,
            sent: 0,
        }
    }

    /// Writes down that a client was refused before its request was parsed.
    pub(super) fn refused(
        client: &Client,
        plan: &Plan,
        status: u16,
        oddity: Option<(Class, &'static str)>,
    ) {
        let Some(log) = plan.log.clone() else { return };
        let kind = if client.tls.is_some() { "https" } else { "http" };
        let mut entry = Self::bare(log, client, plan, kind);
        (entry.status, entry.oddity) = (status, oddity);
    }

    /// The request goes to a target now.
    pub(super) fn dispatch(&mut self, target: SocketAddr) {
        self.target = Some(target);
        self.sent_at = Some(Instant::now());
    }

    /// The head of the target's answer is there.
    pub(super) fn answered(&mut self, status: u16) {
        self.answered_at = Some(Instant::now());
        self.target_status = Some(status);
    }

    /// The answer goes to the client now.
    pub(super) fn hand<T>(&mut self, response: &Response<T>) {
        self.handed_at = Some(Instant::now());
        self.status = response.status().as_u16();
        self.sent += u64::try_from(head_length(response.headers())).unwrap_or(u64::MAX);
        if response.status().as_u16() == 101 {
            self.kind = if self.tls.is_some() { "wss" } else { "ws" };
        }
        if self.action == Some("redirect") {
            let location = response.headers().get(LOCATION);
            self.redirect = location.map(|value| text(value.as_bytes(), usize::MAX));
        }
    }

    /// An answer with a head of so many bytes goes to the client now.
    pub(super) fn hand_usual(&mut self, status: u16, head: usize) {
        self.handed_at = Some(Instant::now());
        self.status = status;
        self.sent += u64::try_from(head).unwrap_or(u64::MAX);
    }

    /// So many more bytes went to the client.
    pub(super) fn send(&mut self, bytes: usize) {
        self.sent += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// So many bytes came, and went, after the connection became a WebSocket.
    pub(super) fn tunnelled(&mut self, came: u64, went: u64) {
        self.received += came;
        self.sent += went;
    }

    fn line(&self) -> String {
        let now = Instant::now();
        let seconds = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
            (Some(from), Some(to)) => {
                format!("{:.3}", to.saturating_duration_since(from).as_secs_f64())
            }
            _ => "-1".to_owned(),
        };
        let to_target = seconds(self.sent_at.map(|_| self.begun), self.sent_at);
        let at_target =
            seconds(self.sent_at.filter(|_| self.answered_at.is_some()), self.answered_at);
        let back = seconds(self.answered_at, self.handed_at.or(self.answered_at.map(|_| now)));
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let target = dash(self.target.map(|target| target.to_string()));
        let target_status = dash(self.target_status.map(|status| status.to_string()));
        let body = self.flow.as_ref().map_or(0, |flow| flow.bytes.load(Ordering::Relaxed));
        let (version, cipher) = self.tls.unwrap_or(("-", "-"));
        let (class, reason) = match self.oddity {
            None | Some((Class::Compliant, _)) => ("-", "-"),
            Some((class, reason)) => (class.as_str(), reason),
        };
        let mut line = String::with_capacity(512);
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "{kind} {time} {balancer} {client} {target} {to_target} {at_target} {back} {status} \
             {target_status} {received} {sent} \"{request}\" \"{agent}\" {cipher} {version} {group} \
             \"{trace}\" \"{name}\" \"{certificate}\" {priority} {made} \"{action}\" \"{redirect}\" \
             \"-\" \"{target}\" \"{target_status}\" \"{class}\" \"{reason}\" - \"-\" \"-\" \"-\"",
            kind = self.kind,
            time = micros(self.clock.now()),
            balancer = self.log.place.load_balancer,
            client = self.client,
            status = self.status,
            received = self.received + body,
            sent = self.sent,
            request = self.request,
            agent = self.agent.as_deref().unwrap_or("-"),
            group = self.group.as_deref().unwrap_or("-"),
            trace = self.trace.as_deref().unwrap_or("-"),
            name = self.server_name.as_deref().unwrap_or("-"),
            certificate = self.certificate.as_deref().unwrap_or("-"),
            priority = self.priority.map_or_else(|| "-".to_owned(), |one| one.to_string()),
            made = micros(self.made_at),
            action = self.action.unwrap_or("-"),
            redirect = self.redirect.as_deref().unwrap_or("-"),
        );
        line
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.status == 0 {
            // The client went before there was an answer (Application Load Balancer guide, "HTTP 460").
            self.status = 460;
        }
        let line = self.line();
        self.log.journal.write(&self.log.place, line);
    }
}

/// `GET http://example.com:80/path?query HTTP/1.1`.
fn line_of(request: &Request<Inbound>, client: &Client, plan: &Plan) -> String {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| request.headers().get(HOST).map(|value| value.as_bytes()));
    let host = text(host.unwrap_or_default(), usize::MAX);
    let host =
        if host.is_empty() { plan.dns_name.as_str() } else { super::headers::without_port(&host) };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let target = text(target.as_bytes(), usize::MAX);
    let version = match request.version() {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let (method, scheme, port) = (request.method(), client.scheme(), plan.port);
    format!("{method} {scheme}://{host}:{port}{target} {version}")
}

fn head_length(headers: &HeaderMap) -> usize {
    let status_line = "HTTP/1.1 200 OK\r\n\r\n".len();
    status_line
        + headers.iter().map(|(name, value)| field(name.as_str(), value.len())).sum::<usize>()
}

fn field(name: &str, value: usize) -> usize {
    name.len() + value + ": \r\n".len()
}

/// A client's bytes so that they cannot end the field that they stand in.
fn text(bytes: &[u8], most: usize) -> String {
    let mut text = String::with_capacity(bytes.len().min(most));
    for &byte in bytes.iter().take(most) {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

/// As in `2018-07-02T22:23:00.186000Z`.
fn micros(time: Timestamp) -> String {
    time.to_string().replace('Z', "000Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_write_ends_no_field() {
        assert_eq!(text(b"a\"b\\c\n\xff", 100), "a\\\"b\\\\c\\x0a\\xff");
        assert_eq!(text(b"abc", 2), "ab");
        assert_eq!(micros(Timestamp::from_millis(1)), "1970-01-01T00:00:00.001000Z");
    }
}
