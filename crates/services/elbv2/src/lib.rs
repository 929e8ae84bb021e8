//! Elastic Load Balancing v2: load balancers, listeners, rules, target groups and targets.
//!
//! - Tables ([`Tables`]): what users want, in five tables; what health checks found, in one of its
//!   own that only the data plane's reports write.
//! - Operations ([`Elb::service`]): `api/`.
//! - `reconcile.rs` keeps the data plane as the rows say (`decide/`, pure), and the rows of health as
//!   the data plane says ([`Elb::run`]).
//! - `balancers/`: data planes on hosts of their own, which join and are told what to do.
//!
//! **Invariant:** no two load balancers of a ledger listen on the same address.
//! **Invariant:** a target group is named by the actions of one load balancer at most.
//! **Absent on purpose:** enforcement of security groups; several zones: one data plane serves all
//! of them.

mod api;
mod arn;
mod balancers;
mod decide;
mod error;
mod model;
mod peer;
mod reconcile;
mod tables;
mod uses;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use balancer::{Balancer, Config};
use dns::{Zone, Zones};
use ledger::Ledger;
use tokio_util::sync::CancellationToken;
use vpc::Scope;
use wire::{Route, Service};

pub use balancers::{BALANCER_PATH, Served};
pub use model::{Health, HealthState, Reason, TargetType};
pub use peer::{Group, Place, Standing, TargetName};
pub use tables::Tables;

use balancers::Balancers;

/// The names of the load balancers of a data plane, each leading to where it listens. `serial` has to
/// grow with each change.
pub fn zones(config: &Config, serial: u32) -> Vec<Zone> {
    decide::zones(config, &[], serial)
}

/// Where instances are. Implemented by who knows instances.
pub trait Instances: Send + Sync + 'static {
    /// The address at which the ports of an instance are reached, as in `i-0123456789abcdef0`; none
    /// for one that is not there.
    fn address(&self, scope: &Scope, instance: &str) -> Option<IpAddr>;
}

/// What the service stands on.
pub struct ElbSetup {
    /// The networks' tables, of the same ledger.
    pub vpc: vpc::Tables,
    /// The certificates' tables, of the same ledger.
    pub certificates: certificates::Tables,
    /// Where instances are.
    pub instances: Arc<dyn Instances>,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Elb {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
    pub(crate) vpc: vpc::Tables,
    pub(crate) certificates: certificates::Tables,
    pub(crate) instances: Arc<dyn Instances>,
    pub(crate) balancers: Arc<Balancers>,
    pub(crate) zones: Zones,
}

impl Elb {
    /// The service over a ledger that was opened with these tables.
    pub fn new(tables: Tables, ledger: Ledger, setup: ElbSetup) -> Self {
        let ElbSetup { vpc, certificates, instances } = setup;
        let (balancers, zones) = Default::default();
        let inner = Inner { ledger, tables, vpc, certificates, instances, balancers, zones };
        Self { inner: Arc::new(inner) }
    }

    /// Keeps a data plane as the ledger says, and balancers on hosts of their own, until `shutdown`;
    /// then stops it and lets them go. Only the server that leads runs this.
    pub async fn run(&self, balancer: &Balancer, shutdown: CancellationToken) {
        self.inner.run(balancer, shutdown).await;
    }

    /// Its other path, for balancers on hosts of their own.
    pub fn routes(&self) -> Vec<Route> {
        vec![balancers::route(&self.inner.balancers)]
    }

    /// The names of load balancers; nothing on a server that does not lead.
    pub fn zones(&self) -> Zones {
        self.inner.zones.clone()
    }

    /// What load balancers have had to do, here and at balancers on hosts of their own.
    pub fn served(&self) -> Vec<Served> {
        self.inner.balancers.served()
    }

    /// How many balancers on hosts of their own are there.
    pub fn balancers(&self) -> usize {
        self.inner.balancers.count()
    }

    /// Its operations.
    pub fn service(&self) -> Service {
        api::service(&self.inner)
    }
}

impl fmt::Debug for Elb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elb(…)")
    }
}
