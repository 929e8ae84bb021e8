//! Loops.

mod definitions;
mod interfaces;
pub(crate) mod services;
pub(crate) mod sweep;
