//! Placement's promises, on cases and on random fleets.
#![allow(clippy::unwrap_used, missing_docs)]

mod cases;
mod changes;
mod fleets;
mod properties;
mod query;
mod reference;
mod scale_in;
