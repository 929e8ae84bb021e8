//! Users, groups and roles: what they have in common is one record.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Record;
use serde::{Deserialize, Serialize};
use terms::{AccountId, Timestamp};

/// What an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    User,
    Group,
    Role,
}

impl Kind {
    /// As in ARNs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }

    /// What unique ids begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Group => "AGPA",
            Self::Role => "AROA",
        }
    }
}

/// What roles have besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RolePart {
    /// The trust policy; users and roles in it are named by their unique ids.
    pub(crate) trust: String,
    pub(crate) description: Option<String>,
    pub(crate) max_session_s: u32,
    /// The service that the role is linked to, such as `ecs.amazonaws.com`.
    pub(crate) linked: Option<String>,
}

/// A user, a group or a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entity {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// As it was given; keys have it in lower case.
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) created_at: Timestamp,
    pub(crate) tags: BTreeMap<String, String>,
    /// Inline policies by name.
    pub(crate) inline: BTreeMap<String, String>,
    /// ARNs of attached managed policies.
    pub(crate) attached: BTreeSet<String>,
    /// The ARN of its boundary.
    pub(crate) boundary: Option<String>,
    /// Of a user: its groups, by their names in lower case.
    pub(crate) groups: BTreeSet<String>,
    pub(crate) role: Option<RolePart>,
}

impl Record for Entity {}

impl Entity {
    /// `arn:aws:iam::ACCOUNT:role/path/name`.
    pub(crate) fn arn(&self, account: &AccountId) -> String {
        format!("arn:aws:iam::{account}:{}{}{}", self.kind.word(), self.path, self.name)
    }
}
