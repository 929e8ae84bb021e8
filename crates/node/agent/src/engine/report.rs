//! What the server is to be told of a task (agent-protocol §3).
//!
//! Nothing is queued: what to send is the difference between what is known and what was sent, so
//! a report is never sent twice once taken, and what a crash left unsent is sent again.

use std::time::Duration;

use runtime::PortBinding;

use crate::spec::PortRange;
use serde::{Deserialize, Serialize};
use terms::{TaskArn, Timestamp};

use super::container::ContainerState;
use super::phase::{Phase, Status};
use super::task::TaskState;

/// The most reports on their way at a time.
pub const IN_FLIGHT_MAX: usize = 10;
/// The longest reason that is sent (ECS API: reasons end at 1,024 characters).
pub const REASON_MAX_BYTES: usize = 1024;
/// Changes that leave the task's status alone wait this long, plus up to [`SIDE_WAIT_SPREAD`].
pub const SIDE_WAIT_MIN: Duration = Duration::from_secs(10);
/// See [`SIDE_WAIT_MIN`].
pub const SIDE_WAIT_SPREAD: Duration = Duration::from_secs(20);
/// First wait after a failed report.
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest wait after a failed report.
pub const RETRY_MAX: Duration = Duration::from_secs(30);
/// Factor from one wait to the next.
pub const RETRY_FACTOR: f64 = 1.3;

/// The managed agent by whose name ECS Exec is asked for and reported (agent-protocol §3.6).
pub const EXEC_AGENT: &str = "ExecuteCommandAgent";

/// What the server was told: the highest status of the task and of each container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The task's.
    pub task: Status,
    /// The containers', in the task's order.
    pub containers: Vec<Status>,
}

impl Marks {
    /// Both together: statuses never go back.
    pub fn merge(&mut self, other: &Self) {
        self.task = self.task.max(other.task);
        self.containers.resize(self.containers.len().max(other.containers.len()), Status::None);
        for (mine, theirs) in self.containers.iter_mut().zip(&other.containers) {
            *mine = (*mine).max(*theirs);
        }
    }
}

/// The three statuses that the server is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reported {
    /// Images are being pulled, or containers created.
    Pending,
    /// All containers were started.
    Running,
    /// All containers have ended.
    Stopped,
}

impl Reported {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }

    const fn status(self) -> Status {
        match self {
            Self::Pending => Status::ManifestPulled,
            Self::Running => Status::Running,
            Self::Stopped => Status::Stopped,
        }
    }
}

/// One SubmitTaskStateChange.
#[derive(Clone, Debug, PartialEq)]
pub struct StateChange {
    /// The task.
    pub task: TaskArn,
    /// Its status.
    pub status: Reported,
    /// An internal cause; empty when the control plane derives it itself.
    pub reason: String,
    /// Changed containers.
    pub containers: Vec<ContainerChange>,
    /// When the first pull began.
    pub pull_started_at: Option<Timestamp>,
    /// When the last pull ended.
    pub pull_stopped_at: Option<Timestamp>,
    /// When the first essential container ended.
    pub execution_stopped_at: Option<Timestamp>,
}

/// One container in a [`StateChange`].
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerChange {
    /// Its name in the task.
    pub name: String,
    /// Its id, if it was created.
    pub runtime_id: Option<String>,
    /// Its image's manifest.
    pub image_digest: Option<String>,
    /// Its status.
    pub status: Reported,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// Why it ended.
    pub reason: Option<String>,
    /// Its published ports.
    pub bindings: Vec<PortBinding>,
    /// Which of them the definition asks for as ranges.
    pub ranges: Vec<PortRange>,
    /// Whether ECS Exec is wanted in it. It is there as long as the container runs: nothing of ours
    /// is in the container for it.
    pub has_exec: bool,
}

/// The reporting side of a task's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What the server took.
    pub sent: Marks,
    /// What is on its way.
    pub in_flight: Option<Marks>,
    /// Whether the task waits for its turn.
    pub queued: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Not before this instant.
    pub retry_at: Option<Timestamp>,
    /// When held-back changes go out.
    pub side_at: Option<Timestamp>,
}

/// What a task's report needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// A report now.
    Now,
    /// A look at this instant.
    At(Timestamp),
}

impl TaskState {
    /// The task status that is to be reported next, if it changed.
    fn next_status(&self) -> Option<Reported> {
        let sent = self.report.sent.task;
        if self.reached_running && sent < Status::Running {
            return Some(Reported::Running);
        }
        match self.status() {
            Status::Stopped if sent < Status::Stopped => Some(Reported::Stopped),
            Status::ManifestPulled | Status::Pulled | Status::Created
                if sent < Status::ManifestPulled && self.was_resolved_by_registry() =>
            {
                Some(Reported::Pending)
            }
            Status::None
            | Status::ManifestPulled
            | Status::Pulled
            | Status::Created
            | Status::Running
            | Status::Stopped => None,
        }
    }

    /// PENDING is reported only while a registry is asked: images at hand go to RUNNING at once.
    fn was_resolved_by_registry(&self) -> bool {
        self.containers.iter().any(|container| container.resolved)
    }

