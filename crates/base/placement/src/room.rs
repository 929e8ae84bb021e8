//! What is free, in the form that searches compare.

use crate::Binpack;

/// An order that instances stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// By free memory, then by free CPU.
    Memory,
    /// By free CPU, then by free memory.
    Cpu,
    /// By nothing that changes, so that chance may choose.
    Chance,
}

impl Order {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;
    /// Those in which an instance's place depends on what is free.
    pub(crate) const BY_RESOURCES: [Self; 2] = [Self::Memory, Self::Cpu];
}

impl From<Binpack> for Order {
    fn from(resource: Binpack) -> Self {
        match resource {
            Binpack::Memory => Self::Memory,
            Binpack::Cpu => Self::Cpu,
        }
    }
}

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

    /// The figures that an instance stands by in `order`.
    pub(crate) fn figures(self, order: Order) -> (u32, u32) {
        match order {
            Order::Memory => (self.memory, self.cpu),
            Order::Cpu => (self.cpu, self.memory),
            Order::Chance => (0, 0),
        }
    }

    /// Whether all that fits here fits `other`, too.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.cpu <= other.cpu
            && self.memory <= other.memory
            && self.gpus <= other.gpus
            && self.enis <= other.enis
            && other.taken & !self.taken == 0
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

    /// The least first figure in `order` of an instance that fits.
    pub(crate) fn least(&self, order: Order) -> u32 {
        match order {
            Order::Memory => self.memory,
            Order::Cpu => self.cpu,
            Order::Chance => 0,
        }
    }
}
