//! What lies where in a bucket that several servers share; without one, there are no such rows.

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use crate::Scope;

/// Where the bytes of a SHA-256 are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    /// The object's name: the id of the upload that brought it, which no other ever has.
    pub(crate) name: String,
    /// Their length.
    pub(crate) size_bytes: u64,
}

/// An upload under way. Only one that has its row can become a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// The registry that it goes to.
    pub(crate) scope: Scope,
    /// The repository that it goes to.
    pub(crate) repository: String,
    /// When it began.
    pub(crate) began_at: Timestamp,
}