    /// Whether a container's change waits although the task's status stays.
    fn has_side_change(&self) -> bool {
        let sent = |index: usize| self.report.sent.containers.get(index).copied();
        self.containers.iter().enumerate().any(|(index, container)| {
            let status = reported(container);
            status.is_some_and(|status| status.status() > sent(index).unwrap_or_default())
                && status != Some(Reported::Pending)
        })
    }

    /// What the report needs at `now`; sets the time for held-back changes when it finds some.
    pub(super) fn report_need(&mut self, now: Timestamp) -> Need {
        if self.report.in_flight.is_some() || self.report.queued {
            return Need::Nothing;
        }
        if let Some(at) = self.report.retry_at
            && at > now
        {
            return Need::At(at);
        }
        if self.next_status().is_some() {
            return Need::Now;
        }
        if !self.has_side_change() {
            self.report.side_at = None;
            return Need::Nothing;
        }
        let wait = SIDE_WAIT_MIN + SIDE_WAIT_SPREAD.mul_f64(self.jitter(0));
        match *self.report.side_at.get_or_insert(now + wait) {
            at if at > now => Need::At(at),
            _ => Need::Now,
        }
    }

    /// The report to send now, which is then on its way.
    pub(super) fn take_report(&mut self) -> Option<StateChange> {
        let current = if self.reached_running { Reported::Running } else { Reported::Pending };
        let status = match self.next_status() {
            Some(status) => status,
            None if self.has_side_change() => current,
            None => return None,
        };
        let mut marks = self.report.sent.clone();
        marks.task = marks.task.max(status.status());
        marks.containers.resize(self.containers.len(), Status::None);
        let mut containers = Vec::new();
        for (index, (container, mark)) in
            self.containers.iter().zip(&mut marks.containers).enumerate()
        {
            let Some(known) = reported(container) else { continue };
            // Each step is told on its own, so that the server sees RUNNING before STOPPED.
            let known = known.min(
                if status == Reported::Running
                    && container.end.as_ref().is_some_and(|end| end.started_at.is_some())
                    && *mark < Status::Running
                {
                    Reported::Running
                } else {
                    known
                },
            );
            if known.status() > *mark {
                *mark = known.status();
                let has_exec = self.task.containers.get(index).is_some_and(|definition| {
                    definition.managed_agents.iter().any(|agent| agent.name == EXEC_AGENT)
                });
                containers.push(change(container, known, has_exec));
            }
        }
        self.report.in_flight = Some(marks);
        self.report.side_at = None;
        Some(StateChange {
            task: self.task.arn.clone(),
            status,
            reason: cut(&self.reason),
            containers,
            pull_started_at: self.pulls().map(|pull| pull.0).min(),
            pull_stopped_at: self.pulls().map(|pull| pull.1).max(),
            execution_stopped_at: self.execution_stopped_at.filter(|_| status == Reported::Stopped),
        })
    }

    fn pulls(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        self.containers.iter().filter_map(|container| container.image.as_ref()?.pulled)
    }

    /// The wait before the next try, after one more failure.
    pub(super) fn report_failed(&mut self, now: Timestamp) {
        let report = &mut self.report;
        report.in_flight = None;
        let steps = i32::try_from(report.failures).unwrap_or(i32::MAX).min(64);
        report.failures = report.failures.saturating_add(1);
        let wait = RETRY_MIN.mul_f64(RETRY_FACTOR.powi(steps)).min(RETRY_MAX);
        let jitter = 1.0 + 0.2 * self.jitter(u64::from(self.report.failures));
        self.report.retry_at = Some(now + wait.mul_f64(jitter));
    }

    /// A number from 0 to 1 that differs by task and `salt`, the same for the same ones.
    fn jitter(&self, salt: u64) -> f64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in self.task.arn.id.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        (hash >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What the server may be told of a container.
fn reported(container: &ContainerState) -> Option<Reported> {
    match container.phase {
        Phase::Running => Some(Reported::Running),
        Phase::Stopped => Some(Reported::Stopped),
        Phase::None
        | Phase::Pulling
        | Phase::Pulled
        | Phase::Creating
        | Phase::Created
        | Phase::Starting => container.resolved.then_some(Reported::Pending),
    }
}

fn change(container: &ContainerState, status: Reported, has_exec: bool) -> ContainerChange {
    let end = container.end.as_ref().filter(|_| status == Reported::Stopped);
    ContainerChange {
        name: container.name.clone(),
        runtime_id: container.existed.then(|| container.id.to_string()),
        image_digest: container.digest.clone(),
        status,
        exit_code: end.and_then(|end| end.code),
        reason: end.and_then(|end| end.reason.as_deref().map(cut)),
        bindings: container.network.as_ref().map(|n| n.bindings.clone()).unwrap_or_default(),
        ranges: container.port_ranges.clone(),
        has_exec,
    }
}

/// The text, cut to what the API takes.
fn cut(text: &str) -> String {
    let mut end = text.len().min(REASON_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
