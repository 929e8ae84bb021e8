//! Managed policies, instance profiles, identity providers.

use std::collections::BTreeMap;

use ledger::Record;
use serde::{Deserialize, Serialize};
use terms::Timestamp;

/// A managed policy of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManagedPolicy {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) description: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) tags: BTreeMap<String, String>,
    /// By number.
    pub(crate) versions: BTreeMap<u32, PolicyVersion>,
    pub(crate) default_version: u32,
    /// The number of the next version: none is given twice.
    pub(crate) next_version: u32,
}

/// One version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyVersion {
    pub(crate) document: String,
    pub(crate) created_at: Timestamp,
}

impl Record for ManagedPolicy {}

/// What a machine of EC2 finds its role by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceProfile {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) created_at: Timestamp,
    /// The role's name in lower case.
    pub(crate) role: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Record for InstanceProfile {}

/// An OpenID Connect provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Provider {
    /// Without its scheme.
    pub(crate) url: String,
    pub(crate) client_ids: Vec<String>,
    pub(crate) thumbprints: Vec<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Record for Provider {}
