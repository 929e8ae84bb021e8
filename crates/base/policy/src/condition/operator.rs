//! Names of operators.

use std::cmp::Ordering;

/// How many of a key's values must meet the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOperator {
    All,
    Any,
}

/// An order that numbers or instants are to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(crate) fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// What is compared, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Text,
    TextIgnoreCase,
    Like,
    Number(Comparison),
    Date(Comparison),
    Boolean,
    Bytes,
    Address,
    Arn,
    Null,
}

/// An operator, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) set: Option<SetOperator>,
    pub(crate) base: Base,
    pub(crate) negated: bool,
    pub(crate) if_exists: bool,
}

impl Operator {
    /// The operator of this name, such as `ForAllValues:StringLikeIfExists`. Case matters.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (set, rest) = match name.split_once(':') {
            None => (None, name),
            Some(("ForAllValues", rest)) => (Some(SetOperator::All), rest),
            Some(("ForAnyValue", rest)) => (Some(SetOperator::Any), rest),
            Some(_) => return None,
        };
        let (plain, if_exists) = match rest.strip_suffix("IfExists") {
            Some(plain) => (plain, true),
            None => (rest, false),
        };
        let (base, negated) = base(plain)?;
        let is_bare = set.is_none() && !if_exists;
        (is_bare || base != Base::Null).then_some(Self { set, base, negated, if_exists })
    }
}

fn base(name: &str) -> Option<(Base, bool)> {
    let found = match name {
        "StringEquals" => (Base::Text, false),
        "StringNotEquals" => (Base::Text, true),
        "StringEqualsIgnoreCase" => (Base::TextIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Base::TextIgnoreCase, true),
        "StringLike" => (Base::Like, false),
        "StringNotLike" => (Base::Like, true),
        "Bool" => (Base::Boolean, false),
        "BinaryEquals" => (Base::Bytes, false),
        "IpAddress" => (Base::Address, false),
        "NotIpAddress" => (Base::Address, true),
        "ArnEquals" | "ArnLike" => (Base::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Base::Arn, true),
        "Null" => (Base::Null, false),
        name => {
            return match (name.strip_prefix("Numeric"), name.strip_prefix("Date")) {
                (Some(rest), _) => {
                    comparison(rest).map(|(comparison, not)| (Base::Number(comparison), not))
                }
                (_, Some(rest)) => {
                    comparison(rest).map(|(comparison, not)| (Base::Date(comparison), not))
                }
                (None, None) => None,
            };
        }
    };
    Some(found)
}

fn comparison(name: &str) -> Option<(Comparison, bool)> {
    Some(match name {
        "Equals" => (Comparison::Equal, false),
        "NotEquals" => (Comparison::Equal, true),
        "LessThan" => (Comparison::Less, false),
        "LessThanEquals" => (Comparison::LessOrEqual, false),
        "GreaterThan" => (Comparison::Greater, false),
        "GreaterThanEquals" => (Comparison::GreaterOrEqual, false),
        _ => return None,
    })
}
