//! The engine's times, as a person may choose them.

use std::time::Duration;

/// The engine's times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time from the stop signal to SIGKILL when a container says none.
    pub stop_timeout: Duration,
    /// The longest time from the stop signal to SIGKILL, whatever a container says.
    pub stop_timeout_max: Duration,
    /// How long a stopped task's containers are kept.
    pub cleanup_wait: Duration,
    /// Whether they are kept only until the server knows of the task's end: the disk is low.
    pub is_hasty: bool,
    /// How long at the least while the server did not take its STOPPED.
    pub unsent_wait: Duration,
    /// Whether a stopped task waits at all for the server to take its STOPPED.
    pub needs_reports: bool,
}

impl Default for Settings {
    /// Those of Amazon's agent (ecs-semantics §23).
    fn default() -> Self {
        Self {
            stop_timeout: Duration::from_secs(30),
            stop_timeout_max: Duration::MAX,
            cleanup_wait: Duration::from_secs(3 * 3600),
            is_hasty: false,
            unsent_wait: Duration::from_secs(72 * 3600),
            needs_reports: true,
        }
    }
}
