//! Single cases, one for each rule.

use placement::{
    Availability, Binpack, Constraint, Demand, Fleet, Instance, PortSet, Reason, Request,
    RequiredAttribute, Spread, Strategy, count_reasons,
};
use terms::{CpuUnits, MemoryMib};

use super::fleets::{attributes, demand, id};

fn instance(number: u8) -> Instance {
    Instance::new(id(number), CpuUnits::new(1024), MemoryMib::new(1024))
}

fn request(count: u32) -> Request {
    Request {
        count,
        group: "family:web".into(),
        demand: demand(128, 128, &[]),
        ..Request::default()
    }
}

fn fleet(instances: impl IntoIterator<Item = Instance>) -> Fleet {
    let mut fleet = Fleet::default();
    instances.into_iter().for_each(|instance| fleet.upsert(instance));
    fleet
}

#[test]
fn each_reason_is_told_with_its_figures() {
    fn check(instance: Instance, request: Request, code: &str, text: &str) {
        let reason = instance.check(&request).unwrap_err();
        assert_eq!((reason.code(), reason.to_string().as_str()), (code, text));
    }
    let needs = |name: &str, value: Option<&str>| Request {
        attributes: vec![RequiredAttribute { name: name.into(), value: value.map(Into::into) }],
        ..request(1)
    };
    let takes = |demand: Demand| Request { demand, ..request(1) };
    let gone = instance(1).with_availability(Availability::Inactive);
    check(gone, request(1), "INACTIVE", "it is not ACTIVE");
    let away = instance(1).with_availability(Availability::Disconnected);
    check(away, request(1), "AGENT", "its agent is not connected");
    check(instance(1), needs("gpu", None), "ATTRIBUTE", "it has no attribute gpu");
    let arm = || instance(1).with_attributes(attributes(&[("arch", "arm64")]));
    check(arm(), needs("arch", Some("x86_64")), "ATTRIBUTE", "its attribute arch is not x86_64");
    assert_eq!(arm().check(&needs("arch", Some("arm64"))), Ok(()));
    let text = "the task needs 1025 CPU units, 1024 are free";
    check(instance(1), takes(demand(1025, 0, &[])), "RESOURCE:CPU", text);
    let text = "the task needs 1025 MiB of memory, 1024 are free";
    check(instance(1), takes(demand(0, 1025, &[])), "RESOURCE:MEMORY", text);
    let reserved =
        || instance(1).with_reserved_ports(PortSet::from_iter([22, 80]), PortSet::from_iter([53]));
    let text = "TCP port 80 is taken or reserved";
    check(reserved(), takes(demand(0, 0, &[443, 80])), "RESOURCE:PORTS", text);
    let udp = Demand { udp: vec![53], ..Demand::default() };
    check(reserved(), takes(udp), "RESOURCE:PORTS", "UDP port 53 is taken or reserved");
    let mut busy = instance(1);
    busy.hold(&"family:web".into(), &demand(0, 0, &[]));
    let alone = Request { constraints: vec![Constraint::DistinctInstance], ..request(1) };
    let text = "a task of the same group runs there already";
    check(busy, alone, "DistinctInstance placement constraint unsatisfied.", text);
}

#[test]
fn an_empty_fleet_places_nothing() {
    let placement = Fleet::default().place(&request(3), 0);
    assert_eq!((placement.placed.len(), placement.considered), (0, 0));
}

#[test]
fn distinct_instances_take_one_task_each() {
    let distinct = Request { constraints: vec![Constraint::DistinctInstance], ..request(5) };
    let mut fleet = fleet((0..3).map(instance));
    assert!(fleet.refusals(&distinct).is_empty());
    let placement = fleet.place(&distinct, 7);
    let mut placed = placement.placed;
    placed.sort_unstable();
    assert_eq!(placed, [id(0), id(1), id(2)]);
    assert!(placement.shortage.iter().all(|r| r.reason == Reason::DistinctInstance));
    assert_eq!(count_reasons(&placement.shortage), [(Reason::DistinctInstance.code(), 3)].into());
}

#[test]
fn one_static_port_allows_one_task_an_instance() {
    let web = Request { demand: demand(0, 0, &[80]), ..request(3) };
    let placement = fleet((0..2).map(instance)).place(&web, 1);
    assert_eq!(placement.placed.len(), 2);
    assert!(placement.shortage.iter().all(|r| r.reason == Reason::TcpPort(80)));
}

#[test]
fn strategies_chain() {
    let zoned = |number, zone: &str, memory| {
        Instance::new(id(number), CpuUnits::new(1024), MemoryMib::new(memory))
            .with_attributes(attributes(&[("zone", zone)]))
    };
    let mut fleet =
        fleet([zoned(0, "a", 2048), zoned(1, "a", 1024), zoned(2, "b", 4096), zoned(3, "b", 512)]);
    let chained = Request {
        strategies: vec![
            Strategy::Spread(Spread::Attribute("zone".into())),
            Strategy::Binpack(Binpack::Memory),
        ],
        ..request(4)
    };
    assert_eq!(fleet.place(&chained, 9).placed, [id(3), id(1), id(3), id(1)]);
}

#[test]
fn chance_reaches_every_instance() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64 {
        seen.extend(fleet((0..4).map(instance)).place(&request(1), seed).placed);
    }
    assert_eq!(seen.len(), 4);
}
