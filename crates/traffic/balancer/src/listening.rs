//! Listeners: one task for each, and one for each connection.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Socket, Type};
use terms::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Action, Kind, Listener, LoadBalancer, Redirect, Settings};
use crate::proxy::{self, Cookies, Journal, Log};
use crate::rules::Table;
use crate::streams;
use crate::targets::GroupState;
use crate::tls::Secure;

/// Connections that wait to be accepted, at most; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// What a load balancer has had to do since this data plane began with it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
}

impl Counts {
    /// A connection came, or the first datagram of a flow.
    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A request came.
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a listener does, ready to be asked.
pub(crate) struct Plan {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cookies: Arc<Cookies>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) settings: Settings,
    pub(crate) dns_name: String,
    pub(crate) port: u16,
    pub(crate) shows_server: bool,
    /// Whether it takes connections with whatever bytes.
    pub(crate) is_stream: bool,
    /// What it shows, if it takes TLS.
    pub(crate) secure: Option<Arc<Secure>>,
    /// Where requests are written down.
    pub(crate) log: Option<Log>,
    pub(crate) rules: Table<Deed>,
    pub(crate) default: Deed,
}

/// What is done with a request.
pub(crate) enum Deed {
    /// Groups with their weights, and how long a client stays with one.
    Forward(Vec<(Arc<GroupState>, u32)>, Option<Duration>),
    Redirect(Redirect),
    Fixed {
        status: http::StatusCode,
        content_type: Option<http::HeaderValue>,
        body: bytes::Bytes,
    },
}

/// What all listeners have in common.
pub(crate) struct Common {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cookies: Arc<Cookies>,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    /// Whether others on this machine may listen on the same addresses and ports beside it.
    pub(crate) shares: bool,
}

/// All listeners by address, those of datagrams apart.
#[derive(Default)]
pub(crate) struct Listening {
    listeners: BTreeMap<(SocketAddr, bool), Open>,
    /// By the names of load balancers.
    counts: BTreeMap<String, Arc<Counts>>,
}

/// A listener that takes connections until it is dropped.
struct Open {
    plan: Arc<ArcSwap<Plan>>,
    closing: CancellationToken,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Listening {
    /// Opens, changes and closes listeners. Gives what cannot be opened, by load balancer.
    pub(crate) fn apply(
        &mut self,
        load_balancers: &[LoadBalancer],
        groups: &BTreeMap<String, Arc<GroupState>>,
        common: &Common,
    ) -> BTreeMap<String, String> {
        let mut troubles = BTreeMap::new();
        let mut before = std::mem::take(&mut self.listeners);
        let mut counted = std::mem::take(&mut self.counts);
        for load_balancer in load_balancers {
            let counts = counted.remove(&load_balancer.name).unwrap_or_default();
            self.counts.insert(load_balancer.name.clone(), counts.clone());
            for listener in &load_balancer.listeners {
                let address = SocketAddr::new(load_balancer.address, listener.port);
                let place = (address, listener.kind == Kind::Datagrams);
                let opened = match self.listeners.contains_key(&place) {
                    true => Err("another load balancer listens there".to_owned()),
                    false => {
                        let told = (load_balancer, listener, &counts);
                        renewed(before.remove(&place), address, told, groups, common)
                    }
                };
                match opened {
                    Ok(open) => drop(self.listeners.insert(place, open)),
                    Err(error) => {
                        tracing::warn!(%address, error, "a load balancer cannot listen");
                        let text = format!("Port {} cannot be listened on: {error}", listener.port);
                        troubles.insert(load_balancer.name.clone(), text);
                    }
                }
            }
        }
        troubles
    }

    /// What each load balancer has had to do: connections and requests.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&String, u64, u64)> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let all = self.counts.iter();
        all.map(move |(name, one)| (name, read(&one.connections), read(&one.requests)))
    }
}

