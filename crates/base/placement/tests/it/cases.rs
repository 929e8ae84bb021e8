//! Single cases, one for each rule.

use placement::{
    Availability, Binpack, Constraint, Demand, Fleet, Instance, PortSet, Reason, Request,
    RequiredAttribute, Spread, Strategy, ZONE, count_reasons,
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
fn what_awsvpc_gpus_and_expressions_lack_is_told() {
    fn check(instance: Instance, request: Request, code: &str, text: &str) {
        let mut fleet = fleet([instance]);
        let shortage = fleet.place(&request, 0).shortage;
        let told = (shortage[0].reason.code(), shortage[0].reason.to_string());
        assert_eq!(told, (code, text.to_owned()));
        assert_eq!(fleet.refusals(&request), shortage);
    }
    let takes = |demand: Demand| Request { demand, ..request(1) };
    let gpus = takes(Demand { gpus: 2, ..Demand::default() });
    check(instance(1).with_gpus(1), gpus, "RESOURCE:GPU", "the task needs 2 GPUs, 1 are free");
    let text = "the task needs a network interface, 0 can be attached";
    let eni = takes(Demand { enis: 1, ..Demand::default() });
    check(instance(1).with_enis(0), eni, "RESOURCE:ENI", text);
    let zones = Request { zones: Some(["b".into()].into()), ..request(1) };
    let text = "it is in zone a, where the task has no subnet";
    let in_a = instance(1).with_attributes(attributes(&[(ZONE, "a")]));
    check(in_a, zones.clone(), "LOCATION", text);
    let text = "it is in no zone, and the task's subnets are in some";
    check(instance(1), zones, "LOCATION", text);
    let expression = "attribute:stack == prod".parse().unwrap();
    let member = Request { constraints: vec![Constraint::MemberOf(expression)], ..request(1) };
    let text = "it is not one where attribute:stack == prod";
    check(instance(1), member, "MemberOf placement constraint unsatisfied.", text);
}

#[test]
fn chance_is_fair_between_instances_of_unequal_classes() {
    let one = instance(0).with_attributes(attributes(&[("zone", "a")]));
    let others =
        (1..4).map(|number| instance(number).with_attributes(attributes(&[("zone", "b")])));
    let mut fleet = fleet([one].into_iter().chain(others));
    let wanted = RequiredAttribute { name: "zone".into(), value: None };
    let request = Request { attributes: vec![wanted], ..request(1) };
    let mut chosen = [0; 4];
    for seed in 0..400 {
        let placed = fleet.plan(&request, seed).placed;
        chosen[usize::from(placed[0].bytes()[0])] += 1;
    }
    assert!(chosen.iter().all(|times| (70..130).contains(times)), "{chosen:?}");
}

#[test]
fn attributes_of_each_instance_do_not_hinder() {
    let serial = |number: u8| {
        instance(number).with_attributes(attributes(&[("serial", &format!("s{number}"))]))
    };
    let mut fleet = fleet((0..6).map(serial));
    let spread = vec![Strategy::Spread(Spread::Attribute("serial".into()))];
    let mut placed = fleet.place(&Request { strategies: spread, ..request(6) }, 3).placed;
    placed.sort_unstable();
    assert_eq!(placed, (0..6).map(id).collect::<Vec<_>>());
    let expression = "attribute:serial in [s2, s4]".parse().unwrap();
    let constraints = vec![Constraint::MemberOf(expression)];
    let strategies = vec![Strategy::Spread(Spread::Instance)];
    let mut placed = fleet.place(&Request { constraints, strategies, ..request(2) }, 3).placed;
    placed.sort_unstable();
    assert_eq!(placed, [id(2), id(4)]);
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
