//! What services are tested on: a clock that is held, ids that count, an edge that is open, golden
//! files of calls and their answers, and tars as strangers make them. Nothing but tests may use it.

#![allow(clippy::unwrap_used)]

mod calls;
mod golden;
mod sources;
mod tars;

pub use calls::{ask_json, edge};
pub use golden::play;
pub use sources::{CountedIds, HeldClock, NOW, NoKeys};
pub use tars::Sample;
