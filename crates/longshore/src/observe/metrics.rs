//! `/_longshore/metrics`, signed like every path of ours, and `/metrics` on a listener of its own,
//! for Prometheus cannot sign.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use http::{HeaderValue, Response, StatusCode, header};
use meters::Form;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use terms::{Region, Timestamp};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wire::{Authenticator, Body, CredentialLookup, Edge, Priority, Route, RouteAuth, RouteRequest};

use super::figures::{self, Source};
use super::process;
use crate::clock::{RandomIds, SystemClock};

/// What a process tells of itself. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    role: &'static str,
    sources: Arc<Vec<Source>>,
    /// The server's edge, once it is there: it is made after the paths that this is read by.
    edge: Arc<OnceLock<Edge>>,
}

impl Metrics {
    /// The process's counters, and the figures of these sources.
    pub fn new(role: &'static str, sources: Vec<Source>) -> Self {
        Self { role, sources: Arc::new(sources), edge: Arc::default() }
    }

    /// Adds the figures of the server's edge.
    pub fn watch(&self, edge: &Edge) {
        let _ = self.edge.set(edge.clone());
    }

    /// All of them as text.
    pub fn text(&self, form: Form) -> String {
        let mut registry = Registry::default();
        process::add(&mut registry);
        let ours = registry.sub_registry_with_prefix(meters::NAME_PREFIX);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("role", self.role)]);
        ours.register("build", "What runs here", build);
        for source in self.sources.iter() {
            source(ours);
        }
        if let Some(edge) = self.edge.get() {
            figures::of_edge(ours, &edge.load());
        }
        meters::render(&registry, form)
    }

    /// The signed path: for operators' keys.
    pub fn route(&self) -> Route {
        let metrics = self.clone();
        Route::new("/_longshore/metrics", RouteAuth::Signed("ecs"), move |request| {
            let metrics = metrics.clone();
            async move { if may_see(&request) { metrics.answer(&request) } else { forbidden() } }
        })
        .here()
        .priority(Priority::Vital)
    }

    /// Serves `/metrics` to whoever reaches the address, until `shutdown`; gives its URL.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn listen(&self, address: SocketAddr, shutdown: CancellationToken) -> Result<String> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on --metrics-listen {address}"))?;
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics can be read from other machines, unsigned");
        }
        tracing::info!(%address, "metrics are at http://{address}/metrics");
        let metrics = self.clone();
        let route = Route::new("/metrics", RouteAuth::Unsigned, move |request| {
            let answer = metrics.answer(&request);
            async move { answer }
        })
        .priority(Priority::Vital);
        let edge = Edge::builder(Arc::new(Nobody), Arc::new(SystemClock), Arc::new(RandomIds));
        tokio::spawn(edge.route(route).build().serve(listener, shutdown));
        Ok(format!("http://{address}/metrics"))
    }

    fn answer(&self, request: &RouteRequest) -> Response<Body> {
        let accept = request.parts.headers.get(header::ACCEPT);
        let form = Form::accepted(accept.and_then(|accept| accept.to_str().ok()));
        let mut response = Response::new(Body::from(self.text(form)));
        let content_type = HeaderValue::from_static(form.content_type());
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}

/// Whether who asks may see what all of the server does: its operators, and nobody's task or node.
pub fn may_see(request: &RouteRequest) -> bool {
    request.caller.as_ref().is_some_and(|caller| caller.kind.operates())
}

/// The answer to all others.
pub fn forbidden() -> Response<Body> {
    let text = r#"{"message":"only an operator's key may see inside the server"}"#;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Knows no keys: the listener has no signed path.
struct Nobody;

impl Authenticator for Nobody {
    fn find(&self, _: &str, _: Option<&str>, _: &Region, _: Timestamp) -> CredentialLookup {
        CredentialLookup::Unknown
    }
}
