//! Random fleets and requests.

use std::sync::Arc;

use placement::{
    Attributes, Availability, Binpack, Constraint, Demand, Fleet, Instance, PortSet, Request,
    RequiredAttribute, Spread, Strategy as Rule,
};
use proptest::prelude::*;
use terms::{ContainerInstanceId, CpuUnits, MemoryMib};

pub fn id(number: u8) -> ContainerInstanceId {
    ContainerInstanceId::from_bytes([number; 16])
}

pub fn attributes(pairs: &[(&str, &str)]) -> Arc<Attributes> {
    let pair = |&(name, value): &(&str, &str)| (Arc::from(name), Some(Arc::from(value)));
    Arc::new(pairs.iter().map(pair).collect())
}

pub fn demand(cpu: u32, memory: u32, tcp: &[u16]) -> Demand {
    Demand {
        cpu: CpuUnits::new(cpu),
        memory: MemoryMib::new(memory),
        tcp: tcp.to_vec(),
        ..Demand::default()
    }
}

/// What a random instance is made of; kept, so that tests can count for themselves.
#[derive(Debug, Clone)]
pub struct Parts {
    pub cpu: u32,
    pub memory: u32,
    pub zone: Option<u8>,
    pub connected: bool,
    pub held: Vec<(u8, u32, u32)>,
}

pub fn group(number: u8) -> Arc<str> {
    Arc::from(format!("family:{number}"))
}

pub fn parts() -> impl Strategy<Value = Parts> {
    let held = prop::collection::vec((0..3_u8, 0..300_u32, 0..300_u32), 0..4);
    (0..2048_u32, 0..2048_u32, prop::option::of(0..3_u8), prop::bool::weighted(0.9), held).prop_map(
        |(cpu, memory, zone, connected, held)| Parts { cpu, memory, zone, connected, held },
    )
}

pub fn fleet(parts: &[Parts]) -> Fleet {
    let mut fleet = Fleet::default();
    for (number, parts) in (0..).zip(parts) {
        let availability =
            if parts.connected { Availability::Ready } else { Availability::Disconnected };
        let zone = parts.zone.map(|zone| zone.to_string());
        let attributes = zone.map(|zone| attributes(&[("zone", &zone)])).unwrap_or_default();
        let instance =
            Instance::new(id(number), CpuUnits::new(parts.cpu), MemoryMib::new(parts.memory))
                .with_availability(availability)
                .with_attributes(attributes)
                .with_reserved_ports(PortSet::from_iter([22]), PortSet::default());
        fleet.upsert(instance);
        for &(of, cpu, memory) in &parts.held {
            fleet.hold(id(number), &group(of), &demand(cpu, memory, &[]));
        }
    }
    fleet
}

pub fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just(Rule::Random),
        Just(Rule::Spread(Spread::Instance)),
        Just(Rule::Spread(Spread::Attribute("zone".into()))),
        Just(Rule::Binpack(Binpack::Cpu)),
        Just(Rule::Binpack(Binpack::Memory)),
    ]
}

pub fn request() -> impl Strategy<Value = Request> {
    let demands = (0..300_u32, 0..300_u32, prop::bool::weighted(0.2));
    let rules = prop::collection::vec(rule(), 0..4);
    (1..12_u32, demands, 0..3_u8, rules, prop::bool::weighted(0.2), prop::bool::weighted(0.2))
        .prop_map(|(count, (cpu, memory, port), of, strategies, distinct, zoned)| Request {
            count,
            group: group(of),
            demand: demand(cpu, memory, if port { &[80] } else { &[] }),
            attributes: Vec::from_iter(
                zoned.then(|| RequiredAttribute { name: "zone".into(), value: None }),
            ),
            constraints: Vec::from_iter(distinct.then_some(Constraint::DistinctInstance)),
            strategies,
            zones: None,
        })
}
