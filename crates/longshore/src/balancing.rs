//! Load balancing joined to the rest of the server.

use std::net::IpAddr;
use std::sync::Arc;

use ecs::Ecs;
use elbv2::{Elb, ElbSetup, Instances, Tables};
use ledger::Ledger;
use vpc::Scope;

/// Where instances are: container instances of ECS, where their agents say that ports are published.
struct ContainerInstances(Ecs);

impl Instances for ContainerInstances {
    fn address(&self, scope: &Scope, instance: &str) -> Option<IpAddr> {
        self.0.address_of_machine(&scope.account, &scope.region, instance)
    }
}

/// The service over its tables, which services of ECS register targets in.
pub fn join(
    tables: Tables,
    (vpc, certificates): (vpc::Tables, certificates::Tables),
    ledger: &Ledger,
    ecs: &Ecs,
) -> Elb {
    ecs.balance(tables);
    let instances = Arc::new(ContainerInstances(ecs.clone()));
    Elb::new(tables, ledger.clone(), ElbSetup { vpc, certificates, instances })
}
