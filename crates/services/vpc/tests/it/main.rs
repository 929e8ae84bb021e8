//! Networks over a ledger in memory: answers byte for byte, and addresses by property.
#![allow(clippy::unwrap_used)]

mod addresses;
mod golden;
mod made;
mod world;
