//! What is counted of a request.

use std::time::Instant;

use http::{HeaderMap, Request, Response};
use meters::{Call, Direction, Word};

use terms::Uuid;

use super::Body;

/// The code of an answer that is no error.
const OK: Word = Word::new("OK");
/// What stands for a service or operation that nobody knows: clients choose those names.
const UNKNOWN: Word = Word::new("unknown");
/// The service of paths that are no AWS operation.
const OURS: Word = Word::new("longshore");

/// A request under way, counted when it is answered; one whose client went away is not counted
/// but for the time that it was under way.
pub(super) struct Seen {
    begun: Instant,
    service: Word,
    operation: Word,
    code: Word,
}

impl Seen {
    pub(super) fn begin(request: &Request<Body>) -> Self {
        meters::edge().in_flight.inc();
        count_body("in", request.body());
        Self { begun: Instant::now(), service: UNKNOWN, operation: UNKNOWN, code: OK }
    }

    /// It means this operation.
    pub(super) fn call(&mut self, service: &'static str, operation: &'static str) {
        self.service = Word::new(service);
        self.operation = Word::new(operation);
    }

    /// It is for this path of our own.
    pub(super) fn route(&mut self, prefix: &'static str) {
        self.service = OURS;
        self.operation = Word::new(prefix);
    }

    /// It was refused.
    pub(super) fn refused(&mut self, code: &str) {
        self.code = Word::of(code);
    }

    /// Counts it, and says so to who listens at the level of debugging.
    pub(super) fn answered(mut self, response: &Response<Body>, request_id: Uuid) {
        let status = response.status();
        if self.code == OK && (status.is_client_error() || status.is_server_error()) {
            self.refused(status.as_str());
        }
        count_body("out", response.body());
        let Self { service, operation, code, .. } = self;
        tracing::debug!(
            %request_id,
            service = service.as_str(),
            operation = operation.as_str(),
            code = code.as_str(),
            status = status.as_u16(),
            took_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        meters::edge().answered(Call { service, operation, code }, self.begun.elapsed());
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        meters::edge().in_flight.dec();
    }
}

/// The trace that the client is in, as it says: W3C's `traceparent` before AWS's
/// `X-Amzn-Trace-Id`. Ours links to it.
pub(super) fn link(headers: &HeaderMap) -> Option<&str> {
    let named = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    named("traceparent").or_else(|| named("x-amzn-trace-id"))
}

fn count_body(direction: &'static str, body: &Body) {
    if let Some(bytes) = hyper::body::Body::size_hint(body).exact() {
        meters::edge().body_bytes.get_or_create(&Direction { direction }).inc_by(bytes);
    }
}
