//! Instants as policies write them: seconds since 1970, or ISO 8601 from the year to a fraction of
//! a second. A text of digits alone is seconds, so `2026` is in 1970.

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000);
    }
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, ""));
    day(date)?.checked_mul(DAY_MS)?.checked_add(if time.is_empty() { 0 } else { of_day(time)? })
}

/// Days since 1970 of `YYYY-MM-DD`, `YYYY-MM` or a year alone, which may be shorter.
fn day(text: &str) -> Option<i64> {
    let is_year = !text.contains('-');
    let mut parts = text.split('-');
    let year = parts.next().filter(|year| is_year || year.len() == 4)?;
    let month = parts.next().unwrap_or("01");
    let day = parts.next().unwrap_or("01");
    if parts.next().is_some() {
        return None;
    }
    let (year, month, day) = (number(year, 9999)?, number(month, 12)?, number(day, 31)?);
    if month == 0 || day == 0 || day > days_of(year, month) {
        return None;
    }
    // Howard Hinnant's algorithm: years from March, in eras of 400.
    let shifted = year - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Milliseconds of `hh:mm`, `hh:mm:ss` or `hh:mm:ss.f`, with `Z` or an offset after it.
fn of_day(text: &str) -> Option<i64> {
    let (clock, offset_min) = match text.find(['Z', 'z', '+', '-']) {
        None => (text, 0),
        Some(at) => (&text[..at], offset(&text[at..])?),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let hours = number(parts.next()?, 24)?;
    let minutes = parts.next().map_or(Some(0), |text| number(text, 59))?;
    let seconds = parts.next().map_or(Some(0), |text| number(text, 60))?;
    if parts.next().is_some() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let milliseconds = number(&thousandths, 999)?;
    Some(((hours * 60 + minutes - offset_min) * 60 + seconds) * 1000 + milliseconds)
}

/// Minutes of `Z`, `+hh:mm`, `-hhmm` or `+hh`.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits, 23)?, 0),
        4 => (number(digits.get(..2)?, 23)?, number(digits.get(2..)?, 59)?),
        _ => return None,
    };
    Some(sign * (hours * 60 + minutes))
}

fn number(text: &str, max: i64) -> Option<i64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten().filter(|value| *value <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_all_their_forms() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse(text), expected, "{text}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-01-01T00:00:00Z", Some(1_767_225_600_000));
        check("2026-01-01", Some(1_767_225_600_000));
        check("2026-01", Some(1_767_225_600_000));
        check("2026-01-01T01:00:00.25+01:00", Some(1_767_225_600_250));
        check("2024-02-29T12:30Z", Some(1_709_209_800_000));
        check("2025-02-29", None);
        check("1767225600", Some(1_767_225_600_000));
        check("2026", Some(2_026_000));
        check("tomorrow", None);
        check("2026-13-01", None);
        check("2026-01-01T25:00Z", None);
        check("", None);
        // Seen on AWS to be accepted, or not.
        check("01T", Some(-62_135_596_800_000));
        check("2016-12-13t2:00:00.593194+23", Some(1_481_511_600_593));
        check("234-13", None);
        check("2016-12-13t2:00:00.1+1", None);
        check("9223372036854775808", None);
    }
}
