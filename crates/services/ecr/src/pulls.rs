//! When images were pulled: written down at most once an hour each, and not for those whose pulls do
//! not count.

use std::sync::Arc;

use wire::Caller;

use crate::Inner;
use crate::error::Error;
use crate::tables::DigestKey;

impl Inner {
    /// Writes down that a caller pulls an image. That this fails is no reason not to answer.
    pub(crate) async fn note_pull(&self, caller: &Option<Arc<Caller>>, at: DigestKey) {
        let settings = self.ledger.snapshot().get(&self.tables.registries, &at.0);
        let is_excluded = settings.is_some_and(|settings| {
            caller.as_ref().is_some_and(|caller| settings.exclusions.contains_key(&caller.arn))
        });
        if is_excluded {
            return;
        }
        let done = self.ledger.transact("ecr: note a pull", |tx| {
            self.tables.note_pull(tx, &at);
            Ok::<_, Error>(())
        });
        if let Err(error) = done.await {
            tracing::warn!(%error, "a pull was not written down");
        }
    }
}
