//! Connections of clients (`clients.rs`), and one request, there and back.

mod answer;
mod clients;
mod cookies;
mod desync;
mod forward;
mod headers;
mod own;
mod redirect;
mod trace;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;

use crate::config::Speaks;
use crate::listening::{Deed, Plan};
use crate::random;
use crate::rules::Seen;
use crate::targets::GroupState;
use answer::Answer;
pub(crate) use clients::{Client, accept};
pub(crate) use cookies::Cookies;
use own::Own;

/// Most addresses in X-Forwarded-For (Application Load Balancer guide, "HTTP 463").
const FORWARDED_MAX: usize = 30;

/// Answers a request as the rules say.
///
/// With `is_last` the connections that it takes end with it.
async fn answer(
    request: Request<Incoming>,
    client: &Client,
    plan: &Plan,
    is_last: bool,
) -> Response<Answer> {
    let is_http1 = request.version() < Version::HTTP_2;
    let mut response = routed(request, client, plan, is_last).await;
    let ends = is_http1 && (is_last || client.is_over());
    if ends && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = header::HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

async fn routed(
    request: Request<Incoming>,
    client: &Client,
    plan: &Plan,
    is_last: bool,
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
    let deed = {
        let uri = request.uri();
        let seen = Seen {
            method: request.method().as_str(),
            host: headers::without_port(&host),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: request.headers(),
            source: client.peer.ip(),
        };
        let takes = |rule: &&(Vec<_>, Deed)| {
            rule.0.iter().all(|condition: &crate::rules::Ready| condition.holds(&seen))
        };
        plan.rules.iter().find(takes).map_or(&plan.default, |(_, deed)| deed)
    };
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
            to_group(request, weighted, *sticky, at).await
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
    mut request: Request<Incoming>,
    weighted: &[(Arc<GroupState>, u32)],
    sticky: Option<Duration>,
    Place { client, plan, host, own, is_last }: Place<'_>,
) -> Response<Answer> {
    let pins = plan.cookies.read(request.headers(), plan.clock.now());
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
    let pinned = pins.target_within(group.sticky(), group.name());
    let pinned = pinned.and_then(|mark| group.pinned(mark));
    let upgrade = tunnel::wanted(&request);
    let way = headers::Way { client, host, upgrade, speaks: group.speaks() };
    headers::prepare(&mut request, plan, &way);
    let how = forward::How { own, upgrade, pinned, is_last, requests: &client.requests };
    let (mut response, target) = forward::forward(request, plan, group, how).await;
    if let Some(target) = target {
        let target = group.sticky().map(|_| target.mark());
        let group = (group.name(), sticky.is_some());
        plan.cookies.write(response.headers_mut(), group, target, plan.clock.now());
    }
    response
}

/// Whether a request is gRPC's (its HTTP/2 mapping, "Requests").
fn speaks_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// 464 if a client's protocol does not go with a group's (Application Load Balancer guide,
/// "Protocol version").
fn mismatch(request: &Request<Incoming>, own: Own, speaks: Speaks) -> Option<StatusCode> {
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
fn refusal(request: &Request<Incoming>) -> Option<StatusCode> {
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
