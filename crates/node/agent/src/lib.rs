//! The container agent: protocol, task engine, local endpoints.
//!
//! Start reading at [`Agent::run`]. One core ([`engine`], pure) is told events and answers with
//! records, which are journaled first, and commands, which are carried out beside it; channels to
//! the control plane, local endpoints and log streams only read what the core knows.
//!
//! **Invariants**
//! - A payload is acknowledged only when the journal holds its tasks.
//! - A container's id is in the journal before anything is made of it, so that a crash neither
//!   loses nor doubles a container.
//! - Credentials are in memory only.
//! - The agent's end leaves containers running, unless it is asked to stop them.
//!
//! Departures from the contract: [`Agent::run`] also takes a [`Directory`], by which the agents of
//! one process answer for each other in the host's network; the runtime parts, the transport and
//! the journal come together as [`Parts`].

mod agent;
pub mod awsvpc;
mod config;
mod core;
mod effects;
mod endpoints;
pub mod engine;
pub mod fargate;
mod folders;
mod gpus;
mod house;
pub mod journal;
mod logs;
mod orphans;
mod peers;
mod pulls;
mod resources;
mod sessions;
pub mod spec;
mod steps;
mod storage;
pub mod transport;
mod update;
pub mod view;
pub mod volumes;

pub use agent::Agent;
pub use agent_protocol::{
    CAPACITY_PROVIDER_ATTRIBUTE, FARGATE_ATTRIBUTE, FARGATE_FLEET, FARGATE_SPOT_ATTRIBUTE,
};
pub use config::{
    AgentError, AtEnd, Config, Parts, RESERVED_TCP_PORTS, Remains, STOP_TIMEOUT_AT_END,
    detect_capacity,
};
pub use endpoints::{Directory, RequestRate};
pub use folders::{Folders, HostFolders, Room};
pub use gpus::Gpu;
pub use house::{Floor, House, ImageCleanup};
pub use orphans::leave;
pub use peers::{Exchange, PeerSettings, Seeking};
pub use update::Updates;
