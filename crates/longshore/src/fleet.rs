//! This machine as a node of the operator's own, on which Fargate tasks run.

use agent::engine::Capacity;
use agent::{FARGATE_ATTRIBUTE, FARGATE_FLEET, FARGATE_SPOT_ATTRIBUTE};
use terms::ClusterName;

/// CPU units and MiB of the largest Fargate task.
const LARGEST: (u64, u64) = (16 * 1024, 120 * 1024);

/// Which Fargate tasks a node takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fleet {
    /// Those of FARGATE, and those of FARGATE_SPOT
    Fargate,
    /// Those of FARGATE_SPOT alone
    FargateSpot,
}

impl Fleet {
    /// What such nodes register under, in the place of a cluster.
    pub fn cluster() -> ClusterName {
        FARGATE_FLEET.parse().expect("it is made as names of clusters are")
    }

    /// The attributes by which placement knows such a node.
    pub fn attributes(self) -> Vec<(String, String)> {
        let names: &[&str] = match self {
            Self::Fargate => &[FARGATE_ATTRIBUTE, FARGATE_SPOT_ATTRIBUTE],
            Self::FargateSpot => &[FARGATE_SPOT_ATTRIBUTE],
        };
        names.iter().map(|&name| (name.to_owned(), "true".to_owned())).collect()
    }
}

/// What the node of `longshore up` registers: room for the largest task, whatever the machine has, so
/// that a definition made for AWS runs on a laptop. Limits are held, promises are not.
pub fn roomy(machine: Capacity) -> Capacity {
    let (cpu, memory) = LARGEST;
    Capacity { cpu: machine.cpu.max(cpu), memory: machine.memory.max(memory), ..machine }
}
