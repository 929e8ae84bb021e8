//! The choice of an instance for each of several equal tasks.
//!
//! Each class that may take the task at all stands in a heap with its best instance's scores, one
//! for each strategy. The least is best, and its instance gets the next task. Of the scores of the
//! other classes those that count tasks grow at most, so a class that comes up with scores that
//! are no longer right is put back with those that are: what is right then comes up before what is
//! not. A class's best instance is looked for only when the class comes up.

mod search;
mod wish;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use self::search::{Class, Cursor};
use self::wish::{Score, Wish};
use crate::class::{ClassId, Member};
use crate::fleet::Fleet;
use crate::group::GroupId;
use crate::instance::check_attributes;
use crate::request::MAX_STRATEGIES;
use crate::seed::Seed;
use crate::{Binpack, Constraint, Instance, Request, ZONE};

/// What is asked.
struct Ask<'a> {
    request: &'a Request,
    wish: Wish,
    group: GroupId,
}

/// A class that may take tasks of the request.
struct Candidate {
    class: ClassId,
    /// Those of the request's constraints that each instance must be asked about.
    open: Vec<usize>,
    /// Where the tasks are counted that each strategy spreads.
    counters: [usize; MAX_STRATEGIES],
    cursor: Cursor,
    /// How many instances it had to begin with that might do.
    weight: usize,
    best: Option<Best>,
}

/// The best instance of a class.
#[derive(Clone, Copy)]
struct Best {
    slot: u32,
    /// It is out of all orders, to be filled.
    detached: bool,
}

/// A class in the heap: what its best instance scores under each strategy, then chance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    scores: [u32; MAX_STRATEGIES],
    /// The bits of a number that is not negative, which order as the number does.
    ticket: u64,
    candidate: usize,
}

struct Choice<'a> {
    fleet: &'a mut Fleet,
    ask: Ask<'a>,
    seed: Seed,
    candidates: Vec<Candidate>,
    /// How many tasks of the group there are for each value of each attribute.
    counters: Vec<u32>,
}

/// Places the tasks of `request`. Answers the slots chosen, and whether all tasks found one.
pub(crate) fn choose(fleet: &mut Fleet, request: &Request, seed: u64) -> (Vec<u32>, bool) {
    let group = fleet.groups.intern(&request.group);
    let mut wish = Wish::of(request);
    prepare(fleet, request, &wish, group);
    wish.need.ports = fleet.ports.wanted(&request.demand);
    let mut choice = Choice {
        fleet,
        ask: Ask { request, wish, group },
        seed: Seed::new(seed),
        candidates: Vec::new(),
        counters: Vec::new(),
    };
    let chosen = choice.run();
    choice.fleet.groups.sweep(group);
    let complete = chosen.len() == request.count as usize;
    (chosen, complete)
}

/// Has the fleet keep account of what the request asks about.
fn prepare(fleet: &mut Fleet, request: &Request, wish: &Wish, group: GroupId) {
    fleet.watch_ports(&request.demand);
    fleet.order_by(wish.order);
    if wish.asks_for_tasks() {
        fleet.watch_group(group, &request.group, wish.order);
    }
    let spread = wish.scores.iter().filter_map(|score| match score {
        Score::Attribute(name) => Some(name),
        Score::Tasks | Score::Free(_) => None,
    });
    let wanted = request.attributes.iter().map(|wanted| &wanted.name).chain(spread);
    let mut untold: BTreeSet<Arc<str>> =
        wanted.filter(|name| !fleet.classes.tell(name)).cloned().collect();
    if request.zones.is_some() && !fleet.classes.tell(ZONE) {
        untold.insert(ZONE.into());
    }
    // An expression asks about the next attribute only when it has been told of the one before.
    loop {
        if !untold.is_empty() {
            fleet.ask(untold);
        }
        untold = fleet
            .classes
            .iter()
            .flat_map(|(_, class)| {
                let member = Member::new(&fleet.classes, class);
                for constraint in &request.constraints {
                    if let Constraint::MemberOf(expression) = constraint {
                        expression.settled(&member);
                    }
                }
                member.untold()
            })
            .collect();
        if untold.is_empty() {
            return;
        }
    }
}

