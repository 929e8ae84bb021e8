//! One request to a target, and its answer (Application Load Balancer guide, "Troubleshoot").

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};

use super::answer::Answer;
use super::desync::Requests;
use super::own::Own;
use super::{Noted, headers, plain, tunnel};
use crate::config::Speaks;
use crate::inbound::Inbound;
use crate::listening::Plan;
use crate::targets::{Connecting, Flow, GroupState, Lease, TargetState, Unsent, Upload};

/// How many targets are tried, at most, as long as none of them has got the request.
pub(super) const TRIES: usize = 3;

/// How a request is forwarded.
pub(super) struct How<'a> {
    /// What answers if no target does.
    pub(super) own: Own,
    /// Whether it is to become a WebSocket.
    pub(super) upgrade: bool,
    /// The target that its client stays with.
    pub(super) pinned: Option<Arc<TargetState>>,
    /// Whether the connection to the target ends with it.
    pub(super) is_last: bool,
    /// The requests of the client's connection.
    pub(super) requests: &'a Requests,
}

/// What the client gets, and the target that it is from, if it is from one.
type Answered = (Response<Answer>, Option<Arc<TargetState>>);

/// Sends a request to a target of the group.
pub(super) async fn forward(
    request: Request<Inbound>,
    plan: &Plan,
    group: &Arc<GroupState>,
    how: How<'_>,
    noted: &mut Noted,
) -> Answered {
    let has_body =
        !request.body().is_end_stream() || request.headers().contains_key(CONTENT_LENGTH);
    let is_plain = group.speaks() == Speaks::Http1 && !group.is_secure();
    if how.own.version < Version::HTTP_2 || has_body || !is_plain {
        // It is kept apart, so that the other way stays small.
        return Box::pin(forward_any(request, plan, group, how, noted)).await;
    }
    let (parts, _) = request.into_parts();
    match plain::forward(&parts, group, (how.pinned, plan.settings.idle), noted).await {
        Ok((response, target)) => (response, Some(target)),
        Err(status) => (how.own.page(status), None),
    }
}

async fn forward_any(
    mut request: Request<Inbound>,
    plan: &Plan,
    group: &Arc<GroupState>,
    how: How<'_>,
    noted: &mut Noted,
) -> Answered {
    let How { own, upgrade, mut pinned, is_last, requests } = how;
    let page = |status| (own.page(status), None);
    let client = upgrade.then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let idle = plan.settings.idle;
    let flow = Arc::new(Flow::default());
    if let Some(entry) = noted {
        entry.flow = Some(flow.clone());
    }
    let is_empty = body.is_end_stream();
    let mut spare = (is_empty && is_safe(&parts.method)).then(|| copy(&parts));
    let body = Some(body).filter(|_| !is_empty);
    let upload = Upload::new(body, flow.clone());
    let mut outgoing = Request::from_parts(parts, upload);
    let mut not: Option<Arc<TargetState>> = None;
    for tried in 0..TRIES {
        let next = || group.pick(not.as_ref()).or_else(|| group.pick(None)).cloned();
        let Some(target) = pinned.take().or_else(next) else {
            return page(StatusCode::SERVICE_UNAVAILABLE);
        };
        let fresh = upgrade || is_last || tried > 0;
        let mut lease = match Lease::take(target.clone(), fresh, is_last).await {
            Ok(lease) => lease,
            Err(Connecting::Timeout) => return page(StatusCode::GATEWAY_TIMEOUT),
            Err(Connecting::Failed) => {
                not = Some(target);
                continue;
            }
        };
        if let Some(entry) = noted {
            entry.dispatch(target.address());
        }
        let sent = lease.send(outgoing);
        let Unsent(unsent) = match waited(sent, idle, &flow.moved).await {
            Some(Ok(response)) => {
                if let Some(entry) = noted {
                    entry.answered(response.status().as_u16());
                }
                let answer = back(response, lease, client, (idle, requests), noted);
                return (answer, Some(target));
            }
            // The client sent no whole request.
            Some(Err(_)) if flow.failed.load(Ordering::Relaxed) => {
                return page(match requests.is_late() {
                    true => StatusCode::REQUEST_TIMEOUT,
                    false => StatusCode::BAD_REQUEST,
                });
            }
            None => return page(StatusCode::GATEWAY_TIMEOUT),
            Some(Err(unsent)) => unsent,
        };
        // A kept connection that the target closed meanwhile: what has no body and changes nothing
        // may be sent once more.
        let again = if lease.reused { spare.take() } else { None };
        outgoing = match (unsent, again) {
            (Some(unsent), _) => unsent,
            (None, Some(parts)) => Request::from_parts(parts, Upload::new(None, flow.clone())),
            (None, None) => return page(StatusCode::BAD_GATEWAY),
        };
    }
    page(StatusCode::BAD_GATEWAY)
}

/// The answer; none if nothing has moved for `idle` before it.
async fn waited<T>(sent: impl Future<Output = T>, idle: Duration, moved: &AtomicBool) -> Option<T> {
    let mut sent = std::pin::pin!(sent);
    loop {
        match tokio::time::timeout(idle, sent.as_mut()).await {
            Ok(answer) => return Some(answer),
            Err(_) if moved.swap(false, Ordering::Relaxed) => {}
            Err(_) => return None,
        }
    }
}

/// Makes of a target's answer the one that goes to the client.
fn back(
    mut response: Response<Incoming>,
    lease: Lease,
    client: Option<hyper::upgrade::OnUpgrade>,
    (idle, requests): (Duration, &Requests),
    noted: &mut Noted,
) -> Response<Answer> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let target = hyper::upgrade::on(&mut response);
        let (mut parts, _) = response.into_parts();
        headers::strip(&mut parts.headers, true);
        let response = Response::from_parts(parts, Answer::Own(None));
        if let Some(client) = client {
            requests.become_tunnel();
            // It is written down when the WebSocket ends.
            let mut entry = noted.take();
            if let Some(entry) = &mut entry {
                entry.hand(&response);
            }
            tunnel::join((client, target), lease, idle, entry);
        }
        return response;
    }
    let (mut parts, body) = response.into_parts();
    headers::strip(&mut parts.headers, false);
    // What the target speaks is between the two of us.
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Answer::target(body, lease, idle))
}

/// Whether a method changes nothing (RFC 9110, 9.2.1).
pub(super) fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn copy(parts: &Parts) -> Parts {
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.version_mut() = parts.version;
    *request.headers_mut() = parts.headers.clone();
    request.into_parts().0
}
