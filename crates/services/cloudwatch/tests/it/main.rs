//! CloudWatch over a ledger in memory and files in a temporary folder: answers byte for byte in
//! its protocols, and what is on the disk.
#![allow(clippy::unwrap_used)]

mod golden;
mod logs;
mod protocols;
mod world;
