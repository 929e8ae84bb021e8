//! What an agent's report does to a task (agent protocol §3, §10).
//!
//! Agents repeat themselves, report the same container twice, speak of tasks that have stopped
//! and leave reasons empty. All of that is accepted: whatever would move something backwards
//! changes nothing, and why a task stopped is worked out here.

use terms::{Timestamp, Uuid};

use crate::model::{
    AttachmentStatus, Binding, Container, ContainerStatus, DesiredStatus, Stop, StopCode, Task,
    TaskEvent, TaskNetwork, TaskStatus, TaskTarget,
};

/// Longest reason that is kept of a task or a container, in characters (agent protocol §3.1).
const MAX_REASON_CHARS: usize = 1024;

/// The reason of a task that never ran (ECS semantics §5.3).
const FAILED_TO_START: &str = "Task failed to start";
/// The reason of a task that ended by itself (ECS semantics §5.3).
const ESSENTIAL_EXITED: &str = "Essential container in task exited";

/// Errors of the agent that keep a container from starting (ECS semantics §5.3).
const START_ERRORS: [&str; 15] = [
    "CannotPull",
    "CannotCreate",
    "CannotStart",
    "CannotInspect",
    "CannotDescribe",
    "ContainerNetworking",
    "ContainerRuntime",
    "DockerTimeout",
    "HostConfig",
    "DockerClientConfig",
    "InvalidVolume",
    "ResourceInitialization",
    "TaskDependency",
    "TaskStoppedBeforePullBegin",
    "UnrecogniedTask",
];

/// What an agent says of a task: SubmitTaskStateChange, or SubmitContainerStateChange without a
/// status of the task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskReport {
    /// The task's status, if the report is about it.
    pub(crate) status: Option<Reported>,
    /// The agent's own reason; empty for a task that ended in an ordinary way.
    pub(crate) reason: Option<String>,
    /// What it says of containers; one may come twice.
    pub(crate) containers: Vec<ContainerReport>,
    /// When it began to pull.
    pub(crate) pull_started_at: Option<Timestamp>,
    /// When it had its images.
    pub(crate) pull_stopped_at: Option<Timestamp>,
    /// When the first essential container ended.
    pub(crate) execution_stopped_at: Option<Timestamp>,
    /// The attachments that it has.
    pub(crate) attached: Vec<Uuid>,
    /// What it says of ECS Exec.
    pub(crate) exec_agents: Vec<ExecReport>,
}

impl TaskReport {
    /// Whether the agent has the interface: it says so, or it works on a task that had to wait for
    /// it. Ours makes the interface itself and reports no attachment.
    fn has(&self, network: &TaskNetwork) -> bool {
        self.attached.contains(&network.attachment)
            || matches!(self.status, Some(Reported::Pending | Reported::Running))
    }
}

/// The states that agents report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// Images are being fetched, containers made.
    Pending,
    /// Started.
    Running,
    /// Ended.
    Stopped,
}

/// What an agent says of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerReport {
    /// Its name.
    pub(crate) name: String,
    /// Its status, if it is one that we know.
    pub(crate) status: Option<Reported>,
    /// The runtime's id.
    pub(crate) runtime_id: Option<String>,
    /// The image's digest.
    pub(crate) image_digest: Option<String>,
    /// How it ended; may come with a RUNNING that was already over when it was reported.
    pub(crate) exit_code: Option<i32>,
    /// What went wrong.
    pub(crate) reason: Option<String>,
    /// Published ports; none given leaves them as they are.
    pub(crate) bindings: Option<Vec<Binding>>,
}

/// What an agent says of what serves ECS Exec in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExecReport {
    /// The container's name.
    pub(crate) container: String,
    /// Its status, if it is one that we know.
    pub(crate) status: Option<Reported>,
    /// What went wrong.
    pub(crate) reason: Option<String>,
}

