//! Why a task stopped.

use serde::{Deserialize, Serialize};

/// The kind of reason (API reference, `Task.stopCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StopCode {
    /// It never came to run.
    TaskFailedToStart,
    /// A container that the task cannot be without ended.
    EssentialContainerExited,
    /// Somebody called StopTask.
    UserInitiated,
    /// A service no longer wanted it.
    ServiceSchedulerInitiated,
    /// Its instance is going away.
    TerminationNotice,
    /// It ran on Fargate Spot, and its node was needed.
    SpotInterruption,
}

impl StopCode {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::TerminationNotice => "TerminationNotice",
            Self::SpotInterruption => "SpotInterruption",
        }
    }
}

/// Why a task stops or stopped. The first reason wins: it is the cause, later ones follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    /// The kind.
    pub(crate) code: StopCode,
    /// The text (`stoppedReason`).
    pub(crate) reason: String,
}
