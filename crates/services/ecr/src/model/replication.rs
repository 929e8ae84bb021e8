//! What is replicated where, and how far that is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use super::Filter;

/// Where images are replicated to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The region.
    pub(crate) region: String,
    /// The account.
    pub(crate) registry: String,
}

/// A rule of replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplicationRule {
    /// Where to.
    pub(crate) places: Vec<Place>,
    /// Which repositories, by the beginnings of their names; all without one.
    pub(crate) filters: Vec<Filter>,
}

/// Where a repository's images go.
pub(crate) fn places_of(rules: &[ReplicationRule], name: &str) -> BTreeSet<Place> {
    let fits = |rule: &&ReplicationRule| {
        rule.filters.is_empty() || rule.filters.iter().any(|filter| name.starts_with(&filter.text))
    };
    rules.iter().filter(fits).flat_map(|rule| rule.places.iter().cloned()).collect()
}

/// How far a replication is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// It is to be tried at `due_at`, after so many attempts that failed.
    Waiting {
        /// When.
        due_at: Timestamp,
        /// How often it was tried.
        attempts: u32,
    },
    /// It is there.
    Complete,
    /// It will not be tried again until the image is pushed again.
    Failed {
        /// Why, in one word.
        code: String,
    },
}

/// One image on its way to one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replication {
    /// Where to.
    pub(crate) place: Place,
    /// When it was asked for last.
    pub(crate) asked_at: Timestamp,
    /// How often it was: what comes of an earlier asking says nothing of a later one.
    pub(crate) asked: u64,
    /// How far it is.
    pub(crate) progress: Progress,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_choose_by_the_beginnings_of_names() {
        let place = |region: &str| Place { region: region.to_owned(), registry: "1".to_owned() };
        let rule = |region: &str, filters: &[&str]| ReplicationRule {
            places: vec![place(region)],
            filters: filters
                .iter()
                .map(|text| Filter { text: (*text).to_owned(), kind: "PREFIX_MATCH".to_owned() })
                .collect(),
        };
        let rules = [rule("a", &["prod", "stage/"]), rule("b", &[]), rule("a", &["product"])];
        let check = |name: &str, expected: &[&str]| {
            let expected: BTreeSet<_> = expected.iter().map(|region| place(region)).collect();
            assert_eq!(places_of(&rules, name), expected, "{name}");
        };
        check("product/app", &["a", "b"]);
        check("stage/app", &["a", "b"]);
        check("staging/app", &["b"]);
    }
}
