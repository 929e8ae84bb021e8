//! Loops.

pub(crate) mod sweep;
