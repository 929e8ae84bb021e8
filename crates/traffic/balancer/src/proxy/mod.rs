//! Connections of clients, and one request, there and back.

mod answer;
mod cookies;
mod forward;
mod headers;
mod own;
mod redirect;
mod trace;
mod tunnel;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::listening::{Deed, Plan};
use crate::random;
use crate::rules::Seen;
use crate::targets::GroupState;
use answer::Answer;
pub(crate) use cookies::Cookies;
use own::Own;

/// Largest head of a request (Application Load Balancer guide, "Quotas"), in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Most addresses in X-Forwarded-For (Application Load Balancer guide, "HTTP 463").
const FORWARDED_MAX: usize = 30;
/// The pause after the system gave no connection, for lack of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Takes connections until `closing`.
pub(crate) async fn accept(
    listener: TcpListener,
    plan: Arc<ArcSwap<Plan>>,
    closing: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let serving = serve(stream, peer, plan.clone(), closing.clone());
                tokio::spawn(serving);
            }
            Err(error) => {
                tracing::warn!(%error, "a load balancer got no connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    plan: Arc<ArcSwap<Plan>>,
    closing: CancellationToken,
) {
    // Whoever refuses this has closed the connection, which reading tells.
    let _ = stream.set_nodelay(true);
    let idle = plan.load().settings.idle;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .preserve_header_case(true)
        .title_case_headers(true)
        .max_buf_size(HEAD_MAX);
    let service = service_fn(move |request| {
        let plan = plan.load_full();
        async move { Ok::<_, Infallible>(answer(request, peer, plan).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection of a client ended");
    }
}

/// Answers a request as the rules say.
async fn answer(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    plan: Arc<Plan>,
) -> Response<Answer> {
    let own = Own { shows_server: plan.shows_server, version: request.version() };
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
            source: peer.ip(),
        };
        let takes = |rule: &&(Vec<_>, Deed)| {
            rule.0.iter().all(|condition: &crate::rules::Ready| condition.holds(&seen))
        };
        plan.rules.iter().find(takes).map_or(&plan.default, |(_, deed)| deed)
    };
    match deed {
        Deed::Redirect(redirect) => {
            match redirect::location(redirect, request.uri(), &host, plan.port) {
                Some(location) => own.redirect(redirect.permanent, location),
                None => own.page(StatusCode::INSUFFICIENT_STORAGE),
            }
        }
        Deed::Fixed { status, content_type, body } => {
            own.fixed(*status, content_type.clone(), body.clone())
        }
        Deed::Forward(weighted, sticky) => {
            let pins = plan.cookies.read(request.headers(), plan.clock.now());
            let stays = |(group, weight): &&(Arc<GroupState>, u32)| {
                *weight > 0 && pins.group_within(*sticky) == Some(group.name())
            };
            let stayed = weighted.iter().find(stays).map(|(group, _)| group);
            let Some(group) = stayed.or_else(|| choose(weighted)) else {
                return own.page(StatusCode::SERVICE_UNAVAILABLE);
            };
            let pinned = pins.target_within(group.sticky(), group.name());
            let pinned = pinned.and_then(|mark| group.pinned(mark));
            let upgrade = tunnel::wanted(&request);
            headers::prepare(&mut request, &plan, peer, &host, upgrade);
            let how = forward::How { own, upgrade, pinned };
            let (mut response, target) = forward::forward(request, &plan, group, how).await;
            if let Some(target) = target {
                let target = group.sticky().map(|_| target.mark());
                let group = (group.name(), sticky.is_some());
                plan.cookies.write(response.headers_mut(), group, target, plan.clock.now());
            }
            response
        }
    }
}

/// Why a request is refused before any rule is asked.
fn refusal(request: &Request<Incoming>) -> Option<StatusCode> {
    let headers = request.headers();
    if request.method() == Method::TRACE {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    let lacks_host = hosts == 0 && request.version() == Version::HTTP_11;
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
fn choose(weighted: &[(Arc<GroupState>, u32)]) -> Option<&Arc<GroupState>> {
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
