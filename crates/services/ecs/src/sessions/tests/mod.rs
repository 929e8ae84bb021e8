//! Whole sessions over a ledger in memory, with agents that speak through transports without
//! sockets; and one round over a real socket.

mod control;
mod crowd;
mod layers;
mod logs;
mod pulls;
mod recording;
mod sockets;
mod telemetry;
pub(super) mod world;
