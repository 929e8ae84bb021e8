//! The instances of a cluster, kept in the orders that placement searches.

use std::collections::BTreeMap;
use std::sync::Arc;

use terms::ContainerInstanceId;

use crate::arena::Arena;
use crate::class::{ClassId, Classes};
use crate::group::{GroupId, Groups};
use crate::port;
use crate::room::{Order, Room};
use crate::tree::{Key, Tree};
use crate::{Demand, Instance, Refusal, Request, choose, refuse};

/// The instances that a placement may choose from, kept from change to change.
///
/// A change costs time logarithmic in the number of instances, a copy time linear in it. What a
/// fleet answers depends on its instances, not on the changes that led to them; only which of
/// equally good instances chance takes depends on what was asked before, too.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    by_id: BTreeMap<ContainerInstanceId, u32>,
    slots: Arena<Slot>,
    pub(crate) classes: Classes,
    pub(crate) groups: Groups,
    pub(crate) ports: port::Watched,
    /// Which orders are kept: those that a request asked for.
    orders: [bool; Order::COUNT],
}

/// An instance and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) instance: Instance,
    class: ClassId,
    /// Which of the watched ports are taken.
    taken: u64,
    /// Its tasks by group, of those groups that are watched.
    watched: Vec<Watched>,
}

/// What an instance holds of a group that is watched.
#[derive(Clone, Debug)]
struct Watched {
    group: GroupId,
    tasks: u32,
    /// What the group's holders in the order of chance say is free.
    shown: Room,
}

/// What [`Fleet::place`] answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// One instance for each task that found one; at most as many as were asked for.
    pub placed: Vec<ContainerInstanceId>,
    /// How many instances there were to choose from.
    pub considered: usize,
    /// Why the first task that found no place found none: every instance with its reason. Empty
    /// if all were placed.
    pub shortage: Vec<Refusal>,
}

impl Fleet {
    /// Adds an instance, or puts it in place of the one with its id.
    pub fn upsert(&mut self, instance: Instance) {
        let (id, taken) = (instance.id(), self.ports.taken(&instance));
        let Some(&slot) = self.by_id.get(&id) else {
            let slot = Slot { instance, class: 0, taken, watched: Vec::new() };
            let slot = self.slots.insert(slot);
            self.by_id.insert(id, slot);
            return self.join(slot);
        };
        self.leave(slot);
        let here = &mut self.slots[slot];
        let before = std::mem::replace(&mut here.instance, instance);
        here.taken = taken;
        self.join(slot);
        self.sweep(&before);
    }

    /// Forgets an instance.
    pub fn remove(&mut self, id: ContainerInstanceId) -> Option<Instance> {
        let slot = self.by_id.remove(&id)?;
        self.leave(slot);
        let Slot { instance, .. } = self.slots.remove(slot)?;
        self.sweep(&instance);
        Some(instance)
    }

    /// The instance with this id.
    pub fn get(&self, id: ContainerInstanceId) -> Option<&Instance> {
        self.by_id.get(&id).map(|&slot| &self.slots[slot].instance)
    }

    /// All instances, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.by_id.values().map(|&slot| &self.slots[slot].instance)
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// A task of `group` takes `demand` on an instance; nothing happens if it is unknown.
    pub fn hold(&mut self, id: ContainerInstanceId, group: &Arc<str>, demand: &Demand) {
        let Some(&slot) = self.by_id.get(&id) else { return };
        let number = self.groups.intern(group);
        self.detach(slot);
        self.take(slot, number, group, demand);
        self.attach(slot);
    }

    /// A task of `group` gives `demand` back, which it held before; nothing happens if the instance
    /// is unknown, or holds no task of the group.
    pub fn release(&mut self, id: ContainerInstanceId, group: &str, demand: &Demand) {
        let Some(&slot) = self.by_id.get(&id) else { return };
        let Some(number) = self.groups.find(group) else { return };
        if self.slots[slot].instance.tasks_of(group) == 0 {
            return;
        }
        self.detach(slot);
        self.give(slot, number, group, demand);
        self.attach(slot);
        self.groups.sweep(number);
    }

    /// Chooses an instance for each task of `request`, one task after the other, and holds what
    /// they take, so that the next plan on this fleet sees them.
    ///
    /// `seed` decides among instances that are equally good. Each task costs time logarithmic in
    /// the number of instances, and each request time in proportion to how many different
    /// attributes they have, of those that requests ask about; exceptions are told in
    /// `docs/decisions/0013-placement-index.md`.
    pub fn place(&mut self, request: &Request, seed: u64) -> Placement {
        let (chosen, complete) = choose::choose(self, request, seed);
        Placement {
            placed: chosen.iter().map(|&slot| self.slots[slot].instance.id()).collect(),
            considered: self.len(),
            shortage: if complete { Vec::new() } else { self.refusals(request) },
        }
    }

    /// Chooses as [`Fleet::place`] does, and leaves everything as it was.
    pub fn plan(&mut self, request: &Request, seed: u64) -> Placement {
        let placement = self.place(request, seed);
        for &id in &placement.placed {
            self.release(id, &request.group, &request.demand);
        }
        placement
    }

