//! `Range` of a download and `Content-Range` of an upload.

/// What a `Range` header asks for of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// From the first byte to the last, both included.
    Part(u64, u64),
    /// Nothing that there is.
    Nothing,
}

/// Reads `bytes=a-b`, `bytes=a-` or `bytes=-n` against a blob's length. Several ranges, other units
/// and nonsense are answered with the whole (RFC 9110 §14.2).
pub(super) fn wanted(header: Option<&str>, length: u64) -> Wanted {
    let Some(text) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = text.split_once('-') else { return Wanted::Whole };
    if text.contains(',') {
        return Wanted::Whole;
    }
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            None => Wanted::Whole,
            Some(0) => Wanted::Nothing,
            Some(_) if length == 0 => Wanted::Nothing,
            Some(count) => Wanted::Part(length.saturating_sub(count), length - 1),
        },
        (first, last) => {
            let Some(first) = number(first) else { return Wanted::Whole };
            let last = match last {
                "" => u64::MAX,
                last => match number(last) {
                    Some(last) => last,
                    None => return Wanted::Whole,
                },
            };
            match first < length && first <= last {
                true => Wanted::Part(first, last.min(length - 1)),
                false => Wanted::Nothing,
            }
        }
    }
}

/// Reads `a-b` of an upload's part; the unit and a total, which the specification has not, may be there.
pub(super) fn of_part(text: &str) -> Option<(u64, u64)> {
    let text = text.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches([' ', '=']));
    let text = text.split('/').next()?;
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_clamped_to_what_there_is() {
        let check = |header: &str, expected: Wanted| {
            assert_eq!(wanted(Some(header), 1_000), expected, "{header}");
        };
        check("bytes=500-1499", Wanted::Part(500, 999));
        check("bytes=500-", Wanted::Part(500, 999));
        check("bytes=-500", Wanted::Part(500, 999));
        check("bytes=-5000", Wanted::Part(0, 999));
        check("bytes=0-0", Wanted::Part(0, 0));
        check("bytes=1000-", Wanted::Nothing);
        check("bytes=7-3", Wanted::Nothing);
        check("bytes=-0", Wanted::Nothing);
        check("bytes=0-1,5-6", Wanted::Whole);
        check("lines=0-1", Wanted::Whole);
        check("bytes=x-1", Wanted::Whole);
        check("bytes=1-x", Wanted::Whole);
        check("bytes=7", Wanted::Whole);
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Nothing);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }

    #[test]
    fn parts_are_read() {
        let check = |text: &str, expected: Option<(u64, u64)>| {
            assert_eq!(of_part(text), expected, "{text}");
        };
        check("0-4", Some((0, 4)));
        check("bytes 5-9/*", Some((5, 9)));
        check("bytes=5-9", Some((5, 9)));
        check("9-5", None);
        check("5", None);
        check("-5", None);
        check("a-b", None);
    }
}
