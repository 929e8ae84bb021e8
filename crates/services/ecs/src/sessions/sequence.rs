//! The numbers of payloads and manifests.
//!
//! An agent ignores a manifest whose number is not above every number that it has ever seen, and
//! it keeps the highest on disk (agent-protocol §2.5). So our numbers must go on rising across
//! restarts of the server, yet no message may cost a write. Each start of the sessions takes one
//! *epoch* from the ledger; within it a counter in memory suffices.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

/// Bits that the counter has within an epoch: 10¹² messages.
const COUNTER_BITS: u32 = 40;

/// The stored part: how many times sessions were started on this ledger.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionEpoch {
    /// Rises by one with each start; 8 million fit.
    pub(crate) number: u32,
    /// Made once: what the ids of credentials follow from, 32 bytes.
    pub(crate) secret: Vec<u8>,
}

impl ledger::Record for SessionEpoch {}

/// Gives out rising numbers to all sessions of one process.
#[derive(Debug)]
pub(crate) struct Sequence {
    last: AtomicI64,
}

impl Sequence {
    /// The numbers of an epoch, all above those of earlier epochs.
    pub(crate) fn of_epoch(epoch: &SessionEpoch) -> Self {
        Self { last: AtomicI64::new(i64::from(epoch.number) << COUNTER_BITS) }
    }

    /// The next number, above every earlier one.
    pub(crate) fn next(&self) -> i64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u32) -> SessionEpoch {
        SessionEpoch { number, ..SessionEpoch::default() }
    }

    #[test]
    fn a_later_epoch_is_above_all_of_an_earlier() {
        let first = Sequence::of_epoch(&epoch(1));
        let (a, b) = (first.next(), first.next());
        assert!(b > a);
        let second = Sequence::of_epoch(&epoch(2));
        assert!(second.next() > b + 1_000_000_000_000);
    }
}
