//! Pure: rows to what the data plane is told, and what it tells to rows.

mod config;
mod found;
mod names;
mod shares;

pub(crate) use config::{Plan, plan, verdicts};
pub(crate) use found::{found, idle};
pub(crate) use names::zones;
pub(crate) use shares::{Front, Telling, own, reports, states};
