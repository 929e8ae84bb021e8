//! The four forms of a date.

/// Seconds since the Unix epoch of a date as in `2018-06-18T22:28:28+00:00`,
/// `2018-06-18T22:28:28Z`, `2018-06-18T22:28:28` (UTC) or `2018-06-18` (its midnight, UTC).
pub(super) fn seconds(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let midnight = days(date)?.checked_mul(86_400)?;
    time.map_or(Some(midnight), |time| midnight.checked_add(second_of_day(time)?))
}

/// Days since the Unix epoch of `YYYY-MM-DD`, in the proleptic Gregorian calendar.
fn days(text: &str) -> Option<i64> {
    let [year, month, day] = fields(text, '-', [4, 2, 2])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let year = year - i64::from(month <= 2);
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap_days + day_of_year - 719_468)
}

/// Seconds since midnight UTC of `HH:MM:SS` with `Z`, `+HH:MM`, `-HH:MM` or nothing after it.
fn second_of_day(text: &str) -> Option<i64> {
    let (time, zone) = match text.find(['Z', '+', '-']) {
        Some(place) => text.split_at(place),
        None => (text, ""),
    };
    let [hour, minute, second] = fields(time, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(hour * 3600 + minute * 60 + second - offset(zone)?)
}

/// Seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = fields(zone.get(1..)?, ':', [2, 2])?;
    (hours <= 18 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Exactly `N` numbers between `separator`s, each of as many digits as `widths` says.
fn fields<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_forms_are_read() {
        let check = |text: &str, expected: i64| assert_eq!(seconds(text), Some(expected), "{text}");
        check("2018-06-18T22:28:28+00:00", 1_529_360_908);
        check("2018-06-18T22:28:28Z", 1_529_360_908);
        check("2018-06-18T22:28:28", 1_529_360_908);
        check("2018-06-18", 1_529_280_000);
        check("2018-06-19T00:28:28+02:00", 1_529_360_908);
        check("2018-06-18T13:58:28-08:30", 1_529_360_908);
        check("1970-01-01", 0);
        check("2000-02-29", 951_782_400);
        check("0000-03-01", -719_468 * 86_400);
        check("1969-12-31T23:59:59Z", -1);
    }

    #[test]
    fn the_days_go_on_without_a_gap() {
        let date = |at: i64| terms::Timestamp::from_millis(at * 86_400_000).to_string();
        for day in (-30_000..60_000).step_by(17) {
            assert_eq!(seconds(date(day).get(..10).unwrap_or_default()), Some(day * 86_400));
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2018",
            "2018-6-18",
            "2018-13-01",
            "2018-02-29",
            "2018-04-31",
            "2018-00-10",
            "2018-01-00",
            "1900-02-29",
            "2018-06-18T",
            "2018-06-18T22:28",
            "2018-06-18T24:00:00",
            "2018-06-18T22:28:60",
            "2018-06-18T22:28:28.5Z",
            "2018-06-18T22:28:28+0000",
            "2018-06-18T22:28:28+19:00",
            "2018-06-18T22:28:28ZZ",
            "2018-06-18 22:28:28",
            "12018-06-18",
            "+018-06-18",
            "2018-06-18T22:28:28+00:00:00",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
