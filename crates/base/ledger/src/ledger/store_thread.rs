//! The thread that makes batches durable for stores which wait.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Shared, Writer};
use crate::store::{Store, StoreError};

/// From this many callers at once on, a batch waits for those who were just answered.
const CROWD: usize = 8;

/// The longest that a batch waits for company.
const GATHER_MAX: Duration = Duration::from_millis(4);

pub(super) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name("ledger-store".to_owned())
        .spawn(move || match &shared.writer {
            Writer::Thread(store) => shared.serve_store(store),
            Writer::Inline(_) | Writer::Task(..) | Writer::Cluster(_) => {}
        })
        .map_err(|source| StoreError::Thread { source })
}

/// How long a batch gathers. Callers who were answered by one batch come back while the next is
/// already on its way: left alone, they form two groups that take turns, and each commit carries
/// half of them. Waiting a part of what a commit costs joins the groups.
struct Gathering {
    /// Go as soon as so many transactions are there.
    enough: usize,
    /// Go after this time.
    patience: Duration,
}

impl Gathering {
    /// For callers who come alone.
    const NONE: Self = Self { enough: 1, patience: Duration::ZERO };

    /// After a commit of `carried` transactions that took `cost` while `waiting` others gathered.
    fn after(carried: usize, waiting: usize, cost: Duration) -> Self {
        match carried + waiting {
            callers if callers < CROWD => Self::NONE,
            callers => Self { enough: callers, patience: (cost / 2).min(GATHER_MAX) },
        }
    }
}

impl Shared {
    /// What the thread does until the ledger closes.
    fn serve_store(&self, store: &Mutex<Box<dyn Store>>) {
        let mourner = Mourner { shared: self };
        let mut gathering = Gathering::NONE;
        while self.gather(&gathering) {
            let start = Instant::now();
            let (carried, waiting) = self.flush(store);
            gathering = Gathering::after(carried, waiting, start.elapsed());
        }
        std::mem::forget(mourner);
    }

    /// Waits for a batch; false when the ledger closes and nothing is left.
    fn gather(&self, gathering: &Gathering) -> bool {
        let mut head = self.head.lock();
        while head.pending() == 0 && !head.closing {
            head.wake_at = 1;
            self.wake.wait(&mut head);
        }
        let deadline = Instant::now() + gathering.patience;
        while (1..gathering.enough).contains(&head.pending()) && !head.closing {
            head.wake_at = gathering.enough;
            if self.wake.wait_until(&mut head, deadline).timed_out() {
                break;
            }
        }
        // While the store works, nobody needs to wake this thread.
        head.wake_at = usize::MAX;
        head.pending() > 0
    }
}

/// Tells those who wait when the thread dies.
struct Mourner<'a> {
    shared: &'a Shared,
}

impl Drop for Mourner<'_> {
    fn drop(&mut self) {
        self.shared.refuse(StoreError::Stopped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crowds_gather() {
        let check = |carried, waiting, cost_ms, enough, patience_ms| {
            let gathering = Gathering::after(carried, waiting, Duration::from_millis(cost_ms));
            assert_eq!(gathering.enough, enough);
            assert_eq!(gathering.patience, Duration::from_millis(patience_ms));
        };
        check(1, 0, 10, 1, 0);
        check(4, 3, 10, 1, 0);
        check(4, 4, 2, 8, 1);
        check(32, 32, 100, 64, 4);
    }
}
