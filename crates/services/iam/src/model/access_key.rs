//! Long-term access keys.

use ledger::Record;
use serde::{Deserialize, Serialize};
use terms::{AccountId, Timestamp};

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Owner {
    /// The administrator that the first start makes.
    Administrator,
    /// A container instance, by the name that it joined with.
    Node(String),
    /// A user of IAM, by its unique id: names may change.
    User(String),
}

/// Whether the key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyStatus {
    Active,
    Inactive,
    /// The administrator's last key, deleted: the row stays, so that no start makes a new one.
    Removed,
}

/// One access key. SigV4 needs the secret itself, so it cannot be hashed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AccessKey {
    pub(crate) account: AccountId,
    pub(crate) secret: String,
    pub(crate) owner: Owner,
    /// The owner's unique id: `AIDA…`.
    pub(crate) user_id: String,
    pub(crate) status: KeyStatus,
    pub(crate) created_at: Timestamp,
}

impl Record for AccessKey {}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("owner", &self.owner)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
