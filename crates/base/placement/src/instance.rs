//! One instance as placement sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use terms::{ContainerInstanceId, CpuUnits, MemoryMib, Timestamp};

use crate::query::Subject;
use crate::{Constraint, Demand, PortSet, Reason, Request, RequiredAttribute};

/// Attributes by name; some have no value. Shared by instances that have the same ones.
pub type Attributes = BTreeMap<Arc<str>, Option<Arc<str>>>;

/// The attribute that names an instance's zone.
pub const ZONE: &str = "ecs.availability-zone";

/// What expressions may ask of an instance besides its attributes and tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its agent's version, as in `1.89.2`.
    pub agent_version: Option<Arc<str>>,
    /// The id of the virtual machine that it is.
    pub ec2_instance_id: Option<Arc<str>>,
    /// When it was registered.
    pub registered_at: Timestamp,
}

/// Whether an instance takes tasks at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// ACTIVE, and its agent is connected.
    Ready,
    /// ACTIVE, but its agent is away.
    Disconnected,
    /// ACTIVE and connected, but its disk is full.
    DiskFull,
    /// Draining or gone.
    Inactive,
}

/// One instance: what it is, and what the tasks on it hold.
#[derive(Clone, Debug)]
pub struct Instance {
    id: ContainerInstanceId,
    availability: Availability,
    attributes: Arc<Attributes>,
    cpu: CpuUnits,
    memory: MemoryMib,
    gpus: u32,
    enis: u32,
    facts: Facts,
    held_cpu: u64,
    held_memory: u64,
    held_gpus: u64,
    held_enis: u64,
    running: u32,
    tcp: PortSet,
    udp: PortSet,
    groups: BTreeMap<Arc<str>, u32>,
}

/// What tasks hold of an instance together, ports apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// CPU units.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
    /// GPUs.
    pub gpus: u64,
    /// Network interfaces.
    pub enis: u64,
    /// Tasks that run.
    pub running: u64,
}

impl Instance {
    /// An instance with nothing on it, without GPUs and with room for any number of network
    /// interfaces.
    pub fn new(id: ContainerInstanceId, cpu: CpuUnits, memory: MemoryMib) -> Self {
        Self {
            id,
            availability: Availability::Ready,
            attributes: Arc::default(),
            cpu,
            memory,
            gpus: 0,
            enis: u32::MAX,
            facts: Facts::default(),
            held_cpu: 0,
            held_memory: 0,
            held_gpus: 0,
            held_enis: 0,
            running: 0,
            tcp: PortSet::default(),
            udp: PortSet::default(),
            groups: BTreeMap::new(),
        }
    }

    /// The same with this availability.
    #[must_use]
    pub fn with_availability(self, availability: Availability) -> Self {
        Self { availability, ..self }
    }

    /// The same with these attributes.
    #[must_use]
    pub fn with_attributes(self, attributes: Arc<Attributes>) -> Self {
        Self { attributes, ..self }
    }

    /// The same with ports that no task may have.
    #[must_use]
    pub fn with_reserved_ports(self, tcp: PortSet, udp: PortSet) -> Self {
        Self { tcp, udp, ..self }
    }

    /// The same with this many GPUs.
    #[must_use]
    pub fn with_gpus(self, gpus: u32) -> Self {
        Self { gpus, ..self }
    }

    /// The same with room for this many network interfaces of tasks.
    #[must_use]
    pub fn with_enis(self, enis: u32) -> Self {
        Self { enis, ..self }
    }

    /// The same with these facts.
    #[must_use]
    pub fn with_facts(self, facts: Facts) -> Self {
        Self { facts, ..self }
    }

    /// Its id.
    pub fn id(&self) -> ContainerInstanceId {
        self.id
    }

    /// CPU that no task holds.
    pub fn free_cpu(&self) -> CpuUnits {
        CpuUnits::new(left(self.cpu.get(), self.held_cpu))
    }

