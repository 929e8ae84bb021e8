//! Parameters and secrets over a ledger in memory: answers byte for byte, what is on the disk, and
//! what time does to them.
#![allow(clippy::unwrap_used)]

mod golden;
mod life;
mod policies;
mod sealed;
mod world;
