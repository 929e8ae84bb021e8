//! ECS over the wire: golden conversations, races, restarts.
#![allow(clippy::unwrap_used, missing_docs)]

mod agents_rules;
mod breakers;
mod claims;
mod contention;
mod conversation;
mod ecs_parameters;
mod fargate;
mod golden;
mod hooks;
mod networks;
mod pages;
mod platforms;
mod providers;
mod recording;
mod rollout;
mod run_target;
mod server;
mod starting;
mod tagging;
mod targets;
mod told;
mod told_services;
mod whatif;
mod whatif_services;
