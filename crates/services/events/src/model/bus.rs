//! Event buses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

/// The bus that every account and region has.
pub(crate) const DEFAULT_BUS: &str = "default";

/// An event bus that somebody made. The default one is not stored unless it has tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bus {
    /// For people.
    pub(crate) description: Option<String>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
}
