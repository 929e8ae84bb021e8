//! How long a delivery waits for its next try.

use std::time::Duration;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause. With 185 tries this fills the day that EventBridge tries for.
const LONGEST: Duration = Duration::from_secs(600);

/// The pause after `attempts` tries, doubled each time and spread by `jitter` over the upper half
/// of it.
pub(super) fn pause(attempts: u32, jitter: u8) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(0));
    let whole = if doubled.is_zero() { LONGEST } else { doubled.min(LONGEST) };
    whole / 2 + whole.mul_f64(f64::from(jitter) / 255.0) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        assert_eq!(pause(1, 255), Duration::from_secs(1));
        assert_eq!(pause(1, 0), Duration::from_millis(500));
        assert_eq!(pause(4, 255), Duration::from_secs(8));
        assert_eq!(pause(11, 255), LONGEST);
        assert_eq!(pause(185, 255), LONGEST);
        assert_eq!(pause(185, 0), LONGEST / 2);
    }
}
