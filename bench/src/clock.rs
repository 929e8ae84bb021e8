//! The wall clock, for signatures.

use std::time::{SystemTime, UNIX_EPOCH};

use terms::{Clock, Timestamp};

/// The machine's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock;

impl Clock for WallClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that signatures are given")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
