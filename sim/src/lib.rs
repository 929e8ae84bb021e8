//! Deterministic simulation of whole clusters (docs/simulation.md).
//!
//! One thread, virtual time, one seed: one server on a disk of its own, or several on an etcd. The
//! control plane's services, placement, loops and sessions
//! are the real ones, and so are the agents with their engine and journal; made up are clocks, ids,
//! the network, the disks, and what runs on the machines. Faults come between any two effects, and
//! the invariants are checked after each.
//!
//! Start reading at [`run()`](run()), then `world`.
//!
//! **Invariant:** the same seed gives the same event log, byte for byte.

mod alarms;
mod capacity;
mod chance;
mod check;
mod client;
mod clock;
mod disk;
mod etcd;
mod families;
mod host;
mod life;
mod log;
mod mutation;
mod network;
mod node;
mod plan;
mod run;
mod server;
mod services;
mod sets;
mod storm;
mod world;

pub use ecs::Mistake;
pub use mutation::Mutation;
pub use run::{Options, Report, run};
pub use world::Violation;
