//! Which tasks go first when there are to be fewer (Developer Guide, "Use strategies to define
//! Amazon ECS task placement" and "Amazon ECS services", on scaling in).

use std::collections::{BTreeMap, BinaryHeap};

use terms::ContainerInstanceId;

use crate::request::MAX_STRATEGIES;
use crate::seed::Seed;
use crate::{Binpack, Demand, Fleet, Instance, Spread, Strategy, ZONE};

/// A task that may be stopped.
#[derive(Clone, Debug)]
pub struct Removable {
    /// Where it is.
    pub instance: ContainerInstanceId,
    /// What it gives back.
    pub demand: Demand,
}

/// The candidates on one instance.
struct Place<'a> {
    /// `None` if the fleet does not know it.
    instance: Option<&'a Instance>,
    /// Indexes of candidates; the last goes first.
    candidates: Vec<usize>,
    /// What it has free of CPU and memory, with what was given back.
    cpu: u64,
    memory: u64,
    /// Tasks of the group.
    tasks: u64,
    /// Where the group's tasks are counted by the value of each strategy's attribute.
    counters: [usize; MAX_STRATEGIES],
}

/// A place in the heap; the greatest loses a task first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    unknown: bool,
    scores: [u64; MAX_STRATEGIES],
    ticket: std::cmp::Reverse<u64>,
    place: usize,
}

impl Fleet {
    /// Chooses which `count` of `candidates`, tasks of `group`, go first. Answers their indexes, in
    /// the order in which they go.
    ///
    /// As ECS has it: spread takes from where most tasks of the group are, by the value of an
    /// attribute or by instance; binpack from the instance that has most left afterwards; each
    /// strategy chooses among what the one before left equal, then chance does. Without strategies
    /// it is the zone with most tasks of the group, then the instance with most. Tasks on instances
    /// that the fleet does not know go before all others.
    ///
    /// Costs a look at each instance, and for each task time logarithmic in their number.
    pub fn scale_in(
        &self,
        group: &str,
        strategies: &[Strategy],
        candidates: &[Removable],
        count: usize,
        seed: u64,
    ) -> Vec<usize> {
        let default =
            [Strategy::Spread(Spread::Attribute(ZONE.into())), Strategy::Spread(Spread::Instance)];
        let strategies = if strategies.is_empty() { &default[..] } else { strategies };
        let chance = strategies.iter().position(|one| *one == Strategy::Random);
        let strategies = &strategies[..chance.unwrap_or(strategies.len()).min(MAX_STRATEGIES)];
        let mut choice = Choice { strategies, counters: Vec::new(), places: Vec::new() };
        choice.fill(self, group, candidates, &mut Seed::new(seed));
        choice.run(candidates, count, &mut Seed::new(!seed))
    }
}

struct Choice<'a> {
    strategies: &'a [Strategy],
    counters: Vec<u64>,
    places: Vec<Place<'a>>,
}

impl<'a> Choice<'a> {
    /// Counts tasks, and sorts candidates by instance: on each, in random order, but those that
    /// give most back to the first resource that is packed come last.
    fn fill(&mut self, fleet: &'a Fleet, group: &str, candidates: &[Removable], seed: &mut Seed) {
        let mut on: BTreeMap<ContainerInstanceId, Vec<usize>> = BTreeMap::new();
        for (index, candidate) in candidates.iter().enumerate() {
            on.entry(candidate.instance).or_default().push(index);
        }
        let mut numbers: BTreeMap<(usize, Option<&str>), usize> = BTreeMap::new();
        for instance in fleet.iter() {
            let tasks = u64::from(instance.tasks_of(group));
            let indexes = on.remove(&instance.id());
            if tasks == 0 && indexes.is_none() {
                continue;
            }
            let mut counters = [0; MAX_STRATEGIES];
            for (at, strategy) in self.strategies.iter().enumerate() {
                let Strategy::Spread(Spread::Attribute(name)) = strategy else { continue };
                let number = *numbers.entry((at, instance.attribute(name))).or_insert_with(|| {
                    self.counters.push(0);
                    self.counters.len() - 1
                });
                counters[at] = number;
                self.counters[number] += tasks;
            }
            let Some(candidates) = indexes else { continue };
            self.places.push(Place {
                instance: Some(instance),
                candidates,
                cpu: instance.free_cpu().get().into(),
                memory: instance.free_memory().get().into(),
                tasks,
                counters,
            });
        }
        let unknown = on.into_values().map(|candidates| Place {
            instance: None,
            candidates,
            cpu: 0,
            memory: 0,
            tasks: 0,
            counters: [0; MAX_STRATEGIES],
        });
        self.places.extend(unknown);
        let packed = self.strategies.iter().find_map(|strategy| match strategy {
            Strategy::Binpack(resource) => Some(*resource),
            Strategy::Random | Strategy::Spread(_) => None,
        });
        for place in &mut self.places {
            let given = |index: usize| packed.map_or(0, |by| gives(&candidates[index].demand, by));
            place.candidates.sort_by_cached_key(|&index| (given(index), seed.below(usize::MAX)));
        }
    }

