//! What lifecycle policies take (ECR guide, "Lifecycle policies": how rules are evaluated).

use std::collections::{BTreeMap, BTreeSet};

use terms::Timestamp;

use crate::model::{Count, Rule};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// An image, as far as rules look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its digest.
    pub(crate) digest: String,
    /// Its tags.
    pub(crate) tags: Vec<String>,
    /// When it was pushed.
    pub(crate) pushed_at: Timestamp,
    /// When it was pulled last.
    pub(crate) pulled_at: Option<Timestamp>,
    /// When it was archived last.
    pub(crate) archived_at: Option<Timestamp>,
    /// When it was restored last.
    pub(crate) restored_at: Option<Timestamp>,
    /// Whether it is archived now.
    pub(crate) is_archived: bool,
    /// The indexes that name it.
    pub(crate) parents: Vec<String>,
}

/// What becomes of an image, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Its digest.
    pub(crate) digest: String,
    /// The rule's priority.
    pub(crate) priority: u32,
    /// Whether it is archived, instead of deleted.
    pub(crate) archives: bool,
}

impl Candidate {
    /// What "newest" and "oldest" go by.
    fn time(&self) -> Timestamp {
        self.restored_at.map_or(self.pushed_at, |restored| restored.max(self.pushed_at))
    }

    fn is_due(&self, count: Count, now: Timestamp) -> bool {
        let (since, days) = match count {
            Count::MoreThan(_) => return false,
            Count::SincePushed(days) => (Some(self.time()), days),
            Count::SincePulled(days) => {
                let last = self.pulled_at.max(self.restored_at);
                (Some(last.unwrap_or(self.pushed_at)), days)
            }
            Count::SinceArchived(days) => (self.archived_at, days),
        };
        let limit = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY_MS);
        since.is_some_and(|since| now.millis().saturating_sub(since.millis()) > limit)
    }
}

/// What the rules (by priority) take of these images, the oldest first. An image that a rule selects
/// is safe from all later ones of the same storage class, whether or not that rule takes it; one that
/// a surviving index names stays.
pub(crate) fn take(rules: &[Rule], images: &[Candidate], now: Timestamp) -> Vec<Taken> {
    let mut taken: BTreeMap<usize, Taken> = BTreeMap::new();
    let mut selected: [BTreeSet<usize>; 2] = Default::default();
    for rule in rules {
        let shield = &mut selected[usize::from(rule.is_of_archive)];
        let is_meant = |image: &Candidate| {
            image.is_archived == rule.is_of_archive && rule.selects(&image.tags)
        };
        let mut members: Vec<usize> =
            (0..images.len()).filter(|index| is_meant(&images[*index])).collect();
        // The newest first; of equals, an order that does not change.
        members.sort_by(|a, b| {
            let (a, b) = (&images[*a], &images[*b]);
            b.time().cmp(&a.time()).then_with(|| b.digest.cmp(&a.digest))
        });
        let past: Vec<usize> = match rule.count {
            Count::MoreThan(kept) => {
                members.iter().copied().skip(usize::try_from(kept).unwrap_or(usize::MAX)).collect()
            }
            count => {
                members.iter().copied().filter(|index| images[*index].is_due(count, now)).collect()
            }
        };
        for index in past.into_iter().filter(|index| !shield.contains(index)) {
            taken.entry(index).or_insert_with(|| Taken {
                digest: images[index].digest.clone(),
                priority: rule.priority,
                archives: rule.archives,
            });
        }
        shield.extend(members);
    }
    leave_named(&mut taken, images);
    let mut taken: Vec<(usize, Taken)> = taken.into_iter().collect();
    taken.sort_by_key(|(index, _)| (images[*index].time(), images[*index].digest.clone()));
    taken.into_iter().map(|(_, taken)| taken).collect()
}

