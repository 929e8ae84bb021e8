//! A container's health: checks in turn, as Docker's do (`CMD`, `CMD-SHELL`).

use std::time::Duration;

use agent_protocol::docker::HealthCheck;
use agent_protocol::tcs::HealthStatus;
use terms::Timestamp;

use super::event::{Command, ContainerRef, Probe, Record};
use super::phase::Phase;
use super::{Engine, Outcome};

/// Time between two checks when the definition says none (ecs-semantics §3.4).
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(30);
/// Time for one check when the definition says none.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// Failures in a row that make a container unhealthy when the definition says none.
pub const RETRIES_DEFAULT: u32 = 3;

/// How a container's health is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The command with its arguments.
    pub args: Vec<String>,
    /// Time from the start, and from one check's end, to the next check.
    pub interval: Duration,
    /// Time for one check.
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Time from the start in which failures do not count, until a check has passed.
    pub start_period: Duration,
}

impl Plan {
    /// The plan of a definition's check; `None` for `["NONE"]`, an empty or an unknown form.
    pub fn of(check: &HealthCheck) -> Option<Self> {
        let args = match check.test.split_first() {
            Some((kind, rest)) if kind == "CMD" && !rest.is_empty() => rest.to_vec(),
            Some((kind, rest)) if kind == "CMD-SHELL" && !rest.is_empty() => {
                vec!["/bin/sh".to_owned(), "-c".to_owned(), rest.join(" ")]
            }
            _ => return None,
        };
        let or = |nanos: u64, default: Duration| match nanos {
            0 => default,
            nanos => Duration::from_nanos(nanos),
        };
        Some(Self {
            args,
            interval: or(check.interval, INTERVAL_DEFAULT),
            timeout: or(check.timeout, TIMEOUT_DEFAULT),
            retries: if check.retries == 0 { RETRIES_DEFAULT } else { check.retries },
            start_period: Duration::from_nanos(check.start_period),
        })
    }
}

/// What is known of a container's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How it is checked.
    pub plan: Plan,
    /// What the checks say.
    pub status: HealthStatus,
    /// Since when.
    pub since: Timestamp,
    /// Failures in a row that count.
    pub failures: u32,
    /// How the last check ended.
    pub last: Option<Probe>,
    /// When the next check begins; `None` while one runs or the container does not.
    pub next_at: Option<Timestamp>,
}

impl Health {
    /// Nothing known since `now`.
    pub fn new(plan: Plan, now: Timestamp) -> Self {
        let status = HealthStatus::Unknown;
        Self { plan, status, since: now, failures: 0, last: None, next_at: None }
    }

    /// Takes the end of a check; says whether the status changed.
    pub fn probed(&mut self, probe: Probe, started_at: Timestamp, now: Timestamp) -> bool {
        let passed = probe.code == Some(0);
        self.last = Some(probe);
        self.next_at = Some(now + self.plan.interval);
        let status = if passed {
            self.failures = 0;
            HealthStatus::Healthy
        } else {
            let lenient =
                self.status == HealthStatus::Unknown && now < started_at + self.plan.start_period;
            if !lenient {
                self.failures = self.failures.saturating_add(1);
            }
            if self.failures >= self.plan.retries { HealthStatus::Unhealthy } else { self.status }
        };
        let changed = status != self.status;
        if changed {
            (self.status, self.since) = (status, now);
        }
        changed
    }
}

impl Engine {
    /// Takes the answer of a check.
    pub(super) fn probed(
        &mut self,
        container: &ContainerRef,
        probe: Probe,
        now: Timestamp,
        out: &mut Outcome,
    ) {
        let index = container.index;
        self.change(&container.task, now, out, |task, out| {
            let container = &mut task.containers[index];
            let started = container.started_at.unwrap_or(now);
            if container.phase != Phase::Running || container.restarts.is_pending {
                return;
            }
            let Some(health) = &mut container.health else { return };
            if health.probed(probe, started, now) {
                let (status, since) = (health.status, health.since);
                let task = task.task.arn.clone();
                out.records.push(Record::Health { task, index, status, since });
                out.commands.push(Command::HealthChanged);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn health(start_period_s: u64, retries: u32) -> Health {
        let check = HealthCheck {
            test: vec!["CMD-SHELL".into(), "true".into()],
            interval: 5_000_000_000,
            start_period: start_period_s * 1_000_000_000,
            retries,
            ..HealthCheck::default()
        };
        Health::new(Plan::of(&check).unwrap(), Timestamp::from_millis(0))
    }

    /// Checks every five seconds from second 5; `.` passes, `x` fails, `t` runs out of time.
    fn check(start_period_s: u64, retries: u32, probes: &str, expected: &str) {
        let mut health = health(start_period_s, retries);
        let start = Timestamp::from_millis(0);
        let mut seen = String::new();
        for (index, probe) in probes.chars().enumerate() {
            let now = start + Duration::from_secs(5 * (index as u64 + 1));
            let code = match probe {
                '.' => Some(0),
                'x' => Some(1),
                _ => None,
            };
            let before = health.status;
            let changed = health.probed(Probe { code, output: String::new() }, start, now);
            assert_eq!(changed, before != health.status);
            seen.push(match health.status {
                HealthStatus::Healthy => 'H',
                HealthStatus::Unhealthy => 'U',
                HealthStatus::Unknown => '?',
            });
        }
        assert_eq!(seen, expected, "{probes}");
    }

    #[test]
    fn checks_count_as_docker_counts_them() {
        check(0, 3, ".xx.", "HHHH");
        check(0, 3, ".xxx.", "HHHUH");
        check(0, 1, "x.", "UH");
        check(0, 2, "tt", "?U");
        check(20, 2, "xxxxx", "????U");
        // A success inside the start period makes later failures count.
        check(60, 2, "x.xx", "?HHU");
    }

    #[test]
    fn only_commands_are_checks() {
        let plan = |test: &[&str]| {
            let test = test.iter().map(|&word| word.to_owned()).collect();
            Plan::of(&HealthCheck { test, ..HealthCheck::default() }).map(|plan| plan.args)
        };
        assert_eq!(plan(&["CMD", "a", "b"]).unwrap(), ["a", "b"]);
        assert_eq!(plan(&["CMD-SHELL", "a b"]).unwrap(), ["/bin/sh", "-c", "a b"]);
        assert_eq!(plan(&["NONE"]), None);
        assert_eq!(plan(&[]), None);
        assert_eq!(plan(&["CMD"]), None);
    }
}