/// Applies a report. Gives the task as it is afterwards, or `None` if the report says nothing new.
pub(crate) fn apply(task: &Task, report: &TaskReport, now: Timestamp) -> Option<Task> {
    if task.status == TaskStatus::Stopped {
        return None;
    }
    let mut next = task.clone();
    next.times.connected_at.get_or_insert(now);
    for container in &report.containers {
        if let Some(known) = next.containers.iter_mut().find(|known| known.name == container.name) {
            apply_container(known, container);
        }
    }
    for agent in &report.exec_agents {
        if let Some(known) = next.containers.iter_mut().find(|known| known.name == agent.container)
        {
            apply_exec(known, agent, now);
        }
    }
    let times = &mut next.times;
    times.pull_started_at = times.pull_started_at.or(report.pull_started_at);
    times.pull_stopped_at = times.pull_stopped_at.or(report.pull_stopped_at);
    times.execution_stopped_at = times.execution_stopped_at.or(report.execution_stopped_at);
    let event = report.status.map(|status| match status {
        Reported::Pending => TaskEvent::ReportedPending,
        Reported::Running if task.targets.is_empty() => TaskEvent::ReportedRunning,
        Reported::Running => TaskEvent::ReportedReady,
        Reported::Stopped => TaskEvent::ReportedStopped,
    });
    if let Some(network) = next.network.as_mut().filter(|network| report.has(network)) {
        network.advance(AttachmentStatus::Attached);
    }
    if let Some(Ok(status)) = event.map(|event| next.status.next(event)) {
        enter(&mut next, status, report.reason.as_deref(), now);
    }
    (next != *task).then(|| changed(next))
}

/// The task after somebody asked for its end; `None` if that was asked before.
pub(crate) fn request_stop(task: &Task, stop: Stop, now: Timestamp) -> Option<Task> {
    if task.desired == DesiredStatus::Stopped {
        return None;
    }
    let status = task.status.next(TaskEvent::StopRequested).ok()?;
    let mut next = task.clone();
    next.desired = DesiredStatus::Stopped;
    next.status = status;
    next.stop.get_or_insert(stop);
    next.times.stopping_at.get_or_insert(now);
    Some(changed(next))
}

/// The task after somebody asked for its end who can wait for what load balancers have under way to
/// it; `None` if its end was asked for before.
pub(crate) fn request_leave(task: &Task, stop: Stop, now: Timestamp) -> Option<Task> {
    if task.desired == DesiredStatus::Stopped || task.registered().next().is_none() {
        return request_stop(task, stop, now);
    }
    let status = task.status.next(TaskEvent::LeaveRequested).ok()?;
    Some(Task { status, ..request_stop(task, stop, now)? })
}

/// The task after load balancers got to know it as these targets; `None` if that is not to be.
pub(crate) fn activate(task: &Task, targets: Box<[TaskTarget]>, now: Timestamp) -> Option<Task> {
    let status = task.status.next(TaskEvent::Activated).ok()?;
    let mut next = Task { targets, ..task.clone() };
    enter(&mut next, status, None, now);
    Some(changed(next))
}

/// The task after load balancers ended what they had under way to it; `None` if it does not wait
/// for that.
pub(crate) fn deactivate(task: &Task) -> Option<Task> {
    let status = task.status.next(TaskEvent::Deactivated).ok()?;
    (status != task.status).then(|| changed(Task { status, ..task.clone() }))
}

/// The task after its instance was taken away: nobody will report on it any more, and nobody
/// stops its containers.
pub(crate) fn lose_instance(task: &Task, stop: Stop, now: Timestamp) -> Option<Task> {
    end(task, stop, now).map(|ended| Task { abandoned: true, ..ended })
}

/// The task, of which no agent has heard, after it turned out that it cannot begin.
pub(crate) fn cannot_begin(task: &Task, stop: Stop, now: Timestamp) -> Option<Task> {
    end(task, stop, now)
}

/// The end of a task without a report.
fn end(task: &Task, stop: Stop, now: Timestamp) -> Option<Task> {
    if task.status == TaskStatus::Stopped {
        return None;
    }
    let status = task.status.next(TaskEvent::InstanceLost).ok()?;
    let mut next = task.clone();
    next.stop.get_or_insert(stop);
    enter(&mut next, status, None, now);
    Some(changed(next))
}

fn changed(task: Task) -> Task {
    Task { version: task.version + 1, ..task }
}

