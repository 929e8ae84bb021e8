//! A bound on what is sent.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lets so many bytes go a second, over all who send.
pub(super) struct Pace {
    bytes_per_second: u64,
    /// When the next bytes may go.
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: Mutex::new(None) }
    }

    /// Returns when these bytes may go.
    pub(super) async fn take(&self, bytes: usize) {
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let now = Instant::now();
        let goes_at = {
            let mut free_at = self.free_at.lock();
            let goes_at = free_at.map_or(now, |at| at.max(now));
            *free_at = Some(goes_at + time);
            goes_at
        };
        tokio::time::sleep_until(goes_at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_together_are_held_to_the_rate() {
        let pace = Pace::new(1000);
        let began = Instant::now();
        let send = async || {
            for _ in 0..5 {
                pace.take(500).await;
            }
        };
        tokio::join!(send(), send());
        // The first goes at once; nine follow, half a second each.
        assert_eq!(began.elapsed().as_millis(), 4500);
    }
}
