//! The values of a condition, read once. A value of the wrong form never matches.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::operator::{Base, Comparison};
use crate::arn::ArnPattern;
use crate::glob::{Glob, Reading};
use crate::{Arn, Context, date};

/// What a key's value is compared to: one of these.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    Texts(Vec<Glob>),
    TextsIgnoreCase(Vec<Glob>),
    Numbers(Comparison, Vec<f64>),
    Dates(Comparison, Vec<i64>),
    Booleans(Vec<Glob>),
    Bytes(Vec<Vec<u8>>),
    Addresses(Vec<Range>),
    Arns(Vec<ArnPattern>),
    Null { absent: bool, present: bool },
}

impl Wanted {
    pub(crate) fn new(base: Base, values: &[String], variables: bool) -> Self {
        let globs = |wildcards| {
            let reading = Reading { wildcards, variables };
            values.iter().map(|value| Glob::new(value, reading)).collect()
        };
        match base {
            Base::Text => Self::Texts(globs(false)),
            Base::TextIgnoreCase => Self::TextsIgnoreCase(globs(false)),
            Base::Like => Self::Texts(globs(true)),
            Base::Boolean => Self::Booleans(globs(false)),
            Base::Number(comparison) => {
                Self::Numbers(comparison, values.iter().filter_map(|v| number(v)).collect())
            }
            Base::Date(comparison) => {
                Self::Dates(comparison, values.iter().filter_map(|v| date::parse(v)).collect())
            }
            Base::Bytes => {
                Self::Bytes(values.iter().filter_map(|v| STANDARD.decode(v).ok()).collect())
            }
            Base::Address => {
                Self::Addresses(values.iter().filter_map(|v| Range::parse(v)).collect())
            }
            Base::Arn => {
                let pattern = |value: &String| ArnPattern::condition(value, variables);
                Self::Arns(values.iter().map(pattern).collect())
            }
            Base::Null => {
                let has = |wanted| values.iter().any(|value| boolean(value) == Some(wanted));
                Self::Null { absent: has(true), present: has(false) }
            }
        }
    }

    /// Whether the value is one of these; the negation of an operator is not looked at.
    pub(crate) fn matches(&self, value: &str, context: &Context) -> bool {
        match self {
            Self::Texts(globs) => globs.iter().any(|glob| glob.matches(value, context)),
            Self::TextsIgnoreCase(globs) => globs.iter().any(|glob| {
                glob.literal(context).is_some_and(|wanted| wanted.eq_ignore_ascii_case(value))
            }),
            Self::Numbers(comparison, numbers) => number(value).is_some_and(|value| {
                numbers.iter().any(|wanted| comparison.accepts(value.total_cmp(wanted)))
            }),
            Self::Dates(comparison, dates) => date::parse(value).is_some_and(|value| {
                dates.iter().any(|wanted| comparison.accepts(value.cmp(wanted)))
            }),
            Self::Booleans(globs) => boolean(value).is_some_and(|value| {
                let wanted = |glob: &Glob| boolean(&glob.literal(context)?);
                globs.iter().any(|glob| wanted(glob) == Some(value))
            }),
            Self::Bytes(wanted) => {
                STANDARD.decode(value).is_ok_and(|value| wanted.contains(&value))
            }
            Self::Addresses(ranges) => value
                .parse()
                .is_ok_and(|address: IpAddr| ranges.iter().any(|range| range.contains(address))),
            Self::Arns(patterns) => {
                let arn = Arn::new(value);
                patterns.iter().any(|pattern| pattern.matches(&arn, context))
            }
            Self::Null { present, .. } => *present,
        }
    }

    /// Whether values of anybody's will do, those of a key that has ARNs or of another: one that begins
    /// with a wildcard or a variable, or an ARN of any account.
    pub(crate) fn is_anybodys(&self, has_arns: bool) -> bool {
        // An ARN's account is before its fifth colon.
        let fixed = if has_arns { 5 } else { 0 };
        let is_open = |glob: &Glob| {
            let beginning = glob.beginning();
            beginning.is_empty() || beginning.matches(':').count() < fixed
        };
        match self {
            Self::Texts(globs) | Self::TextsIgnoreCase(globs) => globs.iter().any(is_open),
            Self::Arns(patterns) => patterns.iter().any(ArnPattern::is_of_any_account),
            Self::Addresses(ranges) => ranges.iter().any(Range::is_all),
            Self::Numbers(..)
            | Self::Dates(..)
            | Self::Booleans(_)
            | Self::Bytes(_)
            | Self::Null { .. } => false,
        }
    }

    /// The keys of its variables.
    pub(crate) fn keys(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Texts(globs) | Self::TextsIgnoreCase(globs) | Self::Booleans(globs) => {
                Box::new(globs.iter().flat_map(Glob::keys))
            }
            Self::Arns(patterns) => Box::new(patterns.iter().flat_map(ArnPattern::keys)),
            Self::Numbers(..)
            | Self::Dates(..)
            | Self::Bytes(_)
            | Self::Addresses(_)
            | Self::Null { .. } => Box::new(std::iter::empty()),
        }
    }
}

/// A decimal number; `10`, `10.0` and `1e1` are the same.
pub(crate) fn number(text: &str) -> Option<f64> {
    let value: f64 = text.trim().parse().ok()?;
    // Adding zero makes -0 plain 0, which a total order would tell apart.
    value.is_finite().then_some(value + 0.0)
}

/// True or false, in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A range of addresses, or a single one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    first: u128,
    mask: u128,
    is_v6: bool,
}

impl Range {
    /// `10.0.0.0/8`, `10.1.2.3`, `2001:db8::/32`. Bits beyond the prefix do not matter.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, width) = bits(address);
        let prefix = prefix.unwrap_or(width);
        if prefix > width {
            return None;
        }
        let host = width - prefix;
        let mask = if host == 128 { 0 } else { u128::MAX << host };
        Some(Self { first: bits & mask, mask, is_v6: address.is_ipv6() })
    }

    /// Whether every address of its kind is in it.
    fn is_all(&self) -> bool {
        self.mask & if self.is_v6 { u128::MAX } else { u128::from(u32::MAX) } == 0
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_v6 && bits(address).0 & self.mask == self.first
    }
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}
