//! What services are tested on: a clock that is held, ids that count, an edge that is open, and
//! golden files of calls and their answers. Nothing but tests may use it.

#![allow(clippy::unwrap_used)]

mod calls;
mod golden;
mod sources;

pub use calls::{ask_json, edge};
pub use golden::play;
pub use sources::{CountedIds, HeldClock, NOW, NoKeys};
