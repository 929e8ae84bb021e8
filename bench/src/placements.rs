//! Placements a second of the index alone: no requests, no ledger, one thread.
//!
//! Times are those that the thread had a processor, so that other work on the machine only makes
//! its caches colder.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use placement::{
    Attributes, Binpack, Constraint, Demand, Fleet, Instance, PortSet, Request, RequiredAttribute,
    Spread, Strategy, ZONE,
};
use terms::{ContainerInstanceId, CpuUnits, MemoryMib};

use crate::process::{pin_self, processor_time};
use crate::report::Report;

/// The goals, in placements a second at the larger number of instances.
const GOAL: f64 = 100_000.0;
const MEMBER_OF_GOAL: f64 = 50_000.0;
/// Ten times the instances may cost this much more: the ratio of the logarithms, 13.3 to 10.
const RATIO_GOAL: f64 = 4.0 / 3.0;
/// Instances of the two fleets that are compared.
const FEW: u32 = 1_000;
const MANY: u32 = 10_000;
/// Tasks for each instance: 100,000 on the larger fleet.
const TASKS: u32 = 10;
/// Task groups that take turns.
const GROUPS: u32 = 100;
/// Attributes that each instance has, as agents report them.
const CAPABILITIES: u32 = 30;
/// Of those, how many each task needs.
const REQUIRED: u32 = 8;

/// Placements a second of the placement index
#[derive(Args, Debug)]
pub struct Placements {
    /// Runs of each case; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    repeat: u8,
    /// Only cases whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    /// The core to stay on
    #[arg(long, default_value_t = 1)]
    core: usize,
}

/// One thing to measure.
struct Case {
    what: &'static str,
    /// Tasks of a request.
    count: u32,
    strategies: Vec<Strategy>,
    constraints: Vec<Constraint>,
    /// What is there before.
    world: World,
    /// The least rate at [`MANY`] instances, if the issue names one.
    goal: Option<f64>,
}

/// What the instances are like before tasks are placed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum World {
    /// Empty.
    Empty,
    /// Nine in ten hold a task with port 80, which each new task wants.
    Ports,
    /// As [`World::Ports`], after requests for more other ports than are watched.
    UnwatchedPorts,
    /// Nine in ten of those with memory have no CPU left, and the others have little memory.
    Fragmented,
    /// Instances have CPU or a GPU, but only one in ten has both, which each new task wants.
    GpuOrCpu,
    /// Nine in ten hold a task of another group, which the constraint minds.
    Neighbours,
    /// Empty, for few tasks.
    Brief,
}

impl Placements {
    /// Measures.
    pub fn run(&self) -> Result<Report> {
        pin_self(self.core)?;
        let mut report = Report::new("placements: 10 tasks an instance, 3 zones, one core");
        for case in cases().iter().filter(|case| case.what.contains(&self.only)) {
            self.measure(case, &mut report)?;
        }
        if self.only.is_empty() {
            self.rare(&mut report);
        }
        Ok(report)
    }

    fn measure(&self, case: &Case, report: &mut Report) -> Result<()> {
        let mut rates = Vec::new();
        for instances in [FEW, MANY] {
            let mut rate = Vec::new();
            for _ in 0..self.repeat {
                rate.push(once(case, instances)?);
            }
            rate.sort_by(f64::total_cmp);
            rates.push(rate[rate.len() / 2]);
        }
        let (few, many) = (rates[0], rates[1]);
        let note = format!("at {FEW} instances {few:.0}, cost x {:.2}", few / many);
        report.add(case.what, many, "/s", note);
        if let Some(goal) = case.goal {
            report.target("    against its goal", many, goal, false, "/s");
            let what = "    cost of 10,000 instances, times that of 1,000";
            report.target(what, few / many, RATIO_GOAL, true, "x");
        }
        Ok(())
    }

