//! Times as operators write them: a whole number with its unit, as in `90m`, `6h` or `2d`.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use ecs::STOPPED_TASK_RETENTION_MIN;

/// The units, the largest first, each with its length in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// The longest time: ten years, so that none overflows.
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
        let time = read(text)?;
        if time < STOPPED_TASK_RETENTION_MIN {
            return Err(format!("{text} is too short: clients count on an hour"));
        }
        Ok(Self(time))
    }
}

impl Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0))
    }
}

/// How long a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(Duration);

/// The shortest life of a certificate: it has to be renewed within a third of it.
const LIFE_MIN: Duration = Duration::from_secs(10);

impl Life {
    /// The time.
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// A year.
impl Default for Life {
    fn default() -> Self {
        Self(Duration::from_secs(365 * 86_400))
    }
}

impl FromStr for Life {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = read(text)?;
        if time < LIFE_MIN {
            return Err(format!("{text} is too short: a certificate lives ten seconds at least"));
        }
        Ok(Self(time))
    }
}

impl Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0))
    }
}

fn read(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time; write it as 90m, 6h or 2d");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
    let time = Duration::from_secs(number.saturating_mul(seconds));
    match time > MAX {
        true => Err(format!("{text} is longer than ten years")),
        false => Ok(time),
    }
}

/// In the largest unit that it is a whole number of.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    let whole = |(_, length): &(char, u64)| seconds.is_multiple_of(*length);
    let (unit, length) = UNITS.into_iter().find(|unit| whole(unit)).unwrap_or(('s', 1));
    format!("{}{unit}", seconds / length)
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
        let short = "9s".parse::<Life>().unwrap_err();
        assert!(short.contains("ten seconds"), "{short}");
        assert_eq!(
            ("10s".parse::<Life>().unwrap(), Life::default().to_string()),
            (Life(LIFE_MIN), "365d".to_owned())
        );
    }
}
