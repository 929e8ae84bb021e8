//! What is in the store, for those who decide what stays.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use terms::Timestamp;

use super::store::Shelves;
use super::{Held, ImageError, ImageReference};

impl Shelves {
    /// All images, by reference.
    pub(super) fn inventory(&self) -> Result<Vec<Held>, ImageError> {
        let snapshots = self.snapshots.list()?;
        // A container is of a manifest: it needs every name of it, for which of them it was made by
        // may be asked for again.
        let used: BTreeSet<_> = snapshots.iter().map(|(_, snapshot)| snapshot.target).collect();
        let mut all = Vec::new();
        for record in self.references.list()? {
            let Some((pulled, last)) = self.references.times(&record.reference) else { continue };
            let image = self.image(&record)?;
            let layers = image.iter().flat_map(|image| image.layers.iter());
            all.push(Held {
                bytes: layers.map(|layer| layer.size_bytes).sum(),
                was_pulled: record.was_pulled,
                is_in_use: used.contains(&record.target),
                pulled_at: timestamp(pulled),
                used_at: timestamp(last),
                reference: record.reference,
            });
        }
        Ok(all)
    }

    /// Marks images as used now.
    pub(super) fn keep(&self, references: &[ImageReference]) -> Result<(), ImageError> {
        references.iter().try_for_each(|reference| self.references.used(reference))
    }
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
