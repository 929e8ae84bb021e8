//! Putting an edge together.

use std::collections::HashMap;
use std::sync::Arc;

use terms::{AccountId, Clock, IdSource, Region};

use super::admission::Admission;
use super::connections::Connections;
use super::counters::Counters;
use super::relay::Relay;
use super::{Edge, EdgeLimits, Gate, Inner, Route};
use crate::client::Exchange;
use crate::sigv4::{Policy, Verifier};
use crate::tls::{ClientCertificates, TlsClient, TlsServer};
use crate::{Auditor, Authenticator, Service};

/// An [`Edge`] in the making.
#[derive(Debug)]
pub struct EdgeBuilder {
    inner: Inner,
    skew: Policy,
    limits: EdgeLimits,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("services", &self.services).finish_non_exhaustive()
    }
}

/// The account of a server that was given none (design.md: names and defaults).
const HOME_ACCOUNT: &str = "000000000000";
/// The region of a server that was given none.
const HOME_REGION: &str = "us-east-1";

impl EdgeBuilder {
    #[allow(clippy::expect_used)]
    pub(super) fn new(
        authenticator: Arc<dyn Authenticator>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        let inner = Inner {
            authenticator,
            auditor: None,
            clock,
            ids,
            verifier: Verifier::default(),
            services: Vec::new(),
            by_name: HashMap::new(),
            by_target: HashMap::new(),
            routes: Vec::new(),
            gate: None,
            open: false,
            tls: None,
            client_certificates: ClientCertificates::default(),
            account: HOME_ACCOUNT.parse().expect("the home account is twelve digits"),
            region: HOME_REGION.parse().expect("the home region is a region"),
            connections: Connections::new(EdgeLimits::default(), Arc::default()),
            admission: Admission::new(&EdgeLimits::default(), Arc::default()),
        };
        Self { inner, skew: Policy::default(), limits: EdgeLimits::default() }
    }

    /// Adds a service.
    ///
    /// # Panics
    /// If a service of that name is there already.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        let (model, index) = (service.model(), self.inner.services.len());
        let before = self.inner.by_name.insert(model.name, index);
        assert!(before.is_none(), "the service {} is there twice", model.name);
        if !model.target_prefix.is_empty() {
            self.inner.by_target.insert(model.target_prefix, index);
        }
        self.inner.services.push(service);
        self
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.inner.routes.push(route);
        self.inner.routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        self
    }

    /// Tells `auditor` of each call that is answered here, and of requests to signed routes.
    #[must_use]
    pub fn auditor(mut self, auditor: Arc<dyn Auditor>) -> Self {
        self.inner.auditor = Some(auditor);
        self
    }

    /// Asks `gate` where each request is answered, and sends on what other servers answer, to
    /// those that `tls` trusts. Without a gate, all are answered here.
    #[must_use]
    pub fn gate(mut self, gate: Arc<dyn Gate>, tls: Option<&TlsClient>) -> Self {
        let relay = tls.map_or_else(|| Relay::new(&TlsClient::none()), Relay::new);
        self.inner.gate = Some((gate, relay));
        self
    }

    /// The same with requests to other servers that go through `exchange` instead of a socket: for
    /// simulation. Upgrades do not work with it.
    #[must_use]
    pub fn gate_through(mut self, gate: Arc<dyn Gate>, exchange: Arc<dyn Exchange>) -> Self {
        self.inner.gate = Some((gate, Relay::through(exchange)));
        self
    }

    /// With `true`, every request is accepted: keys that are known act as their owner, all others
    /// as [`crate::CallerKind::Open`], in the account that a key id of twelve digits names or else
    /// the home account. Only for a loopback address; the caller sees to that.
    #[must_use]
    pub fn open(mut self, open: bool) -> Self {
        self.inner.open = open;
        self
    }

    /// With a certificate, connections are within TLS only.
    #[must_use]
    pub fn tls(mut self, tls: Option<TlsServer>) -> Self {
        self.inner.tls = tls;
        self
    }

    /// Whether container instances need their certificates. Default: they do not.
    #[must_use]
    pub fn client_certificates(mut self, policy: ClientCertificates) -> Self {
        self.inner.client_certificates = policy;
        self
    }

    /// The account and region of requests that name none. Default `000000000000`, `us-east-1`.
    #[must_use]
    pub fn home(mut self, account: AccountId, region: Region) -> Self {
        self.inner.account = account;
        self.inner.region = region;
        self
    }

    /// What the check of signatures allows. Default: five minutes of skew.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.skew = policy;
        self
    }

    /// How much the edge takes. Default: [`EdgeLimits::default`].
    #[must_use]
    pub fn limits(mut self, limits: EdgeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The edge.
    pub fn build(self) -> Edge {
        let mut inner = self.inner;
        let counters = Arc::new(Counters::default());
        inner.admission = Admission::new(&self.limits, counters.clone());
        inner.connections = Connections::new(self.limits, counters);
        inner.verifier = Verifier::new(self.skew);
        Edge(Arc::new(inner))
    }
}
