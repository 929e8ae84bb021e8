//! Settings of a registry, and rules by which repositories come to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use super::{Encryption, Mutability, ReplicationRule, Repository, matches_glob};

/// A filter of repositories or images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// The pattern or prefix.
    pub(crate) text: String,
    /// `WILDCARD`, `PREFIX_MATCH`, …
    pub(crate) kind: String,
}

impl Filter {
    /// Whether it means a repository: without a star, any part of its name will do.
    pub(crate) fn fits(&self, name: &str) -> bool {
        match self.text.contains('*') {
            true => matches_glob(&self.text, name),
            false => name.contains(&self.text),
        }
    }
}

/// When images of a repository are scanned without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watch {
    /// Never.
    Manual,
    /// When they are pushed.
    OnPush,
    /// When they are pushed, and whenever there is news.
    Continuous,
}

impl Watch {
    fn of(frequency: &str) -> Self {
        match frequency {
            "SCAN_ON_PUSH" => Self::OnPush,
            "CONTINUOUS_SCAN" => Self::Continuous,
            _ => Self::Manual,
        }
    }
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
    /// Its policy; users and roles in it by their ids.
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
    /// What is to be signed.
    #[serde(default)]
    pub(crate) signing: Option<Signing>,
}

/// What is to be signed when it is pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signing {
    /// When it was put: what was pushed before is not meant.
    pub(crate) put_at: Timestamp,
    /// With which profiles.
    pub(crate) rules: Vec<SigningRule>,
}

/// A rule of signing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningRule {
    /// The profile's ARN.
    pub(crate) profile: String,
    /// Of which repositories; of all without one.
    pub(crate) filters: Vec<Filter>,
}

impl SigningRule {
    /// Whether it means a repository.
    pub(crate) fn fits(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|one| matches_glob(&one.text, name))
    }
}

impl RegistrySettings {
    /// Whether scans are said to be enhanced ones.
    pub(crate) fn is_enhanced(&self) -> bool {
        self.scan_type.as_deref() == Some("ENHANCED")
    }

    /// When a repository's images are scanned, and the rule that says so. Continuous wins over on push.
    /// With enhanced scans, what no rule means is not scanned, and without rules all is (ECR guide,
    /// "Scan images": reference, registry semantics §15); with basic ones, the repository says.
    pub(crate) fn watch(
        &self,
        name: &str,
        repository: &Repository,
    ) -> (Watch, Option<&ScanningRule>) {
        let is_meant = |rule: &&ScanningRule| rule.filters.iter().any(|filter| filter.fits(name));
        let rules = self.scanning.iter().filter(is_meant);
        let rule = rules.max_by_key(|rule| Watch::of(&rule.frequency));
        let watch = match rule {
            Some(rule) => Watch::of(&rule.frequency),
            None if self.is_enhanced() && self.scanning.is_empty() => Watch::Continuous,
            None if self.is_enhanced() => Watch::Manual,
            None if repository.scan_on_push => Watch::OnPush,
            None => Watch::Manual,
        };
        (watch, rule)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_before_what_repositories_say() {
        let rule = |frequency: &str, text: &str| ScanningRule {
            frequency: frequency.to_owned(),
            filters: vec![Filter { text: text.to_owned(), kind: "WILDCARD".to_owned() }],
        };
        let check = |kind: &str, rules: &[(&str, &str)], scan_on_push: bool, expected: Watch| {
            let settings = RegistrySettings {
                scan_type: Some(kind.to_owned()),
                scanning: rules.iter().map(|(frequency, text)| rule(frequency, text)).collect(),
                ..RegistrySettings::default()
            };
            let repository = Repository {
                created_at: Timestamp::from_millis(0),
                mutability: Mutability::default(),
                encryption: Encryption::default(),
                scan_on_push,
                tags: BTreeMap::new(),
                policy: None,
                lifecycle: None,
            };
            let (watch, rule) = settings.watch("team/prod-1", &repository);
            assert_eq!(watch, expected, "{kind} {rules:?}");
            assert!(rule.is_none_or(|rule| rule.filters[0].fits("team/prod-1")));
        };
        let (on_push, always) = ("SCAN_ON_PUSH", "CONTINUOUS_SCAN");
        check("BASIC", &[], false, Watch::Manual);
        check("BASIC", &[], true, Watch::OnPush);
        check("BASIC", &[("MANUAL", "prod")], true, Watch::Manual);
        check("BASIC", &[(on_push, "prod")], false, Watch::OnPush);
        check("BASIC", &[(on_push, "prod*")], false, Watch::Manual);
        check("BASIC", &[(on_push, "*prod*")], false, Watch::OnPush);
        check("ENHANCED", &[], false, Watch::Continuous);
        check("ENHANCED", &[(on_push, "test")], true, Watch::Manual);
        check("ENHANCED", &[(always, "team"), (on_push, "prod")], false, Watch::Continuous);
    }
}
