//! The agent against a stand-in host and a stand-in server.
#![allow(clippy::unwrap_used)]

mod crash;
mod engine;
mod exec;
mod harness;
mod host;
mod lifecycle;
mod networks;
mod orphans;
mod peers;
mod pulls;
mod registry;
mod resources;
mod restarts;
mod server;
mod storage;
mod terminal;
mod volumes;
