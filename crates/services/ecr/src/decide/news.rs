//! Which events a commit is told of by (registry semantics §16). What they say in detail is written by
//! `event_source.rs`, when somebody wants it.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Change, Commit, Revision, Row, Snapshot, View};

use crate::Tables;
use crate::model::{Image, Progress, Replication, Scan, ScanState, Status, Tag};
use crate::push::beside;
use crate::tables::{DigestKey, ReplicaKey, TagKey};

/// What was done to an image, as `action-type` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ActionType {
    /// It came, or a tag of it did.
    Push,
    /// It went, or a tag of it did.
    Delete,
}

/// Something that ECR tells EventBridge.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// ECR Image Action; of what refers to another image, ECR Referrer Action.
    Image {
        /// The image.
        at: DigestKey,
        /// The tag, if it is told of one.
        tag: Option<String>,
        /// What was done.
        action: ActionType,
        /// Whether it refers to another.
        is_referrer: bool,
    },
    /// The same of what is put away or restored.
    Storage(DigestKey, Row<Image>),
    /// ECR Image Scan.
    Scan(DigestKey, Row<Scan>),
    /// ECR Pull Through Cache Action: the tag that came, and what it means.
    Through(TagKey, String),
    /// ECR Replication Action.
    Replication(ReplicaKey, Row<Replication>),
}

/// All that a commit is told of by: images by their tags, then those without, scans, what came through,
/// replications. What did not change is looked up in `snapshot`, which is no older than the commit.
pub(crate) fn of_commit(commit: &Commit, snapshot: &Snapshot, tables: &Tables) -> Vec<Told> {
    let images = commit.changes_of(&tables.images).map(|change| (change.key.clone(), change));
    let images: BTreeMap<DigestKey, Change<DigestKey, Image>> = images.collect();
    let is_referrer = |at: &DigestKey| match images.get(at) {
        Some(Change { before, after, .. }) => {
            after.iter().chain(before).any(|row| row.subject.is_some())
        }
        None => refers(snapshot, tables, at),
    };
    let (mut told, mut by_tag) = (Vec::new(), BTreeSet::new());
    for change in commit.changes_of(&tables.tags) {
        let [before, after] = [&change.before, &change.after].map(|row| {
            let digest = row.as_ref().map(|row| row.digest.as_str());
            digest.map(|digest| beside(&(change.key.0.clone(), change.key.1.clone()), digest))
        });
        let (at, action) = match (before, after) {
            (before, Some(after)) if before.as_ref() != Some(&after) => (after, ActionType::Push),
            (Some(before), None) => (before, ActionType::Delete),
            _ => continue,
        };
        by_tag.insert((at.clone(), action));
        let is_referrer = is_referrer(&at);
        told.push(Told::Image { at, tag: Some(change.key.2), action, is_referrer });
    }
    for (at, change) in &images {
        let action = match (&change.before, &change.after) {
            (None, Some(_)) => ActionType::Push,
            (Some(_), None) => ActionType::Delete,
            (Some(before), Some(after)) if before.status != after.status => {
                told.push(Told::Storage(at.clone(), after.clone()));
                continue;
            }
            _ => continue,
        };
        if !by_tag.contains(&(at.clone(), action)) {
            let is_referrer = is_referrer(at);
            told.push(Told::Image { at: at.clone(), tag: None, action, is_referrer });
        }
    }
    for Change { key, before, after } in commit.changes_of(&tables.scans) {
        let is_new = |row: &Row<Scan>| before.as_ref().is_none_or(|old| old.state != row.state);
        told.extend(
            after.filter(|row| is_over(row) && is_new(row)).map(|row| Told::Scan(key, row)),
        );
    }
    for Change { key, before, after } in commit.changes_of(&tables.cached_tags) {
        let before = before.map(|row| row.digest.clone());
        let digest = after.map(|row| row.digest.clone()).filter(|new| before.as_ref() != Some(new));
        told.extend(digest.map(|digest| Told::Through(key, digest)));
    }
    for Change { key, before, after } in commit.changes_of(&tables.replications) {
        let is_new =
            |row: &Row<Replication>| before.as_ref().is_none_or(|old| old.progress != row.progress);
        let after = after.filter(|row| has_ended(row) && is_new(row));
        told.extend(after.map(|row| Told::Replication(key, row)));
    }
    told
}

/// What stands in rows that are newer than `revision`: each is told of as it is. What went is not known.
pub(crate) fn found_after(
    snapshot: &Snapshot,
    tables: &Tables,
    revision: Revision,
) -> Vec<(Revision, Told)> {
    let (mut told, mut by_tag) = (Vec::new(), BTreeSet::new());
    for (key, row) in snapshot.prefix(&tables.tags, &()) {
        if row.version() > revision {
            let at = beside(&(key.0.clone(), key.1.clone()), &row.digest);
            by_tag.insert(at.clone());
            let is_referrer = refers(snapshot, tables, &at);
            let action = ActionType::Push;
            told.push((row.version(), Told::Image { at, tag: Some(key.2), action, is_referrer }));
        }
    }
    for (at, row) in snapshot.prefix(&tables.images, &()) {
        if row.version() <= revision {
            continue;
        }
        let is_new = row.created() > revision;
        if row.status == Status::Archived || (!is_new && row.restored_at.is_some()) {
            told.push((row.version(), Told::Storage(at, row)));
        } else if is_new && !by_tag.contains(&at) {
            let (is_referrer, action) = (row.subject.is_some(), ActionType::Push);
            told.push((row.version(), Told::Image { at, tag: None, action, is_referrer }));
        }
    }
    for (at, row) in snapshot.prefix(&tables.cached_tags, &()) {
        // One that upstream was only asked about has a newer row, too.
        let came = |tag: Row<Tag>| tag.version() > revision && tag.digest == row.digest;
        let is_new = row.created() > revision;
        if row.version() > revision && (is_new || snapshot.get(&tables.tags, &at).is_some_and(came))
        {
            told.push((row.version(), Told::Through(at, row.digest.clone())));
        }
    }
    let scans = snapshot.prefix(&tables.scans, &());
    let scans = scans.filter(|(_, row)| row.version() > revision && is_over(row));
    told.extend(scans.map(|(at, row)| (row.version(), Told::Scan(at, row))));
    let replications = snapshot.prefix(&tables.replications, &());
    let ended = replications.filter(|(_, row)| row.version() > revision && has_ended(row));
    told.extend(ended.map(|(at, row)| (row.version(), Told::Replication(at, row))));
    told.sort_by_key(|(revision, _)| *revision);
    told
}

fn refers(view: &impl View, tables: &Tables, at: &DigestKey) -> bool {
    view.get(&tables.images, at).is_some_and(|row| row.subject.is_some())
}

fn is_over(scan: &Scan) -> bool {
    match scan.state {
        ScanState::Waiting => false,
        ScanState::Complete { .. }
        | ScanState::Failed
        | ScanState::Unsupported
        | ScanState::Unavailable => true,
    }
}

fn has_ended(row: &Replication) -> bool {
    match row.progress {
        Progress::Waiting { .. } => false,
        Progress::Complete | Progress::Failed { .. } => true,
    }
}
