//! What one element of a pattern's leaf asks of a value.

use std::net::IpAddr;

use super::event::Token;
use super::number::Number;

/// One element of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Matcher {
    /// The same value. Texts that are IP addresses match other spellings too.
    Is(Token),
    /// A text that begins so.
    Prefix(String),
    /// The same whatever the case; the text is in small letters.
    PrefixIgnoringCase(String),
    /// A text that ends so.
    Suffix(String),
    /// The same whatever the case; the text is in small letters.
    SuffixIgnoringCase(String),
    /// The text whatever the case; in small letters.
    IgnoringCase(String),
    /// A text of these pieces with anything between them.
    Wildcard(Vec<String>),
    /// A value that is there and that none of these match.
    AnythingBut(Vec<Matcher>),
    /// A number between bounds.
    Numeric(Bounds),
    /// An address of the network.
    Cidr(Network),
    /// Any value (true), or no value at the path (false).
    Exists(bool),
}

/// Bounds of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    /// The bound, and whether it belongs to the range.
    pub(super) low: Option<(Number, bool)>,
    /// The bound, and whether it belongs to the range.
    pub(super) high: Option<(Number, bool)>,
}

/// A network: its address and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
}

impl Matcher {
    /// Whether a value at the path matches.
    pub(super) fn matches(&self, value: &Token) -> bool {
        let text = match value {
            Token::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let is_text = |test: &dyn Fn(&str) -> bool| text.is_some_and(test);
        match self {
            Self::Is(token) => token == value || same_address(token, value),
            Self::Prefix(prefix) => is_text(&|text| text.starts_with(prefix.as_str())),
            Self::PrefixIgnoringCase(prefix) => {
                is_text(&|text| text.to_lowercase().starts_with(prefix.as_str()))
            }
            Self::Suffix(suffix) => is_text(&|text| text.ends_with(suffix.as_str())),
            Self::SuffixIgnoringCase(suffix) => {
                is_text(&|text| text.to_lowercase().ends_with(suffix.as_str()))
            }
            Self::IgnoringCase(wanted) => is_text(&|text| text.to_lowercase() == *wanted),
            Self::Wildcard(pieces) => is_text(&|text| wildcard(pieces, text)),
            Self::AnythingBut(excluded) => !excluded.iter().any(|matcher| matcher.matches(value)),
            Self::Numeric(bounds) => match value {
                Token::Number(number) => bounds.hold(*number),
                _ => false,
            },
            Self::Cidr(network) => is_text(&|text| network.holds(text)),
            Self::Exists(wanted) => *wanted,
        }
    }

    /// Whether an absent path matches.
    pub(super) fn wants_absence(&self) -> bool {
        *self == Self::Exists(false)
    }

    /// The one text that matches, if there is only one.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Self::Is(Token::Text(text)) => Some(text),
            _ => None,
        }
    }
}

fn same_address(wanted: &Token, value: &Token) -> bool {
    let (Token::Text(wanted), Token::Text(value)) = (wanted, value) else { return false };
    match (wanted.parse::<IpAddr>(), value.parse::<IpAddr>()) {
        (Ok(wanted), Ok(value)) => wanted == value,
        _ => false,
    }
}

/// Whether the text is the pieces with anything between them: each piece at its first place, the
/// last at the end. Linear in the text but for the pieces' lengths.
fn wildcard(pieces: &[String], text: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return text.is_empty() };
    let Some((last, middle)) = rest.split_last() else { return text == first };
    let Some(mut left) = text.strip_prefix(first.as_str()) else { return false };
    for piece in middle {
        let Some(at) = left.find(piece.as_str()) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last.as_str())
}

impl Bounds {
    fn hold(&self, number: Number) -> bool {
        let above = |(bound, inside): (Number, bool)| number > bound || (inside && number == bound);
        let below = |(bound, inside): (Number, bool)| number < bound || (inside && number == bound);
        self.low.is_none_or(above) && self.high.is_none_or(below)
    }
}

impl Network {
    fn holds(&self, text: &str) -> bool {
        match (self.address, text.parse::<IpAddr>()) {
            (IpAddr::V4(network), Ok(IpAddr::V4(address))) => {
                let shift = 32 - u32::from(self.bits.min(32));
                let part = |address: u32| address.checked_shr(shift).unwrap_or(0);
                part(network.into()) == part(address.into())
            }
            (IpAddr::V6(network), Ok(IpAddr::V6(address))) => {
                let shift = 128 - u32::from(self.bits.min(128));
                let part = |address: u128| address.checked_shr(shift).unwrap_or(0);
                part(network.into()) == part(address.into())
            }
            _ => false,
        }
    }
}
