//! The basic ISO 8601 form that signatures use: `20260102T030405Z`.

use terms::Timestamp;

use crate::protocol::time::{parse_rfc822, seconds_of};

/// `20260102T030405Z`.
pub(super) fn format(instant: Timestamp) -> String {
    let text = Timestamp::from_millis(instant.seconds().saturating_mul(1000)).to_string();
    let mut out: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    out.truncate(15);
    out.push('Z');
    out
}

/// The instant that `20260102T030405Z` names.
pub(super) fn parse_basic(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' || !text.is_ascii() {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = &text[range];
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let seconds = seconds_of(
        number(0..4)?,
        number(4..6)?,
        number(6..8)?,
        number(9..11)?,
        number(11..13)?,
        number(13..15)?,
    )?;
    Some(Timestamp::from_millis(seconds * 1000))
}

/// The instant of a `Date` header: RFC 7231's form or the basic one.
pub(super) fn parse_header(text: &str) -> Option<Timestamp> {
    parse_basic(text).or_else(|| parse_rfc822(text))
}
