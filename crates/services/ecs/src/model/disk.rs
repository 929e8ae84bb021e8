//! The EBS volume of a task, configured at its launch.

use serde::{Deserialize, Serialize};
use terms::{Text, Uuid};

use super::{TaskStatus, is_default};

/// A task's EBS volume. It is made on the task's instance, as a disk of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskDisk {
    /// Its attachment to the task.
    #[serde(rename = "a")]
    pub(crate) attachment: Uuid,
    /// `vol-` and 17 hexadecimal digits.
    #[serde(rename = "v")]
    pub(crate) id: String,
    /// The definition's name for it.
    #[serde(rename = "n")]
    pub(crate) name: Text,
    /// Its size in GiB.
    #[serde(rename = "g")]
    pub(crate) size_gib: u32,
    /// `ext3`, `ext4` or `xfs`; none if the request did not say.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(crate) file_system: Option<Text>,
    /// The role that ECS would make it with.
    #[serde(rename = "r")]
    pub(crate) role: Text,
    /// Whether it stays when the task has ended.
    #[serde(rename = "k", default, skip_serializing_if = "is_default")]
    pub(crate) is_kept: bool,
}

impl TaskDisk {
    /// Where its attachment is, of a task with this status (API reference, `Attachment.status`).
    pub(crate) fn status(&self, task: TaskStatus) -> &'static str {
        match task {
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => "ATTACHING",
            TaskStatus::Running
            | TaskStatus::Deactivating
            | TaskStatus::Stopping
            | TaskStatus::Deprovisioning => "ATTACHED",
            TaskStatus::Stopped if self.is_kept => "DETACHED",
            TaskStatus::Stopped => "DELETED",
        }
    }
}
