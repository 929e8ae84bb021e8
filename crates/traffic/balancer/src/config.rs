//! What the data plane is told.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Cidr;
use crate::health::State;

/// Everything that is to be done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The load balancers.
    pub load_balancers: Vec<LoadBalancer>,
    /// The target groups that they use.
    pub groups: Vec<Group>,
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Tells it from others.
    pub name: String,
    /// The address that it listens on.
    pub address: IpAddr,
    /// What requests of HTTP/1.0 without a Host are for.
    pub dns_name: String,
    /// How it treats connections and headers.
    pub settings: Settings,
    /// Where what it does is written down; nowhere if none.
    pub log: Option<LogPlace>,
    /// Its listeners, on different ports.
    pub listeners: Vec<Listener>,
}

/// Where a load balancer's requests are written down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogPlace {
    /// The folder, without a slash at its ends.
    pub folder: String,
    /// What the names of its files begin with.
    pub file: String,
    /// What lines call the load balancer.
    pub load_balancer: String,
    /// The address that it is at.
    pub node: String,
}

/// How X-Forwarded-For is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forwarded {
    /// The client's address is added.
    #[default]
    Append,
    /// It stays as it is.
    Preserve,
    /// It is taken away.
    Remove,
}

/// What becomes of requests of HTTP/1 that can be read in two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desync {
    /// They pass, written in one way.
    Monitor,
    /// They pass so; after the ambiguous ones the connections that they took end.
    #[default]
    Defensive,
    /// They are refused.
    Strictest,
}

/// A load balancer's attributes that matter here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long a connection may be without a byte.
    pub idle: Duration,
    /// How long a connection may last; then it ends with its next answer.
    pub client_life: Duration,
    /// Requests that can be read in two ways.
    pub desync: Desync,
    /// X-Forwarded-For.
    pub forwarded: Forwarded,
    /// Whether X-Forwarded-For has the client's port too.
    pub client_port: bool,
    /// Whether Host stays as it is.
    pub preserve_host: bool,
    /// Whether clients that offer HTTP/2 get it; over TLS alone.
    pub http2: bool,
    /// Whether targets are told the version of TLS and the cipher.
    pub tells_tls: bool,
    /// Whether headers are dropped whose names have more than letters, digits and hyphens.
    pub drop_invalid_headers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            client_life: Duration::from_secs(3600),
            desync: Desync::Defensive,
            forwarded: Forwarded::Append,
            client_port: false,
            preserve_host: false,
            http2: true,
            tells_tls: false,
            drop_invalid_headers: false,
        }
    }
}

/// What listeners take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Requests of HTTP.
    #[default]
    Requests,
    /// Connections with whatever bytes, which may be without any for this long.
    Streams(Duration),
    /// Datagrams of UDP.
    Datagrams,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// What it takes.
    pub kind: Kind,
    /// The rules, the first to be asked first.
    pub rules: Vec<Rule>,
    /// What is done with requests that no rule takes.
    pub default: Action,
    /// Whether the load balancer's own answers name it in `Server`.
    pub shows_server: bool,
    /// What it shows, if it takes TLS.
    pub tls: Option<Tls>,
}

/// What a listener shows that takes TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Its certificates; the first one is for clients that no other fits better.
    pub certificates: Vec<CertificatePair>,
    /// Versions by OpenSSL's names, as in `TLSv1.2`. Those before 1.2 are passed over.
    pub protocols: Vec<String>,
    /// Ciphers by OpenSSL's names, the preferred ones first; what is not known is passed over.
    pub ciphers: Vec<String>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePair {
    /// Tells it from others.
    pub name: String,
    /// The certificate and those above it, as PEM.
    pub chain: String,
    /// Its key.
    pub key: KeyPem,
}

/// A key as PEM, which is never printed. Where a configuration is written, it is written too.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyPem(String);

impl KeyPem {
    /// This one.
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    /// The text, for who serves with it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPem(…)")
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// What it is known by in what is written down.
    pub priority: u32,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// What is done then.
    pub action: Action,
}

/// Texts that a part of a request is compared with; one of them is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Texts {
    /// With `*` and `?`.
    Patterns(Vec<String>),
    /// Regular expressions, found anywhere.
    Regexes(Vec<String>),
}

