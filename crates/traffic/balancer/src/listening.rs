//! Listeners: one task for each, and one for each connection.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener as Bound};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use terms::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Action, Kind, Listener, LoadBalancer, Redirect, Settings};
use crate::proxy::{self, Cookies};
use crate::rules::Ready;
use crate::targets::GroupState;
use crate::tls::Secure;

/// What a listener does, ready to be asked.
pub(crate) struct Plan {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cookies: Arc<Cookies>,
    pub(crate) settings: Settings,
    pub(crate) dns_name: String,
    pub(crate) port: u16,
    pub(crate) shows_server: bool,
    /// Whether it takes connections with whatever bytes.
    pub(crate) is_stream: bool,
    /// What it shows, if it takes TLS.
    pub(crate) secure: Option<Arc<Secure>>,
    pub(crate) rules: Vec<(Vec<Ready>, Deed)>,
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
}

/// All listeners by address.
#[derive(Default)]
pub(crate) struct Listening {
    listeners: BTreeMap<SocketAddr, Open>,
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
        for load_balancer in load_balancers {
            for listener in &load_balancer.listeners {
                let address = SocketAddr::new(load_balancer.address, listener.port);
                let open = before.remove(&address);
                match renewed(open, address, (load_balancer, listener), groups, common) {
                    Ok(open) => drop(self.listeners.insert(address, open)),
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
}

/// The listener that was open, with its new plan; else one that is opened.
fn renewed(
    open: Option<Open>,
    address: SocketAddr,
    (load_balancer, listener): (&LoadBalancer, &Listener),
    groups: &BTreeMap<String, Arc<GroupState>>,
    common: &Common,
) -> Result<Open, String> {
    let before = open.as_ref().and_then(|open| open.plan.load().secure.clone());
    let offers: &'static [&'static [u8]] = match (listener.kind, load_balancer.settings.http2) {
        (Kind::Streams(_), _) => &[],
        (Kind::Requests, true) => &[b"h2", b"http/1.1"],
        (Kind::Requests, false) => &[b"http/1.1"],
    };
    let secure = listener.tls.as_ref();
    let secure = secure.map(|tls| Secure::next(before.as_ref(), tls, offers)).transpose()?;
    let plan = Plan { secure, ..plan(load_balancer, listener, groups, common) };
    match open {
        Some(open) => {
            open.plan.store(Arc::new(plan));
            Ok(open)
        }
        None => self::open(address, Arc::new(plan)).map_err(|error| error.to_string()),
    }
}

fn plan(
    load_balancer: &LoadBalancer,
    listener: &Listener,
    groups: &BTreeMap<String, Arc<GroupState>>,
    common: &Common,
) -> Plan {
    let rule = |rule: &crate::Rule| {
        let conditions = rule.conditions.iter().map(Ready::new).collect();
        (conditions, deed(&rule.action, groups))
    };
    let mut settings = load_balancer.settings.clone();
    if let Kind::Streams(idle) = listener.kind {
        settings.idle = idle;
    }
    Plan {
        is_stream: listener.kind != Kind::Requests,
        clock: common.clock.clone(),
        cookies: common.cookies.clone(),
        settings,
        dns_name: load_balancer.dns_name.clone(),
        port: listener.port,
        shows_server: listener.shows_server,
        secure: None,
        rules: listener.rules.iter().map(rule).collect(),
        default: deed(&listener.default, groups),
    }
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

fn open(address: SocketAddr, plan: Arc<Plan>) -> std::io::Result<Open> {
    let bound = Bound::bind(address)?;
    bound.set_nonblocking(true)?;
    let listener = TcpListener::from_std(bound)?;
    let (plan, closing) = (Arc::new(ArcSwap::new(plan)), CancellationToken::new());
    let open = Open { plan: plan.clone(), closing: closing.clone() };
    tokio::spawn(proxy::accept(listener, plan, closing));
    Ok(open)
}
