//! The life of one container.

use serde::{Deserialize, Serialize};

/// Where a container is in its life. It only moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing was done for it.
    #[default]
    None,
    /// Its image is on the way.
    Pulling,
    /// Its image is here.
    Pulled,
    /// It is being created.
    Creating,
    /// It exists.
    Created,
    /// Its command is being started.
    Starting,
    /// Its command runs.
    Running,
    /// It has ended, or never will run.
    Stopped,
}

/// What moves a container on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A pull begins.
    Pull,
    /// The image came.
    Pulled,
    /// A creation begins.
    Create,
    /// It was created.
    Created,
    /// A start begins.
    Start,
    /// It was started.
    Started,
    /// It ended or failed.
    End,
}

/// A step that a phase does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a container cannot go from {from:?} by {step:?}")]
pub struct IllegalTransition {
    from: Phase,
    step: Step,
}

impl Phase {
    /// The phase after a step.
    pub fn next(self, step: Step) -> Result<Self, IllegalTransition> {
        match (self, step) {
            (Self::None, Step::Pull) => Ok(Self::Pulling),
            (Self::Pulling, Step::Pulled) => Ok(Self::Pulled),
            (Self::Pulled, Step::Create) => Ok(Self::Creating),
            (Self::Creating, Step::Created) => Ok(Self::Created),
            (Self::Created, Step::Start) => Ok(Self::Starting),
            (Self::Starting, Step::Started) => Ok(Self::Running),
            (
                Self::None
                | Self::Pulling
                | Self::Pulled
                | Self::Creating
                | Self::Created
                | Self::Starting
                | Self::Running,
                Step::End,
            ) => Ok(Self::Stopped),
            (
                from @ (Self::None
                | Self::Pulling
                | Self::Pulled
                | Self::Creating
                | Self::Created
                | Self::Starting
                | Self::Running
                | Self::Stopped),
                step,
            ) => Err(IllegalTransition { from, step }),
        }
    }

    /// The status that ECS's agent gives such a container; `resolved` says whether its image's
    /// manifest is known.
    pub const fn status(self, resolved: bool) -> Status {
        match self {
            Self::None | Self::Pulling if resolved => Status::ManifestPulled,
            Self::None | Self::Pulling => Status::None,
            Self::Pulled | Self::Creating => Status::Pulled,
            Self::Created | Self::Starting => Status::Created,
            Self::Running => Status::Running,
            Self::Stopped => Status::Stopped,
        }
    }
}

/// The statuses of ECS's agent (agent-protocol §3.1): what metadata shows, and, of PENDING
/// (`MANIFEST_PULLED`), RUNNING and STOPPED, what the server is told.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Nothing yet.
    #[default]
    None,
    /// The image's manifest is known.
    ManifestPulled,
    /// The image is here.
    Pulled,
    /// It exists.
    Created,
    /// It runs.
    Running,
    /// It has ended.
    Stopped,
}

impl Status {
    /// The name in task metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::ManifestPulled => "MANIFEST_PULLED",
            Self::Pulled => "PULLED",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 8] = [
        Phase::None,
        Phase::Pulling,
        Phase::Pulled,
        Phase::Creating,
        Phase::Created,
        Phase::Starting,
        Phase::Running,
        Phase::Stopped,
    ];
    const STEPS: [Step; 7] = [
        Step::Pull,
        Step::Pulled,
        Step::Create,
        Step::Created,
        Step::Start,
        Step::Started,
        Step::End,
    ];

    #[test]
    fn phases_only_move_forward_and_an_end_is_final() {
        for from in PHASES {
            for step in STEPS {
                match from.next(step) {
                    Ok(to) => assert!(to > from, "{from:?} by {step:?} gives {to:?}"),
                    Err(error) => assert_eq!(error, IllegalTransition { from, step }),
                }
            }
            assert_eq!(from.next(Step::End).is_ok(), from != Phase::Stopped);
        }
    }
}
