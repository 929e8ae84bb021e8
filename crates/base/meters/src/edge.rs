//! The HTTP edge.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::{Catalogue, Counts, Histograms, Word};

/// Which operation of which service, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Call {
    /// The service's name; `longshore` for paths of our own.
    pub service: Word,
    /// The operation's name, or the prefix of the path.
    pub operation: Word,
    /// `OK`, or the code of the error.
    pub code: Word,
}

/// Which operation of which service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Operation {
    /// The service's name; `longshore` for paths of our own.
    pub service: Word,
    /// The operation's name, or the prefix of the path.
    pub operation: Word,
}

/// Which way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Direction {
    /// `in` from clients, `out` to them.
    pub direction: &'static str,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// A word of the code.
    pub reason: &'static str,
}

/// Meters of the HTTP edge.
#[derive(Debug)]
pub struct Edge {
    /// Requests that were answered.
    pub requests: Counts<Call>,
    /// From a request's head to its answer's head.
    pub request_seconds: Histograms<Operation>,
    /// Requests under way.
    pub in_flight: Gauge,
    /// Bytes of bodies, as far as their length was told.
    pub body_bytes: Counts<Direction>,
    /// Requests that were refused because there were too many.
    pub throttled: Counts<Reason>,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Connections that were cut off or refused.
    pub cut_off: Counts<Reason>,
}

impl Edge {
    pub(crate) fn register(catalogue: &mut Catalogue) -> Self {
        let r = &mut catalogue.group("edge");
        Self {
            requests: r.counters("requests", "Requests that were answered, by code"),
            request_seconds: r.timers("request", "From a request's head to its answer's"),
            in_flight: r.gauge("requests_in_flight", "Requests that are not answered yet"),
            body_bytes: r.counters("body_bytes", "Bytes of requests' and answers' bodies"),
            throttled: r.counters("throttled", "Requests refused because there were too many"),
            connections: r.gauge("connections", "Connections that are open"),
            accepted: r.counter("connections_accepted", "Connections that were accepted"),
            cut_off: r.counters("connections_cut_off", "Connections that we ended, by reason"),
        }
    }

    /// Counts an answer.
    pub fn answered(&self, call: Call, took: Duration) {
        let Call { service, operation, .. } = call;
        self.requests.get_or_create(&call).inc();
        let timer = self.request_seconds.get_or_create(&Operation { service, operation });
        timer.observe(took.as_secs_f64());
    }
}
