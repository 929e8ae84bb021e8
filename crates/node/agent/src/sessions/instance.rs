//! The instance's own health: checked when a heartbeat comes and when the disk fills, told on TCS
//! (agent-protocol §4).

use agent_protocol::tcs::{DISK_CHECK, InstanceStatus};
use parking_lot::Mutex;
use terms::Timestamp;

/// The check that Amazon's agent calls so; the public API says `CONTAINER_RUNTIME`.
const CONTAINER_RUNTIME: &str = "ContainerRuntime";

/// The last checks.
#[derive(Debug, Default)]
pub(crate) struct InstanceHealth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Why the disk takes nothing new.
    full: Option<String>,
    runtime: Option<Check>,
    disk: Option<Check>,
    is_told: bool,
}

#[derive(Clone, Debug)]
struct Check {
    status: &'static str,
    reason: Option<String>,
    at: Timestamp,
    since: Timestamp,
}

impl InstanceHealth {
    /// The runtime answered a check, or did not.
    pub(crate) fn checked(&self, is_well: bool, now: Timestamp) {
        self.0.lock().check(is_well, now);
    }

    /// The disk has become full, with why, or is so no more.
    pub(crate) fn disk(&self, full: Option<String>, now: Timestamp) {
        let mut state = self.0.lock();
        state.full = full;
        state.check(true, now);
    }

    /// The last results, unless they were taken before.
    pub(crate) fn take(&self) -> Vec<InstanceStatus> {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.is_told, true) {
            return Vec::new();
        }
        let status = |kind: &str, check: &Option<Check>| {
            let check = check.as_ref()?;
            Some(InstanceStatus {
                kind: kind.to_owned(),
                status: check.status.to_owned(),
                status_reason: check.reason.clone(),
                last_updated: check.at.seconds_f64(),
                last_status_change: check.since.seconds_f64(),
            })
        };
        let told = [status(CONTAINER_RUNTIME, &state.runtime), status(DISK_CHECK, &state.disk)];
        told.into_iter().flatten().collect()
    }
}

impl State {
    /// An instance whose disk is full cannot run what it is given, so its runtime is impaired too:
    /// the API has no check of its own for that.
    fn check(&mut self, is_well: bool, now: Timestamp) {
        let full = self.full.clone();
        let runtime = if is_well && full.is_none() { "OK" } else { "IMPAIRED" };
        let disk = if full.is_none() { "OK" } else { "IMPAIRED" };
        self.runtime = Some(next(self.runtime.take(), runtime, full.clone(), now));
        self.disk = Some(next(self.disk.take(), disk, full, now));
        self.is_told = false;
    }
}

fn next(
    before: Option<Check>,
    status: &'static str,
    reason: Option<String>,
    now: Timestamp,
) -> Check {
    let same = before.filter(|before| before.status == status);
    Check { status, reason, at: now, since: same.map_or(now, |before| before.since) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_impairs_the_instance_until_it_is_not() {
        let health = InstanceHealth::default();
        assert!(health.take().is_empty());
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let told = || {
            let told = health.take().into_iter();
            told.map(|one| (one.kind, one.status, one.status_reason, one.last_status_change))
                .collect::<Vec<_>>()
        };
        let one = |kind: &str, status: &str, reason: Option<&str>, since: f64| {
            (kind.to_owned(), status.to_owned(), reason.map(str::to_owned), since)
        };
        health.checked(true, at(1));
        let well = [one("ContainerRuntime", "OK", None, 1.0), one("Disk", "OK", None, 1.0)];
        assert_eq!(told(), well);
        assert!(told().is_empty(), "told once");
        health.disk(Some("DISK: full".to_owned()), at(5));
        health.checked(true, at(9));
        let why = Some("DISK: full");
        let full =
            [one("ContainerRuntime", "IMPAIRED", why, 5.0), one("Disk", "IMPAIRED", why, 5.0)];
        assert_eq!(told(), full);
        health.disk(None, at(12));
        assert_eq!(told()[0], one("ContainerRuntime", "OK", None, 12.0));
    }
}