/// The listener that was open, with its new plan; else one that is opened.
fn renewed(
    open: Option<Open>,
    address: SocketAddr,
    (load_balancer, listener, counts): (&LoadBalancer, &Listener, &Arc<Counts>),
    groups: &BTreeMap<String, Arc<GroupState>>,
    common: &Common,
) -> Result<Open, String> {
    let last = open.as_ref().map(|open| open.plan.load_full());
    let before = last.as_ref().and_then(|last| last.secure.clone());
    let offers: &'static [&'static [u8]] = match (listener.kind, load_balancer.settings.http2) {
        (Kind::Streams(_) | Kind::Datagrams, _) => &[],
        (Kind::Requests, true) => &[b"h2", b"http/1.1"],
        (Kind::Requests, false) => &[b"http/1.1"],
    };
    let secure = listener.tls.as_ref();
    let secure = secure.map(|tls| Secure::next(before.as_ref(), tls, offers)).transpose()?;
    let rules = last.as_ref().map(|last| &last.rules);
    let counts = counts.clone();
    let plan = Plan { secure, counts, ..plan((load_balancer, listener), rules, groups, common) };
    match open {
        Some(open) => {
            open.plan.store(Arc::new(plan));
            Ok(open)
        }
        None => match listener.kind {
            Kind::Datagrams => open_datagrams(address, Arc::new(plan), common.shares),
            Kind::Requests | Kind::Streams(_) => self::open(address, Arc::new(plan), common.shares),
        }
        .map_err(|error| error.to_string()),
    }
}

fn plan(
    (load_balancer, listener): (&LoadBalancer, &Listener),
    rules: Option<&Table<Deed>>,
    groups: &BTreeMap<String, Arc<GroupState>>,
    common: &Common,
) -> Plan {
    let mut settings = load_balancer.settings.clone();
    if let Kind::Streams(idle) = listener.kind {
        settings.idle = idle;
    }
    Plan {
        is_stream: listener.kind != Kind::Requests,
        clock: common.clock.clone(),
        cookies: common.cookies.clone(),
        counts: Arc::default(),
        settings,
        dns_name: load_balancer.dns_name.clone(),
        port: listener.port,
        shows_server: listener.shows_server,
        secure: None,
        log: log(load_balancer, common),
        rules: Table::next(rules, &listener.rules, |action| deed(action, groups)),
        default: deed(&listener.default, groups),
    }
}

fn log(load_balancer: &LoadBalancer, common: &Common) -> Option<Log> {
    let (place, journal) = (load_balancer.log.as_ref()?, common.journal.as_ref()?);
    Some(Log { place: Arc::new(place.clone()), journal: journal.clone() })
}

fn deed(action: &Action, groups: &BTreeMap<String, Arc<GroupState>>) -> Deed {
    match action {
        Action::Forward { groups: weighted, sticky } => {
            let known = |(name, weight): &(String, u32)| Some((groups.get(name)?.clone(), *weight));
            Deed::Forward(weighted.iter().filter_map(known).collect(), *sticky)
        }
        Action::Redirect(redirect) => Deed::Redirect(redirect.clone()),
        Action::Fixed { status, content_type, body } => Deed::Fixed {
            status: http::StatusCode::from_u16(*status).unwrap_or_default(),
            content_type: content_type
                .as_ref()
                .and_then(|text| format!("{text}; charset=utf-8").parse().ok()),
            body: bytes::Bytes::from(body.clone()),
        },
    }
}

fn open(address: SocketAddr, plan: Arc<Plan>, shares: bool) -> std::io::Result<Open> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of an earlier listener that are still ending are in nobody's way.
    socket.set_reuse_address(true)?;
    bind(&socket, address, shares)?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let (plan, closing) = (Arc::new(ArcSwap::new(plan)), CancellationToken::new());
    let open = Open { plan: plan.clone(), closing: closing.clone() };
    tokio::spawn(proxy::accept(listener, plan, closing));
    Ok(open)
}

fn open_datagrams(address: SocketAddr, plan: Arc<Plan>, shares: bool) -> std::io::Result<Open> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    bind(&socket, address, shares)?;
    let socket = tokio::net::UdpSocket::from_std(UdpSocket::from(socket))?;
    let (plan, closing) = (Arc::new(ArcSwap::new(plan)), CancellationToken::new());
    let open = Open { plan: plan.clone(), closing: closing.clone() };
    tokio::spawn(streams::serve_datagrams(socket, plan, closing));
    Ok(open)
}

/// Takes the address; with `shares`, beside others of the same user that share it. The system gives
/// each new connection to one of them.
fn bind(socket: &Socket, address: SocketAddr, shares: bool) -> std::io::Result<()> {
    if shares {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())
}
