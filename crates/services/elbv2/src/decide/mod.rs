//! Pure: rows to what the data plane is told, and what it tells to rows.

mod config;
mod found;

pub(crate) use config::{Plan, plan};
pub(crate) use found::{found, idle};