fn apply_container(known: &mut Container, report: &ContainerReport) {
    let status = report.status.map(|status| match status {
        Reported::Pending => ContainerStatus::Pending,
        Reported::Running => ContainerStatus::Running,
        Reported::Stopped => ContainerStatus::Stopped,
    });
    known.status = known.status.max(status.unwrap_or(ContainerStatus::Pending));
    if let (ContainerStatus::Stopped, Some(agent)) = (known.status, &mut known.exec_agent) {
        agent.status = ContainerStatus::Stopped;
    }
    let keep = |slot: &mut Option<String>, news: &Option<String>| {
        if let Some(text) = news.as_ref().filter(|text| !text.is_empty()) {
            *slot = Some(text.chars().take(MAX_REASON_CHARS).collect());
        }
    };
    keep(&mut known.runtime_id, &report.runtime_id);
    if let Some(digest) = report.image_digest.as_ref().filter(|digest| !digest.is_empty()) {
        let digest: String = digest.chars().take(MAX_REASON_CHARS).collect();
        known.image_digest = Some(digest.into());
    }
    keep(&mut known.reason, &report.reason);
    known.exit_code = report.exit_code.or(known.exit_code);
    if let Some(bindings) = report.bindings.as_ref().filter(|bindings| !bindings.is_empty()) {
        // Not cloned into what is there: that would leave room for more.
        known.bindings = bindings.clone();
    }
}

/// Agents start what serves ECS Exec again, so its status moves both ways; with its container it ends.
fn apply_exec(known: &mut Container, report: &ExecReport, now: Timestamp) {
    let is_over = known.status == ContainerStatus::Stopped;
    let Some(agent) = &mut known.exec_agent else { return };
    let status = match report.status {
        None => return,
        Some(Reported::Pending) => ContainerStatus::Pending,
        Some(Reported::Running) if !is_over => ContainerStatus::Running,
        Some(Reported::Running | Reported::Stopped) => ContainerStatus::Stopped,
    };
    if status == ContainerStatus::Running && agent.status != status {
        agent.started_at = Some(now);
    }
    agent.status = status;
    let reason = report.reason.as_ref().filter(|reason| !reason.is_empty());
    agent.reason = reason.map(|reason| reason.chars().take(MAX_REASON_CHARS).collect());
}

/// Moves the task to `status` and writes down what belongs to being there.
fn enter(task: &mut Task, status: TaskStatus, reason: Option<&str>, now: Timestamp) {
    if status == TaskStatus::Running && task.status != TaskStatus::Running {
        task.times.started_at.get_or_insert(now);
    }
    task.status = status;
    if status != TaskStatus::Stopped {
        return;
    }
    task.desired = DesiredStatus::Stopped;
    for container in &mut task.containers {
        container.status = ContainerStatus::Stopped;
    }
    if let Some(network) = &mut task.network {
        network.advance(AttachmentStatus::Deleted);
    }
    let ended = task.times.execution_stopped_at.unwrap_or(now).min(now);
    task.times.stopping_at.get_or_insert(ended);
    task.times.stopped_at.get_or_insert(now);
    if task.stop.is_none() {
        task.stop = Some(derive_stop(task, reason));
    }
}

/// Why a task stopped that nobody asked to: the agent's reason if it gives one, else what the
/// containers tell (agent protocol §10).
fn derive_stop(task: &Task, reason: Option<&str>) -> Stop {
    let reason = reason.filter(|text| !text.is_empty());
    let failed = task.times.started_at.is_none()
        && (task.containers.iter().any(failed_to_start)
            || task.containers.iter().all(|container| container.exit_code.is_none()));
    let (code, usual) = if failed {
        (StopCode::TaskFailedToStart, FAILED_TO_START)
    } else {
        (StopCode::EssentialContainerExited, ESSENTIAL_EXITED)
    };
    let reason = reason.unwrap_or(usual).chars().take(MAX_REASON_CHARS).collect();
    Stop { code, reason }
}

