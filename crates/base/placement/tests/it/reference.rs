//! A placer that is too simple to be wrong, and knows nothing of how the real one works.

use placement::{Binpack, Constraint, Fleet, Request, Spread, Strategy};
use terms::ContainerInstanceId;

/// What the reference knows of an instance: figures that a person would put on paper.
#[derive(Clone)]
pub struct Sheet {
    pub id: ContainerInstanceId,
    pub connected: bool,
    pub zone: Option<String>,
    pub cpu: i64,
    pub memory: i64,
    pub tasks: i64,
    pub ports: Vec<u16>,
}

pub fn sheets(fleet: &Fleet, connected: &[bool], request: &Request) -> Vec<Sheet> {
    let sheet = |(number, &connected): (u8, &bool)| {
        let instance = fleet.get(super::fleets::id(number)).unwrap();
        Sheet {
            id: instance.id(),
            connected,
            zone: instance.attribute("zone").map(str::to_owned),
            cpu: instance.free_cpu().get().into(),
            memory: instance.free_memory().get().into(),
            tasks: instance.tasks_of(&request.group).into(),
            ports: vec![22],
        }
    };
    (0..).zip(connected).map(sheet).collect()
}

fn fits(sheet: &Sheet, request: &Request) -> bool {
    sheet.connected
        && sheet.cpu >= i64::from(request.demand.cpu.get())
        && sheet.memory >= i64::from(request.demand.memory.get())
        && request.demand.tcp.iter().all(|port| !sheet.ports.contains(port))
        && request.attributes.iter().all(|_| sheet.zone.is_some())
        && (sheet.tasks == 0 || !request.constraints.contains(&Constraint::DistinctInstance))
}

/// How good an instance is: one figure a rule, smaller is better.
fn scores(sheet: &Sheet, all: &[Sheet], request: &Request) -> Vec<i64> {
    let rules = request.strategies.iter().take_while(|rule| **rule != Strategy::Random);
    let score = |rule: &Strategy| match rule {
        Strategy::Spread(Spread::Instance) => sheet.tasks,
        Strategy::Spread(Spread::Attribute(_)) => {
            all.iter().filter(|other| other.zone == sheet.zone).map(|other| other.tasks).sum()
        }
        Strategy::Binpack(Binpack::Cpu) => sheet.cpu,
        Strategy::Binpack(Binpack::Memory) => sheet.memory,
        Strategy::Random => unreachable!(),
    };
    rules.map(score).collect()
}

/// The instances that the next task may go to: those that fit and are best, rule after rule.
pub fn best(all: &[Sheet], request: &Request) -> Vec<ContainerInstanceId> {
    let fitting = || all.iter().filter(|sheet| fits(sheet, request));
    let least = fitting().map(|sheet| scores(sheet, all, request)).min();
    let is_best = |sheet: &&Sheet| Some(scores(sheet, all, request)) == least;
    fitting().filter(is_best).map(|sheet| sheet.id).collect()
}

/// Writes down that a task went to `id`.
pub fn note(all: &mut [Sheet], id: ContainerInstanceId, request: &Request) {
    let sheet = all.iter_mut().find(|sheet| sheet.id == id).unwrap();
    sheet.cpu -= i64::from(request.demand.cpu.get());
    sheet.memory -= i64::from(request.demand.memory.get());
    sheet.tasks += 1;
    sheet.ports.extend(&request.demand.tcp);
}
