//! A stretch of etcd's keys, read page by page as of one revision.

use super::{RETRY, bounded};
use crate::store::etcd::layout::behind;
use crate::store::{Etcd, EtcdError, EtcdPair, EtcdRange};

/// Keys in the first page, and the fewest in any.
const KEYS_MIN: u32 = 500;

/// The most keys in a page.
const KEYS_MAX: u32 = 4_000;

/// What a page should hold, in bytes. For each page etcd walks over all keys that are left, so
/// few large pages cost it less than many small ones.
const PAGE_BYTES: usize = 4 << 20;

/// How often a page is asked for when the answer stays away.
const TRIES: u32 = 3;

/// Reads all keys with one prefix.
pub(super) struct Pages {
    range: EtcdRange,
    more: bool,
}

impl Pages {
    /// All keys that begin with `prefix`, as of the first page's moment.
    pub(super) fn of(prefix: &[u8]) -> Self {
        let range =
            EtcdRange { from: prefix.to_vec(), to: behind(prefix), limit: KEYS_MIN, revision: 0 };
        Self { range, more: true }
    }

    /// The revision that is read; 0 before the first page.
    pub(super) fn revision(&self) -> i64 {
        self.range.revision
    }

    /// The next page; `None` behind the last. A page that does not come is asked for again.
    pub(super) async fn next(
        &mut self,
        etcd: &dyn Etcd,
    ) -> Result<Option<Vec<EtcdPair>>, EtcdError> {
        if !self.more {
            return Ok(None);
        }
        let mut tries = 1;
        let page = loop {
            match bounded(etcd.range(self.range.clone())).await {
                Err(EtcdError::Lost(reason)) if tries < TRIES => {
                    tracing::debug!(reason, "a page of keys did not come; asking again");
                    tries += 1;
                    tokio::time::sleep(RETRY).await;
                }
                answer => break answer?,
            }
        };
        if self.range.revision == 0 {
            self.range.revision = page.revision;
        }
        self.more = page.more;
        if let Some(last) = page.pairs.last() {
            self.range.from = [last.key.as_slice(), &[0]].concat();
        }
        self.range.limit = limit_after(self.range.limit, &page.pairs);
        Ok(Some(page.pairs))
    }
}

/// How many keys the next page is to have, at most twice as many as the one before it had.
fn limit_after(limit: u32, pairs: &[EtcdPair]) -> u32 {
    let bytes: usize = pairs.iter().map(|pair| pair.key.len() + pair.value.len()).sum();
    let of_one = (bytes / pairs.len().max(1)).max(1);
    let wanted = u32::try_from(PAGE_BYTES / of_one).unwrap_or(u32::MAX);
    wanted.min(limit.saturating_mul(2)).clamp(KEYS_MIN, KEYS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_while_keys_are_small() {
        let check = |limit, keys: usize, bytes: usize, expected| {
            let pair = EtcdPair {
                key: vec![0; 10],
                value: vec![0; bytes - 10],
                created: 1,
                modified: 1,
                lease: 0,
            };
            assert_eq!(limit_after(limit, &vec![pair; keys]), expected, "{limit} {keys} {bytes}");
        };
        check(500, 500, 100, 1_000);
        check(1_000, 1_000, 100, 2_000);
        check(4_000, 4_000, 100, 4_000);
        check(4_000, 4_000, 2_048, 2_048);
        check(2_000, 2_000, 100_000, 500);
        check(500, 0, 10, 1_000);
    }
}