    /// Why instances cannot take one more task of `request`, in the order of their ids; the others
    /// can. Costs a look at each instance: [`Fleet::place`] does it only when a task finds none.
    pub fn refusals(&self, request: &Request) -> Vec<Refusal> {
        refuse::refusals(self, request)
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.by_id.values().map(|&slot| &self.slots[slot])
    }

    pub(crate) fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot]
    }

    /// Has the attributes `names` tell classes apart.
    pub(crate) fn ask(&mut self, names: impl IntoIterator<Item = Arc<str>>) {
        let slots: Vec<u32> = self.slots.numbers().collect();
        slots.iter().for_each(|&slot| self.leave(slot));
        self.classes.ask(names);
        slots.iter().for_each(|&slot| self.join(slot));
    }

    /// Keeps account of which instances have the ports of `demand` taken, as far as there is room
    /// for such accounts.
    pub(crate) fn watch_ports(&mut self, demand: &Demand) {
        if !self.ports.add(demand) {
            return;
        }
        let slots: Vec<u32> = self.slots.numbers().collect();
        for slot in slots {
            self.detach(slot);
            self.slots[slot].taken = self.ports.taken(&self.slots[slot].instance);
            self.attach(slot);
        }
    }

    /// Keeps instances in `order`.
    pub(crate) fn order_by(&mut self, order: Order) {
        if self.orders[order as usize] {
            return;
        }
        let slots: Vec<u32> = self.slots.numbers().collect();
        slots.iter().for_each(|&slot| self.detach(slot));
        self.orders[order as usize] = true;
        slots.iter().for_each(|&slot| self.attach(slot));
    }

    /// Keeps the instances that hold tasks of `group` in `order`, which is kept.
    pub(crate) fn watch_group(&mut self, group: GroupId, name: &str, order: Order) {
        if self.groups.is_watched_by(group, order) {
            return;
        }
        let mut holders: Vec<u32> = Vec::new();
        if self.groups.counts(group).next().is_some() {
            let holds = |&slot: &u32| self.slots[slot].instance.tasks_of(name) > 0;
            holders.extend(self.slots.numbers().filter(holds));
        }
        holders.iter().for_each(|&slot| self.detach(slot));
        let is_new = !self.groups.is_watched(group);
        self.groups.watch(group, order);
        for slot in holders {
            let tasks = self.slots[slot].instance.tasks_of(name);
            if is_new {
                let shown = Room::default();
                self.slots[slot].watched.push(Watched { group, tasks, shown });
            }
            if order == Order::Chance {
                self.move_holder(slot, group, 0, tasks);
            }
            self.attach(slot);
        }
    }

    /// Takes `demand` for a task of `group` on an instance that is detached.
    pub(crate) fn take(&mut self, slot: u32, group: GroupId, name: &Arc<str>, demand: &Demand) {
        let here = &mut self.slots[slot];
        here.instance.hold(name, demand);
        self.groups.add(group, here.class, 1);
        if demand.has_ports() {
            here.taken = self.ports.taken(&here.instance);
        }
        if self.groups.is_watched(group) {
            let tasks = here.watched.iter().find(|watched| watched.group == group);
            let tasks = tasks.map_or(0, |watched| watched.tasks);
            if tasks == 0 {
                here.watched.push(Watched { group, tasks, shown: Room::default() });
            }
            self.move_holder(slot, group, tasks, tasks + 1);
        }
    }

    /// Gives `demand` of a task of `group` back on an instance that is detached.
    fn give(&mut self, slot: u32, group: GroupId, name: &str, demand: &Demand) {
        let here = &mut self.slots[slot];
        here.instance.release(name, demand);
        if demand.has_ports() {
            here.taken = self.ports.taken(&here.instance);
        }
        if let Some(at) = here.watched.iter().position(|watched| watched.group == group) {
            let tasks = here.watched[at].tasks;
            self.move_holder(slot, group, tasks, tasks - 1);
            if tasks == 1 {
                self.slots[slot].watched.swap_remove(at);
            }
        }
        self.groups.take(group, self.slots[slot].class, 1);
    }

    /// Puts an instance where it stands in the order of chance, among the holders of `group`, when
    /// its number of the group's tasks changes from `before`.
    fn move_holder(&mut self, slot: u32, group: GroupId, before: u32, tasks: u32) {
        let here = &mut self.slots[slot];
        let (room, id) = (here.room(), here.number());
        if let Some(watched) = here.watched.iter_mut().find(|watched| watched.group == group) {
            (watched.tasks, watched.shown) = (tasks, room);
        }
        if !here.instance.is_ready() {
            return;
        }
        let holders = self.groups.holders_mut(group, here.class, Order::Chance);
        let Some(holders) = holders else { return };
        let key = |tasks: u32| Key::new(tasks.into(), 0, 0, id);
        match before {
            0 => holders.plain.insert(key(0), room, slot),
            _ => holders.counted.remove(key(before)),
        }
        match tasks {
            0 => holders.plain.remove(key(0)),
            _ => holders.counted.insert(key(tasks), room, slot),
        }
    }

    /// Has the holders of `group`, in the order of chance, know what is free on an instance.
    pub(crate) fn show_holder(&mut self, slot: u32, group: GroupId) {
        let here = &mut self.slots[slot];
        let (room, id) = (here.room(), here.number());
        let Some(watched) = here.watched.iter_mut().find(|one| one.group == group) else { return };
        if watched.shown != room
            && let Some(holders) = self.groups.holders_mut(group, here.class, Order::Chance)
        {
            watched.shown = room;
            holders.counted.set(Key::new(watched.tasks.into(), 0, 0, id), room, slot);
        }
    }

    /// Puts an instance into the orders that it belongs to.
    pub(crate) fn attach(&mut self, slot: u32) {
        self.for_each_order(slot, |tree, key, room| tree.insert(key, room, slot));
        let here = &self.slots[slot];
        if !here.instance.is_ready() || !self.orders[Order::Chance as usize] {
            return;
        }
        let room = here.room();
        let key = Key::new(0, 0, 0, here.number());
        self.classes.get_mut(here.class).order_mut(Order::Chance).set(key, room, slot);
        let outdated = |watched: &&Watched| !room.is_within(&watched.shown);
        let outdated: Vec<GroupId> =
            here.watched.iter().filter(outdated).map(|watched| watched.group).collect();
        outdated.into_iter().for_each(|group| self.show_holder(slot, group));
    }

    /// Takes an instance out of all orders in which its place depends on what is free, so that it
    /// may be changed.
    pub(crate) fn detach(&mut self, slot: u32) {
        self.for_each_order(slot, |tree, key, _| tree.remove(key));
    }

    fn for_each_order(&mut self, slot: u32, act: impl Fn(&mut Tree, Key, Room)) {
        let here = &self.slots[slot];
        if !here.instance.is_ready() {
            return;
        }
        let (room, id) = (here.room(), here.number());
        for order in Order::BY_RESOURCES {
            if !self.orders[order as usize] {
                continue;
            }
            let (first, second) = room.figures(order);
            let key = |level: u32| Key::new(level.into(), first, second, id);
            act(self.classes.get_mut(here.class).order_mut(order), key(0), room);
            for &Watched { group, tasks, .. } in &here.watched {
                if let Some(holders) = self.groups.holders_mut(group, here.class, order) {
                    act(&mut holders.plain, key(0), room);
                    act(&mut holders.counted, key(tasks), room);
                }
            }
        }
    }

    /// Finds the class of an instance that has none, counts its tasks there and attaches it.
    fn join(&mut self, slot: u32) {
        let here = &mut self.slots[slot];
        here.class = self.classes.join(here.instance.attributes());
        here.watched.clear();
        for (name, &tasks) in here.instance.groups() {
            let group = self.groups.intern(name);
            self.groups.add(group, here.class, tasks);
            if self.groups.is_watched(group) {
                here.watched.push(Watched { group, tasks, shown: Room::default() });
            }
        }
        let watched: Vec<_> = here.watched.iter().map(|one| (one.group, one.tasks)).collect();
        watched.into_iter().for_each(|(group, tasks)| self.move_holder(slot, group, 0, tasks));
        self.attach(slot);
    }

    /// Undoes [`Fleet::join`], but for groups that nothing is left of.
    fn leave(&mut self, slot: u32) {
        self.detach(slot);
        let here = &self.slots[slot];
        if here.instance.is_ready() && self.orders[Order::Chance as usize] {
            let key = Key::new(0, 0, 0, here.number());
            self.classes.get_mut(here.class).order_mut(Order::Chance).remove(key);
        }
        let watched: Vec<_> = here.watched.iter().map(|one| (one.group, one.tasks)).collect();
        watched.into_iter().for_each(|(group, tasks)| self.move_holder(slot, group, tasks, 0));
        let here = &self.slots[slot];
        for (name, &tasks) in here.instance.groups() {
            if let Some(group) = self.groups.find(name) {
                self.groups.take(group, here.class, tasks);
            }
        }
        self.classes.leave(here.class, here.instance.attributes());
    }

    /// Forgets the groups of an instance that is gone, if nothing is left of them.
    fn sweep(&mut self, gone: &Instance) {
        for name in gone.groups().keys() {
            if let Some(group) = self.groups.find(name) {
                self.groups.sweep(group);
            }
        }
    }
}

impl Slot {
    pub(crate) fn class(&self) -> ClassId {
        self.class
    }

    /// Its id as a number.
    fn number(&self) -> u128 {
        u128::from_be_bytes(self.instance.id().bytes())
    }

    /// What is free here.
    fn room(&self) -> Room {
        Room {
            cpu: self.instance.free_cpu().get(),
            memory: self.instance.free_memory().get(),
            gpus: self.instance.free_gpus(),
            enis: self.instance.free_enis(),
            taken: self.taken,
        }
    }
}
