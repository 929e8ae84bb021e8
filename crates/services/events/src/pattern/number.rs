//! Numbers compared by value: 300, 300.0 and 3e2 are one.

use std::cmp::Ordering;

/// A number of an event or a pattern.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// Whole, and told exactly.
    Whole(i128),
    /// Any other.
    Real(f64),
}

/// Up to here every whole number is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// The number that this text stands for.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(whole) = text.parse::<i128>() {
            return Some(Self::Whole(whole));
        }
        text.parse::<f64>().ok().filter(|real| real.is_finite()).map(Self::of_real)
    }

    /// The number of a JSON value.
    pub(super) fn of_json(number: &serde_json::Number) -> Self {
        let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
        match whole {
            Some(whole) => Self::Whole(whole),
            None => Self::of_real(number.as_f64().unwrap_or_default()),
        }
    }

    fn of_real(real: f64) -> Self {
        match real.fract() == 0.0 && real.abs() <= EXACT {
            true => Self::Whole(real as i128),
            false => Self::Real(real),
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.partial_cmp(b),
            _ => self.real().partial_cmp(&other.real()),
        }
    }
}
