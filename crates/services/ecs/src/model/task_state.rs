//! The life of a task (ECS semantics §5.1).

use serde::{Deserialize, Serialize};

/// What is wanted of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum DesiredStatus {
    /// To run.
    Running,
    /// To stop, and to stay stopped.
    Stopped,
}

impl DesiredStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Where a task is. The order is that of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum TaskStatus {
    /// Waits for a network interface or for an instance.
    Provisioning,
    /// Placed; its agent fetches images and makes containers.
    Pending,
    /// Is being made known to load balancers and name servers.
    Activating,
    /// Its essential containers have started.
    Running,
    /// Is being taken from load balancers and name servers.
    Deactivating,
    /// Was asked to stop; the agent has not yet said that it did.
    Stopping,
    /// Its network interface is being given back.
    Deprovisioning,
    /// The end.
    Stopped,
}

/// What can happen to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskEvent {
    /// The agent says that it works on it.
    ReportedPending,
    /// The agent says that its containers run.
    ReportedRunning,
    /// The agent says that its containers run, and load balancers have yet to know.
    ReportedReady,
    /// Load balancers know it.
    Activated,
    /// Somebody wants it stopped once load balancers have nothing under way to it.
    LeaveRequested,
    /// They have not.
    Deactivated,
    /// Somebody wants it stopped.
    StopRequested,
    /// The agent says that it has stopped.
    ReportedStopped,
    /// Its instance is gone, so nobody will report.
    InstanceLost,
}

/// An event that a task cannot meet where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {from:?} cannot go on by {event:?}")]
pub(crate) struct IllegalTransition {
    /// Where the task is.
    pub(crate) from: TaskStatus,
    /// What happened.
    pub(crate) event: TaskEvent,
}

impl TaskStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }

    /// Where the task is after `event`: the same state or a later one, never an earlier one.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the event cannot happen there. Agents repeat themselves and are
    /// overtaken by StopTask (agent protocol §3.2), so their late reports are legal and change
    /// nothing; what they cannot do is move a task that has stopped.
    pub(crate) const fn next(self, event: TaskEvent) -> Result<Self, IllegalTransition> {
        use TaskEvent as E;
        use TaskStatus as S;
        let next = match (self, event) {
            (S::Provisioning | S::Pending, E::ReportedPending) => S::Pending,
            (S::Provisioning | S::Pending | S::Activating, E::ReportedRunning) => S::Running,
            (S::Provisioning | S::Pending | S::Activating, E::ReportedReady) => S::Activating,
            (S::Activating, E::Activated) => S::Running,
            (S::Activating | S::Running, E::ReportedPending) => self,
            (S::Running, E::ReportedRunning | E::ReportedReady) => self,
            (
                S::Deactivating | S::Stopping | S::Deprovisioning,
                E::ReportedPending | E::ReportedRunning | E::ReportedReady,
            ) => self,
            (S::Running, E::LeaveRequested) => S::Deactivating,
            (S::Deactivating, E::LeaveRequested) => self,
            (
                S::Provisioning | S::Pending | S::Activating,
                E::StopRequested | E::LeaveRequested,
            ) => S::Stopping,
            (S::Running | S::Deactivating, E::StopRequested) => S::Stopping,
            (S::Deactivating, E::Deactivated) => S::Stopping,
            (
                S::Stopping | S::Deprovisioning | S::Stopped,
                E::StopRequested | E::LeaveRequested | E::Deactivated,
            ) => self,
            (
                S::Provisioning
                | S::Pending
                | S::Activating
                | S::Running
                | S::Deactivating
                | S::Stopping
                | S::Deprovisioning
                | S::Stopped,
                E::ReportedStopped | E::InstanceLost,
            ) => S::Stopped,
            (
                S::Stopped,
                E::ReportedPending | E::ReportedRunning | E::ReportedReady | E::Activated,
            )
            | (
                S::Provisioning
                | S::Pending
                | S::Running
                | S::Deactivating
                | S::Stopping
                | S::Deprovisioning,
                E::Activated,
            )
            | (S::Provisioning | S::Pending | S::Activating | S::Running, E::Deactivated) => {
                return Err(IllegalTransition { from: self, event });
            }
        };
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use TaskEvent as E;
    use TaskStatus as S;

    use super::*;

    const STATES: [S; 8] = [
        S::Provisioning,
        S::Pending,
        S::Activating,
        S::Running,
        S::Deactivating,
        S::Stopping,
        S::Deprovisioning,
        S::Stopped,
    ];

    /// What every state becomes by `event`, in the order of [`STATES`]; `None` is refused.
    fn check(event: E, expected: [Option<S>; 8]) {
        for (from, to) in STATES.into_iter().zip(expected) {
            let next = from.next(event);
            assert_eq!(next.ok(), to, "{from:?} by {event:?}");
            assert!(
                next.is_ok_and(|next| next >= from) || next.is_err(),
                "{from:?} goes back by {event:?}"
            );
            if let Err(error) = next {
                assert_eq!(error, IllegalTransition { from, event });
            }
        }
    }

    #[test]
    fn every_state_meets_every_event() {
        // A task that is to stop stays where it is, whatever its agent says; a stopped one is
        // refused.
        let late = [S::Deactivating, S::Stopping, S::Deprovisioning].map(Some);
        let with = |early: [S; 4]| {
            let [a, b, c, d] = early.map(Some);
            let [e, f, g] = late;
            [a, b, c, d, e, f, g, None]
        };
        check(E::ReportedPending, with([S::Pending, S::Pending, S::Activating, S::Running]));
        check(E::ReportedRunning, with([S::Running; 4]));
        check(
            E::StopRequested,
            [
                Some(S::Stopping),
                Some(S::Stopping),
                Some(S::Stopping),
                Some(S::Stopping),
                Some(S::Stopping),
                Some(S::Stopping),
                Some(S::Deprovisioning),
                Some(S::Stopped),
            ],
        );
        check(E::ReportedReady, with([S::Activating, S::Activating, S::Activating, S::Running]));
        check(E::Activated, [None, None, Some(S::Running), None, None, None, None, None]);
        let to = |states: [S; 8]| states.map(Some);
        check(
            E::LeaveRequested,
            to([
                S::Stopping,
                S::Stopping,
                S::Stopping,
                S::Deactivating,
                S::Deactivating,
                S::Stopping,
                S::Deprovisioning,
                S::Stopped,
            ]),
        );
        let [stopping, leaving, stopped] = [S::Stopping, S::Deprovisioning, S::Stopped].map(Some);
        check(E::Deactivated, [None, None, None, None, stopping, stopping, leaving, stopped]);
        check(E::ReportedStopped, [Some(S::Stopped); 8]);
        check(E::InstanceLost, [Some(S::Stopped); 8]);
    }
}