    /// Memory that no task holds.
    pub fn free_memory(&self) -> MemoryMib {
        MemoryMib::new(left(self.memory.get(), self.held_memory))
    }

    /// GPUs that no task holds.
    pub fn free_gpus(&self) -> u32 {
        left(self.gpus, self.held_gpus)
    }

    /// Network interfaces that may still be attached.
    pub fn free_enis(&self) -> u32 {
        left(self.enis, self.held_enis)
    }

    /// What expressions may ask besides attributes and tasks.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// All its attributes.
    pub(crate) fn attributes(&self) -> &Arc<Attributes> {
        &self.attributes
    }

    /// How many tasks of each group are here, of those that have some.
    pub(crate) fn groups(&self) -> &BTreeMap<Arc<str>, u32> {
        &self.groups
    }

    /// The TCP and UDP ports that are taken or reserved.
    pub(crate) fn taken_ports(&self) -> (&PortSet, &PortSet) {
        (&self.tcp, &self.udp)
    }

    /// Whether it takes tasks at all.
    pub(crate) fn is_ready(&self) -> bool {
        self.availability == Availability::Ready
    }

    /// How many tasks of `group` are here.
    pub fn tasks_of(&self, group: &str) -> u32 {
        self.groups.get(group).copied().unwrap_or(0)
    }

    /// The value of an attribute: `None` if absent, `Some("")` if it has no value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(|value| value.as_deref().unwrap_or(""))
    }

    /// A task of `group` takes `demand` here. This is a fact, not a wish: it may over-commit, and
    /// then nothing is free until enough was released.
    pub fn hold(&mut self, group: &Arc<str>, demand: &Demand) {
        self.hold_all(&Held {
            cpu: demand.cpu.get().into(),
            memory: demand.memory.get().into(),
            gpus: demand.gpus.into(),
            enis: demand.enis.into(),
            running: demand.running.into(),
        });
        demand.tcp.iter().for_each(|&port| self.tcp.hold(port));
        demand.udp.iter().for_each(|&port| self.udp.hold(port));
        match self.groups.get_mut(group) {
            Some(tasks) => *tasks += 1,
            None => drop(self.groups.insert(group.clone(), 1)),
        }
    }

    /// As [`Instance::hold`] of many tasks, without their ports and without remembering whose they are:
    /// what counts the tasks of a group, constraints and strategies, and what asks for ports
    /// cannot be asked of the instance any more.
    pub fn hold_all(&mut self, held: &Held) {
        self.held_cpu += held.cpu;
        self.held_memory += held.memory;
        self.held_gpus += held.gpus;
        self.held_enis += held.enis;
        self.running = self.running.saturating_add(u32::try_from(held.running).unwrap_or(u32::MAX));
    }

    /// A task of `group` gives `demand` back; it must have been held before.
    pub fn release(&mut self, group: &str, demand: &Demand) {
        self.held_cpu = self.held_cpu.saturating_sub(demand.cpu.get().into());
        self.held_memory = self.held_memory.saturating_sub(demand.memory.get().into());
        self.held_gpus = self.held_gpus.saturating_sub(demand.gpus.into());
        self.held_enis = self.held_enis.saturating_sub(demand.enis.into());
        self.running = self.running.saturating_sub(demand.running);
        demand.tcp.iter().for_each(|&port| self.tcp.release(port));
        demand.udp.iter().for_each(|&port| self.udp.release(port));
        if let Some(count) = self.groups.get_mut(group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(group);
            }
        }
    }

    /// Whether one more task of `request` fits here: what a plan must be checked with when it is
    /// committed.
    ///
    /// # Errors
    /// The first [`Reason`] against it: status, agent, attributes, zone, CPU, memory, ports, GPUs,
    /// network interfaces, constraints.
    pub fn check(&self, request: &Request) -> Result<(), Reason> {
        self.check_availability()?;
        check_attributes(&self.attributes, request)?;
        self.check_resources(&request.demand)?;
        self.check_constraints(request)
    }

    pub(crate) fn check_availability(&self) -> Result<(), Reason> {
        match self.availability {
            Availability::Ready => Ok(()),
            Availability::Disconnected => Err(Reason::Agent),
            Availability::DiskFull => Err(Reason::Disk),
            Availability::Inactive => Err(Reason::Inactive),
        }
    }

    pub(crate) fn check_resources(&self, demand: &Demand) -> Result<(), Reason> {
        let (cpu, memory) = (self.free_cpu(), self.free_memory());
        if demand.cpu > cpu {
            return Err(Reason::Cpu { needed: demand.cpu, free: cpu });
        }
        if demand.memory > memory {
            return Err(Reason::Memory { needed: demand.memory, free: memory });
        }
        if let Some(port) = self.tcp.first_taken(&demand.tcp) {
            return Err(Reason::TcpPort(port));
        }
        if let Some(port) = self.udp.first_taken(&demand.udp) {
            return Err(Reason::UdpPort(port));
        }
        let (gpus, enis) = (self.free_gpus(), self.free_enis());
        if demand.gpus > gpus {
            return Err(Reason::Gpu { needed: demand.gpus, free: gpus });
        }
        if demand.enis > enis {
            return Err(Reason::Eni { needed: demand.enis, free: enis });
        }
        Ok(())
    }

    /// Whether all that `demand` takes is free.
    pub(crate) fn has_room(&self, demand: &Demand) -> bool {
        self.check_resources(demand).is_ok()
    }

    pub(crate) fn check_constraints(&self, request: &Request) -> Result<(), Reason> {
        request.constraints.iter().try_for_each(|constraint| match constraint {
            Constraint::DistinctInstance if self.tasks_of(&request.group) > 0 => {
                Err(Reason::DistinctInstance)
            }
            Constraint::MemberOf(expression) if !expression.matches(self) => {
                Err(Reason::MemberOf(expression.clone()))
            }
            Constraint::DistinctInstance | Constraint::MemberOf(_) => Ok(()),
        })
    }
}

