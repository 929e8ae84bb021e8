//! Clocks that go with tokio's paused time, and ids that follow from a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use terms::{Clock, IdSource, Timestamp};
use tokio::time::Instant;

use crate::chance::Chance;

/// When every run begins: 2026-11-21T00:00:00Z.
const BEGIN: Timestamp = Timestamp::from_millis(1_795_219_200_000);

/// The wall clock of one machine: virtual time, and by how much it is wrong.
#[derive(Clone)]
pub(crate) struct SimClock {
    start: Instant,
    wrong_ms: Arc<AtomicI64>,
}

impl SimClock {
    pub(crate) fn starting(start: Instant) -> Self {
        Self { start, wrong_ms: Arc::default() }
    }

    /// From now on the clock is wrong by this much.
    pub(crate) fn jump(&self, wrong_ms: i64) {
        self.wrong_ms.store(wrong_ms, Ordering::Relaxed);
    }

    pub(crate) fn wrong_ms(&self) -> i64 {
        self.wrong_ms.load(Ordering::Relaxed)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let right = BEGIN + self.start.elapsed();
        Timestamp::from_millis(right.millis() + self.wrong_ms())
    }
}

/// Ids of one process: no two processes of a run have the same.
pub(crate) struct SimIds(Mutex<Chance>);

impl SimIds {
    pub(crate) fn of(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Chance::of(seed))))
    }
}

impl IdSource for SimIds {
    fn next(&self) -> [u8; 16] {
        let mut chance = self.0.lock();
        (u128::from(chance.next()) << 64 | u128::from(chance.next())).to_be_bytes()
    }
}
