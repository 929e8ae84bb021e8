//! Certificates over a ledger in memory: answers byte for byte, what is on the disk, and renewal.
#![allow(clippy::unwrap_used)]

mod golden;
mod life;
mod world;
