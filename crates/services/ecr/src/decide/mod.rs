//! Pure decisions: what goes.

mod lifecycle;
mod unused;

pub(crate) use lifecycle::{Candidate, Taken, take};
pub(crate) use unused::unused;
