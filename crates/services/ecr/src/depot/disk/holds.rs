//! Who is about to name a blob.

use std::collections::BTreeMap;
use std::sync::Arc;

use blobs::Digest;
use parking_lot::Mutex;

/// How many hold each blob.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds(Arc<Mutex<BTreeMap<Digest, usize>>>);

/// Keeps a blob from being collected until it is dropped.
#[derive(Debug)]
pub(in crate::depot) struct Held {
    holds: Holds,
    digest: Digest,
}

impl Held {
    /// The blob.
    pub(in crate::depot) fn digest(&self) -> Digest {
        self.digest
    }
}

impl Holds {
    pub(super) fn hold(&self, digest: &Digest) -> Held {
        *self.0.lock().entry(*digest).or_default() += 1;
        Held { holds: self.clone(), digest: *digest }
    }

    /// Does something to a blob that nobody holds, while nobody can begin to.
    pub(super) fn unless_held<T>(&self, digest: &Digest, work: impl FnOnce() -> T) -> Option<T> {
        let held = self.0.lock();
        (!held.contains_key(digest)).then(work)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.holds.0.lock();
        if let Some(count) = held.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.digest);
            }
        }
    }
}
