//! The API and the registry over a ledger in memory and a folder, or a bucket: what clients ask, and what they
//! are told.
#![allow(clippy::unwrap_used)]

mod access;
mod cached;
mod collection;
mod distribution;
mod golden;
mod hostile;
mod in_a_bucket;
mod replicated;
mod scans;
mod tokens;
mod told;
mod uploads;
mod upstream;
mod world;
