//! What the runtime and the shim say to each other.
//!
//! The shim (`longshore-shim`, `src/main.rs`) is the parent of one container: it creates it through
//! a short-lived child, keeps its output and its exit status, and outlives the agent. This library
//! holds only the types of their socket and files, so that the runtime links nothing of the rest.
//!
//! **Invariant:** no async runtime, no TLS, no generated types: a shim is held in memory once for
//! each running container.

pub mod cgroup;
mod logs;
mod profile;
mod protocol;

pub use logs::*;
pub use profile::{Compare, Condition, Profile, Rule};
pub use protocol::*;