impl Choice<'_> {
    fn run(&mut self) -> Vec<u32> {
        let mut heap = self.candidates();
        let mut chosen =
            Vec::with_capacity((self.ask.request.count as usize).min(self.fleet.len()));
        while chosen.len() < self.ask.request.count as usize
            && let Some(mut top) = heap.peek_mut()
        {
            let Rank { scores, candidate, ticket } = top.0;
            let Some(best) = self.best(candidate) else {
                PeekMut::pop(top);
                continue;
            };
            let now = self.scores(candidate, Some(best));
            if now != scores {
                top.0.scores = now;
                continue;
            }
            chosen.push(best.slot);
            self.place(candidate);
            let wait = self.seed.wait(self.candidates[candidate].weight);
            top.0.ticket = (f64::from_bits(ticket) + wait).to_bits();
            top.0.scores = self.scores(candidate, self.candidates[candidate].best);
        }
        for candidate in 0..self.candidates.len() {
            self.close(candidate);
        }
        chosen
    }

    /// Finds the classes that may take the task, and counts what the strategies spread.
    fn candidates(&mut self) -> BinaryHeap<Reverse<Rank>> {
        let Self { fleet, ask, seed, candidates, counters } = self;
        let mut heap = Vec::new();
        let mut numbers: BTreeMap<(usize, Option<&str>), usize> = BTreeMap::new();
        let tasks: BTreeMap<ClassId, u32> = fleet.groups.counts(ask.group).collect();
        for (id, class) in fleet.classes.iter() {
            let mut counted = [0; MAX_STRATEGIES];
            for (at, score) in ask.wish.scores.iter().enumerate() {
                let Score::Attribute(name) = score else { continue };
                let value = class.attributes.get(name);
                let value = value.map(|value| value.as_deref().unwrap_or(""));
                let number = *numbers.entry((at, value)).or_insert_with(|| {
                    counters.push(0);
                    counters.len() - 1
                });
                counted[at] = number;
                counters[number] += tasks.get(&id).copied().unwrap_or(0);
            }
            let Some(open) = open(fleet, ask.request, id) else { continue };
            let search = Class { fleet, ask, class: id, open: &open, misled: RefCell::default() };
            let count = search.count();
            if count == 0 {
                continue;
            }
            let ticket = seed.wait(count).to_bits();
            heap.push(Reverse(Rank { scores: [0; _], ticket, candidate: candidates.len() }));
            candidates.push(Candidate {
                class: id,
                open,
                counters: counted,
                cursor: Cursor::default(),
                weight: count,
                best: None,
            });
        }
        heap.into()
    }

    /// The best instance of a class, which may have to be found.
    fn best(&mut self, candidate: usize) -> Option<Best> {
        let Self { fleet, ask, seed, candidates, .. } = self;
        let Candidate { class, open, cursor, best, .. } = &mut candidates[candidate];
        if best.is_none() {
            let search = Class { fleet, ask, class: *class, open, misled: RefCell::default() };
            *best = search.best(cursor, seed).map(|slot| Best { slot, detached: false });
            for slot in search.misled.into_inner() {
                fleet.show_holder(slot, ask.group);
            }
        }
        *best
    }

    /// What the best instance of a class scores; if it is not known yet, what it scores at least.
    fn scores(&self, candidate: usize, best: Option<Best>) -> [u32; MAX_STRATEGIES] {
        let instance = best.map(|best| &self.fleet.slot(best.slot).instance);
        let of = |score: &dyn Fn(&Instance) -> u32| instance.map_or(0, score);
        let counters = &self.candidates[candidate].counters;
        let mut scores = [0; _];
        for (at, score) in self.ask.wish.scores.iter().enumerate() {
            scores[at] = match score {
                Score::Attribute(_) => self.counters[counters[at]],
                Score::Tasks => of(&|instance| instance.tasks_of(&self.ask.request.group)),
                Score::Free(Binpack::Cpu) => of(&|instance| instance.free_cpu().get()),
                Score::Free(Binpack::Memory) => of(&|instance| instance.free_memory().get()),
            };
        }
        scores
    }

    /// Puts a task on the best instance of a class.
    fn place(&mut self, candidate: usize) {
        let Some(Best { slot, detached }) = self.candidates[candidate].best else { return };
        if !detached {
            self.fleet.detach(slot);
        }
        let Ask { request, group, .. } = &self.ask;
        self.fleet.take(slot, *group, &request.group, &request.demand);
        for (at, score) in self.ask.wish.scores.iter().enumerate() {
            if let Score::Attribute(_) = score {
                self.counters[self.candidates[candidate].counters[at]] += 1;
            }
        }
        self.candidates[candidate].best = Some(Best { slot, detached: true });
        let Candidate { class, open, .. } = &self.candidates[candidate];
        let search = Class {
            fleet: self.fleet,
            ask: &self.ask,
            class: *class,
            open,
            misled: RefCell::default(),
        };
        if !self.ask.wish.stays() || !search.takes(slot) {
            self.close(candidate);
        }
    }

    /// Has the next task look for the best instance of a class again.
    fn close(&mut self, candidate: usize) {
        if let Some(Best { slot, detached: true }) = self.candidates[candidate].best.take() {
            self.fleet.attach(slot);
        }
    }
}

/// Those of the request's constraints that each instance of a class must be asked about; `None` if
/// no instance of it may take the task.
fn open(fleet: &Fleet, request: &Request, class: ClassId) -> Option<Vec<usize>> {
    let class = fleet.classes.get(class);
    check_attributes(&class.attributes, request).ok()?;
    let member = Member::new(&fleet.classes, class);
    let mut open = Vec::new();
    for (at, constraint) in request.constraints.iter().enumerate() {
        // Which instances have tasks of the group is known without asking.
        let Constraint::MemberOf(expression) = constraint else { continue };
        match expression.settled(&member) {
            Some(true) => {}
            Some(false) => return None,
            None => open.push(at),
        }
    }
    Some(open)
}