/// Leaves what an index names that stays.
fn leave_named(taken: &mut BTreeMap<usize, Taken>, images: &[Candidate]) {
    loop {
        let gone: BTreeSet<&str> =
            taken.keys().map(|index| images[*index].digest.as_str()).collect();
        let stays = |index: &usize| {
            let parents = &images[*index].parents;
            parents.iter().any(|parent| !gone.contains(parent.as_str()))
        };
        let staying: Vec<usize> = taken.keys().copied().filter(stays).collect();
        if staying.is_empty() {
            return;
        }
        staying.iter().for_each(|index| drop(taken.remove(index)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::parse_lifecycle;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000 * DAY_MS)
    }

    /// An image pushed so many minutes (or days, as `12d`) ago.
    fn image(name: &str, tags: &[&str], age_ms: i64) -> Candidate {
        Candidate {
            digest: name.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            pushed_at: Timestamp::from_millis(now().millis() - age_ms),
            pulled_at: None,
            archived_at: None,
            restored_at: None,
            is_archived: false,
            parents: Vec::new(),
        }
    }

    fn keep(priority: u32, prefixes: &[&str], count: u32) -> Value {
        let mut selection = json!({"tagStatus": "tagged", "tagPrefixList": prefixes,
            "countType": "imageCountMoreThan", "countNumber": count});
        if prefixes.is_empty() {
            selection["tagStatus"] = json!("any");
            selection.as_object_mut().unwrap().remove("tagPrefixList");
        }
        json!({"rulePriority": priority, "selection": selection, "action": {"type": "expire"}})
    }

    fn older(priority: u32, status: &str, prefixes: &[&str], days: u32) -> Value {
        let mut selection = json!({"tagStatus": status, "countType": "sinceImagePushed",
            "countUnit": "days", "countNumber": days});
        if !prefixes.is_empty() {
            selection["tagPrefixList"] = json!(prefixes);
        }
        json!({"rulePriority": priority, "selection": selection, "action": {"type": "expire"}})
    }

    fn check(images: &[Candidate], rules: &[Value], expected: &[(&str, u32)]) {
        let rules = parse_lifecycle(&json!({ "rules": rules }).to_string()).unwrap();
        let taken = take(&rules, images, now());
        let taken: Vec<_> =
            taken.iter().map(|taken| (taken.digest.as_str(), taken.priority)).collect();
        assert_eq!(taken, expected);
    }

    #[test]
    fn the_guides_examples_come_out() {
        let images = [
            image("A", &["beta-1", "prod-1"], 3 * DAY_MS),
            image("B", &["beta-2", "prod-2"], 2 * DAY_MS),
            image("C", &["beta-3"], DAY_MS),
        ];
        check(&images, &[keep(1, &["prod"], 1), keep(2, &["beta"], 1)], &[("A", 1)]);
        check(&images, &[keep(1, &["beta"], 1), keep(2, &["prod"], 1)], &[("A", 1), ("B", 1)]);
        let images = [
            image("A", &["alpha-1"], 12 * DAY_MS),
            image("B", &["beta-1"], 11 * DAY_MS),
            image("C", &["alpha-2", "beta-2"], 10 * DAY_MS),
            image("F", &["alpha-4", "beta-4"], 2 * DAY_MS),
        ];
        check(&images, &[older(1, "tagged", &["alpha", "beta"], 5)], &[("C", 1)]);
        let images = [
            image("A", &["alpha-1", "beta-1"], 4 * DAY_MS),
            image("B", &[], 3 * DAY_MS),
            image("C", &["alpha-2"], 2 * DAY_MS),
            image("D", &["git"], DAY_MS),
            image("E", &[], DAY_MS - 1),
        ];
        let rules = [keep(1, &["alpha"], 1), older(2, "untagged", &[], 1), keep(3, &[], 1)];
        check(&images, &rules, &[("A", 1), ("B", 2), ("D", 3)]);
    }

    #[test]
    fn what_a_surviving_index_names_stays() {
        let index = image("index", &["v1"], DAY_MS);
        let old = image("old", &["v0"], 9 * DAY_MS);
        let child = |name: &str, parent: &str| Candidate {
            parents: vec![parent.to_owned()],
            ..image(name, &[], 9 * DAY_MS)
        };
        let images = [index, old, child("a", "index"), child("b", "old"), child("c", "a")];
        let untagged = older(1, "untagged", &[], 1);
        check(&images, std::slice::from_ref(&untagged), &[]);
        let rules = [untagged, keep(2, &["v"], 1)];
        check(&images, &rules, &[("b", 1), ("old", 2)]);
    }

    #[test]
    fn archives_have_rules_of_their_own() {
        let restored =
            Candidate { restored_at: Some(now()), ..image("restored", &["a"], 100 * DAY_MS) };
        let archived = Candidate {
            is_archived: true,
            archived_at: Some(Timestamp::from_millis(now().millis() - 91 * DAY_MS)),
            ..image("archived", &["a"], 200 * DAY_MS)
        };
        let images = [restored, archived, image("old", &["a"], 50 * DAY_MS)];
        let archive = json!({"rulePriority": 1, "selection": {"tagStatus": "any",
            "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 30},
            "action": {"type": "transition", "targetStorageClass": "archive"}});
        let expire = json!({"rulePriority": 2, "selection": {"tagStatus": "any",
            "storageClass": "archive", "countType": "sinceImageTransitioned", "countUnit": "days",
            "countNumber": 90}, "action": {"type": "expire"}});
        check(&images, &[archive, expire], &[("archived", 2), ("old", 1)]);
    }
}
