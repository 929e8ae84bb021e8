//! `GET /_longshore/events?resource=&follow=&last=&deadLetters=`: what `longshore events` shows.
//! Events come as JSON, one a line; with `deadLetters=true` deliveries that were given up.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use wire::{Body, Route, RouteAuth, RouteRequest};

use crate::Events;
use crate::journal::{Following, Noted};
use crate::tables::Scope;

/// The path.
pub const EVENTS_PATH: &str = "/_longshore/events";
/// Lines on their way to one reader.
const LINES_MAX: usize = 64;
/// How many events are shown of the past, if the request does not say.
const LAST_DEFAULT: usize = 100;

/// The route, for operators.
pub(crate) fn route(events: &Events) -> Route {
    let events = events.clone();
    Route::new(EVENTS_PATH, RouteAuth::Signed("ecs"), move |request| {
        let answer = answer(&events, &request);
        std::future::ready(answer)
    })
}

fn answer(events: &Events, request: &RouteRequest) -> Response<Body> {
    let caller = request.caller.as_deref();
    let caller = caller.filter(|caller| caller.kind.operates());
    let Some(caller) = caller else {
        let told = json!({"message": "only an operator's key may look at events"});
        return whole(StatusCode::FORBIDDEN, told.to_string().into());
    };
    let scope = Scope { account: caller.account.clone(), region: caller.region.clone() };
    let is_true = |name| request.query(name).is_some_and(|value| value == "true");
    if is_true("deadLetters") {
        return whole(StatusCode::OK, Body::from(letters(events, &scope)));
    }
    let wanted = Wanted { scope, resource: request.query("resource").filter(|r| !r.is_empty()) };
    let last = request.query("last").and_then(|last| last.parse().ok()).unwrap_or(LAST_DEFAULT);
    let (kept, following) = events.inner.journal.read();
    let mut past: Vec<String> =
        kept.iter().rev().filter_map(|noted| wanted.line(noted)).take(last).collect();
    past.reverse();
    let past = Bytes::from(past.concat());
    if !is_true("follow") {
        return whole(StatusCode::OK, Body::from(past));
    }
    let (sender, lines) = mpsc::channel(LINES_MAX);
    tokio::spawn(pump(past, following, wanted, sender));
    let frames = stream::unfold(lines, |mut lines| async move {
        let line = lines.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(line)), lines))
    });
    whole(StatusCode::OK, Body::stream(StreamBody::new(frames)))
}

/// Sends lines to one who follows, until the reader or the server goes.
async fn pump(past: Bytes, mut following: Following, wanted: Wanted, sender: mpsc::Sender<Bytes>) {
    if !past.is_empty() && sender.send(past).await.is_err() {
        return;
    }
    loop {
        let line = tokio::select! {
            biased;
            () = sender.closed() => return,
            line = next(&mut following, &wanted) => line,
        };
        let Some(line) = line else { return };
        if sender.send(Bytes::from(line)).await.is_err() {
            return;
        }
    }
}

/// The next line for one who follows; none if the server ends.
async fn next(following: &mut Following, wanted: &Wanted) -> Option<String> {
    loop {
        let noted = tokio::select! {
            biased;
            _ = following.ended.changed() => return None,
            noted = following.news.recv() => noted,
        };
        match noted {
            Ok(noted) => {
                if let Some(line) = wanted.line(&noted) {
                    return Some(line);
                }
            }
            Err(RecvError::Lagged(missed)) => {
                return Some(format!("{}\n", json!({"missed": missed})));
            }
            Err(RecvError::Closed) => return None,
        }
    }
}

/// What somebody wants to see.
struct Wanted {
    scope: Scope,
    resource: Option<String>,
}

impl Wanted {
    /// The event as a line, if it is wanted.
    fn line(&self, noted: &Arc<Noted>) -> Option<String> {
        if !noted.is_in(&self.scope) {
            return None;
        }
        let event = noted.event();
        let is_wanted = self.resource.as_deref().is_none_or(|resource| {
            event.resources.iter().any(|arn| names(arn, resource))
                || event.source == resource
                || names_group(&event.detail, resource)
        });
        is_wanted.then(|| event.text() + "\n")
    }
}

/// Fewest letters that are taken for the begin of an id.
const BEGIN_MIN: usize = 4;

/// Whether an ARN is of what a text says: the ARN itself, one of its parts, or the begin of an id
/// in it. Names are said in full: `web` is not `web-canary`.
fn names(arn: &str, text: &str) -> bool {
    let begins = |part: &str| text.len() >= BEGIN_MIN && is_id(part) && part.starts_with(text);
    arn == text || arn.split(['/', ':']).any(|part| part == text || begins(part))
}

/// Whether a part of an ARN is an id, as those of tasks and container instances are, and not a name.
fn is_id(part: &str) -> bool {
    let digits = part.bytes().filter(|&byte| byte != b'-').count();
    digits == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Whether the detail is of a task of the service.
fn names_group(detail: &str, service: &str) -> bool {
    if !detail.contains("\"service:") {
        return false;
    }
    let detail: Value = serde_json::from_str(detail).unwrap_or_default();
    detail["group"].as_str().and_then(|group| group.strip_prefix("service:")) == Some(service)
}

fn letters(events: &Events, scope: &Scope) -> String {
    let line = |letter: crate::DeadLetter| {
        let delivery = &letter.delivery;
        let told = json!({
            "at": letter.at.to_string(),
            "ruleArn": delivery.rule_arn,
            "targetArn": delivery.arn(),
            "targetId": delivery.target.id,
            "eventId": delivery.event_id,
            "attempts": delivery.attempts,
            "errorCode": letter.error_code,
            "errorMessage": letter.error_message,
            "exhaustedRetryCondition": letter.exhausted,
            "payload": delivery.payload,
        });
        format!("{told}\n")
    };
    events.dead_letters(scope).into_iter().map(line).collect()
}

fn whole(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_said_in_full_and_ids_by_their_begin() {
        let service = "arn:aws:ecs:us-east-1:000000000000:service/default/web";
        let canary = "arn:aws:ecs:us-east-1:000000000000:service/default/web-canary";
        let id = "0a1b2c3d".repeat(4);
        let task = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}");
        assert!(names(service, "web") && names(canary, "web-canary"));
        assert!(names(service, service) && names(service, "default"));
        assert!(!names(canary, "web") && !names(service, "we"));
        assert!(names(&task, "0a1b2c") && names(&task, &id));
        assert!(!names(&task, "0a1") && !names(&task, "1b2c3d"));
        let uuid = "arn:aws:events:us-east-1:000000000000:thing/\
                    0a1b2c3d-0a1b-2c3d-0a1b-2c3d0a1b2c3d";
        assert!(names(uuid, "0a1b2c3d-0a1b"));
    }
}
