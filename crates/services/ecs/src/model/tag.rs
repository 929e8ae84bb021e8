//! Tags.

use serde::{Deserialize, Serialize};

/// One tag of a resource (Developer Guide, "Tagging your Amazon ECS resources").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    /// The key, 1 to 128 characters.
    pub(crate) key: String,
    /// The value, up to 256 characters, perhaps empty.
    pub(crate) value: String,
}
