//! When a failed request is tried again.

use std::time::Duration;

use distribution::ClientError;

use super::flights::Listeners;
use super::{PullError, PullEvent};

/// The longest wait that a registry's `Retry-After` gets.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How often, and after what waits, a request to a registry is tried again. The default is the ECS
/// agent's: 5 tries, waits of 1.1 s, doubling up to 5 s, with a fifth of jitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Tries in all; at least 1.
    pub tries_max: u32,
    /// The wait before the second try.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// How much longer or shorter a wait may be, as a part of it.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries_max: 5,
            first_wait: Duration::from_millis(1100),
            longest_wait: Duration::from_secs(5),
            jitter: 0.2,
        }
    }
}

impl RetryPolicy {
    /// The wait before try `attempt` (from 2). `salt` spreads the waits of different images; the same
    /// salt gives the same waits.
    fn wait(&self, attempt: u32, salt: u64) -> Duration {
        let doublings = attempt.saturating_sub(2).min(16);
        let plain = self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait);
        // A number in -1..1 that looks random.
        let mixed = (salt ^ u64::from(attempt)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
        let swing = mixed as f64 / (1_u64 << 52) as f64 - 1.0;
        plain.mul_f64((1.0 + self.jitter * swing).max(0.0))
    }
}

/// Counts the tries of one request.
pub(super) struct Retries<'a> {
    policy: &'a RetryPolicy,
    salt: u64,
    attempt: u32,
}

impl<'a> Retries<'a> {
    pub(super) fn new(policy: &'a RetryPolicy, salt: u64) -> Self {
        Self { policy, salt, attempt: 1 }
    }

    /// Something was achieved: what fails from here on has all its tries.
    pub(super) fn begin_again(&mut self) {
        self.attempt = 1;
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// With `error`, if trying again would not help or was done often enough.
    pub(super) async fn wait(
        &mut self,
        error: PullError,
        listeners: &Listeners,
    ) -> Result<(), PullError> {
        if !error.is_transient() || self.attempt >= self.policy.tries_max {
            return Err(error);
        }
        self.attempt += 1;
        let wait = self.policy.wait(self.attempt, self.salt);
        let asked = match &error {
            PullError::Registry(ClientError::Throttled {
                retry_after_seconds: Some(seconds),
                ..
            }) => Duration::from_secs(*seconds).min(RETRY_AFTER_MAX),
            _ => Duration::ZERO,
        };
        tracing::debug!(%error, attempt = self.attempt, "trying a registry again");
        let (cause, attempt) = (error.to_string(), self.attempt);
        listeners.tell(&PullEvent::Retrying { cause, attempt });
        tokio::time::sleep(wait.max(asked)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = RetryPolicy { jitter: 0.0, ..RetryPolicy::default() };
        let waits: Vec<_> = (2..=5).map(|n| policy.wait(n, 7).as_millis()).collect();
        assert_eq!(waits, [1100, 2200, 4400, 5000]);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let policy = RetryPolicy::default();
        let waits: Vec<_> = (0..1000).map(|salt| policy.wait(2, salt).as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (0.88..=1.32).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 1.0) && waits.iter().any(|wait| *wait > 1.2));
    }
}
