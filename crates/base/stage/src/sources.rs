//! Where time, ids and keys come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use terms::{Clock, IdSource, Region, Timestamp};
use wire::{Authenticator, CredentialLookup};

/// 2026-01-02T03:04:05.678Z.
pub const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_678);

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Clone, Debug)]
pub struct HeldClock(Arc<AtomicI64>);

impl HeldClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.millis())))
    }

    /// Shows another time.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.millis(), Ordering::SeqCst);
    }

    /// Puts the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now() + by);
    }
}

impl Default for HeldClock {
    fn default() -> Self {
        Self::at(NOW)
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Ids that follow from how many were asked for, spread over all bytes.
#[derive(Debug, Default)]
pub struct CountedIds(AtomicU64);

impl CountedIds {
    /// Ids that begin to count at `count`.
    pub fn from(count: u64) -> Self {
        Self(AtomicU64::new(count))
    }
}

impl IdSource for CountedIds {
    fn next(&self) -> [u8; 16] {
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        u128::from(count).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
    }
}

/// Nobody has a key.
#[derive(Clone, Copy, Debug)]
pub struct NoKeys;

impl Authenticator for NoKeys {
    fn find(&self, _: &str, _: Option<&str>, _: &Region, _: Timestamp) -> CredentialLookup {
        CredentialLookup::Unknown
    }
}
