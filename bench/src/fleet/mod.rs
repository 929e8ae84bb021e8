//! A fleet of simulated agents: processes of `longshore-bench agents`, each with a loopback
//! address of its own.

mod agent;
mod crowd;
mod frames;
mod herd;
mod hold;
mod live;
mod steps;

pub use crowd::Agents;
pub use herd::{Herd, Size, TASK_MIB};
pub use hold::{Asked, Hold};
pub use live::Live;
