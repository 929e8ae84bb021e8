//! A session of ECS Exec.

use serde::{Deserialize, Serialize};
use terms::{TaskArn, Timestamp};

/// One session: who may open it, and what it runs where. Gone when it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecSession {
    /// The task.
    pub(crate) task: TaskArn,
    /// The container's name.
    pub(crate) container: String,
    /// The command as it was given.
    pub(crate) command: String,
    /// SHA-256 of the token that opens it, in hexadecimal: the token itself is nowhere.
    pub(crate) token: String,
    /// Whether that token was used: it opens once.
    #[serde(default)]
    pub(crate) is_spent: bool,
    /// Whether its agent was asked to begin it.
    #[serde(default)]
    pub(crate) is_begun: bool,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Where its output is logged: the group, and its region if it is another one.
    #[serde(default)]
    pub(crate) log: Option<(String, Option<String>)>,
    /// The bucket that its output is written to as well, and what the object's key begins with.
    #[serde(default)]
    pub(crate) bucket: Option<(String, String)>,
}
