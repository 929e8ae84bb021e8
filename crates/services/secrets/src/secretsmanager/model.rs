//! Secrets, their versions, and which labels sit on which.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use crate::hidden::Hidden;

/// The label of the value that is meant if none is named.
pub(crate) const CURRENT: &str = "AWSCURRENT";
/// The label of the value before.
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";
/// The most versions of a secret; the oldest without labels go.
const VERSIONS_MAX: usize = 100;

/// What a secret's name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret {
    /// What its ARN ends with: another one each time that a secret of the name is made.
    pub(crate) suffix: String,
    /// A text for people.
    pub(crate) description: Option<String>,
    /// The key that it is said to be encrypted with.
    pub(crate) key_id: Option<String>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it was changed last.
    pub(crate) changed_at: Timestamp,
    /// When it is gone for good; none if it was not deleted.
    pub(crate) deleted_at: Option<Timestamp>,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// Who may do what with it, besides whom their own policies let; users and roles by their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    /// Its versions by their ids.
    pub(crate) versions: BTreeMap<String, Version>,
}

/// A version without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// The labels on it; one without any is deprecated.
    pub(crate) stages: BTreeSet<String>,
}

/// A version's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretVersion {
    /// Text or bytes.
    pub(crate) value: Hidden<SecretValue>,
}

/// What a secret holds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SecretValue {
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Secret {
    /// Whether its recovery window has ended.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.deleted_at.is_some_and(|at| at <= now)
    }

    /// The version that has a label.
    pub(crate) fn holder(&self, stage: &str) -> Option<&str> {
        let has = |(_, version): &(&String, &Version)| version.stages.contains(stage);
        self.versions.iter().find(has).map(|(id, _)| id.as_str())
    }

    /// Takes a label from whichever version has it; answers with that.
    pub(crate) fn take_stage(&mut self, stage: &str) -> Option<String> {
        let holder = self.holder(stage)?.to_owned();
        self.versions.get_mut(&holder)?.stages.remove(stage);
        Some(holder)
    }

    /// Puts a label on a version. The one that was current becomes the previous one.
    pub(crate) fn give_stage(&mut self, stage: &str, id: &str) {
        let before = self.take_stage(stage).filter(|before| before != id);
        if let Some(version) = self.versions.get_mut(id) {
            version.stages.insert(stage.to_owned());
        }
        if let (CURRENT, Some(before)) = (stage, before) {
            self.take_stage(PREVIOUS);
            if let Some(version) = self.versions.get_mut(&before) {
                version.stages.insert(PREVIOUS.to_owned());
            }
        }
    }

    /// Adds a version with these labels. Answers with the versions that have to go for it.
    pub(crate) fn add_version(
        &mut self,
        id: &str,
        stages: &[String],
        now: Timestamp,
    ) -> Vec<String> {
        let version = Version { created_at: now, stages: BTreeSet::new() };
        self.versions.insert(id.to_owned(), version);
        stages.iter().for_each(|stage| self.give_stage(stage, id));
        self.changed_at = now;
        let surplus = self.versions.len().saturating_sub(VERSIONS_MAX);
        let is_deprecated =
            |(other, version): &(&String, &Version)| version.stages.is_empty() && *other != id;
        let mut deprecated: Vec<(Timestamp, String)> = self
            .versions
            .iter()
            .filter(is_deprecated)
            .map(|(id, version)| (version.created_at, id.clone()))
            .collect();
        deprecated.sort();
        let gone: Vec<String> = deprecated.into_iter().take(surplus).map(|(_, id)| id).collect();
        self.versions.retain(|id, _| !gone.contains(id));
        gone
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret() -> Secret {
        let start = Timestamp::from_millis(0);
        Secret {
            suffix: "abcdef".to_owned(),
            description: None,
            key_id: None,
            created_at: start,
            changed_at: start,
            deleted_at: None,
            tags: BTreeMap::new(),
            policy: None,
            versions: BTreeMap::new(),
        }
    }

    fn put(secret: &mut Secret, id: &str, stages: &[&str], at: i64) -> Vec<String> {
        let stages: Vec<String> = stages.iter().map(|&stage| stage.to_owned()).collect();
        secret.add_version(id, &stages, Timestamp::from_millis(at))
    }

    #[test]
    fn the_former_value_is_the_previous_one() {
        let mut secret = secret();
        put(&mut secret, "one", &[CURRENT], 1);
        put(&mut secret, "two", &[CURRENT], 2);
        put(&mut secret, "three", &[CURRENT], 3);
        assert_eq!(secret.holder(CURRENT), Some("three"));
        assert_eq!(secret.holder(PREVIOUS), Some("two"));
        assert!(secret.versions["one"].stages.is_empty());
        put(&mut secret, "four", &["mine"], 4);
        assert_eq!(secret.holder(CURRENT), Some("three"));
        // Back to the one before.
        secret.give_stage(CURRENT, "two");
        assert_eq!(secret.holder(CURRENT), Some("two"));
        assert_eq!(secret.holder(PREVIOUS), Some("three"));
    }

    #[test]
    fn versions_without_labels_go_the_oldest_first() {
        let mut secret = secret();
        put(&mut secret, "kept", &["mine"], 0);
        let gone: Vec<String> = (1..=110)
            .flat_map(|number| put(&mut secret, &format!("{number:03}"), &[CURRENT], number))
            .collect();
        assert_eq!(secret.versions.len(), VERSIONS_MAX);
        assert_eq!(gone.first().map(String::as_str), Some("001"));
        assert_eq!(gone.len(), 11);
        assert!(secret.versions.contains_key("kept"));
    }

    proptest! {
        /// However versions come and labels move: a label is on one version at most.
        #[test]
        fn a_label_sits_on_one_version(steps in prop::collection::vec((0..6_u8, 0..4_u8, any::<bool>()), 1..40)) {
            let mut secret = secret();
            for (at, (version, stage, moves)) in steps.into_iter().enumerate() {
                let (id, stage) = (format!("v{version}"), [CURRENT, PREVIOUS, "a", "b"][usize::from(stage)]);
                match moves && secret.versions.contains_key(&id) {
                    true => secret.give_stage(stage, &id),
                    false if secret.versions.contains_key(&id) => {}
                    false => { put(&mut secret, &id, &[stage], at as i64); }
                }
                for stage in [CURRENT, PREVIOUS, "a", "b"] {
                    let holders = secret.versions.values().filter(|v| v.stages.contains(stage)).count();
                    prop_assert!(holders <= 1, "{} on {} versions", stage, holders);
                }
            }
        }
    }
}
