//! The network interface of a task with network mode awsvpc.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use terms::Uuid;

/// Where the attachment of an interface is (ECS Developer Guide, "Task networking"; API reference,
/// `Attachment.status`). It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum AttachmentStatus {
    /// Asked for; nothing is known of the interface but its subnet.
    Precreated,
    /// The interface is there; the agent has yet to say that it has it.
    Attaching,
    /// The agent has it.
    Attached,
    /// The task has no use for the interface any more.
    Deleted,
}

impl AttachmentStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Precreated => "PRECREATED",
            Self::Attaching => "ATTACHING",
            Self::Attached => "ATTACHED",
            Self::Deleted => "DELETED",
        }
    }
}

/// A task's interface: what `vpc` gave it. It stays in the record after it was given back, as ECS
/// shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskNetwork {
    /// The attachment's id, the last part of its ARN.
    pub(crate) attachment: Uuid,
    /// Where the attachment is.
    pub(crate) status: AttachmentStatus,
    /// As in `subnet-0123456789abcdef0`.
    pub(crate) subnet: String,
    /// As in `eni-0123456789abcdef0`.
    pub(crate) interface: String,
    /// As in `02:00:0a:00:00:07`.
    pub(crate) mac: String,
    /// Its address in the subnet.
    pub(crate) address: Ipv4Addr,
    /// How many bits of the address are the subnet's.
    pub(crate) prefix: u8,
    /// The router of the subnet.
    pub(crate) gateway: Ipv4Addr,
    /// As in `ip-172-31-0-7.ec2.internal`.
    pub(crate) private_dns_name: String,
}

impl TaskNetwork {
    /// The attachment comes to `status`, unless it is there or further already.
    pub(crate) fn advance(&mut self, status: AttachmentStatus) {
        self.status = self.status.max(status);
    }
}