    /// What happens once, or only when nothing fits: how long it takes with [`MANY`] instances.
    fn rare(&self, report: &mut Report) {
        let mut fleet = fleet(MANY, World::Empty);
        let mut request = request(0, 1, &[], &[]);
        let began = processor_time();
        fleet.plan(&request, 0);
        let ms = (processor_time() - began).as_secs_f64() * 1e3;
        report.add("the first request that asks about attributes, 10,000", ms, "ms", "");
        request.demand.memory = MemoryMib::new(1 << 20);
        let mut times: Vec<Duration> = (0..self.repeat)
            .map(|seed| {
                let began = processor_time();
                assert!(fleet.place(&request, seed.into()).shortage.len() == MANY as usize);
                processor_time() - began
            })
            .collect();
        times.sort();
        let ms = times[times.len() / 2].as_secs_f64() * 1e3;
        report.add("a request that fits nowhere, 10,000 reasons", ms, "ms", "");
    }
}

fn cases() -> Vec<Case> {
    let zone = || Strategy::Spread(Spread::Attribute(ZONE.into()));
    let pack = || vec![zone(), Strategy::Binpack(Binpack::Memory)];
    let spread = || vec![zone(), Strategy::Spread(Spread::Instance)];
    let member = |text: &str| {
        vec![Constraint::MemberOf(text.parse().expect("the bench's expressions are good"))]
    };
    let case = |what, count, strategies| Case {
        what,
        count,
        strategies,
        constraints: Vec::new(),
        world: World::Empty,
        goal: None,
    };
    let goal = Some(GOAL);
    let odd = |what, world| Case { world, ..case(what, 10, pack()) };
    vec![
        Case { goal, ..case("zone, then binpack memory: 10 a request", 10, pack()) },
        Case { goal, ..case("zone, then binpack memory: 1,000 a request", 1_000, pack()) },
        case("zone, then binpack memory: 1 a request", 1, pack()),
        Case {
            goal: Some(MEMBER_OF_GOAL),
            constraints: member("attribute:stack in [prod, test] and attribute:family =~ m[0-9].*"),
            ..case("  with memberOf of attributes: 10 a request", 10, pack())
        },
        Case {
            goal: Some(MEMBER_OF_GOAL),
            constraints: member("attribute:stack == prod and not (task:group == service:db)"),
            ..case("  with memberOf of attributes and groups: 10", 10, pack())
        },
        case("zone, then instances (services' default): 10", 10, spread()),
        case("zone, then instances (services' default): 1,000", 1_000, spread()),
        Case {
            constraints: vec![Constraint::DistinctInstance],
            ..case("distinctInstance, binpack memory: 10", 10, pack())
        },
        case("binpack CPU: 10", 10, vec![Strategy::Binpack(Binpack::Cpu)]),
        case("no strategy: 10", 10, Vec::new()),
        odd("worst: port 80 taken on 9 of 10: 10", World::Ports),
        odd("worst: the same, port not watched: 10", World::UnwatchedPorts),
        odd("worst: memory or CPU, both on 1 of 10: 10", World::Fragmented),
        odd("worst: GPU or CPU, both on 1 of 10: 10", World::GpuOrCpu),
        Case {
            constraints: member("not (task:group == service:db)"),
            ..odd("worst: memberOf refuses 9 of 10 by groups: 10", World::Neighbours)
        },
        Case {
            strategies: vec![Strategy::Spread(Spread::Attribute("serial".into()))],
            ..odd("worst: spread over an attribute of each instance: 10", World::Brief)
        },
    ]
}

