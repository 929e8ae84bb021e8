//! A request's strategies, in the form that the search follows.

use std::sync::Arc;

use crate::request::MAX_STRATEGIES;
use crate::room::{Need, Order};
use crate::{Binpack, Constraint, Request, Spread, Strategy};

/// What one strategy compares; the least is best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Score {
    /// The group's tasks on instances with this value of an attribute.
    Attribute(Arc<str>),
    /// The group's tasks on the instance.
    Tasks,
    /// What is free of a resource.
    Free(Binpack),
}

/// When the group's tasks on an instance are compared, among what is compared of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tasks {
    /// Not at all.
    Never,
    /// Only instances without any will do.
    None,
    /// Before resources.
    First,
    /// Where one resource is equally free, or both are.
    After { both: bool },
}

/// What is asked of the search.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// What is compared, one after the other.
    pub(super) scores: Vec<Score>,
    /// The order in which instances are searched; of chance if resources play no part.
    pub(super) order: Order,
    /// When the group's tasks on an instance are compared.
    pub(super) tasks: Tasks,
    /// What each task takes; without ports.
    pub(super) need: Need,
}

impl Wish {
    /// Reads `request`. Strategies that come again, or after chance, decide nothing.
    pub(super) fn of(request: &Request) -> Self {
        let distinct = request.constraints.contains(&Constraint::DistinctInstance);
        let mut scores: Vec<Score> = Vec::new();
        for strategy in request.strategies.iter().take(MAX_STRATEGIES) {
            let score = match strategy {
                Strategy::Random => break,
                Strategy::Spread(Spread::Instance) => Score::Tasks,
                Strategy::Spread(Spread::Attribute(name)) => Score::Attribute(name.clone()),
                Strategy::Binpack(resource) => Score::Free(*resource),
            };
            // On instances of their own tasks are spread over instances already.
            let spread_already = distinct && score == Score::Tasks;
            if !spread_already && !scores.contains(&score) {
                scores.push(score);
            }
        }
        let free = |score: &Score| match score {
            Score::Free(resource) => Some(*resource),
            Score::Attribute(_) | Score::Tasks => None,
        };
        let order = scores.iter().find_map(free);
        let resources = |scores: &[Score]| scores.iter().filter_map(free).count();
        let tasks = match scores.iter().position(|score| *score == Score::Tasks) {
            _ if distinct => Tasks::None,
            None => Tasks::Never,
            Some(at) => match resources(&scores[..at]) {
                0 => Tasks::First,
                count => Tasks::After { both: count > 1 },
            },
        };
        let demand = &request.demand;
        let need = Need {
            cpu: demand.cpu.get(),
            memory: demand.memory.get(),
            gpus: demand.gpus,
            enis: demand.enis,
            ports: 0,
        };
        Self { scores, order: order.map_or(Order::Chance, Order::from), tasks, need }
    }

    /// Whether the search asks which instances hold tasks of the group.
    pub(super) fn asks_for_tasks(&self) -> bool {
        self.tasks != Tasks::Never
    }

    /// Whether an instance that was best for one task, and fits the next, is best for that too: it
    /// has less left than before, and nothing is compared before that.
    pub(super) fn stays(&self) -> bool {
        let packs = self.need.least(self.order) > 0;
        packs && matches!(self.tasks, Tasks::Never | Tasks::After { .. })
    }
}
