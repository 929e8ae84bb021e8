//! Pure: whether a task must be sent to its instance, given what was sent before.

use std::time::Duration;

use terms::Timestamp;

use super::super::view::TaskView;
use crate::model::{DesiredStatus, TaskStatus};

/// A message without ack is sent again after this time. It is looked at with each heartbeat, so
/// that the second sending comes within a minute or a little more (agent-protocol §8.8).
pub(crate) const RESEND_AFTER: Duration = Duration::from_secs(45);

/// What this session last told the agent about one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// What was wanted of the task then.
    pub(crate) desired: DesiredStatus,
    /// When.
    pub(crate) at: Timestamp,
    /// Whether the agent has taken it over.
    pub(crate) is_acked: bool,
}

/// What to do about one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The agent knows what it needs to know.
    Nothing,
    /// Send the task, with what is wanted of it.
    Send,
    /// Send the task again, alone, because no ack came: a payload with one bad task is never
    /// acked, and must not keep the others from it (agent-protocol §2.4).
    SendAgain,
    /// The task is over or elsewhere: forget what was sent.
    Forget,
}

/// Decides about one task of the session's instance; `task` is none if it is not placed there.
///
/// A session that has sent nothing yet sends what the agent cannot know by its own reports:
/// tasks that it has not reported as running, and stops. For the rest there is the manifest.
/// Sending a task that the agent knows is harmless: it only takes a later desired status from it.
pub(crate) fn decide(task: Option<&TaskView>, sent: Option<&Sent>, now: Timestamp) -> Delivery {
    let Some(task) = task else { return Delivery::Forget };
    if task.status == TaskStatus::Stopped {
        return Delivery::Forget;
    }
    let is_ready = task.status > TaskStatus::Provisioning;
    match (sent, task.desired) {
        (Some(sent), desired) if sent.desired == desired => {
            let is_overdue = !sent.is_acked && now.since(sent.at) >= RESEND_AFTER;
            if is_overdue { Delivery::SendAgain } else { Delivery::Nothing }
        }
        (Some(_), DesiredStatus::Stopped) => Delivery::Send,
        // A stop is never taken back; status only moves forward.
        (Some(_), DesiredStatus::Running) => Delivery::Nothing,
        (None, DesiredStatus::Stopped) => Delivery::Send,
        (None, DesiredStatus::Running) if is_ready && task.status < TaskStatus::Running => {
            Delivery::Send
        }
        (None, DesiredStatus::Running) => Delivery::Nothing,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn task(status: TaskStatus, desired: DesiredStatus) -> TaskView {
        let id = "0123456789abcdef0123456789abcdef";
        let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}");
        TaskView { arn: arn.parse().unwrap(), desired, status, roles: Vec::new() }
    }

    fn sent(desired: DesiredStatus, ago: Duration, is_acked: bool) -> Sent {
        Sent { desired, at: NOW - ago, is_acked }
    }

    #[track_caller]
    fn check(task: Option<&TaskView>, sent: Option<Sent>, expected: Delivery) {
        assert_eq!(decide(task, sent.as_ref(), NOW), expected, "{task:?} {sent:?}");
    }

    #[test]
    fn what_a_fresh_session_sends() {
        use DesiredStatus::{Running, Stopped};
        use TaskStatus as S;
        check(None, None, Delivery::Forget);
        check(Some(&task(S::Provisioning, Running)), None, Delivery::Nothing);
        check(Some(&task(S::Pending, Running)), None, Delivery::Send);
        check(Some(&task(S::Activating, Running)), None, Delivery::Send);
        check(Some(&task(S::Running, Running)), None, Delivery::Nothing);
        check(Some(&task(S::Stopping, Stopped)), None, Delivery::Send);
        check(Some(&task(S::Stopped, Stopped)), None, Delivery::Forget);
    }

    #[test]
    fn what_follows_a_sending() {
        use DesiredStatus::{Running, Stopped};
        let pending = task(TaskStatus::Pending, Running);
        let stopping = task(TaskStatus::Stopping, Stopped);
        let (soon, late) = (Duration::from_secs(1), RESEND_AFTER);
        check(Some(&pending), Some(sent(Running, soon, false)), Delivery::Nothing);
        check(Some(&pending), Some(sent(Running, late, true)), Delivery::Nothing);
        check(Some(&pending), Some(sent(Running, late, false)), Delivery::SendAgain);
        check(Some(&stopping), Some(sent(Running, soon, true)), Delivery::Send);
        check(Some(&stopping), Some(sent(Running, soon, false)), Delivery::Send);
        check(Some(&stopping), Some(sent(Stopped, soon, false)), Delivery::Nothing);
        check(Some(&stopping), Some(sent(Stopped, late, false)), Delivery::SendAgain);
        check(None, Some(sent(Running, soon, true)), Delivery::Forget);
    }
}
