//! Versions of agents, which are ordered by their numbers, not by their letters.

use std::cmp::Ordering;

/// How many numbers a version may have.
const MAX_PARTS: usize = 8;

/// A version as in `1.14.5` or `1.96.0-rc1`. Numbers that are not given count as 0; a version with
/// a suffix comes before the one without, suffixes in the order of their letters. Build metadata
/// (after `+`) counts for nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Version {
    numbers: [u64; MAX_PARTS],
    suffix: Option<Box<str>>,
}

impl Version {
    /// Reads a version, with or without a leading `v`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(version, _build)| version);
        let (numbers, suffix) = match text.split_once('-') {
            Some((_, "")) => return None,
            Some((numbers, suffix)) => (numbers, Some(suffix.into())),
            None => (text, None),
        };
        let mut version = Self { suffix, ..Self::default() };
        for (index, part) in numbers.split('.').enumerate() {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *version.numbers.get_mut(index)? = part.parse().ok()?;
        }
        Some(version)
    }

    /// Which of the two is newer.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let suffixes = || match (&self.suffix, &other.suffix) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(mine), Some(others)) => mine.cmp(others),
        };
        self.numbers.cmp(&other.numbers).then_with(suffixes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let check = |left: &str, right: &str, expected: Ordering| {
            let read = |text| Version::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read(left).order(&read(right)), expected, "{left} {right}");
            assert_eq!(read(right).order(&read(left)), expected.reverse(), "{right} {left}");
        };
        check("1.9.0", "1.14.5", Ordering::Less);
        check("1.14", "1.14.0", Ordering::Equal);
        check("v1.2.3", "1.2.3+build.7", Ordering::Equal);
        check("1.2.3-rc1", "1.2.3", Ordering::Less);
        check("1.2.3-rc2", "1.2.3-rc1", Ordering::Greater);
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "v", "1.", ".1", "1..2", "one", "1.x", "1-", "+1", "1.2.3.4.5.6.7.8.9"] {
            assert!(Version::parse(text).is_none(), "{text}");
        }
        assert!(Version::parse("99999999999999999999").is_none(), "too large");
    }
}
