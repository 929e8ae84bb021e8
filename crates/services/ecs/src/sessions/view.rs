//! What a session sees of the ledger: its instance and the tasks placed there, at one revision.

use agent_protocol::acs::RoleType;
use agent_protocol::task::Task as PayloadTask;
use terms::{TaskArn, TaskId};

use crate::model::{AgentUpdate, DesiredStatus, TaskStatus};

/// Whether an instance may have a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// ACTIVE or DRAINING.
    Member,
    /// Deregistered or unknown; the text says which.
    Inactive(String),
}

/// One task placed on the instance, as far as delivery cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskView {
    /// The task.
    pub(crate) arn: TaskArn,
    /// What is wanted of it.
    pub(crate) desired: DesiredStatus,
    /// Where it is.
    pub(crate) status: TaskStatus,
    /// The roles whose credentials it gets, with their ARNs.
    pub(crate) roles: Vec<(RoleType, String)>,
}

/// One instance at one revision of the ledger.
pub(crate) trait InstanceView {
    /// Whether it may have a session.
    fn standing(&self) -> Standing;

    /// The replacement of its agent, under way or the last one.
    fn update(&self) -> Option<AgentUpdate>;

    /// The task, if it is placed on this instance, stopped or not.
    fn task(&self, id: TaskId) -> Option<TaskView>;

    /// The tasks placed on this instance that have not stopped.
    fn tasks(&self) -> Vec<TaskView>;

    /// The task as a payload carries it, without credentials.
    ///
    /// # Errors
    /// What is missing, for the log: the task, or its definition.
    fn payload(&self, id: TaskId) -> Result<PayloadTask, String>;
}
