//! Connections of clients (`clients.rs`), and one request, there and back.

mod answer;
mod clients;
mod cookies;
mod desync;
mod forward;
mod h2;
mod headers;
mod log;
mod own;
mod plain;
mod redirect;
mod trace;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, Version, header};

use crate::config::Speaks;
use crate::inbound::Inbound;
use crate::listening::{Deed, Plan};
use crate::random;
use crate::rules::{Fields, Seen};
use crate::targets::GroupState;
use answer::Answer;
pub(crate) use clients::{Client, accept};
pub use cookies::CookieKey;
pub(crate) use cookies::Cookies;
use cookies::Pins;
use desync::UnderWay;
use log::Entry;
pub use log::Journal;
pub(crate) use log::Log;
use own::Own;

/// Most addresses in X-Forwarded-For (Application Load Balancer guide, "HTTP 463").
const FORWARDED_MAX: usize = 30;

/// What is written down of a request, if anything is.
type Noted = Option<Box<Entry>>;

/// Answers a request as the rules say; gives what is to be written down of it, too.
async fn answer(
    request: Request<Inbound>,
    client: &Client,
    plan: &Plan,
    under_way: &UnderWay,
) -> (Response<Answer>, Noted) {
    plan.counts.request();
    let is_http1 = request.version() < Version::HTTP_2;
    let is_last = under_way.is_last();
    let mut noted = Entry::begin(&request, client, plan);
    if let Some(entry) = &mut noted {
        entry.oddity = under_way.oddity();
    }
    let mut response = routed(request, client, plan, (is_last, &mut noted)).await;
    let ends = is_http1 && (is_last || client.is_over());
    if ends && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = header::HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    if let Some(entry) = &mut noted {
        entry.hand(&response);
    }
    (response, noted)
}

/// With `is_last` the connections that the request takes end with it.
async fn routed(
    request: Request<Inbound>,
    client: &Client,
    plan: &Plan,
    (is_last, noted): (bool, &mut Noted),
) -> Response<Answer> {
    let own = Own {
        shows_server: plan.shows_server,
        version: request.version(),
        is_grpc: speaks_grpc(&request),
    };
    if let Some(status) = refusal(&request) {
        return own.page(status);
    }
    let host = headers::host(&request, &plan.dns_name);
    let (priority, deed) = {
        let uri = request.uri();
        let seen = Seen::new(
            (request.method().as_str(), headers::without_port(&host)),
            (uri.path(), uri.query().unwrap_or_default()),
            (Fields::Map(request.headers()), client.peer.ip()),
        );
        match plan.rules.find(&seen) {
            Some(rule) => (rule.priority, &rule.deed),
            None => (0, &plan.default),
        }
    };
    if let Some(entry) = noted {
        entry.priority = Some(priority);
        entry.action = Some(match deed {
            Deed::Redirect(_) => "redirect",
            Deed::Fixed { .. } => "fixed-response",
            Deed::Forward(..) => "forward",
        });
    }
    match deed {
        Deed::Redirect(redirect) => {
            let place = redirect::Place {
                scheme: client.scheme(),
                uri: request.uri(),
                host: &host,
                port: plan.port,
            };
            match redirect::location(redirect, &place) {
                Some(location) => own.redirect(redirect.permanent, location),
                None => own.page(StatusCode::INSUFFICIENT_STORAGE),
            }
        }
        Deed::Fixed { status, content_type, body } => {
            own.fixed(*status, content_type.clone(), body.clone())
        }
        Deed::Forward(weighted, sticky) => {
            let at = Place { client, plan, host: &host, own, is_last };
            to_group(request, (weighted, *sticky), at, noted).await
        }
    }
}

/// What is known of a request when its group is chosen.
struct Place<'a> {
    client: &'a Client,
    plan: &'a Plan,
    host: &'a str,
    own: Own,
    is_last: bool,
}

