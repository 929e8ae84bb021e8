//! Commits larger than one transaction of etcd.
//!
//! Their writes go to keys of their own, part by part. The last, small transaction lets the head
//! name them: with it the commit is made, whole. Then the rows move to their places, and a last
//! transaction lets the head name the parts no more and deletes them. Nothing else is committed
//! meanwhile, so whoever finds a head that names parts, lays them over the rows, and it makes no
//! difference how many of these have moved.

use super::follow::{Driver, Term};
use super::lead::{Ended, Verdict};
use super::{LIMITS, bounded};
use crate::head::Taken;
use crate::store::etcd::layout::{
    HeadRecord, StagedKey, StagedWrite, behind, stage_write, staged_writes,
};
use crate::store::{EtcdError, EtcdOp, EtcdRange, Write};

/// Parts that are read at once when a new leader moves them.
const PARTS_PAGE: u32 = 16;

impl Driver {
    /// Commits what is too large for one transaction. Nothing else is on its way.
    pub(super) async fn commit_staged(
        &mut self,
        term: &Term,
        taken: Taken,
        base: HeadRecord,
    ) -> Result<(), Ended> {
        let revision = taken.batch.revision;
        let parts = parts(&taken.batch.writes);
        let staged = u32::try_from(parts.len()).expect("fewer parts than memory holds bytes");
        tracing::debug!(revision, parts = staged, "a commit in parts");
        for (number, part) in (0..).zip(parts) {
            let key = self.cluster.keys.staged(StagedKey { term: term.created, revision, number });
            self.step(term, &base, &base, vec![EtcdOp::put(key, part)]).await?;
        }
        let valid = HeadRecord { revision, term: term.created, staged };
        let validate = vec![EtcdOp::put(self.cluster.keys.head(), valid.encode())];
        let modified = self.step(term, &base, &valid, validate).await?;
        self.confirm_head(valid, modified);
        self.shared.publish(taken.state, taken.commits);
        self.cluster.applied.send_replace(modified);
        self.fold(term).await
    }

    /// Finishes what an earlier leader left: moves the rows of its staged commit to their places,
    /// and deletes parts that never became valid.
    pub(super) async fn settle(&mut self, term: &Term) -> Result<(), Ended> {
        if self.mirror.head.staged > 0 {
            return self.fold(term).await;
        }
        let all = self.cluster.keys.all_staged();
        let garbage = EtcdRange { to: behind(&all), from: all.clone(), limit: 1, revision: 0 };
        let page = bounded(self.cluster.etcd.range(garbage)).await.map_err(ended)?;
        if !page.pairs.is_empty() {
            let head = self.mirror.head;
            self.step(term, &head, &head, vec![EtcdOp::DeletePrefix(all)]).await?;
        }
        self.mirror.forget_staged();
        Ok(())
    }

    /// Moves the rows of the valid staged commit to their places, and deletes all parts.
    async fn fold(&mut self, term: &Term) -> Result<(), Ended> {
        let head = self.mirror.head;
        let keys = self.cluster.keys.clone();
        let parts = keys.all_staged_of(head.term, head.revision);
        let mut range =
            EtcdRange { to: behind(&parts), from: parts, limit: PARTS_PAGE, revision: 0 };
        loop {
            let page = bounded(self.cluster.etcd.range(range.clone())).await.map_err(ended)?;
            for part in &page.pairs {
                self.fold_part(term, &head, &part.value).await?;
            }
            match page.pairs.last() {
                Some(last) if page.more => range.from = [last.key.as_slice(), &[0]].concat(),
                _ => break,
            }
        }
        let clear = HeadRecord { staged: 0, term: term.created, ..head };
        let ops =
            vec![EtcdOp::DeletePrefix(keys.all_staged()), EtcdOp::put(keys.head(), clear.encode())];
        let modified = self.step(term, &head, &clear, ops).await?;
        self.confirm_head(clear, modified);
        self.mirror.forget_staged();
        self.cluster.applied.send_replace(modified);
        Ok(())
    }

    async fn fold_part(
        &mut self,
        term: &Term,
        head: &HeadRecord,
        part: &[u8],
    ) -> Result<(), Ended> {
        let writes = staged_writes(part).ok_or(Ended::Fenced)?;
        for writes in writes.chunks(LIMITS.rows) {
            let op = |write: &StagedWrite<'_>| {
                let key = self.cluster.keys.row(write.table, write.key);
                match write.row {
                    Some(row) => EtcdOp::put(key, row.to_vec()),
                    None => EtcdOp::Delete(key),
                }
            };
            let ops = writes.iter().map(op).collect();
            self.step(term, head, head, ops).await?;
        }
        Ok(())
    }

    /// One fenced transaction; gives etcd's revision after it.
    async fn step(
        &self,
        term: &Term,
        base: &HeadRecord,
        next: &HeadRecord,
        ops: Vec<EtcdOp>,
    ) -> Result<i64, Ended> {
        let txn = self.cluster.fenced(term, base, ops);
        let answer = bounded(self.cluster.etcd.txn(txn)).await;
        match self.cluster.judge(term, base, next, answer) {
            Verdict::Written(revision) => Ok(revision),
            Verdict::Early => Err(Ended::Fenced),
            Verdict::Over(ended) => Err(ended),
        }
    }
}

fn ended(error: EtcdError) -> Ended {
    tracing::warn!(%error, "what an earlier leader left cannot be read");
    Ended::Fenced
}

/// The writes, in parts that fit into one transaction each.
fn parts(writes: &[Write]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    for write in writes {
        if !part.is_empty() && part.len() + write.size_bytes() > LIMITS.bytes {
            parts.push(std::mem::take(&mut part));
        }
        stage_write(&mut part, write);
    }
    parts.push(part);
    parts
}
