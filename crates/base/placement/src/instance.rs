//! One instance as placement sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use terms::{ContainerInstanceId, CpuUnits, MemoryMib};

use crate::{Constraint, Demand, PortSet, Reason, Request, RequiredAttribute};

/// Attributes by name; some have no value. Shared by instances that have the same ones.
pub type Attributes = BTreeMap<Arc<str>, Option<Arc<str>>>;

/// Whether an instance takes tasks at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// ACTIVE, and its agent is connected.
    Ready,
    /// ACTIVE, but its agent is away.
    Disconnected,
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
    held_cpu: u64,
    held_memory: u64,
    tcp: PortSet,
    udp: PortSet,
    groups: BTreeMap<Arc<str>, u32>,
}

impl Instance {
    /// An instance with nothing on it.
    pub fn new(id: ContainerInstanceId, cpu: CpuUnits, memory: MemoryMib) -> Self {
        Self {
            id,
            availability: Availability::Ready,
            attributes: Arc::default(),
            cpu,
            memory,
            held_cpu: 0,
            held_memory: 0,
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
        self.held_cpu += u64::from(demand.cpu.get());
        self.held_memory += u64::from(demand.memory.get());
        demand.tcp.iter().for_each(|&port| self.tcp.hold(port));
        demand.udp.iter().for_each(|&port| self.udp.hold(port));
        *self.groups.entry(group.clone()).or_default() += 1;
    }

    /// A task of `group` gives `demand` back; it must have been held before.
    pub fn release(&mut self, group: &str, demand: &Demand) {
        self.held_cpu = self.held_cpu.saturating_sub(demand.cpu.get().into());
        self.held_memory = self.held_memory.saturating_sub(demand.memory.get().into());
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
    /// The first [`Reason`] against it: status, agent, attributes, CPU, memory, ports, constraints.
    pub fn check(&self, request: &Request) -> Result<(), Reason> {
        self.check_availability()?;
        request.attributes.iter().try_for_each(|wanted| self.check_attribute(wanted))?;
        self.check_resources(&request.demand)?;
        request.constraints.iter().try_for_each(|constraint| match constraint {
            Constraint::DistinctInstance if self.tasks_of(&request.group) > 0 => {
                Err(Reason::DistinctInstance)
            }
            Constraint::DistinctInstance => Ok(()),
        })
    }

    fn check_availability(&self) -> Result<(), Reason> {
        match self.availability {
            Availability::Ready => Ok(()),
            Availability::Disconnected => Err(Reason::Agent),
            Availability::Inactive => Err(Reason::Inactive),
        }
    }

    fn check_attribute(&self, wanted: &RequiredAttribute) -> Result<(), Reason> {
        let has = self.attribute(&wanted.name);
        let good = match &wanted.value {
            None => has.is_some(),
            Some(value) => has == Some(value),
        };
        let reason =
            || Reason::Attribute { name: wanted.name.clone(), wanted: wanted.value.clone() };
        good.then_some(()).ok_or_else(reason)
    }

    fn check_resources(&self, demand: &Demand) -> Result<(), Reason> {
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
        self.udp.first_taken(&demand.udp).map_or(Ok(()), |port| Err(Reason::UdpPort(port)))
    }
}

/// What is left of `total`; nothing if more is held than there is.
fn left(total: u32, held: u64) -> u32 {
    u32::try_from(u64::from(total).saturating_sub(held)).unwrap_or(u32::MAX)
}
