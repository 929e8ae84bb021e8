//! Loops.

mod definitions;
mod ended;
pub(crate) mod hooks;
mod interfaces;
pub(crate) mod services;
pub(crate) mod sweep;
pub(crate) mod usage;

pub(crate) use self::services::say;
