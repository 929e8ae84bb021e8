//! How long stopped tasks are kept: a whole number with its unit, as in `90m`, `6h` or `2d`.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use ecs::STOPPED_TASK_RETENTION_MIN;

/// The units, the largest first, each with its length in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// The longest retention: ten years, so that no time overflows.
const MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// How long a stopped task is described and listed; ECS promises an hour, so it is never less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention(Duration);

impl Retention {
    /// The time.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl Retention {
    /// How long what happened is kept if nobody says: 30 days.
    pub fn of_history() -> Self {
        Self(Duration::from_secs(30 * 86_400))
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self(STOPPED_TASK_RETENTION_MIN)
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no time; write it as 90m, 6h or 2d");
        let unit = text.chars().next_back().ok_or_else(wrong)?;
        let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let digits = &text[..text.len() - unit.len_utf8()];
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
        let time = Duration::from_secs(number.saturating_mul(seconds));
        if time < STOPPED_TASK_RETENTION_MIN {
            return Err(format!("{text} is too short: clients count on an hour"));
        }
        if time > MAX {
            return Err(format!("{text} is longer than ten years"));
        }
        Ok(Self(time))
    }
}

impl Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let whole = |(_, length): &(char, u64)| seconds.is_multiple_of(*length);
        let (unit, length) = UNITS.into_iter().find(|unit| whole(unit)).unwrap_or(('s', 1));
        write!(f, "{}{unit}", seconds / length)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let check = |text: &str, seconds: u64, shown: &str| {
            let read: Retention = text.parse().unwrap();
            assert_eq!(read.duration(), Duration::from_secs(seconds), "{text}");
            assert_eq!(read.to_string(), shown);
        };
        check("1h", 3_600, "1h");
        check("60m", 3_600, "1h");
        check("90m", 5_400, "90m");
        check("3601s", 3_601, "3601s");
        check("48h", 172_800, "2d");
        check("3650d", 315_360_000, "3650d");
        assert_eq!(Retention::default().to_string(), "1h");
    }

    #[test]
    fn what_is_no_time_or_too_short_is_refused() {
        let check = |text: &str, expected: &str| {
            let refusal = text.parse::<Retention>().unwrap_err();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        };
        for text in ["", "h", "1", "1 h", "+2h", "-2h", "1.5h", "2w", "hour", "2ü"] {
            check(text, "is no time");
        }
        check("0h", "too short");
        check("59m", "too short");
        check("3651d", "ten years");
        check("18446744073709551615d", "ten years");
    }
}
