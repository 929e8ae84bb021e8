//! The HTTP edge: one port for every service.

mod admission;
mod answering;
mod body;
mod builder;
mod connections;
mod counters;
mod dispatch;
mod file;
mod gate;
mod hearing;
mod intake;
mod lent;
mod limits;
mod receive;
mod relay;
mod resolve;
mod route;
mod seen;
mod serve;
mod shares;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;

use terms::{AccountId, Clock, IdSource, Region};

pub use admission::Priority;
pub use body::{Body, BodyError};
pub use builder::EdgeBuilder;
pub use counters::EdgeLoad;
pub use gate::{Ask, Gate, Need, Passage, Unavailable, need_by_name};
pub use limits::{EdgeLimits, SeatLimits};
pub use route::{Route, RouteAuth, RouteRequest};
pub use writer::{BodySender, BodyWriter};

use admission::Admission;
use connections::Connections;

use crate::sigv4::Verifier;
use crate::tls::{ClientCertificates, TlsServer};
use crate::{Auditor, Authenticator, Service, ServiceModel};

/// Larger bodies of AWS calls and signed routes are refused, in bytes. ECS's largest request is a
/// task definition of 64 KiB.
pub const BODY_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The server side of the wire. Cheap to clone.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    authenticator: Arc<dyn Authenticator>,
    auditor: Option<Arc<dyn Auditor>>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    verifier: Verifier,
    services: Vec<Service>,
    by_name: HashMap<&'static str, usize>,
    by_target: HashMap<&'static str, usize>,
    /// Longest prefix first.
    routes: Vec<Route>,
    /// Which server answers, if several serve together.
    gate: Option<(Arc<dyn Gate>, relay::Relay)>,
    open: bool,
    tls: Option<TlsServer>,
    client_certificates: ClientCertificates,
    account: AccountId,
    region: Region,
    connections: Arc<Connections>,
    admission: Admission,
}

impl Edge {
    /// An edge that asks `authenticator` about keys and takes time and request ids from `clock`
    /// and `ids`.
    pub fn builder(
        authenticator: Arc<dyn Authenticator>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> EdgeBuilder {
        EdgeBuilder::new(authenticator, clock, ids)
    }

    /// How busy the edge is, and what it has turned away.
    pub fn load(&self) -> EdgeLoad {
        let (connections, [api, agents]) = (&self.0.connections, self.0.admission.occupancy());
        let (request_bytes, response_bytes) = connections.bytes();
        EdgeLoad {
            connections: connections.count(),
            api_in_flight: api.0,
            api_waiting: api.1,
            agents_in_flight: agents.0,
            agents_waiting: agents.1,
            request_bytes,
            response_bytes,
            ..connections.counters.totals()
        }
    }

    /// The services that the edge knows.
    pub fn models(&self) -> impl Iterator<Item = &'static ServiceModel> + '_ {
        self.0.services.iter().map(Service::model)
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("services", &self.0.services).finish_non_exhaustive()
    }
}
