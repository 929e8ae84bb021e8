//! Loops.

mod definitions;
pub(crate) mod sweep;
