//! The names of load balancers, as they are answered by DNS. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use balancer::{Config, LoadBalancer};
use dns::{Data, Zone};

use super::Front;
use crate::model::{DNS_SUFFIX, network_suffix};

/// How long who asks keeps an answer, in seconds (Elastic Load Balancing user guide, "Request routing").
const TTL: u32 = 60;

/// The zones of these load balancers. One that balancers serve is where they are: all of those that
/// are there, or all if none is.
pub(crate) fn zones(config: &Config, fronts: &[Front], serial: u32) -> Vec<Zone> {
    // arn:aws:elasticloadbalancing:REGION:…
    let regions = config.load_balancers.iter().filter_map(|one| one.name.split(':').nth(3));
    let apexes: BTreeSet<String> = regions.map(|region| network_suffix(&region)).collect();
    let apexes = std::iter::once(DNS_SUFFIX.to_owned()).chain(apexes);
    let zone = |apex: String| {
        let mut zone = Zone::new(&apex, TTL, serial);
        for balancer in &config.load_balancers {
            for address in addresses(balancer, fronts) {
                zone.add(&balancer.dns_name, Data::from(address));
            }
        }
        zone
    };
    apexes.map(zone).collect()
}

fn addresses(balancer: &LoadBalancer, fronts: &[Front]) -> BTreeSet<IpAddr> {
    let serving: Vec<_> = fronts.iter().filter(|front| front.serves(&balancer.name)).collect();
    let at = |front: &&Front| front.found.address.unwrap_or(balancer.address);
    let there: BTreeSet<_> =
        serving.iter().copied().filter(|front| front.is_there).map(|front| at(&front)).collect();
    match (there.is_empty(), serving.is_empty()) {
        (false, _) => there,
        (true, false) => serving.iter().map(at).collect(),
        (true, true) => BTreeSet::from([balancer.address]),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use balancer::{FORMAT, Found, Settings};

    use super::*;

    const WEB: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/1";

    fn front(name: &str, last: u8, is_there: bool) -> Front {
        let found = Found {
            format: FORMAT,
            start: name.to_owned(),
            address: Some(Ipv4Addr::new(10, 0, 0, last).into()),
            load_balancers: [(WEB.to_owned(), None)].into(),
            targets: Vec::new(),
            checked: BTreeSet::new(),
            counts: Vec::new(),
            is_last: false,
        };
        Front { start: name.to_owned(), is_there, serves: Vec::new(), found: Arc::new(found) }
    }

    #[test]
    fn a_name_leads_to_who_serves_it() {
        let balancer = LoadBalancer {
            name: WEB.to_owned(),
            address: Ipv4Addr::new(127, 64, 0, 1).into(),
            dns_name: "web-1.us-east-1.elb.internal".to_owned(),
            settings: Settings::default(),
            log: None,
            listeners: Vec::new(),
        };
        let check = |fronts: &[Front], expected: &[[u8; 4]]| {
            let expected: BTreeSet<IpAddr> = expected.iter().map(|one| (*one).into()).collect();
            assert_eq!(addresses(&balancer, fronts), expected);
        };
        check(&[], &[[127, 64, 0, 1]]);
        check(&[front("a", 1, true), front("b", 2, true)], &[[10, 0, 0, 1], [10, 0, 0, 2]]);
        check(&[front("a", 1, true), front("b", 2, false)], &[[10, 0, 0, 1]]);
        check(&[front("a", 1, false)], &[[10, 0, 0, 1]]);
        let other = Front { serves: vec!["api".to_owned()], ..front("a", 1, true) };
        check(&[other], &[[127, 64, 0, 1]]);
        let config = Config { load_balancers: vec![balancer.clone()], groups: Vec::new() };
        let zones = zones(&config, &[], 1);
        let mut expected = Zone::new("elb.internal", 60, 1);
        expected.add(&balancer.dns_name, Data::A(Ipv4Addr::new(127, 64, 0, 1)));
        assert_eq!(zones, [expected, Zone::new("elb.us-east-1.internal", 60, 1)]);
    }
}
