//! The telemetry channel (TCS): metrics, container health, instance status (agent-protocol §4).
//!
//! Each request is acked; health is written when it changes, metrics stay in memory.

mod health;
mod metrics;
mod serve;

pub(crate) use health::write_health;
pub(crate) use metrics::{InstanceTelemetry, Telemetry};
pub(crate) use serve::{Report, serve};
