//! Random fleets and requests.

use std::collections::BTreeSet;
use std::sync::Arc;

use placement::{
    Attributes, Availability, Binpack, Constraint, Demand, Fleet, Instance, PortSet, Request,
    RequiredAttribute, Spread, Strategy as Rule, ZONE,
};
use proptest::prelude::*;
use proptest::sample::select;
use terms::{ContainerInstanceId, CpuUnits, MemoryMib};

/// Task groups in random fleets.
pub const GROUPS: u8 = 3;

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
    pub gpus: u32,
    pub enis: u32,
    pub zone: Option<u8>,
    pub rack: Option<u8>,
    pub availability: Availability,
    /// Groups of its tasks, and what they take.
    pub held: Vec<(u8, Demand)>,
}

impl Parts {
    /// An empty instance with as much CPU as memory.
    pub fn roomy(size: u32, zone: Option<u8>) -> Self {
        Self {
            cpu: size,
            memory: size,
            gpus: 0,
            enis: u32::MAX,
            zone,
            rack: None,
            availability: Availability::Ready,
            held: Vec::new(),
        }
    }

    /// The instance with its tasks.
    pub fn instance(&self, number: u8) -> Instance {
        let mut attributes = Attributes::new();
        let mut set = |name: &str, value: String| {
            attributes.insert(name.into(), Some(value.into()));
        };
        set("serial", format!("s{number}"));
        if let Some(zone) = self.zone {
            set(ZONE, zone.to_string());
        }
        if let Some(rack) = self.rack {
            set("rack", rack.to_string());
        }
        let (cpu, memory) = (CpuUnits::new(self.cpu), MemoryMib::new(self.memory));
        let mut instance = Instance::new(id(number), cpu, memory)
            .with_gpus(self.gpus)
            .with_enis(self.enis)
            .with_availability(self.availability)
            .with_attributes(Arc::new(attributes))
            .with_reserved_ports(PortSet::from_iter([22]), PortSet::default());
        for (of, demand) in &self.held {
            instance.hold(&group(*of), demand);
        }
        instance
    }
}

pub fn group(number: u8) -> Arc<str> {
    Arc::from(format!("family:{number}"))
}

/// Few different amounts, so that many are equal.
fn amount() -> impl Strategy<Value = u32> {
    prop_oneof![select(vec![0_u32, 128, 256]), 0..300_u32]
}

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![select(vec![512_u32, 1024, 2048]), 0..2048_u32]
}

pub fn demands() -> impl Strategy<Value = Demand> {
    let ports = prop_oneof![4 => Just(None), 1 => select(vec![22_u16, 80, 443]).prop_map(Some)];
    let rare = || prop_oneof![5 => Just(0_u32), 1 => 1..2_u32];
    (amount(), amount(), rare(), rare(), 0..2_u32, ports.clone(), ports).prop_map(
        |(cpu, memory, gpus, enis, running, tcp, udp)| Demand {
            gpus,
            enis,
            running,
            udp: Vec::from_iter(udp),
            ..demand(cpu, memory, &Vec::from_iter(tcp))
        },
    )
}

pub fn parts() -> impl Strategy<Value = Parts> {
    let held = prop::collection::vec((0..GROUPS, demands()), 0..4);
    let attributes = (prop::option::of(0..3_u8), prop::option::of(0..2_u8));
    let availability = prop_oneof![
        8 => Just(Availability::Ready),
        1 => Just(Availability::Disconnected),
        1 => Just(Availability::Inactive),
    ];
    let sizes = (size(), size(), 0..3_u32, select(vec![0, 1, 2, u32::MAX]));
    (sizes, attributes, availability, held).prop_map(
        |((cpu, memory, gpus, enis), (zone, rack), availability, held)| Parts {
            cpu,
            memory,
            gpus,
            enis,
            zone,
            rack,
            availability,
            held,
        },
    )
}

pub fn fleet(parts: &[Parts]) -> Fleet {
    let mut fleet = Fleet::default();
    (0..).zip(parts).for_each(|(number, parts)| fleet.upsert(parts.instance(number)));
    fleet
}

pub fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        1 => Just(Rule::Random),
        3 => Just(Rule::Spread(Spread::Instance)),
        2 => Just(Rule::Spread(Spread::Attribute(ZONE.into()))),
        1 => Just(Rule::Spread(Spread::Attribute("rack".into()))),
        1 => Just(Rule::Spread(Spread::Attribute("absent".into()))),
        2 => Just(Rule::Binpack(Binpack::Cpu)),
        3 => Just(Rule::Binpack(Binpack::Memory)),
    ]
}

/// Expressions that [`super::reference`] knows in its own words.
pub const EXPRESSIONS: [&str; 6] = [
    "attribute:ecs.availability-zone == 1",
    "attribute:rack in [0, 1] and not (task:group == family:1)",
    "attribute:ecs.availability-zone == 0 or runningTasksCount < 2",
    "task:group == family:0",
    "not (attribute:serial == s3)",
    "attribute:rack exists",
];

pub fn constraint() -> impl Strategy<Value = Constraint> {
    prop_oneof![
        Just(Constraint::DistinctInstance),
        select(EXPRESSIONS.to_vec())
            .prop_map(|expression| Constraint::MemberOf(expression.parse().unwrap())),
    ]
}

pub fn request() -> impl Strategy<Value = Request> {
    let rules = prop::collection::vec(rule(), 0..=5);
    let constraints = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(constraint(), 1..3),
    ];
    let wanted = prop_oneof![
        4 => Just(None),
        1 => Just(Some(("rack", None))),
        1 => Just(Some(("rack", Some("1")))),
    ];
    let zones = prop_oneof![
        4 => Just(None),
        1 => prop::collection::btree_set(0..3_u8, 1..3).prop_map(Some),
    ];
    (1..12_u32, demands(), 0..GROUPS, rules, constraints, wanted, zones).prop_map(
        |(count, demand, of, strategies, constraints, wanted, zones)| Request {
            count,
            group: group(of),
            demand,
            attributes: Vec::from_iter(wanted.map(|(name, value)| RequiredAttribute {
                name: name.into(),
                value: value.map(Arc::from),
            })),
            zones: zones.map(|zones| {
                let zones = zones.into_iter().map(|zone| Arc::from(zone.to_string()));
                zones.collect::<BTreeSet<_>>()
            }),
            constraints,
            strategies,
        },
    )
}
