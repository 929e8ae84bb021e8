//! EventBridge over a ledger in memory: answers byte for byte, delivery to targets that refuse,
//! schedules under a clock that tests move.
#![allow(clippy::unwrap_used)]

mod delivery;
mod following;
mod golden;
mod schedules;
mod world;
