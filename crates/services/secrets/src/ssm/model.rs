//! Parameters and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shapes_ssm as shapes;
use terms::Timestamp;

use crate::hidden::Hidden;

/// What a parameter's name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parameter {
    /// The number of its newest version.
    pub(crate) newest: u64,
    /// Labels, each on one version.
    pub(crate) labels: BTreeMap<String, u64>,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// When a policy ends it.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Parameter {
    /// Whether a policy has ended it.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The labels of a version.
    pub(crate) fn labels_of(&self, version: u64) -> Vec<String> {
        let labels = self.labels.iter().filter(|(_, on)| **on == version);
        labels.map(|(label, _)| label.clone()).collect()
    }
}

/// One version of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParameterVersion {
    /// The value.
    pub(crate) value: Hidden<String>,
    /// What stands for the value of a SecureString where it is not to be seen.
    pub(crate) blind: [u8; 16],
    /// Its type.
    pub(crate) kind: Kind,
    /// Its tier.
    pub(crate) tier: Tier,
    /// The key that a SecureString is said to be encrypted with.
    pub(crate) key_id: Option<String>,
    /// A text for people.
    pub(crate) description: Option<String>,
    /// What the value had to look like.
    pub(crate) allowed_pattern: Option<String>,
    /// Policies, as JSON.
    pub(crate) policies: Option<String>,
    /// When it was written.
    pub(crate) modified_at: Timestamp,
    /// Who wrote it.
    pub(crate) modified_by: String,
}

/// A parameter's type; never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    String,
    StringList,
    SecureString,
}

/// How much a parameter may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tier {
    Standard,
    Advanced,
}

impl From<shapes::ParameterType> for Kind {
    fn from(kind: shapes::ParameterType) -> Self {
        match kind {
            shapes::ParameterType::String => Self::String,
            shapes::ParameterType::StringList => Self::StringList,
            shapes::ParameterType::SecureString => Self::SecureString,
        }
    }
}

impl Kind {
    /// As AWS names it.
    pub(crate) fn shape(self) -> shapes::ParameterType {
        match self {
            Self::String => shapes::ParameterType::String,
            Self::StringList => shapes::ParameterType::StringList,
            Self::SecureString => shapes::ParameterType::SecureString,
        }
    }
}

impl Tier {
    /// The most bytes of a value.
    pub(crate) fn value_max_bytes(self) -> usize {
        match self {
            Self::Standard => 4096,
            Self::Advanced => 8192,
        }
    }

    /// As AWS names it.
    pub(crate) fn shape(self) -> shapes::ParameterTier {
        match self {
            Self::Standard => shapes::ParameterTier::Standard,
            Self::Advanced => shapes::ParameterTier::Advanced,
        }
    }
}
