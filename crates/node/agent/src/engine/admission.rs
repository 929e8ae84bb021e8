//! What a task needs of the instance, and whether it fits.

use std::collections::BTreeSet;

use agent_protocol::task::{Container, Task};

/// What an instance has, or a task takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// CPU units.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
    /// TCP ports of the host: those reserved, or those taken.
    pub tcp: BTreeSet<u16>,
    /// UDP ports of the host.
    pub udp: BTreeSet<u16>,
}

impl Capacity {
    /// What the task takes: its own limits, else the sum over its containers, memory reservation
    /// before limit; and its static host ports.
    pub fn of(task: &Task) -> Self {
        let cpu = match task.cpu {
            Some(vcpus) => (vcpus * 1024.0).round() as u64,
            None => task.containers.iter().map(|container| u64::from(container.cpu)).sum(),
        };
        let memory = match task.memory {
            Some(mib) => u64::from(mib),
            None => task.containers.iter().map(memory).sum(),
        };
        let (mut tcp, mut udp) = (BTreeSet::new(), BTreeSet::new());
        for container in &task.containers {
            let mode = crate::spec::network_mode(task, container);
            // An interface of the task's own has all its ports.
            if mode == crate::spec::NetworkMode::Awsvpc {
                continue;
            }
            let host = mode == crate::spec::NetworkMode::Host;
            for port in &container.port_mappings {
                let number = match port.host_port.filter(|&port| port != 0) {
                    Some(port) => Some(port),
                    None if host => port.container_port,
                    None => None,
                };
                let set = if port.protocol.as_deref() == Some("udp") { &mut udp } else { &mut tcp };
                set.extend(number);
            }
        }
        Self { cpu, memory, tcp, udp }
    }

    /// Takes another task's needs up too.
    pub fn add(&mut self, other: &Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.tcp.extend(&other.tcp);
        self.udp.extend(&other.udp);
    }

    /// Whether `need` fits on an instance of this capacity beside what is `used`.
    pub fn fits(&self, used: &Self, need: &Self) -> bool {
        used.cpu.saturating_add(need.cpu) <= self.cpu
            && used.memory.saturating_add(need.memory) <= self.memory
            && need.tcp.is_disjoint(&used.tcp)
            && need.udp.is_disjoint(&used.udp)
    }
}

/// MiB that a container takes: its reservation if it has one, else its limit.
fn memory(container: &Container) -> u64 {
    let reservation = container
        .docker_config
        .host_config()
        .ok()
        .and_then(|config| config.memory_reservation)
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|&bytes| bytes > 0);
    reservation.map_or(u64::from(container.memory), |bytes| bytes.div_ceil(1024 * 1024))
}
