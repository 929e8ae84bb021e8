//! The instances of a cluster, and the choice among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use terms::ContainerInstanceId;

use crate::seed::Seed;
use crate::{Binpack, Demand, Instance, Refusal, Request, Spread, Strategy};

/// The instances that a placement may choose from, kept from change to change.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    instances: BTreeMap<ContainerInstanceId, Instance>,
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
        self.instances.insert(instance.id(), instance);
    }

    /// Forgets an instance.
    pub fn remove(&mut self, id: ContainerInstanceId) -> Option<Instance> {
        self.instances.remove(&id)
    }

    /// The instance with this id.
    pub fn get(&self, id: ContainerInstanceId) -> Option<&Instance> {
        self.instances.get(&id)
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// A task of `group` takes `demand` on an instance; nothing happens if it is unknown.
    pub fn hold(&mut self, id: ContainerInstanceId, group: &Arc<str>, demand: &Demand) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.hold(group, demand);
        }
    }

    /// A task of `group` gives `demand` back; nothing happens if the instance is unknown.
    pub fn release(&mut self, id: ContainerInstanceId, group: &str, demand: &Demand) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.release(group, demand);
        }
    }

    /// Chooses an instance for each task of `request`, one task after the other, and holds what
    /// they take, so that the next plan on this fleet sees them.
    ///
    /// `seed` decides among instances that are equally good. Costs one look at each instance for
    /// each task.
    pub fn place(&mut self, request: &Request, seed: u64) -> Placement {
        let mut seed = Seed::new(seed);
        let mut placement = Placement { considered: self.len(), ..Placement::default() };
        let mut spreads = self.count_spreads(request);
        for _ in 0..request.count {
            let fitting =
                self.instances.values().filter(|one| one.check(request).is_ok()).collect();
            let Some(chosen) = choose(fitting, request, &spreads, &mut seed) else {
                placement.shortage = self.refusals(request);
                break;
            };
            placement.placed.push(chosen);
            let Some(instance) = self.instances.get_mut(&chosen) else { break };
            instance.hold(&request.group, &request.demand);
            for spread in &mut spreads {
                *spread.counts.entry(value_of(instance, &spread.attribute)).or_default() += 1;
            }
        }
        placement
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
        let refusal = |instance: &Instance| {
            let reason = instance.check(request).err()?;
            Some(Refusal { instance: instance.id(), reason })
        };
        self.instances.values().filter_map(refusal).collect()
    }

    /// For each attribute that `request` spreads over: the group's tasks by its value.
    fn count_spreads(&self, request: &Request) -> Vec<SpreadCount> {
        let attributes = request.strategies.iter().filter_map(|strategy| match strategy {
            Strategy::Spread(Spread::Attribute(name)) => Some(name.clone()),
            Strategy::Spread(Spread::Instance) | Strategy::Random | Strategy::Binpack(_) => None,
        });
        let count = |attribute: Arc<str>| {
            let mut counts = BTreeMap::new();
            for instance in self.instances.values() {
                let tasks = instance.tasks_of(&request.group);
                *counts.entry(value_of(instance, &attribute)).or_default() += tasks;
            }
            SpreadCount { attribute, counts }
        };
        attributes.map(count).collect()
    }
}

/// How many tasks of a group there are for each value of an attribute.
struct SpreadCount {
    attribute: Arc<str>,
    counts: BTreeMap<Option<Arc<str>>, u32>,
}

fn value_of(instance: &Instance, attribute: &str) -> Option<Arc<str>> {
    instance.attribute(attribute).map(Arc::from)
}

/// The best of `fitting`: each strategy keeps those that are best under it.
fn choose(
    mut fitting: Vec<&Instance>,
    request: &Request,
    spreads: &[SpreadCount],
    seed: &mut Seed,
) -> Option<ContainerInstanceId> {
    let mut spreads = spreads.iter();
    for strategy in &request.strategies {
        match strategy {
            Strategy::Random => break,
            Strategy::Spread(Spread::Instance) => {
                keep_least(&mut fitting, |instance| instance.tasks_of(&request.group));
            }
            Strategy::Spread(Spread::Attribute(_)) => {
                let spread = spreads.next().expect("one count is made for each such strategy");
                keep_least(&mut fitting, |instance| {
                    let value = value_of(instance, &spread.attribute);
                    spread.counts.get(&value).copied().unwrap_or(0)
                });
            }
            Strategy::Binpack(Binpack::Cpu) => {
                keep_least(&mut fitting, |instance| instance.free_cpu().get());
            }
            Strategy::Binpack(Binpack::Memory) => {
                keep_least(&mut fitting, |instance| instance.free_memory().get());
            }
        }
    }
    (!fitting.is_empty()).then(|| fitting[seed.below(fitting.len())].id())
}

/// Keeps the instances whose score is the least.
fn keep_least(instances: &mut Vec<&Instance>, score: impl Fn(&Instance) -> u32) {
    if let Some(least) = instances.iter().map(|instance| score(instance)).min() {
        instances.retain(|instance| score(instance) == least);
    }
}
