//! What is free on an instance: the one place where that is derived.

use std::collections::BTreeSet;
use std::sync::Arc;

use agent_protocol::{AGENT_ATTRIBUTE, SWAPPINESS_CAPABILITY};
use ledger::{FIGURES, Total};
use placement::{Availability, Demand, Facts, Held, Instance, PortSet};

use crate::model::{
    Binding, Capacity, ContainerInstance, InstanceStatus, Protocol, Task, TaskStatus,
};

/// An instance as placement sees it, with what `tasks` hold there. `tasks` are those on it that
/// have not stopped.
pub(crate) fn instance<'a>(
    row: &ContainerInstance,
    tasks: impl IntoIterator<Item = &'a Task>,
) -> Instance {
    let mut instance = empty(row);
    for task in tasks {
        instance.hold(&task.spread_group(), &held(task));
    }
    instance
}

/// As [`instance`], for requests that ask for no port of the host and have no constraints: neither
/// the ports nor the groups of its tasks can matter to them. `held` is what the tasks that have not
/// stopped amount to by [`figures`]: so a look at a full instance costs what one at an empty one
/// does, and every commit that places tasks waits for it.
pub(crate) fn instance_without_ports(row: &ContainerInstance, held: &Total) -> Instance {
    let mut instance = empty(row);
    let [cpu, memory, gpus, enis, running] = held.figures;
    instance.hold_all(&Held { cpu, memory, gpus, enis, running });
    instance
}

/// What a task holds, ports apart, as the ledger sums it for each instance.
pub(crate) fn figures(task: &Task) -> [u64; FIGURES] {
    let Demand { cpu, memory, gpus, enis, running, .. } = shares(task);
    [cpu.get().into(), memory.get().into(), gpus.into(), enis.into(), running.into()]
}

/// An instance as placement sees it, without tasks.
fn empty(row: &ContainerInstance) -> Instance {
    let Capacity { cpu, memory, reserved_tcp, reserved_udp, gpus } = &row.capacity;
    let text = |text: &String| Arc::<str>::from(text.as_str());
    let attribute =
        |(name, value): (&String, &Option<String>)| (text(name), value.as_ref().map(text));
    let mut attributes: placement::Attributes = row.attributes.iter().map(attribute).collect();
    if !row.attributes.contains_key(AGENT_ATTRIBUTE) {
        attributes.insert(SWAPPINESS_CAPABILITY.into(), None);
    }
    Instance::new(row.arn.id, *cpu, *memory)
        .with_availability(availability(row))
        .with_attributes(Arc::new(attributes))
        .with_gpus(u32::try_from(gpus.len()).unwrap_or(u32::MAX))
        .with_facts(Facts {
            agent_version: row.agent.version.as_ref().map(text),
            ec2_instance_id: row.ec2_instance_id.as_ref().map(text),
            registered_at: row.registered_at,
        })
        .with_reserved_ports(
            reserved_tcp.iter().copied().collect::<PortSet>(),
            reserved_udp.iter().copied().collect(),
        )
        .with_enis(interfaces(row))
}

/// How many awsvpc tasks an instance takes if nothing else is said. EC2 has from 1, for its
/// smallest machines, up to 120. Here an interface is a name in a namespace that costs the machine
/// next to nothing, so what bounds tasks is memory and CPU; the figure keeps one instance from
/// taking a subnet's every address.
const INTERFACES: u32 = 120;
/// The custom attribute that says otherwise; anyone who may put attributes may put it.
const INTERFACES_ATTRIBUTE: &str = "awsvpc.network-interfaces";

/// The room that an instance has for interfaces of tasks.
fn interfaces(row: &ContainerInstance) -> u32 {
    let said = row.attributes.get(INTERFACES_ATTRIBUTE).and_then(Option::as_deref);
    said.and_then(|text| text.parse().ok()).unwrap_or(INTERFACES)
}

fn availability(row: &ContainerInstance) -> Availability {
    match row.status {
        InstanceStatus::Active if !row.agent.connected => Availability::Disconnected,
        InstanceStatus::Active if row.agent.disk_full.is_some() => Availability::DiskFull,
        InstanceStatus::Active => Availability::Ready,
        InstanceStatus::Draining | InstanceStatus::Inactive => Availability::Inactive,
    }
}

/// What a task holds of its instance until it has stopped: what it asked for, and the host ports
/// that its agent chose.
pub(crate) fn held(task: &Task) -> Demand {
    let bindings = || task.containers.iter().flat_map(|container| &container.bindings);
    let ports = |wanted: &BTreeSet<u16>, protocol| {
        let bound = bindings().filter(|b| b.protocol == protocol).flat_map(host_ports);
        let mut all: Vec<u16> = wanted.iter().copied().chain(bound).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    Demand {
        tcp: ports(&task.demand.tcp, Protocol::Tcp),
        udp: ports(&task.demand.udp, Protocol::Udp),
        ..shares(task)
    }
}

/// The same without ports.
fn shares(task: &Task) -> Demand {
    Demand {
        cpu: task.demand.cpu,
        memory: task.demand.memory,
        tcp: Vec::new(),
        udp: Vec::new(),
        gpus: task.demand.gpus,
        enis: u32::from(task.network.is_some()),
        running: u32::from(task.status == TaskStatus::Running),
    }
}

/// The GPUs that a task has to itself.
pub(crate) fn gpus(task: &Task) -> impl Iterator<Item = &String> {
    task.containers.iter().flat_map(|container| &container.gpu_ids)
}

/// The ports of the host that a binding takes: one, or a range.
fn host_ports(binding: &Binding) -> impl Iterator<Item = u16> {
    let range = binding.host_port_range.as_deref().and_then(|range| range.split_once('-'));
    let range = range.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let (first, last) = range.unwrap_or((1_u16, 0_u16));
    binding.host_port.into_iter().chain(first..=last)
}

/// What is left of an instance's resources, and the ports that are taken.
pub(crate) struct Remaining {
    /// CPU units.
    pub(crate) cpu: u32,
    /// MiB.
    pub(crate) memory: u32,
    /// Reserved or taken.
    pub(crate) tcp: BTreeSet<u16>,
    /// Reserved or taken.
    pub(crate) udp: BTreeSet<u16>,
    /// GPUs that no task has.
    pub(crate) gpus: BTreeSet<String>,
}

/// What `remainingResources` shows of an instance.
pub(crate) fn remaining<'a>(
    row: &ContainerInstance,
    tasks: impl IntoIterator<Item = &'a Task> + Clone,
) -> Remaining {
    let placed = instance(row, tasks.clone());
    let mut tcp = row.capacity.reserved_tcp.clone();
    let mut udp = row.capacity.reserved_udp.clone();
    let mut gpus = row.capacity.gpus.clone();
    for task in tasks {
        let demand = held(task);
        tcp.extend(demand.tcp);
        udp.extend(demand.udp);
        for id in self::gpus(task) {
            gpus.remove(id);
        }
    }
    Remaining { cpu: placed.free_cpu().get(), memory: placed.free_memory().get(), tcp, udp, gpus }
}
