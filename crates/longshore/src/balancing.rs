//! Load balancing joined to the rest of the server.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ecs::Ecs;
use elbv2::{Elb, ElbSetup, Instances, Tables};
use ledger::Ledger;
use vpc::Scope;

/// Where instances are: container instances of ECS, on the machine that the server runs on.
struct ContainerInstances(Ecs);

impl Instances for ContainerInstances {
    fn address(&self, scope: &Scope, instance: &str) -> Option<IpAddr> {
        let is_there = self.0.has_machine(&scope.account, &scope.region, instance);
        is_there.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

/// The service over its tables.
pub fn join(
    tables: Tables,
    (vpc, certificates): (vpc::Tables, certificates::Tables),
    ledger: &Ledger,
    ecs: &Ecs,
) -> Elb {
    let instances = Arc::new(ContainerInstances(ecs.clone()));
    Elb::new(tables, ledger.clone(), ElbSetup { vpc, certificates, instances })
}
