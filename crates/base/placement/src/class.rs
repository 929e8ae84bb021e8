//! Instances grouped by equal attributes.
//!
//! Only attributes that a request asked about tell classes apart. Some are different on every
//! instance (`ecs.awsvpc-trunk-id`), and would leave one instance to a class.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use terms::Timestamp;

use crate::Attributes;
use crate::arena::Arena;
use crate::query::Subject;
use crate::room::Order;
use crate::tree::Tree;

/// The number of a class.
pub(crate) type ClassId = u32;

/// Instances that no request could tell apart by their attributes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Class {
    /// Those of their attributes that were asked about.
    pub(crate) attributes: Arc<Attributes>,
    /// How many there are, whether ready or not.
    members: usize,
    /// Those that are ready, in each order that is kept.
    orders: [Tree; Order::COUNT],
}

impl Class {
    /// The instances that are ready; empty if this order is not kept.
    pub(crate) fn order(&self, order: Order) -> &Tree {
        &self.orders[order as usize]
    }

    pub(crate) fn order_mut(&mut self, order: Order) -> &mut Tree {
        &mut self.orders[order as usize]
    }
}

/// All classes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    list: Arena<Class>,
    by_attributes: BTreeMap<Arc<Attributes>, ClassId>,
    /// The attributes that tell classes apart.
    asked: BTreeSet<Arc<str>>,
    /// How many instances have an attribute, by its name.
    known: BTreeMap<Arc<str>, usize>,
}

impl Classes {
    pub(crate) fn get(&self, id: ClassId) -> &Class {
        &self.list[id]
    }

    pub(crate) fn get_mut(&mut self, id: ClassId) -> &mut Class {
        &mut self.list[id]
    }

    /// All classes, in an order that depends on their attributes alone.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        self.by_attributes.values().map(|&id| (id, &self.list[id]))
    }

    /// Adds an instance with these attributes.
    pub(crate) fn join(&mut self, attributes: &Attributes) -> ClassId {
        for name in attributes.keys() {
            match self.known.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(self.known.insert(name.clone(), 1)),
            }
        }
        let told = attributes.iter().filter(|(name, _)| self.asked.contains(*name));
        let told: Attributes = told.map(|(name, value)| (name.clone(), value.clone())).collect();
        let id = match self.by_attributes.get(&told) {
            Some(&id) => id,
            None => {
                let attributes = Arc::new(told);
                let class = Class { attributes: attributes.clone(), ..Class::default() };
                let id = self.list.insert(class);
                self.by_attributes.insert(attributes, id);
                id
            }
        };
        self.list[id].members += 1;
        id
    }

    /// Takes an instance with these attributes out of its class.
    pub(crate) fn leave(&mut self, id: ClassId, attributes: &Attributes) {
        for name in attributes.keys() {
            if let Some(count) = self.known.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.known.remove(name);
                }
            }
        }
        self.list[id].members -= 1;
        if self.list[id].members == 0
            && let Some(class) = self.list.remove(id)
        {
            self.by_attributes.remove(&class.attributes);
        }
    }

    /// Whether classes are told apart by the attribute `name`, if any instance has it.
    pub(crate) fn tell(&self, name: &str) -> bool {
        self.asked.contains(name) || !self.known.contains_key(name)
    }

    /// Has `names` tell classes apart from now on. All instances must then join again.
    pub(crate) fn ask(&mut self, names: impl IntoIterator<Item = Arc<str>>) {
        self.asked.extend(names);
    }
}

/// A class as an expression sees it. Only its attributes may be asked about.
pub(crate) struct Member<'a> {
    classes: &'a Classes,
    class: &'a Class,
    untold: RefCell<BTreeSet<Arc<str>>>,
}

impl<'a> Member<'a> {
    pub(crate) fn new(classes: &'a Classes, class: &'a Class) -> Self {
        Self { classes, class, untold: RefCell::default() }
    }

    /// The attributes that were asked about and do not tell classes apart: what was answered
    /// counts only if there are none.
    pub(crate) fn untold(self) -> BTreeSet<Arc<str>> {
        self.untold.into_inner()
    }
}

impl Subject for Member<'_> {
    fn attribute(&self, name: &str) -> Option<Option<&str>> {
        if !self.classes.tell(name) {
            self.untold.borrow_mut().insert(name.into());
        }
        self.class.attributes.get(name).map(Option::as_deref)
    }

    fn agent_connected(&self) -> bool {
        true
    }

    fn agent_version(&self) -> Option<&str> {
        None
    }

    fn ec2_instance_id(&self) -> Option<&str> {
        None
    }

    fn registered_at(&self) -> Timestamp {
        Timestamp::default()
    }

    fn running_tasks(&self) -> u32 {
        0
    }

    fn any_group(&self, _accepts: &mut dyn FnMut(&str) -> bool) -> bool {
        false
    }
}
