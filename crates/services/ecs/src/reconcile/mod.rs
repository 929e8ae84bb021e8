//! Loops.

mod definitions;
mod interfaces;
pub(crate) mod sweep;
