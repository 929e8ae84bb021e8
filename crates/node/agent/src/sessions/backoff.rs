//! Waits between tries.

use std::time::Duration;

use terms::IdSource;

/// Growing waits with some jitter.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    factor: f64,
    failures: i32,
}

/// Waits are longer or shorter by up to this share.
const JITTER: f64 = 0.2;

impl Backoff {
    pub(crate) const fn new(min: Duration, max: Duration, factor: f64) -> Self {
        Self { min, max, factor, failures: 0 }
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure.
    pub(crate) fn next(&mut self, ids: &dyn IdSource) -> Duration {
        let wait = self.min.as_secs_f64() * self.factor.powi(self.failures);
        self.failures = self.failures.saturating_add(1).min(64);
        let wait = wait.min(self.max.as_secs_f64());
        Duration::from_secs_f64(wait * (1.0 + JITTER * (2.0 * fraction(ids) - 1.0)))
    }
}

/// A number from 0 to 1.
pub(crate) fn fraction(ids: &dyn IdSource) -> f64 {
    let bytes = ids.next();
    let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    f64::from(number) / f64::from(u32::MAX)
}

/// `base`, and up to `spread` more.
pub(crate) fn spread(base: Duration, spread: Duration, ids: &dyn IdSource) -> Duration {
    base + spread.mul_f64(fraction(ids))
}
