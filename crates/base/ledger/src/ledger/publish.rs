//! What is durable becomes visible: first to all who look, then to those who wait.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::Shared;
use crate::error::LedgerError;
use crate::feed::{Commit, Item};
use crate::head::{Taken, Waiter};
use crate::state::State;
use crate::store::{Store, StoreError};

impl Shared {
    /// Makes what is pending durable, publishes it, and answers those who waited. Gives how many
    /// transactions that were, and how many others gathered meanwhile.
    pub(super) fn flush(&self, store: &Mutex<Box<dyn Store>>) -> (usize, usize) {
        let mut store = store.lock();
        let Some(taken) = self.head.lock().take() else { return (0, 0) };
        self.conclude(&mut **store, taken)
    }

    /// Makes what was taken durable, and so on as [`Shared::flush`].
    pub(super) fn conclude(&self, store: &mut dyn Store, taken: Taken) -> (usize, usize) {
        let Taken { batch, state, commits } = taken;
        let carried = commits.len();
        tracing::trace!(revision = batch.revision, carried, rows = batch.writes.len(), "commit");
        let begun = Instant::now();
        let outcome = store.commit(&batch);
        meters::ledger().committed(carried, batch.writes.len(), begun.elapsed(), outcome.is_ok());
        match outcome {
            Ok(()) => (carried, self.publish(state, commits)),
            Err(error) => {
                self.refuse(error);
                (carried, 0)
            }
        }
    }

    /// Shows a state that is durable, and the commits that led to it.
    pub(crate) fn show(&self, state: State, commits: impl IntoIterator<Item = Arc<Commit>>) {
        self.published.store(Arc::new(state));
        for commit in commits {
            // An error means that nobody listens.
            let _ = self.feed.send(Item::Commit(commit));
        }
    }

    /// Shows a state that was loaded anew.
    pub(crate) fn show_reloaded(&self, state: State) {
        // First the state: whoever restarts because of the word finds it.
        self.published.store(Arc::new(state));
        let _ = self.feed.send(Item::Reloaded);
    }

    /// As [`Shared::show`], and answers those who waited for it. Gives how many others wait.
    pub(crate) fn publish(&self, state: State, commits: Vec<Arc<Commit>>) -> usize {
        let durable = state.revision;
        self.show(state, commits);
        let mut head = self.head.lock();
        let (ready, gathered) = (head.take_waiters(durable), head.pending());
        drop(head);
        ready.into_iter().for_each(|waiter| waiter.tell(Ok(())));
        gathered
    }

    pub(super) fn refuse(&self, error: StoreError) {
        tracing::error!(error = &error as &dyn std::error::Error, "the ledger's store failed");
        let error = LedgerError::StoreFailed(Arc::new(error));
        let durable = State::clone(&self.published.load());
        let waiting: Vec<Waiter> = self.head.lock().refuse(durable, error.clone());
        waiting.into_iter().for_each(|waiter| waiter.tell(Err(error.clone())));
    }
}
