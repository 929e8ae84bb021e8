//! Where the tasks of each task group are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::arena::Arena;
use crate::class::ClassId;
use crate::room::Order;
use crate::tree::Tree;

/// The number of a task group.
pub(crate) type GroupId = u32;

/// Instances that hold tasks of one group, of one class, in one order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holders {
    /// With the keys that they have in their class's order.
    pub(crate) plain: Tree,
    /// By how many tasks of the group they hold, then as above. In the order of chance what is free
    /// of an instance may be less than it says here, never more: most groups on an instance need
    /// not know that one of them takes more of it.
    pub(crate) counted: Tree,
}

/// A group's tasks on the instances of one class.
#[derive(Clone, Debug, Default)]
struct Here {
    tasks: u32,
    orders: [Holders; Order::COUNT],
}

#[derive(Clone, Debug)]
struct Group {
    name: Arc<str>,
    tasks: u64,
    classes: BTreeMap<ClassId, Here>,
    /// In which orders holders are kept: those of requests that ask how many tasks of the group an
    /// instance has.
    watched: [bool; Order::COUNT],
}

/// All groups that have tasks, and those that a request was made for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    list: Arena<Group>,
    by_name: BTreeMap<Arc<str>, GroupId>,
}

impl Groups {
    pub(crate) fn find(&self, name: &str) -> Option<GroupId> {
        self.by_name.get(name).copied()
    }

    /// The number of the group with this name, which may be new.
    pub(crate) fn intern(&mut self, name: &Arc<str>) -> GroupId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let group =
            Group { name: name.clone(), tasks: 0, classes: BTreeMap::new(), watched: [false; _] };
        let id = self.list.insert(group);
        self.by_name.insert(name.clone(), id);
        id
    }

    /// Forgets the group if it has no tasks.
    pub(crate) fn sweep(&mut self, id: GroupId) {
        if self.list[id].tasks == 0
            && let Some(group) = self.list.remove(id)
        {
            self.by_name.remove(&group.name);
        }
    }

    /// Counts `tasks` more on instances of `class`.
    pub(crate) fn add(&mut self, id: GroupId, class: ClassId, tasks: u32) {
        let group = &mut self.list[id];
        group.tasks += u64::from(tasks);
        group.classes.entry(class).or_default().tasks += tasks;
    }

    /// Counts `tasks` fewer; the group may be swept then.
    pub(crate) fn take(&mut self, id: GroupId, class: ClassId, tasks: u32) {
        let group = &mut self.list[id];
        group.tasks = group.tasks.saturating_sub(tasks.into());
        if let Some(here) = group.classes.get_mut(&class) {
            here.tasks = here.tasks.saturating_sub(tasks);
            if here.tasks == 0 {
                group.classes.remove(&class);
            }
        }
    }

    /// How many tasks of the group are on instances of each class, if any.
    pub(crate) fn counts(&self, id: GroupId) -> impl Iterator<Item = (ClassId, u32)> {
        self.list[id].classes.iter().map(|(&class, here)| (class, here.tasks))
    }

    /// Whether the group's holders are kept in some order.
    pub(crate) fn is_watched(&self, id: GroupId) -> bool {
        self.list[id].watched.contains(&true)
    }

    /// Whether they are kept in this one.
    pub(crate) fn is_watched_by(&self, id: GroupId, order: Order) -> bool {
        self.list[id].watched[order as usize]
    }

    /// Keeps holders in this order from now on. Those that there are must be added.
    pub(crate) fn watch(&mut self, id: GroupId, order: Order) {
        self.list[id].watched[order as usize] = true;
    }

    /// The group's holders in a class, if there are any.
    pub(crate) fn holders(&self, id: GroupId, class: ClassId, order: Order) -> Option<&Holders> {
        self.list[id].classes.get(&class).map(|here| &here.orders[order as usize])
    }

    /// The same, to be changed, if they are kept in this order.
    pub(crate) fn holders_mut(
        &mut self,
        id: GroupId,
        class: ClassId,
        order: Order,
    ) -> Option<&mut Holders> {
        let group = &mut self.list[id];
        let here = group.classes.get_mut(&class).filter(|_| group.watched[order as usize])?;
        Some(&mut here.orders[order as usize])
    }
}
