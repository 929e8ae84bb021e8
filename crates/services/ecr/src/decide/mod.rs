//! Pure decisions: what goes, and what is told of what happens.

mod lifecycle;
mod news;
mod unused;

pub(crate) use lifecycle::{Candidate, Taken, take};
pub(crate) use news::{ActionType, Told, found_after, of_commit};
pub(crate) use unused::unused;
