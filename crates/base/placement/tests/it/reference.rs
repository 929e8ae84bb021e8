//! A placer that is too simple to be wrong, and knows nothing of how the real one works.

use placement::{Availability, Binpack, Constraint, Demand, Request, Spread, Strategy, ZONE};
use terms::ContainerInstanceId;

use super::fleets::{EXPRESSIONS, GROUPS, Parts, group, id};

/// What the reference knows of an instance: figures that a person would put on paper.
#[derive(Clone)]
pub struct Sheet {
    pub id: ContainerInstanceId,
    pub parts: Parts,
    /// What is left; less than nothing if more is held than there is.
    cpu: i64,
    memory: i64,
    gpus: i64,
    enis: i64,
    running: i64,
    tasks: Vec<i64>,
    tcp: Vec<u16>,
    udp: Vec<u16>,
}

impl Sheet {
    /// The instance with this number.
    pub fn new(number: u8, parts: &Parts) -> Self {
        let mut sheet = Self {
            id: id(number),
            parts: parts.clone(),
            cpu: parts.cpu.into(),
            memory: parts.memory.into(),
            gpus: parts.gpus.into(),
            enis: parts.enis.into(),
            running: 0,
            tasks: vec![0; GROUPS.into()],
            tcp: vec![22],
            udp: Vec::new(),
        };
        parts.held.iter().for_each(|(of, demand)| sheet.hold(usize::from(*of), demand));
        sheet
    }

    fn hold(&mut self, of: usize, demand: &Demand) {
        self.cpu -= i64::from(demand.cpu.get());
        self.memory -= i64::from(demand.memory.get());
        self.gpus -= i64::from(demand.gpus);
        self.enis -= i64::from(demand.enis);
        self.running += i64::from(demand.running);
        self.tasks[of] += 1;
        self.tcp.extend(&demand.tcp);
        self.udp.extend(&demand.udp);
    }

    /// Free CPU and memory.
    pub fn free(&self) -> (i64, i64) {
        (self.cpu.max(0), self.memory.max(0))
    }

    /// The group's tasks.
    pub fn tasks(&self, request: &Request) -> i64 {
        self.tasks[of(request)]
    }

    fn attribute(&self, name: &str) -> Option<String> {
        match name {
            ZONE => self.parts.zone.map(|zone| zone.to_string()),
            "rack" => self.parts.rack.map(|rack| rack.to_string()),
            _ => None,
        }
    }

    fn selected(&self, expression: &str) -> bool {
        let serial = self.id.bytes()[0];
        match EXPRESSIONS.iter().position(|known| *known == expression).unwrap() {
            0 => self.parts.zone == Some(1),
            1 => self.parts.rack.is_some_and(|rack| rack < 2) && self.tasks[1] == 0,
            2 => self.parts.zone == Some(0) || self.running < 2,
            3 => self.tasks[0] > 0,
            4 => serial != 3,
            5 => self.parts.rack.is_some(),
            _ => unreachable!(),
        }
    }

    fn fits(&self, request: &Request) -> bool {
        let demand = &request.demand;
        let enough = |free: i64, needed: u32| free.max(0) >= i64::from(needed);
        self.parts.availability == Availability::Ready
            && enough(self.cpu, demand.cpu.get())
            && enough(self.memory, demand.memory.get())
            && enough(self.gpus, demand.gpus)
            && enough(self.enis, demand.enis)
            && demand.tcp.iter().all(|port| !self.tcp.contains(port))
            && demand.udp.iter().all(|port| !self.udp.contains(port))
            && request.attributes.iter().all(|wanted| match self.attribute(&wanted.name) {
                None => false,
                Some(has) => wanted.value.as_ref().is_none_or(|value| **value == has),
            })
            && request.zones.as_ref().is_none_or(|zones| {
                self.attribute(ZONE).is_some_and(|zone| zones.contains(zone.as_str()))
            })
            && request.constraints.iter().all(|constraint| match constraint {
                Constraint::DistinctInstance => self.tasks(request) == 0,
                Constraint::MemberOf(expression) => self.selected(expression.as_str()),
            })
    }

    /// How good it is: one figure a rule, smaller is better.
    fn scores(&self, all: &[Self], request: &Request) -> Vec<i64> {
        let rules = request.strategies.iter().take_while(|rule| **rule != Strategy::Random);
        let score = |rule: &Strategy| match rule {
            Strategy::Spread(Spread::Instance) => self.tasks(request),
            Strategy::Spread(Spread::Attribute(name)) => {
                let value = self.attribute(name);
                let same = all.iter().filter(|other| other.attribute(name) == value);
                same.map(|other| other.tasks(request)).sum()
            }
            Strategy::Binpack(Binpack::Cpu) => self.free().0,
            Strategy::Binpack(Binpack::Memory) => self.free().1,
            Strategy::Random => unreachable!(),
        };
        rules.map(score).collect()
    }
}

/// The number of the request's group.
fn of(request: &Request) -> usize {
    (0..GROUPS).position(|number| group(number) == request.group).unwrap()
}

pub fn sheets(parts: &[Parts]) -> Vec<Sheet> {
    (0..).zip(parts).map(|(number, parts)| Sheet::new(number, parts)).collect()
}

/// The instances that the next task may go to: those that fit and are best, rule after rule.
pub fn best(all: &[Sheet], request: &Request) -> Vec<ContainerInstanceId> {
    let fitting = || all.iter().filter(|sheet| sheet.fits(request));
    let least = fitting().map(|sheet| sheet.scores(all, request)).min();
    let is_best = |sheet: &&Sheet| Some(sheet.scores(all, request)) == least;
    fitting().filter(is_best).map(|sheet| sheet.id).collect()
}

/// Writes down that a task went to `id`.
pub fn note(all: &mut [Sheet], id: ContainerInstanceId, request: &Request) {
    let sheet = all.iter_mut().find(|sheet| sheet.id == id).unwrap();
    sheet.hold(of(request), &request.demand);
}
