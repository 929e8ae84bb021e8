//! What is free, in the form that searches compare.

use crate::Binpack;

/// What is free on an instance, or the most that is free on any of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) cpu: u32,
    pub(crate) memory: u32,
    pub(crate) gpus: u32,
    pub(crate) enis: u32,
    /// One bit for each watched port: it is taken, on all of them.
    pub(crate) taken: u64,
}

impl Room {
    /// What holds of two sets of instances together. Each figure may come from another instance.
    pub(crate) fn either(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            gpus: self.gpus.max(other.gpus),
            enis: self.enis.max(other.enis),
            taken: self.taken & other.taken,
        }
    }

    /// What is free of `resource`, then of the other one.
    pub(crate) fn ordered_by(self, resource: Binpack) -> (u32, u32) {
        match resource {
            Binpack::Memory => (self.memory, self.cpu),
            Binpack::Cpu => (self.cpu, self.memory),
        }
    }
}

/// What a task takes, as far as a [`Room`] tells of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Need {
    pub(crate) cpu: u32,
    pub(crate) memory: u32,
    pub(crate) gpus: u32,
    pub(crate) enis: u32,
    /// The bits of the watched ports that it takes.
    pub(crate) ports: u64,
}

impl Need {
    /// Whether `room` may suffice: for one instance, whether it does but for ports that nobody
    /// watches.
    pub(crate) fn fits(&self, room: &Room) -> bool {
        self.memory <= room.memory
            && self.cpu <= room.cpu
            && self.gpus <= room.gpus
            && self.enis <= room.enis
            && self.ports & room.taken == 0
    }

    /// What it takes of `resource`.
    pub(crate) fn of(&self, resource: Binpack) -> u32 {
        match resource {
            Binpack::Memory => self.memory,
            Binpack::Cpu => self.cpu,
        }
    }
}
