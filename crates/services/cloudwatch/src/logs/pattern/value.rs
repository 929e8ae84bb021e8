//! What conditions compare with, and how.

use regex::bytes::Regex;

use super::{Invalid, regexes};

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Is,
    Differs,
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Operator {
    /// Whether it compares sizes.
    fn orders(self) -> bool {
        !matches!(self, Self::Is | Self::Differs)
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Is => left == right,
            Self::Differs => left != right,
            Self::Below => left < right,
            Self::AtMost => left <= right,
            Self::Above => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

/// What is compared with.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A number without quotes, and how it was written.
    Number(f64, String),
    /// A text in which `*` is any run of characters.
    Text(String),
    /// A regular expression.
    Regex(Regex),
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A word without quotes.
    pub(super) fn word(word: &str) -> Self {
        match number(word) {
            Some(number) => Self::Number(number, word.to_owned()),
            None => Self::Text(word.to_owned()),
        }
    }

    pub(super) fn regex(text: &str) -> Result<Self, Invalid> {
        regexes::parse(text).map(Self::Regex)
    }

    pub(super) fn is_regex(&self) -> bool {
        matches!(self, Self::Regex(_))
    }

    /// Whether an operator may stand before it.
    pub(super) fn suits(&self, operator: Operator) -> bool {
        matches!(self, Self::Number(..)) || !operator.orders()
    }

    /// Whether a text compares so; a number in the pattern compares as one with texts that are
    /// numbers.
    pub(super) fn compares_text(&self, operator: Operator, found: &str) -> bool {
        let is = match self {
            Self::Number(wanted, written) => match number(found) {
                Some(found) => return operator.holds(found, *wanted),
                None if operator.orders() => return false,
                None => written == found,
            },
            Self::Text(wanted) => globs(wanted, found),
            Self::Regex(wanted) => wanted.is_match(found.as_bytes()),
        };
        is == (operator == Operator::Is)
    }

    /// Whether a number of a JSON document compares so.
    pub(super) fn compares_number(&self, operator: Operator, found: f64, written: &str) -> bool {
        match self {
            Self::Number(wanted, _) => operator.holds(found, *wanted),
            Self::Text(_) | Self::Regex(_) => self.compares_text(operator, written),
        }
    }
}

/// A number as patterns write it: sign, digits, fraction, exponent; no words like `inf`.
pub(super) fn number(text: &str) -> Option<f64> {
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    let has_digit = text.chars().any(|c| c.is_ascii_digit());
    if !has_digit || !text.chars().all(is_plain) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Whether a text is as a pattern says in which `*` is any run of characters.
pub(super) fn globs(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By trying every run.
    fn naively(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|at| naively(rest, &text[at..])),
            Some((one, rest)) => text.first() == Some(one) && naively(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn stars_are_any_run(pattern in "[ab*é]{0,8}", text in "[abé]{0,10}") {
            let of = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(globs(&pattern, &text), naively(&of(&pattern), &of(&text)));
        }
    }

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("1", Some(1.0)),
            ("-2.5e3", Some(-2500.0)),
            ("+7", Some(7.0)),
            ("inf", None),
            ("e", None),
            ("1.2.3", None),
            ("", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
