//! Settings of a registry, and rules by which repositories come to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use super::{Encryption, Mutability, ReplicationRule};

/// A filter of repositories or images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// The pattern or prefix.
    pub(crate) text: String,
    /// `WILDCARD`, `PREFIX_MATCH`, …
    pub(crate) kind: String,
}

/// A rule of scanning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScanningRule {
    /// `SCAN_ON_PUSH`, `CONTINUOUS_SCAN` or `MANUAL`.
    pub(crate) frequency: String,
    /// Of which repositories.
    pub(crate) filters: Vec<Filter>,
}

/// What holds for a whole registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegistrySettings {
    /// Its policy, as it was put.
    pub(crate) policy: Option<String>,
    /// `BASIC` if none was put, or `ENHANCED`.
    pub(crate) scan_type: Option<String>,
    /// What is to be scanned when.
    pub(crate) scanning: Vec<ScanningRule>,
    /// Settings of the account that were put, by name.
    pub(crate) account: BTreeMap<String, String>,
    /// Principals whose pulls do not count.
    pub(crate) exclusions: BTreeMap<String, Timestamp>,
    /// What is replicated where.
    #[serde(default)]
    pub(crate) replication: Vec<ReplicationRule>,
}

/// How repositories are made that nobody made by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Template {
    /// For people.
    pub(crate) description: Option<String>,
    /// `REPLICATION`, `PULL_THROUGH_CACHE`, `CREATE_ON_PUSH`.
    pub(crate) applied_for: Vec<String>,
    /// Of the repositories that are made.
    pub(crate) mutability: Mutability,
    /// Of the repositories that are made.
    pub(crate) encryption: Encryption,
    /// Of the repositories that are made.
    pub(crate) tags: BTreeMap<String, String>,
    /// Of the repositories that are made.
    pub(crate) policy: Option<String>,
    /// Of the repositories that are made.
    pub(crate) lifecycle: Option<String>,
    /// The role that is taken.
    pub(crate) role: Option<String>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it was changed last.
    pub(crate) updated_at: Timestamp,
}

/// What a lifecycle policy would do to one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreviewItem {
    /// The image.
    pub(crate) digest: String,
    /// Its tags then.
    pub(crate) tags: Vec<String>,
    /// When it was pushed.
    pub(crate) pushed_at: Timestamp,
    /// Whether it would be archived instead of deleted.
    pub(crate) is_archived: bool,
    /// The rule that takes it.
    pub(crate) priority: u32,
}

/// What a lifecycle policy would have done when the preview was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preview {
    /// The policy.
    pub(crate) text: String,
    /// When it was made.
    pub(crate) made_at: Timestamp,
    /// What would go, oldest first.
    pub(crate) items: Vec<PreviewItem>,
}
