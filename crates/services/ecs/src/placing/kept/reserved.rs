//! Room that is kept free of others' tasks.

use std::collections::BTreeSet;

use placement::Demand;
use terms::{ContainerInstanceId, ServiceName, TaskId};

use super::{Held, Kept, State, What};
use crate::model::Shared;

/// The group under which reserved room is held: no task is of it.
const GROUP: &str = "longshore:reserved";

/// What is reserved for a service.
pub(super) struct Reserved {
    demand: Demand,
    on: BTreeSet<ContainerInstanceId>,
    /// What holds it.
    ids: Vec<TaskId>,
}

impl Kept {
    /// Keeps room for a task of `service` free on each of these instances, and gives back what was
    /// reserved for it before.
    pub(in crate::placing) fn reserve(
        &mut self,
        service: &ServiceName,
        demand: &Demand,
        on: &BTreeSet<ContainerInstanceId>,
    ) {
        let known = self.reserved.get(service);
        if known.is_some_and(|known| known.demand == *demand && known.on == *on) {
            return;
        }
        if let Some(known) = self.reserved.remove(service) {
            known.ids.into_iter().for_each(|id| self.release(id));
        }
        if on.is_empty() {
            return;
        }
        let what = Shared::from(What { group: GROUP.into(), demand: demand.clone() });
        let mut ids = Vec::new();
        for &instance in on {
            let id = self.unused();
            let what = what.clone();
            self.hold(id, Held { instance, state: State::Reserved, what });
            ids.push(id);
        }
        let (demand, on) = (demand.clone(), on.clone());
        self.reserved.insert(service.clone(), Reserved { demand, on, ids });
    }

    /// An id that no task has: those of tasks are drawn by chance.
    fn unused(&self) -> TaskId {
        let id = |number: u64| {
            let mut bytes = [0xff; 16];
            bytes[8..].copy_from_slice(&number.to_be_bytes());
            TaskId::from_bytes(bytes)
        };
        let last = self.held.range(id(0)..).next_back().map(|(last, _)| last.bytes());
        let last = last.map(|[.., a, b, c, d, e, f, g, h]| [a, b, c, d, e, f, g, h]);
        id(last.map_or(1, |last| u64::from_be_bytes(last).wrapping_add(1)))
    }
}
