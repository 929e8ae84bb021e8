//! Schedules of rules, pure: `rate(…)` and `cron(…)`, in UTC, on whole minutes (EventBridge user
//! guide, "Creating a rule that runs on a schedule").

mod calendar;
mod cron;
#[cfg(test)]
mod tests;

use std::time::Duration;

use terms::Timestamp;

use cron::Cron;

const MINUTE_MS: i64 = 60_000;

/// A text that is no schedule. EventBridge tells nothing more (recorded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Parameter ScheduleExpression is not valid.")]
pub struct ScheduleError;

/// When a rule runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Every so many minutes, from when the rule was made or changed.
    Rate(Duration),
    /// At the minutes that six fields name.
    Cron(Box<CronFields>),
}

/// The fields of a cron expression, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronFields(Cron);

impl Schedule {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`ScheduleError`] for all others.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(rate) = inside("rate") {
            return parse_rate(rate).map(Self::Rate).ok_or(ScheduleError);
        }
        let cron = inside("cron").and_then(Cron::parse).ok_or(ScheduleError)?;
        Ok(Self::Cron(Box::new(CronFields(cron))))
    }

    /// The first time after `after` at which a rule runs that was made at `made`; none if it never
    /// will.
    pub fn next(&self, after: Timestamp, made: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate(rate) => {
                let rate = i64::try_from(rate.as_millis()).ok()?;
                let passed = after.millis().saturating_sub(made.millis()).max(0) / rate;
                let next = rate.checked_mul(passed + 1)?.checked_add(made.millis())?;
                Some(Timestamp::from_millis(next))
            }
            Self::Cron(fields) => {
                let minute = after.millis().div_euclid(MINUTE_MS) + 1;
                fields
                    .0
                    .at_or_after(minute)
                    .map(|minute| Timestamp::from_millis(minute * MINUTE_MS))
            }
        }
    }
}

/// `5 minutes`: one blank, small letters, singular for one alone (recorded).
fn parse_rate(text: &str) -> Option<Duration> {
    let (value, unit) = text.split_once(' ')?;
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u32 = value.parse().ok().filter(|value| *value > 0)?;
    let minutes = match (unit, value == 1) {
        ("minute", true) | ("minutes", false) => 1,
        ("hour", true) | ("hours", false) => 60,
        ("day", true) | ("days", false) => 24 * 60,
        _ => return None,
    };
    Some(Duration::from_secs(u64::from(value) * minutes * 60))
}