    fn run(&mut self, candidates: &[Removable], count: usize, seed: &mut Seed) -> Vec<usize> {
        let mut ticket =
            |place: &Place<'_>| std::cmp::Reverse(seed.wait(place.candidates.len()).to_bits());
        let ranks = (0..self.places.len()).map(|place| Rank {
            unknown: self.places[place].instance.is_none(),
            scores: self.scores(place, candidates),
            ticket: ticket(&self.places[place]),
            place,
        });
        let mut heap: BinaryHeap<Rank> = ranks.collect();
        let mut chosen = Vec::new();
        // Counts only fall, so a place that comes up with scores that are still right is the one.
        while chosen.len() < count
            && let Some(rank) = heap.pop()
        {
            let scores = self.scores(rank.place, candidates);
            if scores != rank.scores {
                heap.push(Rank { scores, ..rank });
                continue;
            }
            let place = &mut self.places[rank.place];
            let Some(index) = place.candidates.pop() else { continue };
            chosen.push(index);
            let demand = &candidates[index].demand;
            place.cpu += u64::from(demand.cpu.get());
            place.memory += u64::from(demand.memory.get());
            place.tasks = place.tasks.saturating_sub(1);
            for (at, strategy) in self.strategies.iter().enumerate() {
                if matches!(strategy, Strategy::Spread(Spread::Attribute(_)))
                    && place.instance.is_some()
                {
                    let counter = &mut self.counters[place.counters[at]];
                    *counter = counter.saturating_sub(1);
                }
            }
            if !place.candidates.is_empty() {
                let ticket = ticket(place);
                let scores = self.scores(rank.place, candidates);
                heap.push(Rank { scores, ticket, ..rank });
            }
        }
        chosen
    }

    /// What speaks for taking the next candidate of a place, one figure for each strategy.
    fn scores(&self, place: usize, candidates: &[Removable]) -> [u64; MAX_STRATEGIES] {
        let place = &self.places[place];
        let next = place.candidates.last().map(|&index| &candidates[index].demand);
        let left = |resource, free| free + next.map_or(0, |demand| gives(demand, resource));
        let mut scores = [0; MAX_STRATEGIES];
        if place.instance.is_none() {
            return scores;
        }
        for (at, strategy) in self.strategies.iter().enumerate() {
            scores[at] = match strategy {
                Strategy::Random => 0,
                Strategy::Spread(Spread::Instance) => place.tasks,
                Strategy::Spread(Spread::Attribute(_)) => self.counters[place.counters[at]],
                Strategy::Binpack(Binpack::Cpu) => left(Binpack::Cpu, place.cpu),
                Strategy::Binpack(Binpack::Memory) => left(Binpack::Memory, place.memory),
            };
        }
        scores
    }
}

/// What a task gives back of a resource.
fn gives(demand: &Demand, resource: Binpack) -> u64 {
    match resource {
        Binpack::Cpu => demand.cpu.get().into(),
        Binpack::Memory => demand.memory.get().into(),
    }
}
