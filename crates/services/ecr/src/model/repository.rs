//! Repositories.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use super::matches_glob;

/// Whether tags may move (`imageTagMutability` with its filters).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mutability {
    /// All may.
    #[default]
    Mutable,
    /// None may.
    Immutable,
    /// None may but those that fit one of these patterns.
    ImmutableExcept(Vec<String>),
    /// All may but those that fit one of these patterns.
    MutableExcept(Vec<String>),
}

impl Mutability {
    /// Whether this tag may move.
    pub(crate) fn may_move(&self, tag: &str) -> bool {
        let fits = |patterns: &[String]| patterns.iter().any(|pattern| matches_glob(pattern, tag));
        match self {
            Self::Mutable => true,
            Self::Immutable => false,
            Self::ImmutableExcept(patterns) => fits(patterns),
            Self::MutableExcept(patterns) => !fits(patterns),
        }
    }

    /// The patterns, if it has some.
    pub(crate) fn patterns(&self) -> &[String] {
        match self {
            Self::Mutable | Self::Immutable => &[],
            Self::ImmutableExcept(patterns) | Self::MutableExcept(patterns) => patterns,
        }
    }
}

/// How a repository is said to be encrypted; kept and shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// `KMS` or `KMS_DSSE`; none for `AES256`.
    pub(crate) kind: Option<String>,
    /// The key's id.
    pub(crate) key: Option<String>,
}

/// A repository's lifecycle policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lifecycle {
    /// As it was put.
    pub(crate) text: String,
    /// When it was applied last.
    pub(crate) evaluated_at: Option<Timestamp>,
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Repository {
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Whether its tags may move.
    pub(crate) mutability: Mutability,
    /// How it is said to be encrypted.
    pub(crate) encryption: Encryption,
    /// Whether images are to be scanned when they are pushed.
    pub(crate) scan_on_push: bool,
    /// Its tags (not those of its images).
    pub(crate) tags: BTreeMap<String, String>,
    /// Its policy; users and roles in it by their ids.
    pub(crate) policy: Option<String>,
    /// Its lifecycle policy.
    pub(crate) lifecycle: Option<Lifecycle>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusions_turn_the_rule_around() {
        let dev = || vec!["dev-*".to_owned()];
        let check = |mutability: Mutability, expected: [bool; 2]| {
            let found = ["dev-1", "v1"].map(|tag| mutability.may_move(tag));
            assert_eq!(found, expected, "{mutability:?}");
        };
        check(Mutability::Mutable, [true, true]);
        check(Mutability::Immutable, [false, false]);
        check(Mutability::ImmutableExcept(dev()), [true, false]);
        check(Mutability::MutableExcept(dev()), [false, true]);
    }
}
