//! Lifecycle policies over a repository's rows.

use ledger::View;
use terms::Timestamp;

use crate::Tables;
use crate::decide::{Candidate, Taken, take};
use crate::model::{Status, parse_lifecycle};
use crate::tables::NameKey;

impl Tables {
    /// What a policy takes of a repository's images at this time, the oldest first. A policy that
    /// cannot be read takes nothing.
    pub(crate) fn what_goes(
        &self,
        view: &impl View,
        key: &NameKey,
        text: &str,
        now: Timestamp,
    ) -> Vec<(Candidate, Taken)> {
        let Ok(rules) = parse_lifecycle(text) else { return Vec::new() };
        let images = view.prefix(&self.images, key).map(|(at, row)| {
            let parents = view.index(&self.images_by_child, &at);
            Candidate {
                tags: self.tags_of(view, &at),
                pushed_at: row.pushed_at,
                pulled_at: view.get(&self.pulls, &at).map(|pull| pull.at),
                archived_at: row.archived_at,
                restored_at: row.restored_at,
                is_archived: row.status == Status::Archived,
                parents: parents.filter(|(_, row)| row.is_index).map(|(at, _)| at.2).collect(),
                digest: at.2,
            }
        });
        let images: Vec<_> = images.collect();
        let taken = take(&rules, &images, now);
        let image = |taken: &Taken| images.iter().find(|image| image.digest == taken.digest);
        taken.into_iter().filter_map(|taken| Some((image(&taken)?.clone(), taken))).collect()
    }
}
