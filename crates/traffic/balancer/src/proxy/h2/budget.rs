//! How much a client may do that leads to nothing.
//!
//! Resets, pings, settings, empty frames, streams that are refused: each is what some client needs, and
//! in masses what attacks are made of. Each takes one of what a client may spend; answers and time give
//! it back, and parts of bodies what frames took, but not what streams did.

use std::time::Duration;

use tokio::time::Instant;

/// What a client may spend at once.
const FULL: u32 = 400;
/// How long it takes to get one back.
const EACH: Duration = Duration::from_millis(25);

/// What a client may still spend.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// Until when time has given back.
    since: Instant,
}

impl Budget {
    /// All of it.
    pub(super) fn new(now: Instant) -> Self {
        Self { left: FULL, since: now }
    }

    /// Spends one. Whether there was one.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            let waited = now.saturating_duration_since(self.since).as_millis() / EACH.as_millis();
            self.left = u32::try_from(waited).unwrap_or(FULL).min(FULL);
            self.since = now;
        }
        let has_one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_one
    }

    /// So much was done that is useful.
    pub(super) fn earn(&mut self, much: u32) {
        self.left = self.left.saturating_add(much).min(FULL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_spent_and_comes_back() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        assert!((0..FULL).all(|_| budget.spend(now)));
        assert!(!budget.spend(now));
        budget.earn(1);
        assert!(budget.spend(now) && !budget.spend(now));
        assert!(budget.spend(now + EACH) && !budget.spend(now + EACH));
        let later = now + FULL * 10 * EACH;
        assert!((0..FULL).all(|_| budget.spend(later)));
        assert!(!budget.spend(later));
    }
}