/// Places as many tasks as `instances` are to have; how many a second.
fn once(case: &Case, instances: u32) -> Result<f64> {
    let mut fleet = fleet(instances, case.world);
    // What is scarce in the odd worlds is there for fewer tasks.
    let tasks = if case.world == World::Empty { instances * TASKS } else { instances / 20 };
    let mut requests: Vec<Request> = (0..tasks / case.count)
        .map(|turn| request(turn, case.count, &case.strategies, &case.constraints))
        .collect();
    for request in &mut requests {
        match case.world {
            World::Ports | World::UnwatchedPorts => request.demand.tcp = vec![80],
            World::GpuOrCpu => request.demand.gpus = 1,
            World::Empty | World::Fragmented | World::Neighbours | World::Brief => {}
        }
    }
    // What it takes to learn what requests ask about is measured apart.
    let first = Request { count: 1, ..requests[0].clone() };
    fleet.plan(&first, 0);
    let (mut placed, began) = (0, processor_time());
    for (request, seed) in requests.iter().zip(0..) {
        placed += fleet.place(request, seed).placed.len();
    }
    let seconds = (processor_time() - began).as_secs_f64();
    let wanted = requests.len() * case.count as usize;
    ensure!(placed == wanted, "{}: placed {placed} of {wanted}", case.what);
    Ok(placed as f64 / seconds)
}

/// Equal tasks of one of [`GROUPS`] groups, which differ in size.
fn request(turn: u32, count: u32, strategies: &[Strategy], constraints: &[Constraint]) -> Request {
    let group = turn % GROUPS;
    let attribute = |number| RequiredAttribute { name: capability(number), value: None };
    Request {
        count,
        group: format!("family:{group}").into(),
        demand: Demand {
            cpu: CpuUnits::new(64 + 32 * (group % 4)),
            memory: MemoryMib::new(128 + 64 * (group % 8)),
            ..Demand::default()
        },
        attributes: (0..REQUIRED).map(attribute).collect(),
        zones: None,
        constraints: constraints.to_vec(),
        strategies: strategies.to_vec(),
    }
}

fn capability(number: u32) -> Arc<str> {
    format!("ecs.capability.{number}").into()
}

/// Instances of three sizes in three zones, each with an attribute of its own.
fn fleet(instances: u32, world: World) -> Fleet {
    let mut fleet = Fleet::default();
    for number in 0..instances {
        fleet.upsert(instance(number, world));
    }
    if world == World::UnwatchedPorts {
        let mut request = request(0, 1, &[], &[]);
        request.demand.tcp = (1_000..1_064).collect();
        fleet.plan(&request, 0);
    }
    fleet
}

fn instance(number: u32, world: World) -> Instance {
    let text = |text: String| Some(Arc::<str>::from(text));
    let mut attributes = Attributes::new();
    for number in 0..CAPABILITIES {
        attributes.insert(capability(number), None);
    }
    attributes
        .insert(ZONE.into(), text(format!("us-east-1{}", ["a", "b", "c"][number as usize % 3])));
    attributes.insert("serial".into(), text(format!("i-{number}")));
    attributes.insert("stack".into(), Some("prod".into()));
    attributes.insert("family".into(), text(format!("m{}", number % 2)));
    let size = 1 + number / 3 % 3;
    let scarce = (number / 3).is_multiple_of(10);
    let (mut cpu, mut memory) = (4_096 * size, 16_384 * size);
    if world == World::Fragmented && !scarce {
        (cpu, memory) =
            if number.is_multiple_of(2) { (0, memory - 8_192 - number % 97) } else { (cpu, 64) };
    }
    if world == World::GpuOrCpu && !scarce && number.is_multiple_of(2) {
        cpu = 0;
    }
    let gpus = if scarce || cpu == 0 { 8 } else { 0 };
    let mut id = [0; 16];
    let mixed = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    id[..8].copy_from_slice(&mixed.to_be_bytes());
    let mut instance = Instance::new(
        ContainerInstanceId::from_bytes(id),
        CpuUnits::new(cpu),
        MemoryMib::new(memory),
    )
    .with_gpus(gpus)
    .with_attributes(Arc::new(attributes))
    .with_reserved_ports(PortSet::from_iter([22, 2375, 2376, 51678, 51679]), PortSet::default());
    if matches!(world, World::Ports | World::UnwatchedPorts | World::Neighbours) && !scarce {
        let port = if world == World::Neighbours { Vec::new() } else { vec![80] };
        let memory = MemoryMib::new(1_024 + number % 89);
        let demand = Demand { memory, tcp: port, ..Demand::default() };
        instance.hold(&"service:db".into(), &demand);
    }
    instance
}
