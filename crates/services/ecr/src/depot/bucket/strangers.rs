//! Objects that no row names: what a server left that died between the two.

use std::collections::HashMap;
use std::time::Duration;

use terms::Timestamp;

use super::{DepotError, Inner, Shelf, blob_key, state_key};

/// How long an object stays that no row names. What is about to be named was written just now.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The pause between two looks at all of the bucket: lists cost.
const PAUSE: Duration = Duration::from_secs(3600);

/// Since when each was seen without a row, by our own clock: that of the bucket may be wrong.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    looked_at: Option<Timestamp>,
    since: HashMap<String, Timestamp>,
}

impl Shelf {
    /// Takes away what has had no row for a day. How many blobs went.
    pub(super) async fn sweep_strangers(&self) -> Result<usize, DepotError> {
        let Inner { means, owner, ledger, .. } = &*self.0;
        let bucket = &means.bucket;
        let now = ledger.clock().now();
        let looked_at = self.0.strangers.lock().looked_at;
        if looked_at.is_some_and(|at| now < at + PAUSE) {
            return Ok(0);
        }
        // Another installation's objects have no rows here.
        bucket.own(owner).await?;
        let (mut blobs, mut states) = (Vec::new(), Vec::new());
        bucket.each("blobs", |name| blobs.push(name.to_owned())).await?;
        bucket.each("uploads", |name| states.push(name.to_owned())).await?;
        let doomed = self.strangers_among(now, blobs, states);
        let mut gone = 0;
        for key in doomed {
            bucket.delete(&key).await?;
            gone += usize::from(key.starts_with("blobs/"));
        }
        Ok(gone)
    }

    /// The keys of those that have been strangers for long. The rows are read after the lists: what
    /// is in a list and got its row since is none.
    fn strangers_among(
        &self,
        now: Timestamp,
        blobs: Vec<String>,
        states: Vec<String>,
    ) -> Vec<String> {
        let Inner { ledger, tables, writing, .. } = &*self.0;
        let snapshot = ledger.snapshot();
        let is_upload = |name: &String| snapshot.get(&tables.uploads, name).is_some();
        let is_blob = |name: &String| {
            is_upload(name)
                || writing.0.lock().contains(name)
                || snapshot.index(&tables.objects_by_name, name).next().is_some()
        };
        let blobs = blobs.into_iter().filter(|name| !is_blob(name)).map(|name| blob_key(&name));
        let states = states.into_iter().filter(|id| !is_upload(id)).map(|id| state_key(&id));
        let mut strangers = self.0.strangers.lock();
        let before = std::mem::take(&mut strangers.since);
        let mut doomed = Vec::new();
        for key in blobs.chain(states) {
            let since = before.get(&key).copied().unwrap_or(now);
            match now >= since + KEPT {
                true => doomed.push(key),
                false => drop(strangers.since.insert(key, since)),
            }
        }
        strangers.looked_at = Some(now);
        doomed
    }
}
