//! Chance for choices that nobody needs to foresee or to be safe from.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A number by chance.
pub(crate) fn number() -> u64 {
    SEED.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}
