//! How fast a peer may send frames: what comes faster is read later, so that the network holds
//! the sender back and nothing of it is kept here. Pings and empty frames count too.

use std::time::Duration;

use tokio::time::Instant;

/// Frames a second, on the average. An agent with a thousand tasks sends a hundredth of it
/// (agent-protocol §4).
const FRAMES_PER_SECOND: f64 = 200.0;

/// Frames at once: the acks of all tasks of a large instance that were sent anew.
const FRAMES_BURST: f64 = 4_000.0;

/// Bytes a second, on the average.
const BYTES_PER_SECOND: f64 = 1024.0 * 1024.0;

/// Bytes at once: four frames of the largest size.
const BYTES_BURST: f64 = 16.0 * 1024.0 * 1024.0;

/// A peer that is held back for so long without a pause is no agent.
const HELD_BACK_MAX: Duration = Duration::from_secs(60);

/// A peer's pace.
#[derive(Debug)]
pub(super) struct Pace {
    at: Instant,
    frames: f64,
    bytes: f64,
    held_back: Duration,
}

/// The peer floods: the connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flood;

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            at: Instant::now(),
            frames: FRAMES_BURST,
            bytes: BYTES_BURST,
            held_back: Duration::ZERO,
        }
    }

    /// How long to wait before the next frame is read; zero for a peer that keeps the pace.
    ///
    /// # Errors
    /// [`Flood`] if it never does.
    pub(super) fn wait(&mut self, now: Instant) -> Result<Duration, Flood> {
        let passed = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.frames = (self.frames + passed * FRAMES_PER_SECOND).min(FRAMES_BURST);
        self.bytes = (self.bytes + passed * BYTES_PER_SECOND).min(BYTES_BURST);
        if self.frames >= FRAMES_BURST / 2.0 && self.bytes >= BYTES_BURST / 2.0 {
            self.held_back = Duration::ZERO;
        }
        let lack = (-self.frames / FRAMES_PER_SECOND).max(-self.bytes / BYTES_PER_SECOND);
        if lack <= 0.0 {
            return Ok(Duration::ZERO);
        }
        let wait = Duration::from_secs_f64(lack);
        match self.held_back >= HELD_BACK_MAX {
            true => Err(Flood),
            false => Ok(wait),
        }
    }

    /// The wait is over.
    pub(super) fn waited(&mut self, wait: Duration) {
        self.held_back += wait;
    }

    /// A frame was read.
    pub(super) fn read(&mut self, bytes: usize) {
        self.frames -= 1.0;
        self.bytes -= bytes as f64;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Sends frames of a size for some virtual seconds, as fast as it is let; how many were read.
    fn flood(bytes: usize, seconds: u64) -> Result<u64, Flood> {
        let start = Instant::now();
        let (mut pace, mut now, mut read) = (Pace::new(), start, 0);
        while now < start + Duration::from_secs(seconds) {
            let wait = pace.wait(now)?;
            pace.waited(wait);
            now += wait + Duration::from_micros(10);
            pace.read(bytes);
            read += 1;
        }
        Ok(read)
    }

    #[test]
    fn a_flood_is_slowed_and_then_ended() {
        let frames = flood(2, 10).unwrap();
        assert!((5_900..=6_100).contains(&frames), "{frames}");
        let frames = flood(1024 * 1024, 10).unwrap();
        assert!((25..=28).contains(&frames), "{frames}");
        assert_eq!(flood(2, 200), Err(Flood));
    }

    #[test]
    fn an_agent_is_never_held_back() {
        let start = Instant::now();
        let mut pace = Pace::new();
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            for _ in 0..100 {
                assert_eq!(pace.wait(now), Ok(Duration::ZERO));
                pace.read(8 * 1024);
            }
        }
    }
}
