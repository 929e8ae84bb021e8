//! Account settings.

use serde::{Deserialize, Serialize};

/// A setting that a principal was given, or the account's default if the principal is its root
/// (ECS semantics §2.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountSetting {
    /// One of the values that the setting allows.
    pub(crate) value: String,
}
