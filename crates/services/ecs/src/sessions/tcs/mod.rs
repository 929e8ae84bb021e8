//! The telemetry channel (TCS): metrics, container health, instance status (agent-protocol §4).
//!
//! Each request is acked; health is written when it changes, metrics stay in memory.

mod health;
mod metrics;
mod report;
mod serve;

pub use metrics::InstanceTelemetry;
pub(crate) use metrics::Telemetry;
pub(crate) use report::TelemetryReport;
pub(crate) use serve::serve;
