//! What the leader does for etcd now and then: forgets history, and looks how full it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Cluster, bounded};
use crate::error::LedgerError;
use crate::ledger::Shared;
use crate::store::EtcdError;

/// How often.
const ROUND: Duration = Duration::from_secs(5);

/// History of this time is kept, so that a follower that was cut off for less need not load all.
const KEEP: Duration = Duration::from_secs(300);

/// But no more history than this part of the quota.
const KEEP_QUOTA_PARTS: u64 = 8;

/// Percent of the quota from which on the log warns.
const WARN_PERCENT: u64 = 80;

/// Percent of the quota from which on no new rows are taken. What is left is for changes and
/// deletions, and for the history that they make.
const REFUSE_PERCENT: u64 = 90;

/// A moment that history may be forgotten up to.
struct Mark {
    at: Duration,
    /// etcd's revision then.
    revision: i64,
    /// [`Cluster::written`] then.
    written: u64,
}

/// How full etcd is, in the steps that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fullness {
    Room,
    Warn,
    Refuse,
}

impl Fullness {
    fn of(used_bytes: u64, quota_bytes: u64) -> Self {
        match used_bytes.saturating_mul(100) / quota_bytes.max(1) {
            REFUSE_PERCENT.. => Self::Refuse,
            WARN_PERCENT.. => Self::Warn,
            _ => Self::Room,
        }
    }
}

impl Cluster {
    /// The task that does it, while this server leads.
    pub(super) async fn keep_up(self: Arc<Self>, shared: Arc<Shared>) {
        let mut marks = VecDeque::new();
        let mut told = Fullness::Room;
        let mut leadership = shared.leadership.subscribe();
        loop {
            if leadership.borrow_and_update().is_leading() {
                told = self.look(&shared, told).await;
                self.forget(&mut marks).await;
            }
            // At once when a term begins, then in rounds.
            let _ = tokio::time::timeout(ROUND, leadership.changed()).await;
        }
    }

    async fn look(&self, shared: &Shared, told: Fullness) -> Fullness {
        let status = match bounded(self.etcd.status()).await {
            Ok(status) => status,
            Err(error) => {
                tracing::debug!(%error, "etcd does not tell how full it is");
                return told;
            }
        };
        let (used_bytes, quota_bytes) =
            (status.size_bytes, status.quota_bytes.unwrap_or(self.quota_bytes));
        self.notes.size(used_bytes, quota_bytes);
        let fullness = Fullness::of(used_bytes, quota_bytes);
        if fullness > told {
            let in_use_bytes = status.used_bytes;
            tracing::warn!(
                used_bytes,
                quota_bytes,
                in_use_bytes,
                refusing = fullness == Fullness::Refuse,
                "etcd's database is nearly as large as its quota; `etcdctl defrag` gives back what is not in use"
            );
        }
        let refusal = (fullness == Fullness::Refuse)
            .then_some(LedgerError::StoreNearlyFull { used_bytes, quota_bytes });
        shared.head.lock().full = refusal;
        fullness
    }

    /// Compacts what is older than the window.
    async fn forget(&self, marks: &mut VecDeque<Mark>) {
        let (at, written) = (self.etcd.now(), self.written.load(Ordering::Relaxed));
        let revision = *self.applied.borrow();
        marks.push_back(Mark { at, revision, written });
        let keep_bytes = self.quota_bytes / KEEP_QUOTA_PARTS;
        let is_old = |mark: &Mark| {
            at.saturating_sub(mark.at) >= KEEP || written - mark.written >= keep_bytes
        };
        let mut oldest = None;
        while marks.front().is_some_and(is_old) {
            oldest = marks.pop_front();
        }
        let Some(mark) = oldest else { return };
        match bounded(self.etcd.compact(mark.revision)).await {
            Ok(()) | Err(EtcdError::Compacted) => {
                tracing::debug!(revision = mark.revision, "compacted etcd's history");
            }
            Err(error) => tracing::warn!(%error, "etcd's history cannot be compacted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fullness_has_three_steps() {
        let check = |used, quota, expected| assert_eq!(Fullness::of(used, quota), expected);
        check(0, 100, Fullness::Room);
        check(79, 100, Fullness::Room);
        check(80, 100, Fullness::Warn);
        check(89, 100, Fullness::Warn);
        check(90, 100, Fullness::Refuse);
        check(u64::MAX, 2 << 30, Fullness::Refuse);
        check(1, 0, Fullness::Refuse);
    }
}