/// Whether `attributes` are those that `request` wants, and of a zone that will do.
pub(crate) fn check_attributes(attributes: &Attributes, request: &Request) -> Result<(), Reason> {
    for RequiredAttribute { name, value: wanted } in &request.attributes {
        let good = match (attributes.get(name), wanted) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(has), Some(wanted)) => has.as_deref().unwrap_or("") == &**wanted,
        };
        if !good {
            return Err(Reason::Attribute { name: name.clone(), wanted: wanted.clone() });
        }
    }
    let Some(zones) = &request.zones else { return Ok(()) };
    let zone = attributes.get(ZONE).cloned().flatten();
    let good = zone.as_ref().is_some_and(|zone| zones.contains(zone));
    good.then_some(()).ok_or(Reason::Location { zone })
}

/// What expressions see of an instance. `runningTasksCount` counts every task that holds something
/// here, so that tasks which were just placed count before they run.
impl Subject for Instance {
    fn attribute(&self, name: &str) -> Option<Option<&str>> {
        self.attributes.get(name).map(Option::as_deref)
    }

    fn agent_connected(&self) -> bool {
        matches!(self.availability, Availability::Ready | Availability::DiskFull)
    }

    fn agent_version(&self) -> Option<&str> {
        self.facts.agent_version.as_deref()
    }

    fn ec2_instance_id(&self) -> Option<&str> {
        self.facts.ec2_instance_id.as_deref()
    }

    fn registered_at(&self) -> Timestamp {
        self.facts.registered_at
    }

    fn running_tasks(&self) -> u32 {
        self.running
    }

    fn any_group(&self, accepts: &mut dyn FnMut(&str) -> bool) -> bool {
        self.groups.keys().any(|group| accepts(group))
    }

    fn has_group(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }
}

/// What is left of `total`; nothing if more is held than there is.
fn left(total: u32, held: u64) -> u32 {
    u32::try_from(u64::from(total).saturating_sub(held)).unwrap_or(u32::MAX)
}
