//! What a service says of how its deployments go (API reference, `DeploymentConfiguration`).

use serde::{Deserialize, Serialize};

use super::{Hook, Strategy};

/// How tasks are replaced, and what stops a deployment. Members that are not given have ECS's
/// defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeploymentConfiguration {
    /// Most tasks, in percent of the desired count, rounded down.
    pub(crate) maximum_percent: u32,
    /// Fewest healthy tasks, in percent of the desired count, rounded up.
    pub(crate) minimum_healthy_percent: u32,
    /// Whether tasks that fail end a deployment.
    #[serde(default)]
    pub(crate) breaker: CircuitBreaker,
    /// Alarms that end a deployment; none if they were never given.
    #[serde(default)]
    pub(crate) alarms: Option<DeploymentAlarms>,
    /// For how many minutes alarms are watched after the last task was replaced; worked out from
    /// the alarms if not given.
    #[serde(default)]
    pub(crate) bake_minutes: Option<u32>,
    /// How a deployment takes the place of the one before it.
    #[serde(default)]
    pub(crate) strategy: Strategy,
    /// When a deployment is a success before it is whole; none if it has to be whole.
    #[serde(default)]
    pub(crate) early: Option<EarlySuccess>,
    /// Who is asked before a deployment goes on.
    #[serde(default)]
    pub(crate) hooks: Vec<Hook>,
}

/// When a rolling deployment is a success before all tasks are replaced (ECS semantics §8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EarlySuccess {
    /// How many of its tasks have to be healthy, in percent of the desired count, rounded up.
    pub(crate) healthy_percent: u32,
    /// Whether the tasks before it may end after it was called a success.
    pub(crate) deferred: bool,
}

#[cfg(test)]
impl DeploymentConfiguration {
    /// ECS's default for REPLICA (ECS semantics §7.2).
    pub(crate) fn replica() -> Self {
        Self::of(100, 200)
    }

    fn of(minimum_healthy_percent: u32, maximum_percent: u32) -> Self {
        Self {
            maximum_percent,
            minimum_healthy_percent,
            breaker: CircuitBreaker::default(),
            alarms: None,
            bake_minutes: None,
            strategy: Strategy::Rolling,
            early: None,
            hooks: Vec::new(),
        }
    }
}

/// The deployment circuit breaker (ECS semantics §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CircuitBreaker {
    /// Whether it is on.
    pub(crate) enable: bool,
    /// Whether the service goes back to the last completed deployment.
    pub(crate) rollback: bool,
    /// How many failures are too many.
    #[serde(default)]
    pub(crate) threshold: Threshold,
    /// Whether a task that becomes healthy makes the count begin anew.
    #[serde(default = "yes")]
    pub(crate) reset_on_healthy: bool,
}

fn yes() -> bool {
    true
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        let threshold = Threshold::default();
        Self { enable: false, rollback: false, threshold, reset_on_healthy: true }
    }
}

/// How many failures end a deployment (ECS semantics §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Threshold {
    /// So many percent of the desired count, rounded up, but 3 at least and 200 at most.
    BoundedPercent(u32),
    /// So many percent of the desired count, rounded up, but 1 at least.
    UnboundedPercent(u32),
    /// So many.
    Count(u32),
}

impl Default for Threshold {
    fn default() -> Self {
        Self::BoundedPercent(50)
    }
}

/// The alarms of a deployment (ECS semantics §8.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeploymentAlarms {
    /// Their names.
    pub(crate) names: Vec<String>,
    /// Whether they are watched.
    pub(crate) enable: bool,
    /// Whether the service goes back to the last completed deployment.
    pub(crate) rollback: bool,
}