/// Forwards a request to one of these groups.
async fn to_group(
    mut request: Request<Inbound>,
    (weighted, sticky): (&[(Arc<GroupState>, u32)], Option<Duration>),
    Place { client, plan, host, own, is_last }: Place<'_>,
    noted: &mut Noted,
) -> Response<Answer> {
    let stays_somewhere =
        |(group, _): &(Arc<GroupState>, u32)| group.sticky().or(group.app_sticky()).is_some();
    let pins = match sticky.is_some() || weighted.iter().any(stays_somewhere) {
        true => plan.cookies.read(request.headers(), plan.clock.now()),
        false => Pins::default(),
    };
    let stays = |(group, weight): &&(Arc<GroupState>, u32)| {
        *weight > 0 && pins.group_within(sticky) == Some(group.name())
    };
    let stayed = weighted.iter().find(stays).map(|(group, _)| group);
    let Some(group) = stayed.or_else(|| choose(weighted)) else {
        return own.page(StatusCode::SERVICE_UNAVAILABLE);
    };
    if let Some(status) = mismatch(&request, own, group.speaks()) {
        return own.page(status);
    }
    let pinned = match group.app_cookie() {
        None => pins.target_within(group.sticky(), group.name()),
        Some((name, lasts)) if cookies::has(request.headers(), name) => {
            pins.app_target_within(*lasts, group.name())
        }
        Some(_) => None,
    };
    let pinned = pinned.and_then(|mark| group.pinned(mark));
    let upgrade = tunnel::wanted(&request);
    let way = headers::Way { client, host, upgrade, speaks: group.speaks() };
    headers::prepare(&mut request, plan, &way);
    if let Some(entry) = noted {
        let trace = request.headers().get("x-amzn-trace-id");
        entry.trace = trace.and_then(|trace| trace.to_str().ok()).map(str::to_owned);
        entry.group = Some(group.name().to_owned());
    }
    let how = forward::How { own, upgrade, pinned, is_last, requests: &client.requests };
    let (mut response, target) = forward::forward(request, plan, group, how, noted).await;
    if let Some(target) = target {
        let now = plan.clock.now();
        if let Some((name, _)) = group.app_cookie() {
            plan.cookies.follow(response.headers_mut(), name, (group.name(), &target.mark()), now);
        }
        let target = group.sticky().map(|_| target.mark());
        let group = (group.name(), sticky.is_some());
        plan.cookies.write(response.headers_mut(), group, target, now);
    }
    response
}

/// Whether a request is gRPC's (its HTTP/2 mapping, "Requests").
fn speaks_grpc(request: &Request<Inbound>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// 464 if a client's protocol does not go with a group's (Application Load Balancer guide,
/// "Protocol version").
fn mismatch(request: &Request<Inbound>, own: Own, speaks: Speaks) -> Option<StatusCode> {
    let is_http2 = request.version() == Version::HTTP_2;
    let fits = match speaks {
        Speaks::Http1 => !own.is_grpc,
        Speaks::Http2 => is_http2,
        Speaks::Bytes => false,
        Speaks::Grpc => is_http2 && request.method() == Method::POST,
    };
    if fits { None } else { StatusCode::from_u16(464).ok() }
}

/// Why a request is refused before any rule is asked.
fn refusal(request: &Request<Inbound>) -> Option<StatusCode> {
    let headers = request.headers();
    if request.method() == Method::TRACE {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    let lacks_host = match request.version() {
        Version::HTTP_11 => hosts == 0,
        Version::HTTP_2 => hosts == 0 && request.uri().authority().is_none(),
        _ => false,
    };
    if request.method() == Method::CONNECT || lacks_host || hosts > 1 {
        return Some(StatusCode::BAD_REQUEST);
    }
    let forwarded = headers.get_all("x-forwarded-for").iter();
    let addresses: usize =
        forwarded.map(|value| value.as_bytes().split(|byte| *byte == b',').count()).sum();
    if addresses > FORWARDED_MAX {
        return StatusCode::from_u16(463).ok();
    }
    None
}

/// A group in proportion to the weights; none if they are all 0.
pub(crate) fn choose(weighted: &[(Arc<GroupState>, u32)]) -> Option<&Arc<GroupState>> {
    let all: u64 = weighted.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if let [(only, 1..)] = weighted {
        return Some(only);
    }
    let mut left = random::number().checked_rem(all)?;
    let chosen = weighted.iter().find(|(_, weight)| {
        let weight = u64::from(*weight);
        let is_here = left < weight;
        left = left.saturating_sub(weight);
        is_here
    });
    chosen.map(|(group, _)| group)
}
