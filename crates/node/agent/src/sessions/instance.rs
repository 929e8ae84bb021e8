//! The instance's own health: checked when a heartbeat comes, told on TCS (agent-protocol §4).

use agent_protocol::tcs::InstanceStatus;
use parking_lot::Mutex;
use terms::Timestamp;

/// The check that Amazon's agent calls so; the public API says `CONTAINER_RUNTIME`.
const CONTAINER_RUNTIME: &str = "ContainerRuntime";

/// The last check.
#[derive(Debug, Default)]
pub(crate) struct InstanceHealth(Mutex<Option<Check>>);

#[derive(Clone, Debug)]
struct Check {
    status: &'static str,
    at: Timestamp,
    since: Timestamp,
    is_told: bool,
}

impl InstanceHealth {
    /// Takes a check's result.
    pub(crate) fn checked(&self, is_well: bool, now: Timestamp) {
        let status = if is_well { "OK" } else { "IMPAIRED" };
        let mut check = self.0.lock();
        let since = check.as_ref().filter(|old| old.status == status).map_or(now, |old| old.since);
        *check = Some(Check { status, at: now, since, is_told: false });
    }

    /// The last result, unless it was taken before.
    pub(crate) fn take(&self) -> Option<InstanceStatus> {
        let mut check = self.0.lock();
        let check = check.as_mut().filter(|check| !check.is_told)?;
        check.is_told = true;
        Some(InstanceStatus {
            kind: CONTAINER_RUNTIME.to_owned(),
            status: check.status.to_owned(),
            last_updated: check.at.seconds_f64(),
            last_status_change: check.since.seconds_f64(),
        })
    }
}
