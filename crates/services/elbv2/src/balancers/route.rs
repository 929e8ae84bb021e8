//! `/_longshore/balancer`: with GET a balancer joins, and is told what to do as lines of JSON for as
//! long as it reads them; with POST it tells what it found.

use std::sync::Arc;
use std::time::Duration;

use balancer::{FORMAT, Found, Told};
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;
use wire::{Body, BodySender, Priority, Route, RouteAuth, RouteRequest};

use super::{Balancers, Refused, Ticket};

/// The path.
pub const BALANCER_PATH: &str = "/_longshore/balancer";
/// How often a line comes at least, if only an empty one: who hears nothing for longer asks anew.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The longest name of a balancer.
const NAME_MAX: usize = 64;
/// Most load balancers that one may name.
const SERVES_MAX: usize = 100;
/// The largest report, in bytes.
const FOUND_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The route, for operators, and for users whose policies allow `longshore:Balancer`.
pub(crate) fn route(balancers: &Arc<Balancers>) -> Route {
    let balancers = balancers.clone();
    Route::new(BALANCER_PATH, RouteAuth::Signed("ecs"), move |request| {
        let balancers = balancers.clone();
        async move {
            match answer(&balancers, request).await {
                Ok(answer) => answer,
                Err((status, message)) => told(status, &message),
            }
        }
    })
    .priority(Priority::Agents)
}

type Refusal = (StatusCode, String);

async fn answer(
    balancers: &Arc<Balancers>,
    request: RouteRequest,
) -> Result<Response<Body>, Refusal> {
    let refuse = |status, message: &str| Err((status, message.to_owned()));
    if !request.caller.as_ref().is_some_and(|caller| caller.kind.operates()) {
        let text = "only an operator's key, or one whose policies allow longshore:Balancer, may serve \
                    load balancers";
        return refuse(StatusCode::FORBIDDEN, text);
    }
    match request.parts.method {
        Method::GET => join(balancers, &request),
        Method::POST => {
            let body = request.body.collect(FOUND_MAX_BYTES).await;
            let body = body.map_err(|error| (error.http_status(), error.message))?;
            let found: Found = serde_json::from_slice(&body).map_err(|error| {
                (StatusCode::BAD_REQUEST, format!("the report is not as wanted: {error}"))
            })?;
            if found.format != FORMAT {
                let text = format!("reports of form {} are not read here", found.format);
                return Err((StatusCode::BAD_REQUEST, text));
            }
            match balancers.note(found) {
                true => Ok(told(StatusCode::OK, "")),
                false => refuse(StatusCode::CONFLICT, "this balancer has not joined here"),
            }
        }
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "this path takes GET and POST only"),
    }
}

fn join(balancers: &Arc<Balancers>, request: &RouteRequest) -> Result<Response<Body>, Refusal> {
    let invalid = |text: String| (StatusCode::BAD_REQUEST, text);
    // What is told has the keys of certificates in it.
    let is_near = request.source.is_none_or(|source| source.ip().to_canonical().is_loopback());
    if !request.endpoint.starts_with("https://") && !is_near {
        let text = "keys of certificates go to balancers over TLS or within one machine only; serve \
                    with TLS (longshore init, --tls-dir)";
        return Err((StatusCode::FORBIDDEN, text.to_owned()));
    }
    let format = request.query("format").unwrap_or_default();
    if format != FORMAT.to_string() {
        let text = format!("this server tells in form {FORMAT}, and the balancer wants '{format}'");
        return Err(invalid(text));
    }
    let word = |name: &str| {
        let word = request.query(name).unwrap_or_default();
        let is_one = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_fine = (1..=NAME_MAX).contains(&word.len()) && word.bytes().all(is_one);
        let text = format!(
            "{name} '{word}': it has 1 to {NAME_MAX} letters, digits, dots, hyphens and underscores"
        );
        is_fine.then_some(word).ok_or_else(|| invalid(text))
    };
    let serves = request.query("serves").unwrap_or_default();
    let serves: Vec<_> =
        serves.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if serves.len() > SERVES_MAX {
        return Err(invalid(format!("serves: at most {SERVES_MAX} load balancers can be named")));
    }
    let joined = balancers.join(word("name")?, word("start")?, serves);
    let ticket = joined.map_err(|refused| match refused {
        Refused::NotLeading => {
            let text = "no server leads yet; try again";
            (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
        Refused::TooMany => {
            let text = "as many balancers as there may be have joined";
            (StatusCode::TOO_MANY_REQUESTS, text.to_owned())
        }
    })?;
    let (sender, body) = Body::sent();
    tokio::spawn(pump(ticket, sender));
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Tells a balancer what to do, until it reads no more or this server leads no more.
async fn pump(ticket: Ticket, sender: BodySender) {
    let mut telling = ticket.balancers.telling.subscribe();
    let mut before = None;
    loop {
        let Some(now) = telling.borrow_and_update().clone() else { return };
        let config = now.of(&ticket.start, &ticket.serves);
        let change = match &before {
            None => Some(Told::whole(&config, Some(now.cookie_key().clone()))),
            Some(before) => Told::between(before, &config),
        };
        if let Some(change) = change {
            let mut line = match serde_json::to_string(&change) {
                Ok(line) => line,
                Err(error) => return tracing::error!(%error, "a configuration cannot be told"),
            };
            line.push('\n');
            if !sender.send(line).await {
                return;
            }
            before = Some(config);
        }
        tokio::select! {
            biased;
            () = sender.closed() => return,
            changed = telling.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(HEARTBEAT) => if !sender.send("\n").await { return },
        }
    }
}

fn told(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({"message": message}).to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
