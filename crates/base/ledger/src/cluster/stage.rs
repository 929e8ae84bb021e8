//! Commits larger than one transaction of etcd.
//!
//! Their writes go to keys of their own, part by part. The last, small transaction lets the head
//! name them: with it the commit is made, whole. Then the rows move to their places, and a last
//! transaction lets the head name the parts no more and deletes them. Nothing else is committed
//! meanwhile, so whoever finds a head that names parts, lays them over the rows, and it makes no
//! difference how many of these have moved.

use super::fence::{Ended, Fence};
use super::{LIMITS, bounded};
use crate::state::Revision;
use crate::store::etcd::layout::{
    HeadRecord, StagedKey, StagedWrite, behind, stage_write, staged_writes,
};
use crate::store::{EtcdError, EtcdOp, EtcdRange, Write};

/// Parts that are read at once when they are moved.
const PARTS_PAGE: u32 = 16;

impl Fence {
    /// Makes a commit of any size, and leaves its rows in parts. Gives the head that it made, and
    /// etcd's revision of that.
    pub(crate) async fn stage(
        &self,
        base: &HeadRecord,
        revision: Revision,
        writes: &[Write],
    ) -> Result<(HeadRecord, i64), Ended> {
        let parts = parts(writes);
        let staged = u32::try_from(parts.len()).expect("fewer parts than memory holds bytes");
        tracing::debug!(revision, parts = staged, "a commit in parts");
        for (number, part) in (0..).zip(parts) {
            let key = self.keys.staged(StagedKey { term: self.created, revision, number });
            self.step(base, base, vec![EtcdOp::put(key, part)]).await?;
        }
        let valid = HeadRecord { revision, term: self.created, staged };
        let validate = vec![EtcdOp::put(self.keys.head(), valid.encode())];
        let modified = self.step(base, &valid, validate).await?;
        Ok((valid, modified))
    }

    /// Finishes what was staged: moves the rows of a valid commit to their places, and deletes
    /// parts, also those that never became valid. Gives the head, and etcd's revision of it, if it
    /// was written.
    pub(crate) async fn settle(
        &self,
        head: HeadRecord,
    ) -> Result<Option<(HeadRecord, i64)>, Ended> {
        if head.staged > 0 {
            return self.fold(head).await.map(Some);
        }
        let all = self.keys.all_staged();
        let garbage = EtcdRange { to: behind(&all), from: all.clone(), limit: 1, revision: 0 };
        let page = bounded(self.etcd.range(garbage)).await.map_err(ended)?;
        if !page.pairs.is_empty() {
            self.step(&head, &head, vec![EtcdOp::DeletePrefix(all)]).await?;
        }
        Ok(None)
    }

    /// Moves the rows of the valid staged commit to their places, and deletes all parts.
    async fn fold(&self, head: HeadRecord) -> Result<(HeadRecord, i64), Ended> {
        let parts = self.keys.all_staged_of(head.term, head.revision);
        let mut range =
            EtcdRange { to: behind(&parts), from: parts, limit: PARTS_PAGE, revision: 0 };
        loop {
            let page = bounded(self.etcd.range(range.clone())).await.map_err(ended)?;
            for part in &page.pairs {
                self.fold_part(&head, &part.value).await?;
            }
            match page.pairs.last() {
                Some(last) if page.more => range.from = [last.key.as_slice(), &[0]].concat(),
                _ => break,
            }
        }
        let clear = HeadRecord { staged: 0, term: self.created, ..head };
        let ops = vec![
            EtcdOp::DeletePrefix(self.keys.all_staged()),
            EtcdOp::put(self.keys.head(), clear.encode()),
        ];
        Ok((clear, self.step(&head, &clear, ops).await?))
    }

    async fn fold_part(&self, head: &HeadRecord, part: &[u8]) -> Result<(), Ended> {
        let writes = staged_writes(part).ok_or(Ended::Fenced)?;
        for writes in writes.chunks(LIMITS.rows) {
            let op = |write: &StagedWrite<'_>| {
                let key = self.keys.row(write.table, write.key);
                match write.row {
                    Some(row) => EtcdOp::put(key, row.to_vec()),
                    None => EtcdOp::Delete(key),
                }
            };
            self.step(head, head, writes.iter().map(op).collect()).await?;
        }
        Ok(())
    }
}

fn ended(error: EtcdError) -> Ended {
    tracing::warn!(%error, "parts of a commit cannot be read");
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