fn failed_to_start(container: &Container) -> bool {
    let reason = container.reason.as_deref().unwrap_or("");
    START_ERRORS.iter().any(|error| reason.starts_with(error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::sample::{MADE, network, task};

    /// What may happen to a task.
    #[derive(Clone, Debug)]
    enum Happening {
        Report(TaskReport),
        Stop,
        Loss,
    }

    fn reported() -> impl Strategy<Value = Option<Reported>> {
        prop_oneof![
            Just(None),
            Just(Some(Reported::Pending)),
            Just(Some(Reported::Running)),
            Just(Some(Reported::Stopped)),
        ]
    }

    fn container() -> impl Strategy<Value = ContainerReport> {
        let names = prop_oneof![Just("web"), Just("side"), Just("~internal~ecs~pause")];
        let reasons =
            prop_oneof![Just(None), Just(Some("")), Just(Some("CannotPullContainerError"))];
        (names, reported(), prop::option::of(-1..300), reasons).prop_map(
            |(name, status, exit_code, reason)| ContainerReport {
                name: name.to_owned(),
                status,
                exit_code,
                reason: reason.map(str::to_owned),
                ..ContainerReport::default()
            },
        )
    }

    fn happening() -> impl Strategy<Value = Happening> {
        let report = (reported(), prop::collection::vec(container(), 0..3)).prop_map(
            |(status, containers)| {
                Happening::Report(TaskReport { status, containers, ..TaskReport::default() })
            },
        );
        prop_oneof![8 => report, 1 => Just(Happening::Stop), 1 => Just(Happening::Loss)]
    }

    fn happen(task: &Task, what: &Happening, now: Timestamp) -> Option<Task> {
        let stop = |code| Stop { code, reason: "because".to_owned() };
        match what {
            Happening::Report(report) => apply(task, report, now),
            Happening::Stop => request_stop(task, stop(StopCode::UserInitiated), now),
            Happening::Loss => lose_instance(task, stop(StopCode::TerminationNotice), now),
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_goes_forward(happenings in prop::collection::vec(happening(), 0..20)) {
            let mut before = Task { network: Some(Box::new(network())), ..task(1) };
            let mut now = MADE;
            for what in happenings {
                now = now + Duration::from_secs(1);
                let Some(after) = happen(&before, &what, now) else { continue };
                prop_assert!(before.status != TaskStatus::Stopped, "{what:?}");
                prop_assert!(after.status >= before.status && after.desired >= before.desired);
                prop_assert_eq!(after.version, before.version + 1);
                let attachment = |task: &Task| task.network.as_ref().map(|it| it.status);
                prop_assert!(attachment(&after) >= attachment(&before));
                let is_deleted = attachment(&after) == Some(AttachmentStatus::Deleted);
                prop_assert_eq!(is_deleted, after.status == TaskStatus::Stopped);
                // Nobody else leaves containers behind.
                prop_assert_eq!(after.abandoned, matches!(what, Happening::Loss));
                prop_assert!(after.status != TaskStatus::Running
                    || attachment(&after) == Some(AttachmentStatus::Attached));
                for (was, is) in before.containers.iter().zip(&after.containers) {
                    prop_assert!(is.status >= was.status);
                }
                prop_assert!(before.stop.is_none() || before.stop == after.stop);
                if after.status == TaskStatus::Stopped {
                    prop_assert_eq!(after.desired, DesiredStatus::Stopped);
                    prop_assert!(after.stop.is_some() && after.times.stopped_at == Some(now));
                    prop_assert!(after.times.stopping_at.is_some_and(|at| at <= now));
                }
                prop_assert_eq!(happen(&after, &what, now), None, "said twice: {:?}", what);
                before = after;
            }
        }
    }

    #[test]
    fn why_a_task_stopped_follows_from_its_containers() {
        let check = |ran: bool, reason: &str, exit_code, error: Option<&str>, code, text: &str| {
            let containers = vec![ContainerReport {
                name: "web".to_owned(),
                status: Some(Reported::Stopped),
                exit_code,
                reason: error.map(str::to_owned),
                ..ContainerReport::default()
            }];
            let mut before = task(1);
            before.times.started_at = ran.then_some(MADE);
            let status = Some(Reported::Stopped);
            let reason = Some(reason.to_owned());
            let report = TaskReport { status, reason, containers, ..TaskReport::default() };
            let stop = apply(&before, &report, MADE).unwrap().stop.unwrap();
            assert_eq!((stop.code, stop.reason.as_str()), (code, text));
        };
        use StopCode::{EssentialContainerExited as Exited, TaskFailedToStart as Failed};
        check(true, "", Some(0), None, Exited, ESSENTIAL_EXITED);
        check(false, "", Some(0), None, Exited, ESSENTIAL_EXITED);
        check(true, "", Some(137), Some("OutOfMemoryError: …"), Exited, ESSENTIAL_EXITED);
        check(false, "", Some(137), Some("OutOfMemoryError: …"), Exited, ESSENTIAL_EXITED);
        check(false, "", None, Some("CannotPullContainerError: …"), Failed, FAILED_TO_START);
        check(false, "", Some(143), Some("CannotStartContainerError: …"), Failed, FAILED_TO_START);
        check(false, "", None, None, Failed, FAILED_TO_START);
        let text = "ResourceInitializationError: no secret";
        check(false, text, None, None, Failed, text);
        check(true, "Custom", Some(1), None, Exited, "Custom");
    }
}
