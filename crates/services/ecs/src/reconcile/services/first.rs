//! How long it takes after a start until each service has been looked at.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::tables::ServiceKey;

/// The services that were there at the start and have not been looked at. Counted, no more.
pub(super) struct First {
    begun: Instant,
    left: BTreeSet<ServiceKey>,
}

impl First {
    /// Begins with these.
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a ServiceKey>) -> Self {
        Self { begun: Instant::now(), left: keys.cloned().collect() }
    }

    /// One was looked at; with the last of them the time is told.
    pub(super) fn took(&mut self, key: &ServiceKey) {
        if self.left.remove(key) && self.left.is_empty() {
            let name = meters::Loop { name: "services_first" };
            let timer = meters::ecs().loop_seconds.get_or_create_owned(&name);
            timer.observe(self.begun.elapsed().as_secs_f64());
        }
    }
}
