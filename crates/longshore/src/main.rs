//! Amazon ECS that anyone can run: one binary, several roles.
//!
//! - `cli.rs`: what there is to say; `commands/`: one file a command.
//! - `control_plane.rs` joins ledger, services and edge; `node.rs` joins runtime and agent.
//! - `ensemble/`: several servers over one ledger.
//! - `settings.rs`: flags, environment, file; `data_dir.rs`: what lies in the data folder.
#![deny(clippy::print_stdout, reason = "output::say ends quietly when nobody reads any more")]

mod access_logs;
mod agent_program;
mod api;
mod archive_route;
mod audit;
mod auth;
mod balancing;
mod certifying;
mod cli;
mod clock;
mod commands;
mod connection;
mod control_plane;
mod data_dir;
mod deployment_hooks;
mod descriptors;
mod destinations;
mod ensemble;
mod event_parts;
mod exec_parts;
mod exit;
mod fleet;
mod history;
mod housekeeping;
mod image_store;
mod instances;
mod known_resources;
mod limits;
mod names;
mod node;
mod object_store;
mod observe;
mod output;
mod peers;
mod pki;
mod port;
mod profile_files;
mod registries;
mod registry;
mod retention;
mod routes;
mod security;
mod service_rules;
mod serving;
mod settings;
mod shell;
mod shorthand;
mod signals;
mod storage;
mod supervisor;
mod tables;
mod tls_upkeep;
mod updating;

use std::process::ExitCode;

/// musl's own has one lock for all threads: see docs/decisions/0107.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
