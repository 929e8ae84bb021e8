//! What a leader writes with: every transaction holds only while its term lasts.

use std::sync::Arc;

use super::bounded;
use crate::store::etcd::layout::{HeadRecord, Keys};
use crate::store::{Etcd, EtcdAnswer, EtcdCompare, EtcdError, EtcdOp, EtcdTxn};

/// Why a term ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Given up with everything answered.
    Resigned,
    /// Another server leads, or may: what was not confirmed was not written.
    Fenced,
    /// An answer stayed away: what was sent may have been written.
    Unknown,
}

/// What an answer to a fenced transaction means.
pub(crate) enum Verdict {
    /// It was carried out, at this revision of etcd.
    Written(i64),
    /// It was not, because the one before it was not yet.
    Early,
    Over(Ended),
}

/// Writes in one term.
#[derive(Clone)]
pub(crate) struct Fence {
    pub(crate) etcd: Arc<dyn Etcd>,
    pub(crate) keys: Keys,
    /// The revision that created the leader's key: the term.
    pub(crate) created: i64,
}

impl Fence {
    /// A transaction that is carried out only while the term lasts and the head is `base`.
    pub(super) fn txn(&self, base: &HeadRecord, then: Vec<EtcdOp>) -> EtcdTxn {
        EtcdTxn {
            compares: vec![
                EtcdCompare::Created(self.keys.leader(), self.created),
                EtcdCompare::Value(self.keys.head(), base.encode()),
            ],
            then,
            or_else: vec![EtcdOp::Get(self.keys.leader()), EtcdOp::Get(self.keys.head())],
        }
    }

    /// What the answer to [`Fence::txn`] means, when it makes the head `next`.
    pub(super) fn judge(
        &self,
        base: &HeadRecord,
        next: &HeadRecord,
        answer: Result<EtcdAnswer, EtcdError>,
    ) -> Verdict {
        let answer = match answer {
            Ok(answer) if answer.succeeded => return Verdict::Written(answer.revision),
            Ok(answer) => answer,
            Err(EtcdError::Lost(reason)) => {
                tracing::warn!(reason, "etcd did not answer a commit");
                return Verdict::Over(Ended::Unknown);
            }
            Err(error) => {
                tracing::error!(%error, "etcd refused a commit");
                return Verdict::Over(Ended::Fenced);
            }
        };
        let mut found = answer.found.into_iter();
        let leader = found.next().flatten();
        let head = found.next().flatten();
        let seen = head.as_ref().and_then(|head| HeadRecord::decode(&head.value));
        // It was sent twice on its way, and what answers is the second.
        if base != next && seen == Some(*next) {
            return Verdict::Written(head.map_or(0, |head| head.modified));
        }
        let leads = leader.is_some_and(|leader| leader.created == self.created);
        let is_behind =
            |seen: HeadRecord| seen.term <= self.created && seen.revision <= base.revision;
        match leads && seen.is_some_and(is_behind) {
            true => Verdict::Early,
            false => Verdict::Over(Ended::Fenced),
        }
    }

    /// Carries out one transaction, with none other on its way; gives etcd's revision after it.
    pub(super) async fn step(
        &self,
        base: &HeadRecord,
        next: &HeadRecord,
        ops: Vec<EtcdOp>,
    ) -> Result<i64, Ended> {
        let answer = bounded(self.etcd.txn(self.txn(base, ops))).await;
        match self.judge(base, next, answer) {
            Verdict::Written(revision) => Ok(revision),
            Verdict::Early => Err(Ended::Fenced),
            Verdict::Over(ended) => Err(ended),
        }
    }
}
