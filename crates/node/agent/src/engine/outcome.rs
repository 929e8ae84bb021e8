//! What an event leads to.

use std::collections::BTreeSet;

use terms::TaskArn;

use super::{Command, Record, Status};

/// What an event led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What is to be done, in this order, after the records are written.
    pub commands: Vec<Command>,
    /// What the journal is to hold, in this order.
    pub records: Vec<Record>,
    /// Tasks whose state may have changed, or that are gone.
    pub touched: BTreeSet<TaskArn>,
}

impl Outcome {
    /// Whether the records must be on disk before the commands are carried out and the caller is
    /// answered: a task taken over, asked to stop, or known STOPPED to the server, a restart.
    pub fn is_durable(&self) -> bool {
        self.records.iter().any(|record| match record {
            Record::Accepted { .. }
            | Record::Registered { .. }
            | Record::Sequence(_)
            | Record::Restarting { .. }
            | Record::Stopping { .. } => true,
            Record::Sent { marks, .. } => marks.task == Status::Stopped,
            Record::Image { .. }
            | Record::Health { .. }
            | Record::Ended { .. }
            | Record::Removed { .. } => false,
        })
    }
}
