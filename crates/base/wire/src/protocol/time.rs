//! Timestamps as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use terms::Timestamp;

/// `Fri, 02 Jan 2026 03:04:05 GMT`. Instants before the epoch are written as the epoch.
pub(crate) fn rfc822(value: Timestamp) -> String {
    let seconds = u64::try_from(value.seconds()).unwrap_or(0);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(MAX_SECONDS)))
}

/// `2026-01-02T03:04:05Z`: whole seconds, as the Query services write it.
pub(crate) fn iso8601_seconds(value: Timestamp) -> String {
    let whole = Timestamp::from_millis(value.seconds().saturating_mul(1000)).to_string();
    whole.replace(".000Z", "Z")
}

/// The last second of the year 9999, the last that `httpdate` writes.
const MAX_SECONDS: u64 = 253_402_300_799;

/// An instant from RFC 7231's form.
pub(crate) fn parse_rfc822(text: &str) -> Option<Timestamp> {
    let time: SystemTime = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}

/// An instant from `2026-01-02T03:04:05[.678]Z` or with an offset `+01:00`.
pub fn parse_iso8601(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let punctuation = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let fits = punctuation.iter().all(|&(at, byte)| bytes.get(at) == Some(&byte));
    if !fits || !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let seconds = seconds_of(year, month, day, hour, minute, second)?;
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let digits = fraction.get(..end.min(3)).filter(|digits| !digits.is_empty())?;
        millis = digits.parse::<i64>().ok()? * 10_i64.pow(3 - u32::try_from(digits.len()).ok()?);
        rest = &fraction[end..];
    }
    Some(Timestamp::from_millis((seconds - offset_seconds(rest)?) * 1000 + millis))
}

/// Seconds east of UTC of `Z`, `+01:00` or `-0100`.
fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..].chars().filter(|&c| c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = (digits[..2].parse::<i64>().ok()?, digits[2..].parse::<i64>().ok()?);
    Some(sign * (hours * 3600 + minutes * 60))
}

/// Seconds since the epoch of a civil time in UTC; `None` if there is no such time.
pub(crate) fn seconds_of(
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    let valid = (1..=days_in_month).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !valid {
        return None;
    }
    let shifted_year = year - i64::from(month <= 2);
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}
