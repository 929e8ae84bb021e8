//! Targets and their health.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

/// A registered target. Its id and port are its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// Where it is reached: the id itself, or where the instance of that id is.
    pub(crate) address: Option<IpAddr>,
    /// The zone that was named with it.
    pub(crate) zone: Option<String>,
    /// When it was registered.
    pub(crate) registered_at: Timestamp,
    /// If it was deregistered: until when what it has begun may go on.
    pub(crate) draining_until: Option<Timestamp>,
}

/// A target's state as health checks tell it (Application Load Balancer guide, "Target health
/// status"); what follows from the configuration alone (`unused`, `draining`) is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthState {
    /// No verdict yet.
    Initial,
    /// It passes.
    Healthy,
    /// It fails.
    Unhealthy,
}

/// Why a target is in its state (API reference, `TargetHealth`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// It answers with other codes than the matcher's.
    ResponseCodeMismatch,
    /// It does not answer in time.
    Timeout,
    /// It does not answer, or not in HTTP.
    FailedHealthChecks,
}

/// What the data plane found a target to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Its state.
    pub state: HealthState,
    /// Why, if it is unhealthy.
    pub reason: Option<Reason>,
    /// For people, in ELB's words.
    pub description: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Whether it was deregistered, and nothing is under way to it any more.
    #[serde(default)]
    pub is_idle: bool,
}