/// What a request must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// Its host, whatever the case.
    Host(Texts),
    /// Its path.
    Path(Texts),
    /// Some instance of a header, whatever the case.
    Header(String, Texts),
    /// Its method.
    Method(Vec<String>),
    /// Some pair of its query: the key's pattern, if it matters, and the value's.
    Query(Vec<(Option<String>, String)>),
    /// Where it comes from.
    Source(Vec<Cidr>),
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// It goes to one of these groups.
    Forward {
        /// The groups, each in proportion to its weight.
        groups: Vec<(String, u32)>,
        /// How long a client stays with the group that it first got; none if it does not.
        sticky: Option<Duration>,
    },
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The client gets this answer.
    Fixed {
        /// The status.
        status: u16,
        /// The content type, without a charset.
        content_type: Option<String>,
        /// The body.
        body: String,
    },
}

/// Where a client is sent, with `#{protocol}`, `#{host}`, `#{port}`, `#{path}` and `#{query}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Whether it is for good: 301, else 302.
    pub permanent: bool,
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: String,
    /// The path, with its slash.
    pub path: String,
    /// The query, without its question mark.
    pub query: String,
}

/// How a group's next target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastOutstanding,
    /// By chance.
    Random,
}

/// Which HTTP targets speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaks {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// Anything over TCP; a check only connects.
    Bytes,
}

/// A target group that some load balancer uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Tells it from others.
    pub name: String,
    /// Its targets.
    pub targets: Vec<Target>,
    /// What they speak.
    pub speaks: Speaks,
    /// Whether they are told first who connects, and before each datagram who sent it, by the PROXY
    /// protocol; of streams alone.
    pub greets: bool,
    /// Whether a client's connections all go to the same target; of streams alone.
    pub by_source: bool,
    /// Whether the connections to a target that turns unhealthy are reset; of streams alone.
    pub cuts_unhealthy: bool,
    /// Whether the connections to a target that is gone, its deregistration delay over, are reset; of
    /// streams alone.
    #[serde(default)]
    pub cuts_gone: bool,
    /// Whether they are spoken to over TLS. Their certificates are not verified.
    pub tls: bool,
    /// How they are checked.
    pub check: Check,
    /// How the next one is chosen.
    pub algorithm: Algorithm,
    /// How long a client stays with the target that it first got; none if it does not.
    pub sticky: Option<Duration>,
    /// The application's cookie with which a client stays with the target that set it, and for how
    /// long; none if it does not.
    pub app_cookie: Option<(String, Duration)>,
    /// How long a target that becomes healthy beside others takes to get a whole share.
    pub slow_start: Option<Duration>,
    /// With fewer healthy targets than this, all get requests.
    pub healthy_min: usize,
    /// With a smaller part of healthy targets than this many hundredths, all get requests.
    pub healthy_min_percent: usize,
    /// How its targets are, if somebody else decides it. Then this data plane does not check them;
    /// of a target that is not named nothing is known yet.
    pub verdicts: Option<Vec<Verdict>>,
}

/// How a target is, as somebody else decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The target's id.
    pub id: String,
    /// Its port.
    pub port: u16,
    /// How it is.
    pub state: State,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Its id; with the port it tells it from others of the group.
    pub id: String,
    /// The port that it is registered with.
    pub port: u16,
    /// Where it is.
    pub address: SocketAddr,
    /// Tells this registration from earlier ones of the same id and port.
    pub registration: i64,
    /// Whether it gets no new requests.
    pub draining: bool,
}

/// How targets are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is spoken.
    pub speaks: Speaks,
    /// Whether over TLS; certificates are not verified.
    pub tls: bool,
    /// The port, if it is not the target's.
    pub port: Option<u16>,
    /// What is asked for.
    pub path: String,
    /// From one check to the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Passes in a row that make an unhealthy target healthy.
    pub healthy: u32,
    /// Failures in a row that make a target unhealthy.
    pub unhealthy: u32,
    /// The status codes that are passes, gRPC's of those that speak it: first and last of each range.
    pub codes: Vec<(u16, u16)>,
}
